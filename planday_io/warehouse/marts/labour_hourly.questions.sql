-- At which hours of the day were people at work in the last four weeks, and how does that compare with the plan?
SELECT portal, department_id, any_value(department) AS department, hour, sum(planned_work_hours) AS planned, sum(worked_hours) AS worked
FROM marts.labour_hourly WHERE date BETWEEN today() - 28 AND today() AND month >= strftime(today() - 28, '%Y-%m') AND hour IS NOT NULL
GROUP BY portal, department_id, hour ORDER BY ALL;

-- What did shifts cost by weekday and hour last month, and what does an hour of work cost then?
SELECT portal, isodow(calendar_date) AS weekday, hour, sum(shift_cost) AS cost, any_value(currency) AS currency, sum(worked_hours) AS worked,
    round(CAST(sum(shift_cost) AS DOUBLE) / nullif(CAST(sum(worked_hours) AS DOUBLE), 0), 2) AS cost_per_hour
FROM marts.labour_hourly
WHERE month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') AND hour IS NOT NULL
GROUP BY portal, isodow(calendar_date), hour ORDER BY ALL;

-- How many people does the plan have at work in each hour of the next two weeks?
SELECT portal, department_id, any_value(department) AS department, calendar_date, hour, round(sum(planned_work_hours), 2) AS people
FROM marts.labour_hourly WHERE date BETWEEN today() AND today() + 14 AND month >= strftime(today(), '%Y-%m') AND hour IS NOT NULL
GROUP BY portal, department_id, calendar_date, hour ORDER BY ALL;
