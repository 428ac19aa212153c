-- One row per shift: planned, punched, approved, paid and worked hours, cost, and why one of them is missing. Punches without a shift, and paid shifts that the roster no longer has, are rows of their own, so that sums equal Planday's. Names may be missing or alike: group by ids as well.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- row_of: shift; punch (without a shift); payroll (paid, and no longer in the roster).
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- month: Month of the shift (YYYY-MM); of punches without a shift, the month they were read for; of row_of payroll, the month of payroll.
-- date: Day the shift or punch starts.
-- department_id: Id in `hr.departments`; NULL where there is none.
-- department: Its name; NULL where it has none.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- employee_group_id: Id in `hr.employee_groups`.
-- employee_group: Group the shift is for.
-- position_id: Id in `scheduling.positions`.
-- position: Position the shift is for.
-- shift_type_id: Id in `scheduling.shift_types`; NULL is an ordinary shift.
-- shift_type: Its name.
-- kind: What the type stands for: work, sickness, absence, course, standby, unpaid, by `sync.shift_kinds`.
-- status: Of the shift.
-- start_local: Start, wall clock; of punches without a shift as punched.
-- end_local: End, wall clock.
-- start_utc: Start as an instant.
-- end_utc: End as an instant.
-- is_overnight: Whether it ends on a later day; an end at midnight does not count.
-- first_punch_in: First time punched in, wall clock.
-- last_punch_out: Last time punched out, wall clock; NULL while somebody is punched in.
-- planned_hours: Hours of the roster, without breaks that are known; drafts, open shifts and all kinds included.
-- punched_hours: From punching in to punching out, without punched breaks; NULL before punching out.
-- approved_hours: As approved: approved punches from start to end, breaks not taken off; or the planned hours of a shift approved without a punch.
-- paid_hours: As payroll counts them, without unpaid breaks.
-- worked_hours: The best that is known: approved, else punched, else paid once the shift is over. NULL for sickness, absence and unpaid types, and where nothing is known.
-- worked_by: Which of them: approved, punched, paid. Paid hours are planned ones where nobody punches, see `uses_punch_clock`.
-- planned_cost: What time and cost says the shift costs; never add it to payroll.
-- paid_cost: Pay for the shift, from payroll; NULL where payroll has no pay data. Whether it holds the shift's supplements is not documented.
-- currency: Of both: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
-- punches: Number of punches of the shift.
-- uses_punch_clock: Whether anybody punched in the department in that month (also false once retention has removed the punches).
-- created_at: When the shift was created; the zone is not documented, UTC is assumed.
-- modified_at: When it was last changed, likewise.
-- punched_gap: Why there are no punched hours: draft, open, not punched out, not yet, absent, not punched (or removed by retention).
-- approved_gap: Why there are no approved hours: draft, open, not yet, absent, not approved.
-- paid_gap: Why there is no `paid_cost`: draft, open, not yet, payroll not read (or removed by retention), salaried, no pay data, absent, not in payroll.
-- worked_gap: Why there are no worked hours, or only a part: partly approved (of several punches), draft, the kind (sickness, absence, unpaid), in the row of its punch (paid, and no longer in the roster), not yet, not punched out, open, absent, nothing recorded (or removed by retention).
CREATE OR REPLACE VIEW marts.hours AS
WITH
-- The month of the shift is with all that belongs to it, so that a condition on the month cuts all tables.
known_pauses AS NOT MATERIALIZED (
    SELECT b.portal, p.shift_id, s.month, z.zone, b.start_date_time, b.end_date_time
    FROM punchclock.punch_clock_breaks AS b
    JOIN punchclock.punch_clock_shifts AS p ON p.portal = b.portal AND p.id = b.punch_clock_shift_id
    JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN sync.time_zones AS z ON z.portal = b.portal AND z.name = coalesce(nullif(s.time_zone, ''), b.time_zone, '')
    WHERE b.end_date_time IS NOT NULL AND p.start_date_time IS NOT NULL AND p.end_date_time IS NOT NULL
),
pauses AS NOT MATERIALIZED (
    SELECT portal, shift_id, NULL AS punch_id, month, zone, start_date_time, end_date_time FROM known_pauses
    UNION ALL
    SELECT b.portal, NULL, b.punch_clock_shift_id, b.month, z.zone, b.start_date_time, b.end_date_time
    FROM punchclock.punch_clock_breaks AS b
    LEFT JOIN sync.time_zones AS z ON z.portal = b.portal AND z.name = coalesce(b.time_zone, '')
    WHERE b.end_date_time IS NOT NULL
),
pause_starts AS NOT MATERIALIZED (
    SELECT b.*, b.start_date_time - to_seconds(CASE WHEN b.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM pauses AS b
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = b.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(b.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
breaks AS NOT MATERIALIZED (
    -- By shift; of punches without one by punch, in the month of the punch.
    SELECT b.portal, b.shift_id, b.punch_id, b.month, sum(CAST(coalesce(date_diff('second', b.start_at, CASE
            WHEN b.end_date_time >= o.later_from THEN b.end_date_time - to_seconds(o.later_offset_seconds)
            WHEN b.end_date_time - to_seconds(o.offset_seconds) > b.start_at OR b.end_date_time < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN b.end_date_time - to_seconds(o.offset_seconds)
            ELSE b.end_date_time - to_seconds(o.repeat_offset_seconds)
        END), date_diff('second', b.start_date_time, b.end_date_time)) / 3600.0 AS DECIMAL(18, 4))) AS hours
    FROM pause_starts AS b
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = b.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(b.end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    GROUP BY ALL
),
-- Instants as in marts.spans, which would join every punch with itself.
zoned AS NOT MATERIALIZED (
    SELECT p.*, s.id AS known_shift_id, s.month AS shift_month, z.zone
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN sync.time_zones AS z ON z.portal = p.portal AND z.name = coalesce(nullif(s.time_zone, ''), p.time_zone, '')
),
started AS NOT MATERIALIZED (
    SELECT p.*, p.start_date_time - to_seconds(CASE WHEN p.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at,
        p.shift_start_date_time - to_seconds(CASE WHEN p.shift_start_date_time >= a.later_from THEN a.later_offset_seconds ELSE a.offset_seconds END) AS planned_start_at
    FROM zoned AS p
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = p.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN sync.time_zone_weeks AS a ON a.zone = p.zone
        AND a.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.shift_start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
ended AS NOT MATERIALIZED (
    SELECT p.*,
        CASE
            WHEN p.end_date_time >= o.later_from THEN p.end_date_time - to_seconds(o.later_offset_seconds)
            WHEN p.end_date_time - to_seconds(o.offset_seconds) > p.start_at OR p.end_date_time < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN p.end_date_time - to_seconds(o.offset_seconds)
            ELSE p.end_date_time - to_seconds(o.repeat_offset_seconds)
        END AS end_at,
        CASE
            WHEN p.shift_end_date_time >= a.later_from THEN p.shift_end_date_time - to_seconds(a.later_offset_seconds)
            WHEN p.shift_end_date_time - to_seconds(a.offset_seconds) > p.planned_start_at OR p.shift_end_date_time < coalesce(a.repeats_from, TIMESTAMP 'infinity')
                THEN p.shift_end_date_time - to_seconds(a.offset_seconds)
            ELSE p.shift_end_date_time - to_seconds(a.repeat_offset_seconds)
        END AS planned_end_at
    FROM started AS p
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = p.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN sync.time_zone_weeks AS a ON a.zone = p.zone
        AND a.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.shift_end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
punches AS NOT MATERIALIZED (
    SELECT p.portal, p.portal_id, p.id, p.known_shift_id AS shift_id, p.shift_month, p.month, p.department_id, p.employee_id,
        CAST(coalesce(p.start_date_time, p.shift_start_date_time) AS DATE) AS date,
        p.start_date_time, p.end_date_time,
        coalesce(p.start_date_time, p.shift_start_date_time) AS start_local,
        CASE WHEN p.start_date_time IS NULL THEN p.shift_end_date_time ELSE p.end_date_time END AS end_local,
        make_timestamptz(epoch_us(coalesce(p.start_at, p.planned_start_at))) AS start_utc,
        make_timestamptz(epoch_us(CASE WHEN p.start_date_time IS NULL THEN p.planned_end_at ELSE p.end_at END)) AS end_utc,
        CAST(coalesce(date_diff('second', p.start_at, p.end_at), date_diff('second', p.start_date_time, p.end_date_time)) / 3600.0 AS DECIMAL(18, 4)) AS hours,
        CASE WHEN p.is_approved THEN CAST(coalesce(
            date_diff('second', p.planned_start_at, p.planned_end_at), date_diff('second', p.shift_start_date_time, p.shift_end_date_time)
        ) / 3600.0 AS DECIMAL(18, 4)) END AS approved_hours,
        p.start_date_time IS NOT NULL AND p.end_date_time IS NULL AS is_open
    FROM ended AS p
),
by_shift AS (
    SELECT portal, shift_id, shift_month, count(*) AS punches, sum(hours) AS hours, sum(approved_hours) AS approved_hours,
        bool_or(is_open) AS is_open, bool_or(approved_hours IS NULL) AS has_unapproved, min(start_date_time) AS first_in, max(end_date_time) AS last_out
    FROM punches WHERE shift_id IS NOT NULL GROUP BY ALL
),
unpaid AS (
    SELECT b.portal, b.shift_id, s.month, sum(coalesce(b.duration, CAST(date_diff('second', b.start, b."end") / 3600.0 AS DECIMAL(18, 4)))) AS hours
    FROM payroll.shift_breaks AS b JOIN scheduling.shifts AS s ON s.portal = b.portal AND s.id = b.shift_id
    WHERE b.is_paid IS NOT DISTINCT FROM false
    GROUP BY ALL
),
-- Paid, and no longer in the roster.
alone AS NOT MATERIALIZED (
    SELECT p.portal, p.portal_id, p.id, p.month, coalesce(p.date, TRY_CAST(p.start AS DATE)) AS date,
        p.department_id, p.employee_id, p.employee_group_id, p.position_id, p.shift_type_id, p.start, p."end" AS finish, p.salary, p.wage_rate
    FROM payroll.shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.id
    WHERE s.id IS NULL
),
unpaid_alone AS (
    SELECT b.portal, b.shift_id, b.month, sum(coalesce(b.duration, CAST(date_diff('second', b.start, b."end") / 3600.0 AS DECIMAL(18, 4)))) AS hours
    FROM payroll.shift_breaks AS b
    JOIN (SELECT DISTINCT portal, month, id FROM alone) AS a ON a.portal = b.portal AND a.month = b.month AND a.id = b.shift_id
    WHERE b.is_paid IS NOT DISTINCT FROM false GROUP BY ALL
),
-- Of these, what has a punch: its hours are those of the punch.
punched_alone AS (
    SELECT a.portal, a.month, a.id, true AS is_punched FROM alone AS a
    JOIN punchclock.punch_clock_shifts AS p ON p.portal = a.portal AND p.shift_id = a.id GROUP BY ALL
),
paid AS (
    SELECT p.portal, p.id AS shift_id, s.month, p.start, p."end" AS finish, p.salary, p.wage_rate
    FROM payroll.shifts AS p JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.id
),
-- Grouped, so that what is there twice makes no row twice.
salaried AS (SELECT DISTINCT portal, month, employee_id FROM payroll.salaried),
-- Without the months that retention removed.
read_months AS (
    SELECT DISTINCT s.portal, s.month, true AS is_read
    FROM sync.slices AS s LEFT JOIN sync.mart_settings AS a ON a.portal = s.portal AND a.name = 'pay_age'
    WHERE s.table_name = 'payroll.shifts'
        AND (a.value IS NULL OR last_day(TRY_CAST(s.month || '-01' AS DATE)) >= today() - CAST(a.value AS INTERVAL))
),
-- An absence of some hours leaves the others to be worked.
absent AS (SELECT DISTINCT portal, employee_id, date, true AS is_absent FROM marts.absence_days WHERE is_whole_day),
clocks AS (SELECT DISTINCT portal, month, department_id, true AS is_used FROM punchclock.punch_clock_shifts),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL),
employee_groups AS (SELECT portal, id, any_value(name) AS name FROM hr.employee_groups GROUP BY ALL),
positions AS (SELECT portal, id, any_value(name) AS name FROM scheduling.positions GROUP BY ALL),
shift_types AS (SELECT portal, id, any_value(name) AS name FROM scheduling.shift_types GROUP BY ALL),
kinds AS (SELECT portal, shift_type_id, any_value(name) AS name, any_value(kind) AS kind FROM sync.shift_kinds GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL),
rows_of AS (
    SELECT s.portal, s.portal_id, 'shift' AS row_of, s.shift_id, s.date, s.month, s.department_id, s.employee_id, s.employee_group_id, s.position_id,
        s.shift_type_id, s.status, s.is_draft, s.is_open, s.start_local, s.end_local, s.start_utc, s.end_utc, s.zone, s.hours, p.first_in, p.last_out,
        s.planned_hours, s.planned_cost, p.hours - coalesce(b.hours, 0) AS punched_hours,
        coalesce(
            p.approved_hours, CASE WHEN s.status IN ('Approved', 'PunchclockApproved') AND s.is_assigned THEN s.planned_hours END
        ) AS approved_hours,
        coalesce(p.has_unapproved AND coalesce(s.status, '') NOT IN ('Approved', 'PunchclockApproved'), false) AS has_unapproved,
        coalesce(p.punches, 0) AS punches, coalesce(p.is_open, false) AS is_in, s.created_at, s.modified_at,
        y.shift_id IS NOT NULL AS is_paid, y.start AS paid_start, y.finish AS paid_finish, y.salary, y.wage_rate, u.hours AS unpaid_hours,
        false AS is_of_punch
    FROM marts.shifts AS s
    LEFT JOIN by_shift AS p ON p.portal = s.portal AND p.shift_month = s.month AND p.shift_id = s.shift_id
    LEFT JOIN (SELECT portal, shift_id, month, sum(hours) AS hours FROM breaks WHERE shift_id IS NOT NULL GROUP BY ALL) AS b
        ON b.portal = s.portal AND b.month = s.month AND b.shift_id = s.shift_id
    LEFT JOIN paid AS y ON y.portal = s.portal AND y.month = s.month AND y.shift_id = s.shift_id
    LEFT JOIN unpaid AS u ON u.portal = s.portal AND u.month = s.month AND u.shift_id = s.shift_id
    UNION ALL
    SELECT p.portal, p.portal_id, 'punch', NULL, p.date, p.month, p.department_id, p.employee_id, NULL, NULL,
        NULL, NULL, false, false, p.start_local, p.end_local, p.start_utc, p.end_utc, NULL, NULL, p.start_date_time, p.end_date_time,
        NULL, NULL, p.hours - coalesce(b.hours, 0), p.approved_hours, false, 1, p.is_open, NULL, NULL,
        false, NULL, NULL, NULL, NULL, NULL, false
    FROM punches AS p
    LEFT JOIN (SELECT portal, punch_id, month, sum(hours) AS hours FROM breaks WHERE punch_id IS NOT NULL GROUP BY ALL) AS b
        ON b.portal = p.portal AND b.month = p.month AND b.punch_id = p.id
    WHERE p.shift_id IS NULL
    UNION ALL
    SELECT p.portal, p.portal_id, 'payroll', p.id, p.date, p.month, p.department_id, p.employee_id, p.employee_group_id,
        p.position_id, p.shift_type_id, NULL, false, false, p.start, p.finish, NULL, NULL, z.zone, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, false, 0, false, NULL, NULL,
        true, p.start, p.finish, p.salary, p.wage_rate, u.hours, coalesce(g.is_punched, false)
    FROM alone AS p
    LEFT JOIN sync.time_zones AS z ON z.portal = p.portal AND z.name = ''
    LEFT JOIN unpaid_alone AS u ON u.portal = p.portal AND u.month = p.month AND u.shift_id = p.id
    LEFT JOIN punched_alone AS g ON g.portal = p.portal AND g.month = p.month AND g.id = p.id
),
-- Paid times are those of the roster, nearly always; where they are, so are the hours.
matched AS (
    SELECT r.*, TRY_CAST(r.salary AS DECIMAL(18, 4)) AS amount,
        -- Nobody without a rate has one of 0: that is what Planday writes where there is none.
        r.is_paid AND coalesce(TRY_CAST(r.wage_rate AS DECIMAL(18, 4)), 0) = 0
            AND TRY_CAST(r.salary AS DECIMAL(18, 4)) IS NOT DISTINCT FROM 0 AS lacks_pay_data,
        r.row_of = 'shift' AND r.paid_start IS NOT DISTINCT FROM r.start_local AND r.paid_finish IS NOT DISTINCT FROM r.end_local AS is_paid_as_planned
    FROM rows_of AS r
),
paid_starts AS (
    SELECT r.*, r.paid_start - to_seconds(CASE WHEN r.paid_start >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS paid_start_at
    FROM matched AS r
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = r.zone AND NOT r.is_paid_as_planned
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(r.paid_start, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
paid_ends AS (
    SELECT r.*, CASE
            WHEN r.paid_finish >= o.later_from THEN r.paid_finish - to_seconds(o.later_offset_seconds)
            WHEN r.paid_finish - to_seconds(o.offset_seconds) > r.paid_start_at OR r.paid_finish < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN r.paid_finish - to_seconds(o.offset_seconds)
            ELSE r.paid_finish - to_seconds(o.repeat_offset_seconds)
        END AS paid_end_at
    FROM paid_starts AS r
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = r.zone AND NOT r.is_paid_as_planned
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(r.paid_finish, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
known AS (
    SELECT r.* EXCLUDE (start_utc, end_utc), a.is_absent, k.name AS kind_name, coalesce(k.kind, 'work') AS kind,
        CASE WHEN r.row_of = 'payroll' THEN make_timestamptz(epoch_us(r.paid_start_at)) ELSE r.start_utc END AS start_utc,
        CASE WHEN r.row_of = 'payroll' THEN make_timestamptz(epoch_us(r.paid_end_at)) ELSE r.end_utc END AS end_utc,
        CASE
            WHEN NOT r.is_paid THEN NULL
            WHEN r.is_paid_as_planned THEN r.hours
            ELSE CAST(coalesce(
                date_diff('second', r.paid_start_at, r.paid_end_at), date_diff('second', r.paid_start, r.paid_finish)
            ) / 3600.0 AS DECIMAL(18, 4))
        END - coalesce(r.unpaid_hours, 0) AS paid_hours,
        r.row_of = 'shift' AND coalesce(r.start_utc > now(), r.start_local > CAST(now() AS TIMESTAMP)) AS is_ahead,
        coalesce(CASE WHEN r.row_of = 'payroll' THEN make_timestamptz(epoch_us(r.paid_end_at)) ELSE r.end_utc END > now(),
            r.end_local > CAST(now() AS TIMESTAMP), false) AS is_unfinished
    FROM paid_ends AS r
    LEFT JOIN absent AS a ON a.portal = r.portal AND a.employee_id = r.employee_id AND a.date = r.date
    LEFT JOIN kinds AS k ON k.portal = r.portal AND k.shift_type_id = r.shift_type_id
),
judged AS NOT MATERIALIZED (
    SELECT *, CASE
        WHEN is_draft OR kind IN ('sickness', 'absence', 'unpaid') THEN NULL
        WHEN punched_hours IS NULL AND is_ahead THEN NULL
        WHEN approved_hours IS NOT NULL THEN 'approved'
        WHEN punched_hours IS NOT NULL THEN 'punched'
        WHEN paid_hours IS NOT NULL AND is_absent IS NULL AND NOT is_unfinished AND NOT is_of_punch THEN 'paid'
    END AS worked_by
    FROM known
)
SELECT
    r.portal,
    r.portal_id,
    r.row_of,
    r.shift_id,
    r.month,
    r.date,
    r.department_id,
    d.name AS department,
    r.employee_id,
    e.name AS employee,
    r.employee_group_id,
    g.name AS employee_group,
    r.position_id,
    o.name AS position,
    r.shift_type_id,
    coalesce(t.name, r.kind_name) AS shift_type,
    r.kind,
    r.status,
    r.start_local,
    r.end_local,
    r.start_utc,
    r.end_utc,
    CAST(r.end_local - INTERVAL 1 SECOND AS DATE) > CAST(r.start_local AS DATE) AS is_overnight,
    r.first_in AS first_punch_in,
    CASE WHEN NOT r.is_in THEN r.last_out END AS last_punch_out,
    r.planned_hours,
    r.punched_hours,
    r.approved_hours,
    r.paid_hours,
    CASE r.worked_by WHEN 'approved' THEN r.approved_hours WHEN 'punched' THEN r.punched_hours WHEN 'paid' THEN r.paid_hours END AS worked_hours,
    r.worked_by,
    r.planned_cost,
    CASE WHEN r.lacks_pay_data THEN NULL ELSE r.amount END AS paid_cost,
    c.currency,
    r.punches,
    coalesce(u.is_used, false) AS uses_punch_clock,
    r.created_at,
    r.modified_at,
    CASE
        WHEN r.punched_hours IS NOT NULL AND NOT r.is_in THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_in THEN 'not punched out'
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not punched'
    END AS punched_gap,
    CASE
        WHEN r.approved_hours IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not approved'
    END AS approved_gap,
    CASE
        WHEN r.is_paid AND NOT r.lacks_pay_data AND r.amount IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN l.is_read IS NULL THEN 'payroll not read'
        WHEN y.employee_id IS NOT NULL THEN 'salaried'
        WHEN r.is_paid THEN 'no pay data'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not in payroll'
    END AS paid_gap,
    CASE
        WHEN r.worked_by = 'punched' AND r.is_in THEN 'not punched out'
        WHEN r.worked_by = 'approved' AND r.has_unapproved THEN 'partly approved'
        WHEN r.worked_by IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.kind IN ('sickness', 'absence', 'unpaid') THEN r.kind
        WHEN r.is_of_punch THEN 'in the row of its punch'
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_in THEN 'not punched out'
        WHEN r.is_open THEN 'open'
        WHEN r.is_absent THEN 'absent'
        ELSE 'nothing recorded'
    END AS worked_gap
FROM judged AS r
LEFT JOIN read_months AS l ON l.portal = r.portal AND l.month = r.month
LEFT JOIN salaried AS y ON y.portal = r.portal AND y.month = r.month AND y.employee_id = r.employee_id
LEFT JOIN clocks AS u ON u.portal = r.portal AND u.month = r.month AND u.department_id = r.department_id
LEFT JOIN departments AS d ON d.portal = r.portal AND d.id = r.department_id
LEFT JOIN people AS e ON e.portal = r.portal AND e.employee_id = r.employee_id
LEFT JOIN employee_groups AS g ON g.portal = r.portal AND g.id = r.employee_group_id
LEFT JOIN positions AS o ON o.portal = r.portal AND o.id = r.position_id
LEFT JOIN shift_types AS t ON t.portal = r.portal AND t.id = r.shift_type_id
LEFT JOIN currencies AS c ON c.portal = r.portal;
