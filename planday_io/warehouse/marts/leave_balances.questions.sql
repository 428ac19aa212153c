-- What does the company owe for leave that was earned and not taken, and for how many accounts is that not known?
SELECT portal, department_id, department, absence_kind, currency, sum(liability) AS liability, count(liability) AS accounts,
    count(*) FILTER (WHERE liability_gap IS NOT NULL) AS not_known
FROM marts.leave_balances WHERE status IS DISTINCT FROM 'Inactive' AND coalesce(valid_to >= today(), true) GROUP BY ALL ORDER BY ALL;

-- Who has to take leave before the account ends?
SELECT portal, employee_id, employee, account_id, account, unit, balance, booked, valid_to
FROM marts.leave_balances WHERE balance > 0 AND valid_to BETWEEN today() AND today() + INTERVAL 6 MONTH
ORDER BY valid_to, balance DESC, portal, account_id;

-- How much of the leave that was earned has been taken?
SELECT portal, absence_kind, unit, sum(entitlement) AS earned, sum(used) AS used, sum(booked) AS booked, sum(balance) AS balance
FROM marts.leave_balances WHERE used IS NOT NULL GROUP BY ALL ORDER BY ALL;
