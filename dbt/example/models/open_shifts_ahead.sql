-- From tables as Planday has them. Ids repeat across portals, so every join is on `portal` as well.
select
    s.portal,
    s.department_id,
    any_value(d.name) as department,
    s.date,
    count(*) as open_shifts
from {{ source('planday_scheduling', 'shifts') }} as s
left join {{ source('planday_hr', 'departments') }} as d on d.portal = s.portal and d.id = s.department_id
where s.employee_id is null and s.status is distinct from 'Draft' and s.date between current_date and current_date + 14
group by s.portal, s.department_id, s.date
