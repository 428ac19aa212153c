-- How did the number of people develop?
SELECT portal, month, sum(headcount) AS people, sum(hired) AS hired, sum(left_count) AS left
FROM marts.headcount_monthly GROUP BY ALL ORDER BY ALL;

-- Which department grew most over the last year?
SELECT portal, department_id, department, arg_max(headcount, month) - arg_min(headcount, month) AS growth
FROM marts.headcount_monthly WHERE month >= strftime(today() - INTERVAL 1 YEAR, '%Y-%m')
GROUP BY ALL ORDER BY growth DESC, portal, department_id;

-- How many of the people employed did work in each month?
SELECT portal, month, sum(worked) AS worked, sum(headcount) AS employed,
    round(100.0 * sum(worked) / nullif(sum(headcount), 0), 1) AS percent
FROM marts.headcount_monthly WHERE worked > 0 GROUP BY ALL ORDER BY ALL;
