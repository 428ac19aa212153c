-- What was labour cost as a percentage of revenue, per department in the last full month, and for what share of the worked hours is the cost known?
SELECT portal, department_id, any_value(department) AS department, month,
    sum(labour_cost) AS cost, sum(revenue) AS revenue, any_value(currency) AS currency,
    round(100.0 * sum(cost_known_hours) / (sum(cost_known_hours) + coalesce(sum(cost_unknown_hours), 0)), 1) AS known_percent,
    CASE WHEN sum(cost_unknown_hours) IS NULL AND sum(revenue) > 0
        THEN round(100.0 * CAST(sum(labour_cost) AS DOUBLE) / CAST(sum(revenue) AS DOUBLE), 1)
    END AS percent
FROM marts.labour_daily WHERE department_id IS NOT NULL AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m')
GROUP BY portal, department_id, month ORDER BY portal, department_id, month;

-- How do planned and worked hours of work compare with paid hours of all kinds on each day of the last two weeks, and how many hours were planned as sickness?
SELECT portal, date, sum(planned_work_hours) AS planned, sum(worked_hours) AS worked, sum(paid_hours) AS paid, sum(sickness_hours) AS sick
FROM marts.labour_daily WHERE date BETWEEN today() - 14 AND today() AND month >= strftime(today() - 14, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- What did payroll come to in the last full month, of what does it consist, and how much of it belongs to no department?
SELECT portal, month, any_value(currency) AS currency, sum(shift_cost) AS shifts,
    sum(shift_supplement_cost) AS supplements_of_shifts, sum(month_supplement_cost) AS supplements_of_the_month,
    sum(salary_cost) AS salaries, sum(unallocated_cost) AS unallocated, sum(coalesce(labour_cost, unallocated_cost)) AS total
FROM marts.labour_daily WHERE month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') AND coalesce(labour_cost, unallocated_cost) IS NOT NULL
GROUP BY ALL ORDER BY ALL;
