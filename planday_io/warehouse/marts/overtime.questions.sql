-- Who worked more than contracted in the last full month?
SELECT portal, employee_id, employee, department_id, department, contract_hours, worked_hours, over_contract_hours
FROM marts.overtime WHERE period_of = 'month' AND over_contract_hours > 0 AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m')
ORDER BY over_contract_hours DESC, portal, employee_id;

-- How much overtime beyond the contract was there, per department and month of the last three months?
SELECT portal, department_id, department, period_start, sum(worked_hours) AS worked, sum(over_contract_hours) AS over_contract,
    count(*) FILTER (over_contract_gap = 'no contracted hours') AS without_contract
FROM marts.overtime WHERE period_of = 'month' AND month >= strftime(today() - INTERVAL 3 MONTH, '%Y-%m') GROUP BY ALL ORDER BY ALL;

-- Whose overtime of the last full month is not known yet, because hours of a shift are missing?
SELECT portal, employee_id, employee, department_id, department, shifts_without_hours, worked_hours, contract_hours
FROM marts.overtime WHERE period_of = 'month' AND shifts_without_hours > 0 AND month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m')
ORDER BY shifts_without_hours DESC, portal, employee_id;
