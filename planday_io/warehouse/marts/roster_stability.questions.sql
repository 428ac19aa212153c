-- Which share of the shifts changed within a week before they began, per department, in the last twelve weeks?
SELECT portal, department_id, any_value(department) AS department, sum(assigned_shifts) AS shifts,
    round(100.0 * sum(changed_within_168h_at_least) / nullif(sum(assigned_shifts), 0), 1) AS percent_at_least,
    round(100.0 * sum(changed_within_168h_at_most) / nullif(sum(assigned_shifts), 0), 1) AS percent_at_most
FROM marts.roster_stability_between(from_date := today() - 84, to_date := today()) GROUP BY portal, department_id ORDER BY ALL;

-- How long before they began were open shifts filled, and how many were still open at their start, week by week?
SELECT portal, week, sum(filled_shifts) AS filled, sum(open_at_start) AS open_at_start,
    min(median_filled_hours_at_least) AS lowest_median_hours_at_least, max(median_filled_hours_at_most) AS highest_median_hours_at_most
FROM marts.roster_stability_between(from_date := today() - 84, to_date := today()) GROUP BY ALL ORDER BY ALL;

-- Where did people learn of changes at the shortest notice last week?
SELECT portal, department_id, department, changed_shifts, median_notice_hours_at_least, median_notice_hours_at_most
FROM marts.roster_stability_between(from_date := today() - 7, to_date := today() - 7)
WHERE changed_shifts > 0 ORDER BY median_notice_hours_at_most, portal, department_id;
