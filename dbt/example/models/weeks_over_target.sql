-- Planday has no targets: the company's own are a seed, joined to what Planday knows.
select
    w.portal,
    w.department_id,
    w.department,
    w.week,
    round(w.labour_cost - w.revenue * t.target_percent / 100, 2) as over_target,
    w.currency
from {{ ref('department_weeks') }} as w
join {{ ref('labour_targets') }} as t on t.portal = w.portal
-- Where the cost of any worked hour is not known, nobody can say whether the target was met.
where w.cost_unknown_hours is null and w.labour_cost > w.revenue * t.target_percent / 100
