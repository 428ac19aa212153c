-- One row per shift of the roster, open and draft ones included, with names, instants and net planned hours.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the shift (YYYY-MM).
-- shift_id: Id in `scheduling.shifts`.
-- date: Day the shift begins.
-- department_id: Id in `hr.departments`.
-- department: Its name; NULL where it has none, or where the department was closed. Group by the id as well.
-- employee_id: Id of the employee; NULL is an open shift.
-- employee: Name of the employee.
-- employee_group_id: Id in `hr.employee_groups`.
-- employee_group: Group the shift is for.
-- position_id: Id in `scheduling.positions`.
-- position: Position the shift is for.
-- shift_type_id: Id in `scheduling.shift_types`; NULL is an ordinary shift.
-- shift_type: Its name.
-- kind: What the type stands for: work, sickness, absence, course, standby, unpaid, by `sync.shift_kinds`.
-- status: As Planday calls it.
-- is_open: Nobody has the shift, and it is no draft.
-- is_draft: Not published yet.
-- is_assigned: Somebody has the shift, and it is no draft.
-- start_local: Start, wall clock of the time zone.
-- end_local: End, wall clock of the time zone.
-- time_zone: Zone of the two, as Planday names it.
-- zone: Zone that is used: that one, or the portal's where Planday sends none or an unknown one.
-- zone_reason: Why another zone than Planday's is used; NULL where it is the same.
-- start_utc: Start as an instant.
-- end_utc: End as an instant.
-- hours: Hours from start to end, right on the nights when clocks change.
-- break_hours: Breaks that are known, paid or not: by time and cost, or else by payroll.
-- planned_hours: Hours without those breaks.
-- time_and_cost_gap: Why breaks are not taken from time and cost although the shift is there, as in `marts.planned_costs`; NULL where they are.
-- planned_cost: What time and cost says the shift costs; never add it to payroll.
-- currency: Of the cost: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
-- is_overnight: Whether the shift ends on a later day; an end at midnight does not count.
-- created_at: When the shift was created; the zone is not documented, UTC is assumed.
-- modified_at: When it was last changed, likewise.
CREATE OR REPLACE VIEW marts.shifts AS
WITH costed AS (
    -- By month: the cost of a shift that moved may be in its former month until that is read again.
    SELECT portal, month, shift_id, sum(hours) AS net_hours, min(hours_gap) AS gap, sum(cost) AS cost
    FROM marts.planned_costs WHERE shift_id IS NOT NULL GROUP BY ALL
),
-- The month of the shift is with all that is joined to it, so that a condition on the month cuts both sides.
paused AS (
    SELECT b.portal, b.shift_id, s.month,
        sum(coalesce(b.duration, CAST(date_diff('second', b.start, b."end") / 3600.0 AS DECIMAL(18, 4)))) AS break_hours
    FROM payroll.shift_breaks AS b JOIN scheduling.shifts AS s ON s.portal = b.portal AND s.id = b.shift_id
    GROUP BY ALL
),
-- Grouped, so that what is there twice makes no row twice.
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
employee_groups AS (SELECT portal, id, any_value(name) AS name FROM hr.employee_groups GROUP BY ALL),
positions AS (SELECT portal, id, any_value(name) AS name FROM scheduling.positions GROUP BY ALL),
shift_types AS (SELECT portal, id, any_value(name) AS name FROM scheduling.shift_types GROUP BY ALL),
kinds AS (SELECT portal, shift_type_id, any_value(name) AS name, any_value(kind) AS kind FROM sync.shift_kinds GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL),
-- Instants as in marts.spans, which would join every shift with itself.
zoned AS (
    SELECT s.*, z.zone, z.reason AS zone_reason, s.start_date_time - to_seconds(CASE WHEN s.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM scheduling.shifts AS s
    LEFT JOIN sync.time_zones AS z ON z.portal = s.portal AND z.name = coalesce(s.time_zone, '')
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = z.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(s.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
ended AS (
    SELECT s.*, date_diff('second', s.start_date_time, s.end_date_time) AS clock_seconds,
        CASE
            WHEN s.end_date_time >= o.later_from THEN s.end_date_time - to_seconds(o.later_offset_seconds)
            WHEN s.end_date_time - to_seconds(o.offset_seconds) > s.start_at OR s.end_date_time < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN s.end_date_time - to_seconds(o.offset_seconds)
            ELSE s.end_date_time - to_seconds(o.repeat_offset_seconds)
        END AS end_at
    FROM zoned AS s
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = s.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(s.end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
spanned AS (
    SELECT *, make_timestamptz(epoch_us(start_at)) AS start_utc, make_timestamptz(epoch_us(end_at)) AS end_utc,
        CAST(coalesce(date_diff('second', start_at, end_at), clock_seconds) / 3600.0 AS DECIMAL(18, 4)) AS hours,
        CAST(clock_seconds / 3600.0 AS DECIMAL(18, 4)) AS clock_hours
    FROM ended
),
timed AS (
    SELECT s.*, c.cost,
        CASE WHEN c.gap IS NULL AND c.net_hours > greatest(s.hours, s.clock_hours) + 0.02
            THEN 'does not fit the shift' ELSE c.gap
        END AS gap,
        CASE WHEN c.gap IS NULL AND (c.net_hours <= greatest(s.hours, s.clock_hours) + 0.02 OR s.hours IS NULL)
            THEN c.net_hours
        END AS net_hours
    FROM spanned AS s
    LEFT JOIN costed AS c ON c.portal = s.portal AND c.month = s.month AND c.shift_id = s.id
)
SELECT
    s.portal,
    s.portal_id,
    s.month,
    s.id AS shift_id,
    s.date,
    s.department_id,
    d.name AS department,
    s.employee_id,
    e.name AS employee,
    s.employee_group_id,
    g.name AS employee_group,
    s.position_id,
    p.name AS position,
    s.shift_type_id,
    coalesce(t.name, k.name) AS shift_type,
    coalesce(k.kind, 'work') AS kind,
    s.status,
    s.employee_id IS NULL AND s.status IS DISTINCT FROM 'Draft' AS is_open,
    s.status IS NOT DISTINCT FROM 'Draft' AS is_draft,
    s.employee_id IS NOT NULL AND s.status IS DISTINCT FROM 'Draft' AS is_assigned,
    s.start_date_time AS start_local,
    s.end_date_time AS end_local,
    s.time_zone,
    s.zone,
    s.zone_reason,
    s.start_utc,
    s.end_utc,
    s.hours,
    coalesce(s.hours - s.net_hours, b.break_hours, 0) AS break_hours,
    coalesce(s.net_hours, s.hours - coalesce(b.break_hours, 0)) AS planned_hours,
    s.gap AS time_and_cost_gap,
    s.cost AS planned_cost,
    c.currency,
    CAST(s.end_date_time - INTERVAL 1 SECOND AS DATE) > CAST(s.start_date_time AS DATE) AS is_overnight,
    s.date_time_created AS created_at,
    s.date_time_modified AS modified_at
FROM timed AS s
LEFT JOIN paused AS b ON b.portal = s.portal AND b.month = s.month AND b.shift_id = s.id
LEFT JOIN departments AS d ON d.portal = s.portal AND d.id = s.department_id
LEFT JOIN employee_groups AS g ON g.portal = s.portal AND g.id = s.employee_group_id
LEFT JOIN positions AS p ON p.portal = s.portal AND p.id = s.position_id
LEFT JOIN shift_types AS t ON t.portal = s.portal AND t.id = s.shift_type_id
LEFT JOIN kinds AS k ON k.portal = s.portal AND k.shift_type_id = s.shift_type_id
LEFT JOIN people AS e ON e.portal = s.portal AND e.employee_id = s.employee_id
LEFT JOIN currencies AS c ON c.portal = s.portal;
