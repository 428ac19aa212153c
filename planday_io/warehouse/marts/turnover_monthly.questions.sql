-- What was the turnover of each portal over the last twelve full months?
SELECT portal, sum(left_12_months) AS left, round(sum(average_headcount_12_months), 1) AS average_people,
    round(100.0 * sum(left_12_months) / nullif(sum(average_headcount_12_months), 0), 1) AS turnover_percent
FROM marts.turnover_monthly
WHERE month = strftime(today() - INTERVAL 1 MONTH, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- Why did people leave in the last twelve months?
SELECT portal, coalesce(why.reason, 'no reason given') AS reason, sum(why.people) AS people
FROM (SELECT portal, unnest(left_reasons) AS why FROM marts.turnover_monthly WHERE month > strftime(today() - INTERVAL 1 YEAR, '%Y-%m'))
GROUP BY ALL ORDER BY portal, people DESC, reason;

-- Which departments keep the people they hire, and how long have people been there?
SELECT portal, department_id, department, sum(hired) FILTER (WHERE survival_gap IS NULL) AS hired, sum(stayed_90_days) AS stayed,
    round(100.0 * sum(stayed_90_days) / nullif(sum(hired) FILTER (WHERE survival_gap IS NULL), 0), 1) AS survival_percent,
    arg_max(tenure_under_3_months + tenure_3_to_12_months, month) AS under_a_year_now,
    arg_max(tenure_1_to_3_years + tenure_3_years_or_more, month) AS over_a_year_now
FROM marts.turnover_monthly WHERE month >= strftime(today() - INTERVAL 2 YEAR, '%Y-%m') GROUP BY ALL ORDER BY ALL;
