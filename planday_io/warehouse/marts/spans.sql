-- One row per pair of local times: of shifts, punches, their approved times, punched breaks and payroll shifts. It has their instants, the hours between them, right on the nights when clocks change, and the time zone that was used.
--
-- portal: Key of the portal in portals.yaml.
-- span_of: shift, punch, approved (the times of a punch as scheduled or approved), break (as punched), payroll.
-- id: Id in `scheduling.shifts`, `punchclock.punch_clock_shifts` (punch, approved), `punchclock.punch_clock_breaks` or `payroll.shifts`.
-- shift_id: Id in `scheduling.shifts` of the shift that it belongs to; NULL where the roster has none.
-- start_local: Start, wall clock of the time zone.
-- end_local: End, wall clock of the time zone; NULL while it is open.
-- named_zone: Time zone as received with the shift, or with what belongs to it; NULL where there was none.
-- zone: Time zone that is used: that one, or the portal's.
-- zone_reason: Why another zone than the received one is used; NULL where it is the same.
-- start_utc: Start as an instant; in an hour that clocks show twice, the first of the two.
-- end_utc: End as an instant: the first one after the start.
-- hours: Hours between the two instants; those of the wall clock where no zone is known.
-- clock_hours: Hours between the two wall clock times.
CREATE OR REPLACE VIEW marts.spans AS
WITH spans AS (
    SELECT portal, 'shift' AS span_of, id, id AS shift_id, start_date_time AS start_local, end_date_time AS end_local, time_zone AS named_zone
    FROM scheduling.shifts
    UNION ALL
    SELECT p.portal, 'punch', p.id, s.id, p.start_date_time, p.end_date_time, coalesce(nullif(s.time_zone, ''), p.time_zone)
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    UNION ALL
    SELECT p.portal, 'approved', p.id, s.id, p.shift_start_date_time, p.shift_end_date_time, coalesce(nullif(s.time_zone, ''), p.time_zone)
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    UNION ALL
    SELECT b.portal, 'break', b.id, s.id, b.start_date_time, b.end_date_time, coalesce(nullif(s.time_zone, ''), b.time_zone)
    FROM punchclock.punch_clock_breaks AS b
    LEFT JOIN punchclock.punch_clock_shifts AS p ON p.portal = b.portal AND p.id = b.punch_clock_shift_id
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    UNION ALL
    SELECT p.portal, 'payroll', p.id, s.id, p.start, p."end", s.time_zone
    FROM payroll.shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.id
),
zoned AS (
    SELECT s.*, z.zone, z.reason AS zone_reason,
        date_diff('second', s.start_local, s.end_local) AS clock_seconds,
        -- Offsets are looked up by week: no zone changes its clocks twice within a week.
        date_diff('day', DATE '1990-01-01', CAST(least(greatest(s.start_local, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7 AS start_week,
        date_diff('day', DATE '1990-01-01', CAST(least(greatest(s.end_local, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7 AS end_week
    FROM spans AS s LEFT JOIN sync.time_zones AS z ON z.portal = s.portal AND z.name = coalesce(s.named_zone, '')
),
started AS (
    SELECT z.*, z.start_local - to_seconds(CASE WHEN z.start_local >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM zoned AS z LEFT JOIN sync.time_zone_weeks AS o ON o.zone = z.zone AND o.week = z.start_week
),
ended AS (
    SELECT s.*, CASE
        WHEN s.end_local >= o.later_from THEN s.end_local - to_seconds(o.later_offset_seconds)
        WHEN s.end_local - to_seconds(o.offset_seconds) > s.start_at OR s.end_local < coalesce(o.repeats_from, TIMESTAMP 'infinity')
            THEN s.end_local - to_seconds(o.offset_seconds)
        ELSE s.end_local - to_seconds(o.repeat_offset_seconds)
    END AS end_at
    FROM started AS s LEFT JOIN sync.time_zone_weeks AS o ON o.zone = s.zone AND o.week = s.end_week
)
SELECT portal, span_of, id, shift_id, start_local, end_local, named_zone, zone, zone_reason,
    make_timestamptz(epoch_us(start_at)) AS start_utc,
    make_timestamptz(epoch_us(end_at)) AS end_utc,
    CAST(coalesce(date_diff('second', start_at, end_at), clock_seconds) / 3600.0 AS DECIMAL(18, 4)) AS hours,
    CAST(clock_seconds / 3600.0 AS DECIMAL(18, 4)) AS clock_hours
FROM ended;
