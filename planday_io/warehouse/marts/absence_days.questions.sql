-- How many people were absent on each day of the last month?
SELECT portal, date, count(*) AS absent FROM marts.absence_days
WHERE date BETWEEN today() - 31 AND today() GROUP BY ALL ORDER BY ALL;

-- How many days of vacation did each person take this year?
SELECT portal, employee_id, employee, sum(days) AS days FROM marts.absence_days
WHERE list_contains(absence_types, 'Vacation') AND year(date) = year(today()) GROUP BY ALL ORDER BY ALL;

-- Who was planned on a day of approved absence in the last month, or is in the next one?
SELECT a.portal, a.employee_id, a.employee, a.date, s.department, s.start_local
FROM marts.absence_days AS a JOIN marts.shifts AS s USING (portal, employee_id, date)
WHERE s.is_assigned AND a.is_whole_day AND a.date BETWEEN today() - 31 AND today() + 31
    AND s.month BETWEEN strftime(today() - 31, '%Y-%m') AND strftime(today() + 31, '%Y-%m')
ORDER BY a.portal, a.date;
