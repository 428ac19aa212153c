-- Whose pay is not known, and why?
SELECT portal, department_id, department, employee_id, employee, hourly_pay_gap FROM marts.hourly_pay
WHERE is_active AND hourly_pay_gap IS NOT NULL ORDER BY ALL;

-- What does an hour cost on average in each department?
SELECT portal, department_id, department, count(hourly_pay) AS people, round(avg(hourly_pay), 2) AS average, any_value(currency) AS currency
FROM marts.hourly_pay WHERE is_active GROUP BY ALL ORDER BY ALL;

-- Where is hourly pay known from, or why is it not known?
SELECT portal, coalesce(hourly_pay_by, hourly_pay_gap) AS known_by, count(*) AS people FROM marts.hourly_pay
WHERE is_active GROUP BY ALL ORDER BY ALL;
