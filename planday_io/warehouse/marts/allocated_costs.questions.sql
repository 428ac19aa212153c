-- Where do the salaries of the last full month go, and by what are they allocated?
SELECT portal, month, department_id, department, allocated_by, sum(amount) AS amount, any_value(currency) AS currency
FROM marts.allocated_costs WHERE cost_of = 'salary' AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- Whose pay of the last full month belongs to no department?
SELECT a.portal, a.month, a.employee_id, e.name, a.cost_of, sum(a.amount) AS amount
FROM marts.allocated_costs AS a LEFT JOIN marts.employees AS e USING (portal, employee_id)
WHERE a.department_id IS NULL AND a.month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- How is the salary of last month spread over days?
SELECT portal, date, sum(amount) AS amount FROM marts.allocated_costs
WHERE cost_of = 'salary' AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') GROUP BY ALL ORDER BY ALL;
