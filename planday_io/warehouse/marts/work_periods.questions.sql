-- When did each person work in the last two weeks, from when to when?
SELECT portal, employee_id, employee, department_id, department, start_local, end_local, hours, worked_by
FROM marts.work_periods WHERE basis = 'worked' AND date BETWEEN today() - 14 AND today() AND month >= strftime(today() - 14, '%Y-%m') ORDER BY portal, employee_id, start_local;

-- How much of the work of the last full month is known by a punch?
SELECT portal, department_id, department, worked_by, count(*) AS periods, sum(hours) AS hours FROM marts.work_periods
WHERE basis = 'worked' AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m')
GROUP BY ALL ORDER BY ALL;

-- Who worked, or is planned to work, more than 12 hours (breaks left out) in one shift or punch, since a month ago?
SELECT portal, basis, employee_id, employee, date, start_local, end_local, hours
FROM marts.work_periods WHERE hours > 12 AND date >= today() - 31 AND month >= strftime(today() - 31, '%Y-%m') ORDER BY portal, start_local, employee_id;
