-- What is the rate of sickness and of all absence per department and month of the last three months?
SELECT portal, department_id, department, month, sum(sickness_days) AS sick, sum(absent_days) AS absent,
    round(100.0 * sum(sickness_days) / nullif(sum(planned_days + absent_days), 0), 1) AS sickness_percent,
    round(100.0 * sum(absent_days) / nullif(sum(planned_days + absent_days), 0), 1) AS absence_percent
FROM marts.absence_monthly
WHERE month BETWEEN strftime(today() - INTERVAL 3 MONTH, '%Y-%m') AND strftime(today(), '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- Who was ill how often last month, and what is the Bradford score where it is switched on?
SELECT portal, employee_id, employee, department, sickness_spells, sickness_days, bradford_score, bradford_gap
FROM marts.absence_monthly
WHERE month = strftime(today() - INTERVAL 1 MONTH, '%Y-%m') AND sickness_days > 0
ORDER BY bradford_score DESC NULLS LAST, sickness_days DESC, portal, employee_id;

-- How much absence of each kind is planned for this month and the next three?
SELECT portal, month, sum(vacation_days) AS vacation, sum(sickness_days) AS sickness, sum(other_days) AS other,
    sum(calendar_days) AS without_a_day_registered
FROM marts.absence_monthly
WHERE month BETWEEN strftime(today(), '%Y-%m') AND strftime(today() + INTERVAL 3 MONTH, '%Y-%m') AND absent_days > 0
GROUP BY ALL ORDER BY ALL;
