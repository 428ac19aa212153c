-- One row per change of an assigned shift that two reads saw: assigned, moved, shortened, lengthened, swapped, unassigned, published, unpublished, cancelled. When it happened is known as an interval only, from the read before it to the read after it; failed reads make it longer. What a month's first read found is no change. A shift that moved to another month is one change.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the shift before the change (YYYY-MM); after it where it was not there before.
-- date: Day of the shift before the change; after it where it was not there before.
-- iso_week: ISO year and week of that day (202548 is week 48 of 2025). A condition on it, on the day or on the month limits what is read.
-- department_id: Its department, likewise.
-- department: Name of that department; NULL where it has none. Group by the id as well.
-- shift_id: Id in `scheduling.shifts`, also of shifts that are gone.
-- change: The first that applies of cancelled (gone, or by its status), unpublished (a draft now), unassigned (open now), published (a draft before), assigned (open before, or not there), swapped (somebody else has it), moved (another start or department), shortened, lengthened.
-- changes: All that apply.
-- kind: What the shift's type stands for after the change, or before it where it is gone: work, sickness, absence, course, standby, unpaid.
-- old_status: Status before; NULL where the shift was not there.
-- new_status: Status after; NULL where the shift is gone.
-- old_start_local: Start before, wall clock.
-- old_end_local: End before, wall clock.
-- new_start_local: Start after, wall clock.
-- new_end_local: End after, wall clock.
-- old_start_utc: Start before, as an instant.
-- new_start_utc: Start after, as an instant.
-- old_hours: Hours from start to end before, breaks included, right on the nights when clocks change.
-- new_hours: Hours after, likewise.
-- old_employee_id: Who had it before; NULL is an open shift, or none.
-- old_employee: Name of that person.
-- new_employee_id: Who has it after.
-- new_employee: Name of that person.
-- old_department_id: Department before.
-- new_department_id: Department after.
-- changed_after: The last read that found the former state (UTC).
-- changed_before: The first read that found the later state (UTC). The change happened between the two.
-- hours_before_at_least: Hours from `changed_before` to the start of the shift: the old start where somebody had the shift, else the new one. Negative: the change may have come after it.
-- hours_before_at_most: Hours from `changed_after` to the same start. Negative: the change came after it.
-- hours_at_stake: Hours that somebody lost, gained, or has at another time: the difference where a shift was shortened or lengthened, else all of its hours.
-- cost_at_stake: Those hours at what an hour of the person's shifts costs in that month, by time and cost: an estimate.
-- cost_gap: Why there is none: no hours, no planned cost.
-- currency: Of the cost: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.roster_changes AS
WITH versions AS NOT MATERIALIZED (
    SELECT portal, portal_id, month, id, date, department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone,
        valid_from, valid_to, changed_after, ended_after,
        CASE
            WHEN lower(status) IN ('cancelled', 'canceled', 'deleted') THEN 'gone'
            WHEN status = 'Draft' THEN 'draft'
            WHEN employee_id IS NULL THEN 'open'
            ELSE 'assigned'
        END AS state
    FROM scheduling_history.shifts
),
reads AS (SELECT portal, month, max(fetched_at) AS read_at FROM sync.slices WHERE table_name = 'scheduling.shifts' GROUP BY portal, month),
-- Nearly all shifts stay in one month: of those, filters by month and day reach the table.
movers AS MATERIALIZED (SELECT portal, id FROM scheduling_history.shifts GROUP BY portal, id HAVING min(month) <> max(month)),
stayers AS NOT MATERIALIZED (SELECT v.* FROM versions AS v ANTI JOIN movers AS m ON m.portal = v.portal AND m.id = v.id),
steps AS (
    SELECT *, lead(valid_from) OVER each_shift AS next_from, lead(changed_after) OVER each_shift AS next_after, lead(portal_id) OVER each_shift AS next_portal_id,
        lead(month) OVER each_shift AS next_month, lead(date) OVER each_shift AS next_date, lead(department_id) OVER each_shift AS next_department_id,
        lead(employee_id) OVER each_shift AS next_employee_id, lead(shift_type_id) OVER each_shift AS next_type_id, lead(status) OVER each_shift AS next_status,
        lead(start_date_time) OVER each_shift AS next_start, lead(end_date_time) OVER each_shift AS next_end, lead(time_zone) OVER each_shift AS next_zone,
        lead(state) OVER each_shift AS next_state,
        row_number() OVER each_shift = 1 AS is_first,
        bool_or(valid_to IS NULL) OVER (PARTITION BY portal, id) AS is_there
    FROM (SELECT v.* FROM versions AS v SEMI JOIN movers AS m ON m.portal = v.portal AND m.id = v.id)
    WINDOW each_shift AS (PARTITION BY portal, id ORDER BY valid_from, month)
),
pairs AS (
    -- One state after the other.
    SELECT v.portal, v.portal_id, v.id, v.month, v.date, yearweek(v.date) AS iso_week, v.month AS old_month, v.department_id AS old_department_id,
        v.employee_id AS old_employee_id, v.shift_type_id AS old_type_id, v.status AS old_status, v.start_date_time AS old_start, v.end_date_time AS old_end,
        v.time_zone AS old_zone, v.state AS old_state, n.department_id AS new_department_id, n.employee_id AS new_employee_id, n.shift_type_id AS new_type_id,
        n.status AS new_status, n.start_date_time AS new_start, n.end_date_time AS new_end, n.time_zone AS new_zone, n.state AS new_state,
        coalesce(n.changed_after, v.ended_after, v.valid_from) AS after, v.valid_to AS before, v.valid_from AS old_from
    FROM stayers AS v JOIN versions AS n ON n.portal = v.portal AND n.month = v.month AND n.id = v.id AND n.valid_from = v.valid_to
    UNION ALL
    -- Gone, for good or until it came back.
    SELECT portal, portal_id, id, month, date, yearweek(date), month, department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone, state,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone', coalesce(ended_after, valid_from), valid_to, valid_from
    FROM (
        SELECT v.* FROM stayers AS v
        ANTI JOIN scheduling_history.shifts AS n ON n.portal = v.portal AND n.month = v.month AND n.id = v.id AND n.valid_from = v.valid_to
    )
    WHERE valid_to IS NOT NULL
    UNION ALL
    -- New, or back.
    SELECT portal, portal_id, id, month, date, yearweek(date), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone',
        department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone, state, changed_after, valid_from, changed_after
    FROM (
        SELECT v.* FROM stayers AS v
        ANTI JOIN scheduling_history.shifts AS n ON n.portal = v.portal AND n.month = v.month AND n.id = v.id AND n.valid_to = v.valid_from
    )
    WHERE changed_after IS NOT NULL
    UNION ALL
    -- The same for shifts that moved to another month. Months are read one by one, so a shift that moved may be in both for a while, or in neither: it
    -- left the one after its last read there, and before the first read here.
    SELECT s.portal, portal_id, id, s.month, date, yearweek(date), s.month, department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone, state,
        next_department_id, next_employee_id, next_type_id, next_status, next_start, next_end, next_zone, next_state,
        greatest(coalesce(ended_after, CASE WHEN valid_to IS NULL THEN r.read_at END, valid_from), coalesce(next_after, valid_from)),
        CASE WHEN valid_to < next_from THEN valid_to ELSE next_from END, valid_from
    FROM steps AS s LEFT JOIN reads AS r ON r.portal = s.portal AND r.month = s.month
    WHERE next_from IS NOT NULL AND NOT coalesce(next_after >= valid_to AND next_from > valid_to, false)
    UNION ALL
    SELECT portal, portal_id, id, month, date, yearweek(date), month, department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone, state,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone', coalesce(ended_after, valid_from), valid_to, valid_from
    FROM steps
    WHERE valid_to IS NOT NULL AND CASE WHEN next_from IS NULL THEN NOT is_there ELSE coalesce(next_after >= valid_to AND next_from > valid_to, false) END
    UNION ALL
    SELECT portal, coalesce(next_portal_id, portal_id), id, next_month, next_date, yearweek(next_date), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone',
        next_department_id, next_employee_id, next_type_id, next_status, next_start, next_end, next_zone, next_state, next_after, next_from, next_after
    FROM steps WHERE coalesce(next_after >= valid_to AND next_from > valid_to, false)
    UNION ALL
    SELECT portal, portal_id, id, month, date, yearweek(date), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone',
        department_id, employee_id, shift_type_id, status, start_date_time, end_date_time, time_zone, state, changed_after, valid_from, changed_after
    FROM steps WHERE is_first AND changed_after IS NOT NULL
),
candidates AS (
    SELECT * EXCLUDE (after, old_from), CASE WHEN after < before THEN after ELSE old_from END AS after,
        CASE WHEN old_month IS NOT NULL THEN old_department_id ELSE new_department_id END AS department_id
    FROM pairs
    WHERE (old_state = 'assigned' OR new_state = 'assigned') AND (
        old_state <> new_state OR old_employee_id <> new_employee_id OR old_department_id IS DISTINCT FROM new_department_id
        OR old_start IS DISTINCT FROM new_start OR old_end IS DISTINCT FROM new_end OR old_zone IS DISTINCT FROM new_zone
    )
),
zoned AS (
    SELECT c.*, y.zone AS old_used, z.zone AS new_used
    FROM candidates AS c
    LEFT JOIN sync.time_zones AS y ON y.portal = c.portal AND y.name = coalesce(c.old_zone, '')
    LEFT JOIN sync.time_zones AS z ON z.portal = c.portal AND z.name = coalesce(c.new_zone, '')
),
-- Instants as in marts.spans.
started AS (
    SELECT c.*,
        c.old_start - to_seconds(CASE WHEN c.old_start >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS old_start_at,
        c.new_start - to_seconds(CASE WHEN c.new_start >= n.later_from THEN n.later_offset_seconds ELSE n.offset_seconds END) AS new_start_at
    FROM zoned AS c
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = c.old_used
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(c.old_start, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN sync.time_zone_weeks AS n ON n.zone = c.new_used
        AND n.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(c.new_start, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
ended AS (
    SELECT c.*,
        CAST(coalesce(date_diff('second', c.old_start_at, CASE
            WHEN c.old_end >= o.later_from THEN c.old_end - to_seconds(o.later_offset_seconds)
            WHEN c.old_end - to_seconds(o.offset_seconds) > c.old_start_at OR c.old_end < coalesce(o.repeats_from, TIMESTAMP 'infinity')
                THEN c.old_end - to_seconds(o.offset_seconds)
            ELSE c.old_end - to_seconds(o.repeat_offset_seconds)
        END), date_diff('second', c.old_start, c.old_end)) / 3600.0 AS DECIMAL(18, 4)) AS old_hours,
        CAST(coalesce(date_diff('second', c.new_start_at, CASE
            WHEN c.new_end >= n.later_from THEN c.new_end - to_seconds(n.later_offset_seconds)
            WHEN c.new_end - to_seconds(n.offset_seconds) > c.new_start_at OR c.new_end < coalesce(n.repeats_from, TIMESTAMP 'infinity')
                THEN c.new_end - to_seconds(n.offset_seconds)
            ELSE c.new_end - to_seconds(n.repeat_offset_seconds)
        END), date_diff('second', c.new_start, c.new_end)) / 3600.0 AS DECIMAL(18, 4)) AS new_hours,
        CASE WHEN c.old_state = 'assigned' THEN c.old_start_at ELSE c.new_start_at END AS start_of_it
    FROM started AS c
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = c.old_used
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(c.old_end, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
    LEFT JOIN sync.time_zone_weeks AS n ON n.zone = c.new_used
        AND n.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(c.new_end, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
judged AS (
    SELECT *, old_state = 'assigned' AND new_state = 'assigned' AS is_kept,
        old_start IS DISTINCT FROM new_start OR old_start_at IS DISTINCT FROM new_start_at OR old_department_id IS DISTINCT FROM new_department_id AS is_moved
    FROM ended
),
named AS (
    SELECT *, string_split(texts, ', ') AS changes, string_split(texts, ', ')[1] AS change
    FROM (
        SELECT *, concat_ws(', ',
            CASE WHEN new_state = 'gone' THEN 'cancelled' END,
            CASE WHEN new_state = 'draft' THEN 'unpublished' END,
            CASE WHEN new_state = 'open' THEN 'unassigned' END,
            CASE WHEN old_state = 'draft' THEN 'published' END,
            CASE WHEN old_state IN ('open', 'gone') THEN 'assigned' END,
            CASE WHEN is_kept AND old_employee_id <> new_employee_id THEN 'swapped' END,
            CASE WHEN is_kept AND is_moved THEN 'moved' END,
            CASE WHEN is_kept AND new_hours < old_hours THEN 'shortened' END,
            CASE WHEN is_kept AND new_hours > old_hours THEN 'lengthened' END
        ) AS texts
        FROM judged
    )
    WHERE texts <> ''
),
staked AS (
    SELECT *, CASE
        WHEN change IN ('shortened', 'lengthened') THEN abs(new_hours - old_hours)
        WHEN old_state = 'assigned' THEN old_hours
        ELSE new_hours
    END AS hours_at_stake, CASE WHEN old_state = 'assigned' THEN old_employee_id ELSE new_employee_id END AS whose, coalesce(new_type_id, old_type_id) AS type_id
    FROM named
),
-- Of a shift with several rows of cost, the hours count once.
costs AS (
    SELECT c.portal, c.month, c.employee_id, sum(TRY_CAST(c.cost AS DOUBLE)) AS cost,
        max(CASE WHEN c.cost IS NOT NULL THEN date_diff('second', s.start_date_time, s.end_date_time) END) AS seconds
    FROM scheduling.time_and_costs AS c JOIN scheduling.shifts AS s ON s.portal = c.portal AND s.id = c.shift_id AND s.end_date_time > s.start_date_time
    GROUP BY c.portal, c.month, c.employee_id, c.shift_id
),
-- Grouped, so that what is there twice makes no row twice.
rates AS (SELECT portal, month, employee_id, sum(cost) AS cost, sum(seconds) AS seconds FROM costs GROUP BY ALL),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS NOT MATERIALIZED (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL),
kinds AS (SELECT portal, shift_type_id, any_value(kind) AS kind FROM sync.shift_kinds GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL)
SELECT
    s.portal,
    s.portal_id,
    s.month,
    s.date,
    s.iso_week,
    s.department_id,
    d.name AS department,
    s.id AS shift_id,
    s.change,
    s.changes,
    coalesce(k.kind, 'work') AS kind,
    s.old_status,
    s.new_status,
    s.old_start AS old_start_local,
    s.old_end AS old_end_local,
    s.new_start AS new_start_local,
    s.new_end AS new_end_local,
    make_timestamptz(epoch_us(s.old_start_at)) AS old_start_utc,
    make_timestamptz(epoch_us(s.new_start_at)) AS new_start_utc,
    s.old_hours,
    s.new_hours,
    s.old_employee_id,
    o.name AS old_employee,
    s.new_employee_id,
    n.name AS new_employee,
    s.old_department_id,
    s.new_department_id,
    s.after AS changed_after,
    s.before AS changed_before,
    CAST((epoch_us(s.start_of_it) - epoch_us(s.before)) / 3600000000.0 AS DECIMAL(18, 4)) AS hours_before_at_least,
    CAST((epoch_us(s.start_of_it) - epoch_us(s.after)) / 3600000000.0 AS DECIMAL(18, 4)) AS hours_before_at_most,
    CAST(s.hours_at_stake AS DECIMAL(18, 4)) AS hours_at_stake,
    CASE WHEN r.cost > 0 THEN TRY_CAST(round(CAST(s.hours_at_stake AS DOUBLE) * 3600 * r.cost / r.seconds, 4) AS DECIMAL(18, 4)) END AS cost_at_stake,
    CASE WHEN s.hours_at_stake IS NULL THEN 'no hours' WHEN r.cost > 0 THEN NULL ELSE 'no planned cost' END AS cost_gap,
    c.currency
FROM staked AS s
LEFT JOIN departments AS d ON d.portal = s.portal AND d.id = s.department_id
LEFT JOIN people AS o ON o.portal = s.portal AND o.employee_id = s.old_employee_id
LEFT JOIN people AS n ON n.portal = s.portal AND n.employee_id = s.new_employee_id
LEFT JOIN kinds AS k ON k.portal = s.portal AND k.shift_type_id = s.type_id
LEFT JOIN rates AS r ON r.portal = s.portal AND r.month = s.month AND r.employee_id = s.whose
LEFT JOIN currencies AS c ON c.portal = s.portal;
