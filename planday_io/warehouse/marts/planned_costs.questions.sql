-- What was planned per department and month, and what does Planday say it costs?
SELECT p.portal, p.department_id, d.name AS department, p.month, sum(p.hours) AS hours, sum(p.cost) AS cost
FROM marts.planned_costs AS p LEFT JOIN hr.departments AS d ON d.portal = p.portal AND d.id = p.department_id
GROUP BY ALL ORDER BY ALL;

-- Which durations could not be read, and why?
SELECT portal, month, hours_gap, duration, count(*) AS rows
FROM marts.planned_costs WHERE hours_gap IS NOT NULL GROUP BY ALL ORDER BY ALL;

-- How does Planday write durations here?
SELECT portal, answer_form, min(month) AS first_month, max(month) AS last_month, count(*) AS rows
FROM marts.planned_costs GROUP BY ALL ORDER BY ALL;
