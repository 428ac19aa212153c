-- Which rules of working time were breached in the last month, by whom, and what proves it?
SELECT portal, rule, employee_id, employee, department_id, department, period_start, period_end, value, limit_value, unit, shift_ids, punch_ids
FROM marts.working_time_findings_between(from_date := today() - 31, to_date := today())
WHERE basis = 'worked' ORDER BY portal, date, rule, employee_id;

-- Which shifts of the next two weeks would breach a rule?
SELECT portal, rule, employee_id, employee, department_id, department, period_start, period_end, value, limit_value, unit, shift_ids
FROM marts.working_time_findings_between(from_date := today(), to_date := today() + 14)
WHERE basis = 'planned' ORDER BY portal, date, rule, employee_id;

-- How often was each rule breached, per department in the last month, as planned and as worked?
SELECT portal, department_id, department, rule, count(*) FILTER (basis = 'planned') AS planned, count(*) FILTER (basis = 'worked') AS worked
FROM marts.working_time_findings_between(from_date := today() - 31, to_date := today()) GROUP BY ALL ORDER BY ALL;
