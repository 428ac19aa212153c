-- Who came more than five minutes late in the last month?
SELECT portal, department_id, department, date, employee_id, employee, start_local, first_punch_in, late_minutes
FROM marts.attendance WHERE late_minutes > 5 AND date BETWEEN today() - 31 AND today() AND month >= strftime(today() - 31, '%Y-%m')
ORDER BY portal, date, department_id, employee_id;

-- How punctual is each department, per month of the last three months?
SELECT portal, department_id, department, month, count(*) AS shifts, count(*) FILTER (late_minutes > 5) AS late,
    count(*) FILTER (early_leave_minutes > 5) AS left_early, count(*) FILTER (is_no_show) AS no_shows,
    count(*) FILTER (is_punch_out_forgotten) AS forgotten, round(avg(late_minutes), 1) AS average_late_minutes
FROM marts.attendance WHERE row_of = 'shift' AND month >= strftime(today() - INTERVAL 3 MONTH, '%Y-%m') AND date <= today() GROUP BY ALL ORDER BY ALL;

-- Who missed a shift in the last three months, with no reason recorded?
SELECT portal, department_id, department, date, employee_id, employee, start_local, end_local
FROM marts.attendance WHERE is_no_show AND date BETWEEN today() - 92 AND today() AND month >= strftime(today() - 92, '%Y-%m')
ORDER BY portal, date, department_id, employee_id;
