-- How far are punched from planned hours, per department and month?
SELECT portal, department, strftime(date, '%Y-%m') AS month, sum(planned_hours) AS planned, sum(punched_hours) AS punched
FROM marts.hours WHERE punched_hours IS NOT NULL AND planned_hours IS NOT NULL GROUP BY ALL ORDER BY ALL;

-- Which worked shifts of the last month are not approved yet?
SELECT portal, department, date, employee, planned_hours
FROM marts.hours WHERE approved_gap = 'not approved' AND date BETWEEN today() - 31 AND today() ORDER BY portal, date;

-- Why were shifts of the last full month not paid?
SELECT portal, paid_gap, count(*) AS shifts, sum(planned_hours) AS hours FROM marts.hours
WHERE paid_gap IS NOT NULL AND date >= date_trunc('month', today()) - INTERVAL 1 MONTH AND date < date_trunc('month', today())
GROUP BY ALL ORDER BY ALL;
