-- How far do worked hours differ from planned hours of work in the last three months, per department and month, where people punch and where they do not?
SELECT portal, department_id, department, month, uses_punch_clock, sum(planned_hours) AS planned, sum(worked_hours) AS worked,
    sum(planned_hours) FILTER (WHERE worked_hours IS NULL) AS not_worked
FROM marts.hours
WHERE month >= strftime(today() - INTERVAL 3 MONTH, '%Y-%m') AND kind = 'work' AND worked_gap IS DISTINCT FROM 'not yet' AND status IS DISTINCT FROM 'Draft'
GROUP BY ALL ORDER BY ALL;

-- Which worked shifts of the last month are not approved yet?
SELECT portal, department_id, department, date, employee_id, employee, worked_hours, worked_by
FROM marts.hours WHERE approved_gap = 'not approved' AND worked_hours > 0
    AND date BETWEEN today() - 31 AND today() AND month >= strftime(today() - 31, '%Y-%m')
ORDER BY portal, date, department_id, employee_id;

-- Why do shifts of the last full month have no cost in payroll?
SELECT portal, paid_gap, count(*) AS shifts, sum(planned_hours) AS hours FROM marts.hours
WHERE paid_gap IS NOT NULL AND month = strftime(today() - INTERVAL 1 MONTH, '%Y-%m')
GROUP BY ALL ORDER BY ALL;
