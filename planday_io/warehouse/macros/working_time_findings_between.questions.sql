-- Whose work breached a rule more than once in the last four weeks?
SELECT portal, employee_id, any_value(employee) AS employee, rule, count(*) AS times, min(value) AS lowest, max(value) AS highest, any_value(limit_value) AS limit_value
FROM marts.working_time_findings_between(from_date := today() - 28, to_date := today())
WHERE basis = 'worked' GROUP BY portal, employee_id, rule HAVING count(*) > 1 ORDER BY portal, employee_id, rule;
