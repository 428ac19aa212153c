-- How many people work in each department, and how long have they been there?
SELECT portal, primary_department_id, primary_department, count(*) AS people, round(avg(tenure_days) / 365.25, 1) AS average_years
FROM marts.employees WHERE is_active GROUP BY ALL ORDER BY portal, people DESC;

-- How are people paid?
SELECT portal, coalesce(pay_type, 'no pay data') AS pay_type, count(*) AS people
FROM marts.employees WHERE is_active GROUP BY ALL ORDER BY ALL;

-- Who leaves within the next half year?
SELECT portal, employee_id, name, primary_department, deactivation_date
FROM marts.employees WHERE deactivation_date BETWEEN today() AND today() + INTERVAL 6 MONTH ORDER BY deactivation_date;
