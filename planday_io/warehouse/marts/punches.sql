-- One row per punch: when somebody came and left as punched and as approved, in wall clock and as instants, with punched breaks, and whether punching out was forgotten.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the punch (YYYY-MM).
-- date: Day of punching in, or of the scheduled start where nobody punched in.
-- punch_id: Id in `punchclock.punch_clock_shifts`.
-- shift_id: Id in `scheduling.shifts`; NULL where the roster has no such shift.
-- shift_month: Month of that shift (YYYY-MM).
-- department_id: Id in `hr.departments`.
-- department: Its name; NULL where it has none. Group by the id as well.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- zone: Time zone of the local times; NULL where none is known.
-- punched_in: Time of punching in, wall clock.
-- punched_out: Time of punching out, wall clock; NULL while somebody is punched in.
-- punched_in_utc: Punching in as an instant.
-- punched_out_utc: Punching out as an instant.
-- approved_start: Start as scheduled, or as approved, wall clock.
-- approved_end: End as scheduled, or as approved, wall clock.
-- approved_start_utc: That start as an instant.
-- approved_end_utc: That end as an instant.
-- is_approved: Whether a manager approved the punch.
-- is_open: Punched in and not out.
-- is_forgotten: Still open 16 hours after punching in, when the punch was read.
-- break_minutes: Minutes of punched breaks that have ended.
-- breaks: How many breaks those are.
-- longest_stretch_hours: Longest time without a punched break; NULL before punching out.
-- hours: Hours from punching in to punching out, without punched breaks; NULL before punching out.
CREATE OR REPLACE VIEW marts.punches AS
WITH weeks AS (
    SELECT zone, week, any_value(offset_seconds) AS offset_seconds, any_value(repeats_from) AS repeats_from,
        any_value(repeat_offset_seconds) AS repeat_offset_seconds, any_value(later_from) AS later_from, any_value(later_offset_seconds) AS later_offset_seconds
    FROM sync.time_zone_weeks GROUP BY ALL
),
-- Breaks with the month of the punch, so that a condition on the month cuts both; instants as in marts.spans.
paused AS (
    SELECT b.portal, p.month, p.id AS punch_id, z.zone, b.start_date_time, b.end_date_time
    FROM punchclock.punch_clock_breaks AS b
    JOIN punchclock.punch_clock_shifts AS p ON p.portal = b.portal AND p.id = b.punch_clock_shift_id
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN sync.time_zones AS z ON z.portal = b.portal AND z.name = coalesce(nullif(s.time_zone, ''), b.time_zone, '')
    WHERE b.end_date_time IS NOT NULL
),
pause_starts AS (
    SELECT b.*, b.start_date_time - to_seconds(CASE WHEN b.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM paused AS b
    LEFT JOIN weeks AS o ON o.zone = b.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(b.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
pause_ends AS (
    SELECT b.*, CASE
            WHEN b.end_date_time >= o.later_from THEN b.end_date_time - to_seconds(o.later_offset_seconds)
            WHEN b.end_date_time - to_seconds(o.offset_seconds) > b.start_at OR b.end_date_time < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN b.end_date_time - to_seconds(o.offset_seconds)
            ELSE b.end_date_time - to_seconds(o.repeat_offset_seconds)
        END AS end_at
    FROM pause_starts AS b
    LEFT JOIN weeks AS o ON o.zone = b.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(b.end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
pauses AS (
    SELECT portal, month, punch_id,
        CAST(coalesce(date_diff('second', start_at, end_at), date_diff('second', start_date_time, end_date_time)) / 3600.0 AS DECIMAL(18, 4)) AS hours,
        CASE WHEN isfinite(start_date_time) THEN coalesce(epoch_us(start_at), epoch_us(start_date_time)) END AS begins,
        CASE WHEN isfinite(end_date_time) THEN coalesce(epoch_us(end_at), epoch_us(end_date_time)) END AS ends
    FROM pause_ends
),
stretches AS (
    SELECT *, begins - max(ends) OVER (PARTITION BY portal, month, punch_id ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since
    FROM pauses
),
-- Grouped, so that what is there twice makes no row twice.
breaks AS (
    SELECT portal, month, punch_id, sum(hours) AS hours, sum(ends - begins) AS paused, count(*) AS breaks, min(begins) AS first_begins, max(ends) AS last_ends, max(since) AS longest_between
    FROM stretches GROUP BY ALL
),
-- Instants as in marts.spans, which would join every punch with itself.
zoned AS (
    SELECT p.portal, p.portal_id, p.month, p.id, s.id AS shift_id, s.month AS shift_month, p.department_id, p.employee_id, p.is_approved, p._fetched_at, z.zone,
        p.start_date_time, p.end_date_time, p.shift_start_date_time, p.shift_end_date_time
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN sync.time_zones AS z ON z.portal = p.portal AND z.name = coalesce(nullif(s.time_zone, ''), p.time_zone, '')
),
started AS (
    SELECT p.*, p.start_date_time - to_seconds(CASE WHEN p.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at,
        p.shift_start_date_time - to_seconds(CASE WHEN p.shift_start_date_time >= a.later_from THEN a.later_offset_seconds ELSE a.offset_seconds END) AS planned_start_at
    FROM zoned AS p
    LEFT JOIN weeks AS o ON o.zone = p.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN weeks AS a ON a.zone = p.zone
        AND a.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.shift_start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
ended AS (
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
    LEFT JOIN weeks AS o ON o.zone = p.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN weeks AS a ON a.zone = p.zone
        AND a.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(p.shift_end_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL)
SELECT
    p.portal,
    p.portal_id,
    p.month,
    TRY_CAST(coalesce(p.start_date_time, p.shift_start_date_time) AS DATE) AS date,
    p.id AS punch_id,
    p.shift_id,
    p.shift_month,
    p.department_id,
    d.name AS department,
    p.employee_id,
    e.name AS employee,
    p.zone,
    p.start_date_time AS punched_in,
    p.end_date_time AS punched_out,
    make_timestamptz(epoch_us(p.start_at)) AS punched_in_utc,
    make_timestamptz(epoch_us(p.end_at)) AS punched_out_utc,
    p.shift_start_date_time AS approved_start,
    p.shift_end_date_time AS approved_end,
    make_timestamptz(epoch_us(p.planned_start_at)) AS approved_start_utc,
    make_timestamptz(epoch_us(p.planned_end_at)) AS approved_end_utc,
    coalesce(p.is_approved, false) AS is_approved,
    p.start_date_time IS NOT NULL AND p.end_date_time IS NULL AS is_open,
    p.start_date_time IS NOT NULL AND p.end_date_time IS NULL
        AND make_timestamptz(epoch_us(coalesce(p.start_at, p.start_date_time) + INTERVAL 16 HOUR)) < coalesce(p._fetched_at, now()) AS is_forgotten,
    TRY_CAST(coalesce(CAST(b.paused AS DOUBLE), 0) / 60000000.0 AS DECIMAL(18, 4)) AS break_minutes,
    coalesce(b.breaks, 0) AS breaks,
    CAST(greatest(
        CASE WHEN b.first_begins IS NULL THEN date_diff('microsecond', coalesce(p.start_at, p.start_date_time), coalesce(p.end_at, p.end_date_time)) END,
        CASE WHEN p.end_date_time IS NOT NULL THEN least(b.first_begins, date_diff('microsecond', TIMESTAMP '1970-01-01', coalesce(p.end_at, p.end_date_time)))
            - date_diff('microsecond', TIMESTAMP '1970-01-01', coalesce(p.start_at, p.start_date_time)) END,
        CASE WHEN p.end_date_time IS NOT NULL THEN b.longest_between END,
        date_diff('microsecond', TIMESTAMP '1970-01-01', coalesce(p.end_at, p.end_date_time)) - b.last_ends
    ) / 3600000000.0 AS DECIMAL(18, 4)) AS longest_stretch_hours,
    CAST(coalesce(date_diff('second', p.start_at, p.end_at), date_diff('second', p.start_date_time, p.end_date_time)) / 3600.0 AS DECIMAL(18, 4))
        - coalesce(b.hours, 0) AS hours
FROM ended AS p
LEFT JOIN breaks AS b ON b.portal = p.portal AND b.month = p.month AND b.punch_id = p.id
LEFT JOIN departments AS d ON d.portal = p.portal AND d.id = p.department_id
LEFT JOIN people AS e ON e.portal = p.portal AND e.employee_id = p.employee_id;
