-- A view of the published file, added up by week. What its columns mean is said there; here they are only summed.
select
    portal,
    department_id,
    cast(date_trunc('week', date) as date) as week,
    any_value(department) as department,
    any_value(currency) as currency,
    sum(worked_hours) as worked_hours,
    sum(labour_cost) as labour_cost,
    sum(revenue) as revenue,
    sum(cost_unknown_hours) as cost_unknown_hours
from {{ source('planday_marts', 'labour_daily') }}
where department_id is not null and date <= current_date
group by portal, department_id, week
