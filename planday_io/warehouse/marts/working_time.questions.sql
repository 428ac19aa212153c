-- Who rested less than 11 hours between two days of work in the last month?
SELECT portal, employee_id, employee, date, worked_start_local, worked_rest_hours
FROM marts.working_time_between(from_date := today() - 31, to_date := today())
WHERE worked_rest_hours < 11 ORDER BY portal, date, employee_id;

-- How many hours a week does each person work on average, as of the last week that is over?
SELECT portal, employee_id, any_value(employee) AS employee, arg_max(worked_average_week_hours, date) AS hours, arg_max(worked_average_weeks, date) AS weeks
FROM marts.working_time_between(from_date := today() - 14, to_date := today())
WHERE worked_average_week_hours IS NOT NULL GROUP BY portal, employee_id ORDER BY hours DESC, portal, employee_id;

-- Who is to work more than six days in a row in the next four weeks?
SELECT portal, employee_id, employee, max(planned_days_in_row) AS days, max(date) AS last_day
FROM marts.working_time_between(from_date := today(), to_date := today() + 28)
WHERE planned_days_in_row > 6 GROUP BY ALL ORDER BY ALL;
