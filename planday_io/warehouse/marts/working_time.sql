-- One row per person and day with planned or worked hours: start and end, the rest before, the longest rest of the week, days in a row, and the average week. Worked is what `marts.work_periods` knows from punches and approvals, not the roster: where nobody punches and nothing is approved there are no worked hours, and rest can look longer than it was. For comparison with rules see `marts.working_time_findings`, and for some days of a large portal `marts.working_time_between`.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the day (YYYY-MM).
-- week: Monday of the day's week.
-- date: Day that the work begins.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- planned_hours: Hours of work and courses in the roster, without breaks that are known.
-- worked_hours: Hours as punched without punched breaks, or else as approved.
-- worked_by: Where they are from: punched; approved; both.
-- worked_gap: Why there are none, or only a part: not yet, not punched out, nothing recorded (or removed by retention).
-- planned_start_local: First planned start, wall clock.
-- planned_end_local: Last planned end, wall clock.
-- planned_start_utc: First planned start as an instant.
-- planned_end_utc: Last planned end as an instant.
-- worked_start_local: First start of work, wall clock.
-- worked_end_local: Last end of work, wall clock.
-- worked_start_utc: First start of work as an instant.
-- worked_end_utc: Last end of work as an instant.
-- planned_rest_hours: Hours from the last planned end of earlier days to the first planned start; NULL on the first day known.
-- worked_rest_hours: Hours from the last end of work of earlier days to the first start; NULL on the first day known.
-- planned_days_in_row: Days in a row with planned work, this one included.
-- worked_days_in_row: Days in a row with work, this one included.
-- planned_week_hours: Planned hours of the week, Monday to Sunday.
-- worked_week_hours: Worked hours of the week; NULL where none are known.
-- planned_week_rest_hours: Longest planned rest of the week, Monday 0:00 to Sunday 24:00.
-- worked_week_rest_hours: Longest rest of the week from work; NULL until the week is over.
-- planned_average_week_hours: Planned hours per week on average, over as many weeks up to this one as `weekly_hours` of `working_time` says (17 without it), or since the person's first week with a shift or punch. Weeks of leave count as weeks without hours; NULL in such a week.
-- worked_average_week_hours: The same of worked hours; NULL until the week is over, and in weeks without.
-- planned_average_weeks: Over how many weeks the planned average is.
-- worked_average_weeks: Over how many weeks the worked average is.
CREATE OR REPLACE VIEW marts.working_time AS
WITH periods AS (
    SELECT portal, portal_id, employee_id, date, basis, worked_by, zone, hours, start_local, end_local, start_utc, end_utc,
        coalesce(epoch_us(start_utc), epoch_us(start_local)) AS begins, coalesce(epoch_us(end_utc), epoch_us(end_local)) AS ends
    FROM marts.work_periods
),
followed AS (
    SELECT *, date_diff('day', DATE '1990-01-01', date) AS day,
        lead(begins, 1, 9223372036854775807) OVER (PARTITION BY portal, employee_id, basis ORDER BY begins, ends) AS next_begins,
        max(ends) OVER earlier AS until, max(date_diff('day', DATE '1990-01-01', date)) OVER earlier AS day_before
    FROM periods
    WINDOW earlier AS (PARTITION BY portal, employee_id, basis ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
days AS (
    SELECT portal, employee_id, date, any_value(portal_id) AS portal_id, min(zone) AS zone, any_value(day) AS day,
        CAST(floor(any_value(day) / 7.0) AS BIGINT) AS week_number,
        sum(hours) FILTER (basis = 'planned') AS planned_hours, sum(hours) FILTER (basis = 'worked') AS worked_hours,
        bool_or(worked_by = 'punched') AS is_punched, bool_or(worked_by = 'approved') AS is_approved,
        min(begins) FILTER (basis = 'planned') AS planned_begins, max(ends) FILTER (basis = 'planned') AS planned_ends,
        min(begins) FILTER (basis = 'worked') AS worked_begins, max(ends) FILTER (basis = 'worked') AS worked_ends,
        -- Before the first period of the day, and between those of the day.
        min(until) FILTER (basis = 'planned' AND day_before IS DISTINCT FROM day) AS planned_until,
        min(until) FILTER (basis = 'worked' AND day_before IS DISTINCT FROM day) AS worked_until,
        max(begins - until) FILTER (basis = 'planned' AND day_before = day) AS planned_between,
        max(begins - until) FILTER (basis = 'worked' AND day_before = day) AS worked_between,
        max(next_begins) FILTER (basis = 'planned') AS planned_next, max(next_begins) FILTER (basis = 'worked') AS worked_next,
        min(day_before) FILTER (basis = 'planned' AND day_before IS DISTINCT FROM day) AS planned_day_before,
        min(day_before) FILTER (basis = 'worked' AND day_before IS DISTINCT FROM day) AS worked_day_before,
        arg_min(start_local, begins) FILTER (basis = 'planned') AS planned_start_local,
        arg_max(end_local, ends) FILTER (basis = 'planned') AS planned_end_local,
        min(start_utc) FILTER (basis = 'planned') AS planned_start_utc, max(end_utc) FILTER (basis = 'planned') AS planned_end_utc,
        arg_min(start_local, begins) FILTER (basis = 'worked') AS worked_start_local,
        arg_max(end_local, ends) FILTER (basis = 'worked') AS worked_end_local,
        min(start_utc) FILTER (basis = 'worked') AS worked_start_utc, max(end_utc) FILTER (basis = 'worked') AS worked_end_utc
    FROM followed GROUP BY portal, employee_id, date
),
weeks AS (SELECT zone, week, any_value(offset_seconds) AS offset_seconds FROM sync.time_zone_weeks GROUP BY ALL),
rules AS (SELECT portal, max(over_weeks) AS over_weeks FROM sync.working_time_rules WHERE rule = 'weekly_hours' GROUP BY ALL),
placed AS (
    -- The instants of Monday 0:00 and Sunday 24:00.
    SELECT b.*, coalesce(r.over_weeks, 17) AS over_weeks,
        (631152000 + 604800 * b.week_number - coalesce(o.offset_seconds, 0)) * 1000000 AS week_begins,
        (631152000 + 604800 * (b.week_number + 1) - coalesce(n.offset_seconds, 0)) * 1000000 AS week_ends
    FROM days AS b
    LEFT JOIN weeks AS o ON o.zone = b.zone AND o.week = b.week_number
    LEFT JOIN weeks AS n ON n.zone = b.zone AND n.week = b.week_number + 1
    LEFT JOIN rules AS r ON r.portal = b.portal
),
-- Weeks before days: windows over days would compute the same for each day of a week. A period belongs to the week of its
-- shift and may begin before it, or after it: rest is that between Monday 0:00 and Sunday 24:00.
of_weeks AS (
    SELECT portal, employee_id, week_number, max(over_weeks) AS over_weeks, max(week_ends) <= epoch_us(now()) AS is_over,
        sum(planned_hours) AS planned_hours, sum(worked_hours) AS worked_hours,
        greatest(
            max(CASE WHEN planned_begins > week_ends THEN week_ends ELSE planned_begins END - greatest(coalesce(planned_until, week_begins), week_begins)),
            max(planned_between),
            least(max(week_ends), max(planned_next)) - greatest(max(planned_ends), max(planned_until))
        ) AS planned_rest,
        greatest(
            max(CASE WHEN worked_begins > week_ends THEN week_ends ELSE worked_begins END - greatest(coalesce(worked_until, week_begins), week_begins)),
            max(worked_between),
            least(max(week_ends), max(worked_next)) - greatest(max(worked_ends), max(worked_until))
        ) AS worked_rest
    FROM placed GROUP BY portal, employee_id, week_number
),
-- The first weeks with shifts and with punches or approved shifts of a person, of whatever kind.
firsts AS (
    SELECT portal, employee_id, min(planned) AS planned_from, min(worked) AS worked_from
    FROM (
        SELECT portal, employee_id, min(date) AS planned, min(date) FILTER (status IN ('Approved', 'PunchclockApproved')) AS worked
        FROM scheduling.shifts WHERE employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft' AND isfinite(date) GROUP BY ALL
        UNION ALL
        SELECT portal, employee_id, NULL, TRY_CAST(min(least(start_date_time, shift_start_date_time)) AS DATE)
        FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time) OR isfinite(shift_start_date_time) GROUP BY ALL
    )
    GROUP BY ALL
),
averaged AS (
    SELECT w.*,
        sum(w.planned_hours) OVER reference AS planned_reference_hours, sum(w.worked_hours) OVER reference AS worked_reference_hours,
        CASE WHEN w.planned_hours IS NOT NULL
            THEN least(w.over_weeks, w.week_number - CAST(floor(date_diff('day', DATE '1990-01-01', f.planned_from) / 7.0) AS BIGINT) + 1)
        END AS planned_weeks,
        CASE WHEN w.is_over AND w.worked_hours IS NOT NULL
            THEN least(w.over_weeks, w.week_number - CAST(floor(date_diff('day', DATE '1990-01-01', f.worked_from) / 7.0) AS BIGINT) + 1)
        END AS worked_weeks
    FROM of_weeks AS w LEFT JOIN firsts AS f ON f.portal = w.portal AND f.employee_id = w.employee_id
    WINDOW reference AS (PARTITION BY w.portal, w.employee_id ORDER BY w.week_number RANGE BETWEEN w.over_weeks - 1 PRECEDING AND CURRENT ROW)
),
counted AS (
    SELECT *,
        day - max(CASE WHEN planned_begins IS NOT NULL AND planned_day_before IS DISTINCT FROM day - 1 THEN day END) OVER until + 1 AS planned_in_row,
        day - max(CASE WHEN worked_begins IS NOT NULL AND worked_day_before IS DISTINCT FROM day - 1 THEN day END) OVER until + 1 AS worked_in_row
    FROM placed
    WINDOW until AS (PARTITION BY portal, employee_id ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
open_days AS (SELECT portal, employee_id, date, true AS is_open FROM marts.punches WHERE is_open AND NOT is_approved GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL)
SELECT
    d.portal,
    d.portal_id,
    strftime(d.date, '%Y-%m') AS month,
    d.date - CAST(d.day - 7 * d.week_number AS INTEGER) AS week,
    d.date,
    d.employee_id,
    e.name AS employee,
    d.planned_hours,
    d.worked_hours,
    CASE WHEN d.is_punched AND d.is_approved THEN 'both' WHEN d.is_punched THEN 'punched' WHEN d.is_approved THEN 'approved' END AS worked_by,
    CASE
        WHEN o.is_open THEN 'not punched out'
        WHEN d.worked_begins IS NOT NULL THEN NULL
        WHEN d.planned_begins > epoch_us(now()) THEN 'not yet'
        ELSE 'nothing recorded'
    END AS worked_gap,
    d.planned_start_local,
    d.planned_end_local,
    d.planned_start_utc,
    d.planned_end_utc,
    d.worked_start_local,
    d.worked_end_local,
    d.worked_start_utc,
    d.worked_end_utc,
    CAST(CASE WHEN d.planned_begins IS NOT NULL AND d.planned_until IS NOT NULL THEN greatest(d.planned_begins - d.planned_until, 0) END / 3600000000.0 AS DECIMAL(18, 4))
        AS planned_rest_hours,
    CAST(CASE WHEN d.worked_begins IS NOT NULL AND d.worked_until IS NOT NULL THEN greatest(d.worked_begins - d.worked_until, 0) END / 3600000000.0 AS DECIMAL(18, 4))
        AS worked_rest_hours,
    CASE WHEN d.planned_begins IS NOT NULL THEN d.planned_in_row END AS planned_days_in_row,
    CASE WHEN d.worked_begins IS NOT NULL THEN d.worked_in_row END AS worked_days_in_row,
    w.planned_hours AS planned_week_hours,
    w.worked_hours AS worked_week_hours,
    CASE WHEN w.planned_hours IS NOT NULL THEN CAST(greatest(w.planned_rest, 0) / 3600000000.0 AS DECIMAL(18, 4)) END AS planned_week_rest_hours,
    CASE WHEN w.worked_hours IS NOT NULL AND w.is_over THEN CAST(greatest(w.worked_rest, 0) / 3600000000.0 AS DECIMAL(18, 4)) END
        AS worked_week_rest_hours,
    -- Rounded first: DuckDB 1.2 casts halves to the even digit, later versions away from zero.
    TRY_CAST(round(CAST(w.planned_reference_hours AS DOUBLE) / CASE WHEN w.planned_weeks > 0 THEN w.planned_weeks END, 4) AS DECIMAL(18, 4)) AS planned_average_week_hours,
    TRY_CAST(round(CAST(w.worked_reference_hours AS DOUBLE) / CASE WHEN w.worked_weeks > 0 THEN w.worked_weeks END, 4) AS DECIMAL(18, 4)) AS worked_average_week_hours,
    w.planned_weeks AS planned_average_weeks,
    w.worked_weeks AS worked_average_weeks
FROM counted AS d
LEFT JOIN averaged AS w ON w.portal = d.portal AND w.employee_id = d.employee_id AND w.week_number = d.week_number
LEFT JOIN open_days AS o ON o.portal = d.portal AND o.employee_id = d.employee_id AND o.date = d.date
LEFT JOIN people AS e ON e.portal = d.portal AND e.employee_id = d.employee_id;
