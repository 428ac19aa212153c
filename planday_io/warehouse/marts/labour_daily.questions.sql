-- What did labour cost in percent of revenue, per department and month?
SELECT portal, department, strftime(date, '%Y-%m') AS month, sum(labour_cost) AS cost, sum(revenue) AS revenue,
    round(100.0 * CAST(sum(labour_cost) AS DOUBLE) / nullif(CAST(sum(revenue) AS DOUBLE), 0), 1) AS percent
FROM marts.labour_daily WHERE department_id IS NOT NULL GROUP BY ALL ORDER BY ALL;

-- How do planned, worked and paid hours compare on each day of the last two weeks?
SELECT portal, date, sum(planned_hours) AS planned, sum(worked_hours) AS worked, sum(paid_hours) AS paid
FROM marts.labour_daily WHERE date BETWEEN today() - 14 AND today() GROUP BY ALL ORDER BY ALL;

-- What did payroll come to per month, and of what does it consist?
SELECT portal, strftime(date, '%Y-%m') AS month, sum(shift_cost) AS shifts, sum(supplement_cost) AS supplements,
    sum(salary_cost) AS salaries, sum(labour_cost) AS total
FROM marts.labour_daily WHERE labour_cost IS NOT NULL GROUP BY ALL ORDER BY ALL;
