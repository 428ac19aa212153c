-- Which rules of working time were breached in the last three months, by whom, and what proves it?
SELECT portal, rule, employee_id, employee, department_id, department, period_start, period_end, value, limit_value, unit, shift_ids, punch_ids
FROM marts.working_time_findings WHERE basis = 'worked' AND date BETWEEN today() - 92 AND today() ORDER BY portal, date, rule, employee_id;

-- Which shifts of the next two weeks would breach a rule?
SELECT portal, rule, employee_id, employee, department_id, department, period_start, period_end, value, limit_value, unit, shift_ids
FROM marts.working_time_findings WHERE basis = 'planned' AND date BETWEEN today() AND today() + 14 ORDER BY portal, date, rule, employee_id;

-- How often is each rule breached, per department and month of the last year, as planned and as worked?
SELECT portal, department_id, department, month, rule, count(*) FILTER (basis = 'planned') AS planned, count(*) FILTER (basis = 'worked') AS worked
FROM marts.working_time_findings WHERE date BETWEEN today() - 365 AND today() GROUP BY ALL ORDER BY ALL;
