-- What was planned per department and month of this year, and what does Planday say it costs?
SELECT p.portal, p.department_id, d.name AS department, p.month, sum(p.hours) AS hours, sum(p.cost) AS cost
FROM marts.planned_costs AS p LEFT JOIN hr.departments AS d ON d.portal = p.portal AND d.id = p.department_id
WHERE p.month >= strftime(date_trunc('year', today()), '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- Which durations of this year could not be read, and why?
SELECT portal, month, hours_gap, duration, count(*) AS rows
FROM marts.planned_costs WHERE hours_gap IS NOT NULL AND month >= strftime(date_trunc('year', today()), '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- How does Planday write durations here, this year?
SELECT portal, answer_form, min(month) AS first_month, max(month) AS last_month, count(*) AS rows
FROM marts.planned_costs WHERE month >= strftime(date_trunc('year', today()), '%Y-%m') GROUP BY ALL ORDER BY ALL;
