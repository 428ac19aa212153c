-- Who forgot to punch out in the last month?
SELECT portal, department_id, department, date, employee_id, employee, punch_id, punched_in
FROM marts.punches WHERE is_forgotten AND date BETWEEN today() - 31 AND today() AND month >= strftime(today() - 31, '%Y-%m') ORDER BY portal, punched_in, punch_id;

-- Which punches of the last two weeks wait for an approval?
SELECT portal, department_id, department, count(*) AS punches, sum(hours) AS hours, min(date) AS oldest
FROM marts.punches WHERE NOT is_approved AND date BETWEEN today() - 14 AND today() AND month >= strftime(today() - 14, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- By how much does approving change the punched hours, per department and month of the last year?
SELECT portal, department_id, department, month, count(*) AS punches,
    sum(date_diff('minute', approved_start, punched_in)) AS minutes_later, sum(date_diff('minute', punched_out, approved_end)) AS minutes_earlier
FROM marts.punches WHERE is_approved AND punched_out IS NOT NULL AND month >= strftime(today() - INTERVAL 1 YEAR, '%Y-%m') GROUP BY ALL ORDER BY ALL;
