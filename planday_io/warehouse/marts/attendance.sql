-- One row per assigned shift of work that people punch for, and per punch without a shift: how many minutes they came and left before or after the planned times, how long their breaks were, and who did not come. Shifts of departments where nobody punched in that month are not here. For a tolerance see `marts.attendance_exceptions`.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- row_of: shift; punch (without a shift).
-- month: Month of the shift or punch (YYYY-MM).
-- date: Day it begins.
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- punch_ids: Ids in `punchclock.punch_clock_shifts`; NULL where there is none.
-- department_id: Id in `hr.departments`.
-- department: Its name; NULL where it has none. Group by the id as well.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- position_id: Id in `scheduling.positions`.
-- position: Position the shift is for.
-- start_local: Planned start, wall clock.
-- end_local: Planned end, wall clock.
-- start_utc: Planned start as an instant.
-- end_utc: Planned end as an instant.
-- first_punch_in: First time punched in, wall clock.
-- last_punch_out: Last time punched out, wall clock; NULL while somebody is punched in.
-- first_punch_in_utc: First time punched in, as an instant.
-- last_punch_out_utc: Last time punched out, as an instant.
-- early_arrival_minutes: Minutes from punching in to the planned start; 0 if later.
-- late_minutes: Minutes from the planned start to punching in; 0 if earlier.
-- arrival_gap: Why neither is known: no shift, not yet, punched without the shift, absent, approved without a punch, paid without a punch, punches not read (or removed by retention), no-show.
-- early_leave_minutes: Minutes from punching out to the planned end; 0 if later.
-- late_leave_minutes: Minutes from the planned end to punching out; 0 if earlier.
-- departure_gap: Why neither is known: forgotten punch-out, not punched out, or as in `arrival_gap`.
-- punched_hours: From punching in to punching out, without punched breaks.
-- break_minutes: Minutes between the first punching in and the last punching out that are not punched hours.
-- planned_break_minutes: Breaks of the plan, paid or not; NULL where neither time and cost nor payroll says them.
-- long_break_minutes: By how much the breaks were longer than planned; 0 if shorter.
-- break_gap: Why that is not known: planned breaks not known, or as in `departure_gap`.
-- is_punch_out_forgotten: Punched in and still not out 16 hours later, when the punches were read.
-- is_no_show: The shift was over when the punches were read, and there is no punch, absence, approval or pay for it; NULL where the punches of the month (of a night over its end, of both months) were not read.
CREATE OR REPLACE VIEW marts.attendance AS
WITH by_shift AS (
    SELECT portal, shift_id, shift_month, list(punch_id ORDER BY punch_id) AS punch_ids, min(punched_in) AS first_in, max(punched_out) AS last_out,
        min(punched_in_utc) AS first_in_utc, max(punched_out_utc) AS last_out_utc, bool_or(is_open) AS is_open,
        bool_or(is_forgotten) AS is_forgotten, bool_or(is_approved) AS is_approved, sum(hours) AS hours,
        sum(break_minutes) AS paused, sum(stayed) AS stayed
    FROM (
        SELECT *, coalesce(
            CASE WHEN isfinite(punched_in_utc) AND isfinite(punched_out_utc) THEN epoch_us(punched_out_utc) - epoch_us(punched_in_utc) END,
            date_diff('microsecond', punched_in, punched_out)
        ) AS stayed
        FROM marts.punches WHERE shift_id IS NOT NULL
    )
    GROUP BY portal, shift_id, shift_month
),
clocks AS (SELECT portal, month, department_id, true AS is_used FROM punchclock.punch_clock_shifts GROUP BY ALL),
-- Once retention has begun to remove the punches of a month, it is not known who came.
reads AS (
    SELECT s.portal, s.month, max(s.fetched_at) AS read_at
    FROM sync.slices AS s LEFT JOIN sync.mart_settings AS a ON a.portal = s.portal AND a.name = 'punches_age'
    WHERE s.table_name = 'punchclock.punch_clock_shifts'
        AND (a.value IS NULL OR TRY_CAST(s.month || '-01' AS DATE) >= today() - CAST(a.value AS INTERVAL))
    GROUP BY ALL
),
kinds AS (SELECT portal, shift_type_id FROM sync.shift_kinds WHERE kind IN ('sickness', 'absence', 'unpaid') GROUP BY ALL),
absent AS (
    SELECT portal, employee_id, month, date, true AS is_absent FROM (
        SELECT portal, employee_id, strftime(date, '%Y-%m') AS month, date FROM marts.absence_days
        UNION ALL
        SELECT s.portal, s.employee_id, s.month, s.date FROM scheduling.shifts AS s
        JOIN kinds AS k ON k.portal = s.portal AND k.shift_type_id = s.shift_type_id
        WHERE s.employee_id IS NOT NULL AND s.status IS DISTINCT FROM 'Draft'
    ) GROUP BY ALL
),
-- A punch gets its shift when it is approved. After midnight it may be for a shift that began the day before, and late in the evening for one that begins at night.
begun AS (
    SELECT portal, employee_id, shift_id, month, TRY_CAST(start_date_time AS DATE) AS date, 0 AS days_after
    FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time)
    UNION ALL
    SELECT portal, employee_id, shift_id, month, TRY_CAST(start_date_time - INTERVAL 1 DAY AS DATE), 1
    FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time) AND day(start_date_time) > 1
    UNION ALL
    SELECT portal, employee_id, shift_id, strftime(start_date_time - INTERVAL 1 DAY, '%Y-%m'), TRY_CAST(start_date_time - INTERVAL 1 DAY AS DATE), 1
    FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time) AND day(start_date_time) = 1
    UNION ALL
    SELECT portal, employee_id, shift_id, month, TRY_CAST(start_date_time + INTERVAL 1 DAY AS DATE), -1
    FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time) AND hour(start_date_time) >= 20 AND day(start_date_time + INTERVAL 1 DAY) > 1
    UNION ALL
    SELECT portal, employee_id, shift_id, strftime(start_date_time + INTERVAL 1 DAY, '%Y-%m'), TRY_CAST(start_date_time + INTERVAL 1 DAY AS DATE), -1
    FROM punchclock.punch_clock_shifts WHERE isfinite(start_date_time) AND hour(start_date_time) >= 20 AND day(start_date_time + INTERVAL 1 DAY) = 1
),
unlinked AS (
    SELECT b.portal, b.employee_id, b.month, b.date, bool_or(b.days_after = 0) AS is_same_day, bool_or(b.days_after = 1) AS is_after_midnight,
        bool_or(b.days_after = -1) AS is_evening_before
    FROM begun AS b
    LEFT JOIN scheduling.shifts AS s ON s.portal = b.portal AND s.id = b.shift_id
    WHERE s.id IS NULL
    GROUP BY ALL
),
paid AS (
    SELECT y.portal, y.id, s.month, true AS is_paid FROM payroll.shifts AS y JOIN scheduling.shifts AS s ON s.portal = y.portal AND s.id = y.id GROUP BY ALL
),
planned AS (
    SELECT s.portal, s.portal_id, s.month, s.date, s.shift_id, s.department_id, s.department, s.employee_id, s.employee, s.position_id, s.position,
        s.start_local, s.end_local, s.start_utc, s.end_utc, s.is_overnight, s.status, s.planned_cost,
        s.break_hours AS planned_break_hours, s.time_and_cost_gap,
        p.punch_ids, p.first_in, CASE WHEN NOT p.is_open THEN p.last_out END AS last_out, p.first_in_utc,
        CASE WHEN NOT p.is_open THEN p.last_out_utc END AS last_out_utc, p.is_open, p.is_forgotten, p.is_approved, p.hours,
        p.paused, p.stayed AS punched,
        p.first_in IS NOT NULL AS is_punched, CASE WHEN r.read_at IS NOT NULL AND n.read_at IS NOT NULL THEN least(r.read_at, n.read_at) END AS read_at, c.is_used
    FROM marts.shifts AS s
    LEFT JOIN by_shift AS p ON p.portal = s.portal AND p.shift_month = s.month AND p.shift_id = s.shift_id
    LEFT JOIN clocks AS c ON c.portal = s.portal AND c.month = s.month AND c.department_id = s.department_id
    LEFT JOIN reads AS r ON r.portal = s.portal AND r.month = s.month
    -- Who comes after midnight of the last day of a month is in the punches of the next.
    LEFT JOIN reads AS n ON n.portal = s.portal AND n.month = CASE WHEN s.is_overnight AND isfinite(s.end_local) THEN strftime(s.end_local, '%Y-%m') ELSE s.month END
    WHERE s.is_assigned AND s.kind = 'work'
),
judged AS (
    SELECT p.*, CASE
            WHEN p.is_punched THEN NULL
            WHEN coalesce(p.start_utc > now(), p.start_local > CAST(now() AS TIMESTAMP)) THEN 'not yet'
            WHEN u.is_same_day OR u.is_after_midnight AND p.is_overnight OR u.is_evening_before AND hour(p.start_local) < 4 THEN 'punched without the shift'
            WHEN a.is_absent THEN 'absent'
            WHEN p.is_approved OR p.status IN ('Approved', 'PunchclockApproved') THEN 'approved without a punch'
            WHEN y.is_paid THEN 'paid without a punch'
            WHEN p.read_at IS NULL THEN 'punches not read'
            WHEN coalesce(p.end_utc, make_timestamptz(epoch_us(p.end_local))) < least(p.read_at, now()) THEN 'no-show'
            ELSE 'not yet'
        END AS arrival_gap,
        coalesce(
            CASE WHEN isfinite(p.start_utc) AND isfinite(p.first_in_utc) THEN epoch_us(p.first_in_utc) - epoch_us(p.start_utc) END,
            date_diff('microsecond', p.start_local, p.first_in)
        ) AS came_after,
        coalesce(
            CASE WHEN isfinite(p.end_utc) AND isfinite(p.last_out_utc) THEN epoch_us(p.last_out_utc) - epoch_us(p.end_utc) END,
            date_diff('microsecond', p.end_local, p.last_out)
        ) AS left_after,
        coalesce(
            CASE WHEN isfinite(p.first_in_utc) AND isfinite(p.last_out_utc) THEN epoch_us(p.last_out_utc) - epoch_us(p.first_in_utc) END,
            date_diff('microsecond', p.first_in, p.last_out)
        ) AS stayed,
        CASE WHEN p.planned_break_hours > 0 OR p.planned_cost IS NOT NULL AND p.time_and_cost_gap IS NULL THEN round(p.planned_break_hours * 60, 1) END
            AS planned_break_minutes
    FROM planned AS p
    LEFT JOIN absent AS a ON a.portal = p.portal AND a.month = p.month AND a.employee_id = p.employee_id AND a.date = p.date
    LEFT JOIN unlinked AS u ON u.portal = p.portal AND u.month = p.month AND u.employee_id = p.employee_id AND u.date = p.date
    LEFT JOIN paid AS y ON y.portal = p.portal AND y.month = p.month AND y.id = p.shift_id
    WHERE p.is_used OR p.is_punched
),
timed AS (
    SELECT *,
        CASE
            WHEN is_punched AND last_out IS NULL THEN CASE WHEN is_forgotten THEN 'forgotten punch-out' ELSE 'not punched out' END
            ELSE arrival_gap
        END AS departure_gap,
        greatest(TRY_CAST((stayed - CAST(punched AS DOUBLE)) / 60000000.0 AS DECIMAL(18, 4)) + paused, 0) AS taken
    FROM judged
)
SELECT
    portal,
    portal_id,
    'shift' AS row_of,
    month,
    date,
    shift_id,
    punch_ids,
    department_id,
    department,
    employee_id,
    employee,
    position_id,
    position,
    start_local,
    end_local,
    start_utc,
    end_utc,
    first_in AS first_punch_in,
    last_out AS last_punch_out,
    first_in_utc AS first_punch_in_utc,
    last_out_utc AS last_punch_out_utc,
    CASE WHEN came_after IS NOT NULL THEN CAST(greatest(-came_after, 0) / 60000000.0 AS DECIMAL(18, 4)) END AS early_arrival_minutes,
    CASE WHEN came_after IS NOT NULL THEN CAST(greatest(came_after, 0) / 60000000.0 AS DECIMAL(18, 4)) END AS late_minutes,
    arrival_gap,
    CASE WHEN left_after IS NOT NULL THEN CAST(greatest(-left_after, 0) / 60000000.0 AS DECIMAL(18, 4)) END AS early_leave_minutes,
    CASE WHEN left_after IS NOT NULL THEN CAST(greatest(left_after, 0) / 60000000.0 AS DECIMAL(18, 4)) END AS late_leave_minutes,
    departure_gap,
    hours AS punched_hours,
    CASE WHEN stayed IS NOT NULL AND hours IS NOT NULL THEN taken END AS break_minutes,
    planned_break_minutes,
    CASE WHEN stayed IS NOT NULL AND hours IS NOT NULL AND planned_break_minutes IS NOT NULL THEN greatest(taken - planned_break_minutes, 0) END
        AS long_break_minutes,
    CASE WHEN departure_gap IS NOT NULL THEN departure_gap WHEN planned_break_minutes IS NULL THEN 'planned breaks not known' END AS break_gap,
    coalesce(is_forgotten, false) AS is_punch_out_forgotten,
    CASE WHEN arrival_gap IS DISTINCT FROM 'punches not read' THEN coalesce(arrival_gap = 'no-show', false) END AS is_no_show
FROM timed
UNION ALL BY NAME
SELECT
    portal,
    portal_id,
    'punch' AS row_of,
    month,
    date,
    [punch_id] AS punch_ids,
    department_id,
    department,
    employee_id,
    employee,
    punched_in AS first_punch_in,
    punched_out AS last_punch_out,
    punched_in_utc AS first_punch_in_utc,
    punched_out_utc AS last_punch_out_utc,
    'no shift' AS arrival_gap,
    CASE WHEN is_forgotten THEN 'forgotten punch-out' WHEN is_open THEN 'not punched out' ELSE 'no shift' END AS departure_gap,
    hours AS punched_hours,
    CASE WHEN hours IS NOT NULL THEN greatest(break_minutes, 0) END AS break_minutes,
    CASE WHEN is_forgotten THEN 'forgotten punch-out' WHEN is_open THEN 'not punched out' ELSE 'no shift' END AS break_gap,
    is_forgotten AS is_punch_out_forgotten,
    false AS is_no_show
FROM marts.punches WHERE shift_id IS NULL AND punched_in IS NOT NULL;
