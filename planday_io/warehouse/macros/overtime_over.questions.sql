-- Who worked more than 37 hours a week, or more than ten hours on a day, in the last four weeks?
SELECT portal, week, employee_id, employee, worked_hours, over_weekly_hours, over_daily_hours
FROM marts.overtime_over(weekly_hours := 37, daily_hours := 10, from_date := today() - 28, to_date := today()) ORDER BY portal, week, employee_id;
