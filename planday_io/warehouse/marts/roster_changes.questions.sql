-- Which shifts of the last four weeks were cancelled, unassigned, swapped, moved or shortened less than 24 hours before they began, as far as reads show for certain?
SELECT portal, department_id, department, date, shift_id, old_employee_id, old_employee, change, old_start_local, changed_after, changed_before,
    hours_before_at_least, hours_before_at_most
FROM marts.roster_changes
WHERE date BETWEEN today() - 28 AND today() AND month >= strftime(today() - 28, '%Y-%m') AND change IN ('cancelled', 'moved', 'swapped', 'shortened', 'unassigned')
    AND hours_before_at_least >= 0 AND hours_before_at_most < 24
ORDER BY portal, date, shift_id, changed_before;

-- How many hours were changed, or may have been, within a week before the start, per department and month of this year, and what were they planned to cost?
SELECT portal, department_id, any_value(department) AS department, month, change, count(*) AS changes, sum(hours_at_stake) AS hours,
    sum(cost_at_stake) AS cost, any_value(currency) AS currency, count(*) FILTER (WHERE cost_gap IS NOT NULL) AS changes_without_cost
FROM marts.roster_changes
WHERE date BETWEEN date_trunc('year', today()) AND today() AND month >= strftime(date_trunc('year', today()), '%Y-%m') AND hours_before_at_least < 168 AND hours_before_at_most > 0
GROUP BY portal, department_id, month, change ORDER BY ALL;

-- Whose shifts of the last four weeks were changed most often before they began, or may have been?
SELECT portal, coalesce(old_employee_id, new_employee_id) AS employee_id, coalesce(any_value(old_employee), any_value(new_employee)) AS employee,
    count(*) AS changes, count(DISTINCT shift_id) AS shifts
FROM marts.roster_changes
WHERE date BETWEEN today() - 28 AND today() AND month >= strftime(today() - 28, '%Y-%m') AND hours_before_at_most > 0 AND change NOT IN ('assigned', 'published')
GROUP BY portal, coalesce(old_employee_id, new_employee_id) ORDER BY changes DESC, portal, employee_id LIMIT 20;
