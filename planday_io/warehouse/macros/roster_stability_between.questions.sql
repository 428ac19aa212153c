-- Which departments changed more than a tenth of their shifts within two days before they began, in the last four weeks?
SELECT portal, department_id, department, week, assigned_shifts, changed_within_48h_at_least, changed_within_48h_percent_at_least
FROM marts.roster_stability_between(from_date := today() - 28, to_date := today())
WHERE changed_within_48h_percent_at_least > 10 ORDER BY portal, week, department_id;
