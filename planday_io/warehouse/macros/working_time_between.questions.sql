-- How many hours did each person work in each of the last four weeks, and how long was the longest rest of the week?
SELECT portal, week, employee_id, any_value(employee) AS employee, any_value(worked_week_hours) AS hours, any_value(worked_week_rest_hours) AS longest_rest_hours
FROM marts.working_time_between(from_date := today() - 28, to_date := today())
WHERE worked_week_hours IS NOT NULL GROUP BY portal, week, employee_id ORDER BY portal, week, employee_id;
