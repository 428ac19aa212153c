-- One row per portal, month, figure and number of days after the end of the month: the figure as it stood then, according to the reads up to that day, and how much it changed until the last read. So: when can a month be trusted? From the histories, in hours of the wall clock, also on the nights when clocks change; NULL with the reason where they do not reach back, or where the month was not read again since.
--
-- portal: Key of the portal in portals.yaml.
-- month: Month of the rows (YYYY-MM).
-- figure: planned_hours (assigned shifts, breaks included), punched_hours (without punched breaks), approved_hours (approved punches, and approved shifts that no approved punch belongs to, breaks included), paid_hours (without unpaid breaks), cost (shifts, supplements of the month and salaries of payroll, in the portal's currency; supplements of shifts as well where `salary_includes_supplements` of portals.yaml is false).
-- days_after: 1, 7, 30 or 60 days after the end of the month.
-- as_of: The instant at which those days are over (UTC).
-- value_then: The figure at that instant.
-- value_now: The figure as the last read found it.
-- moved: `value_now` minus `value_then`.
-- moved_percent: `moved` as a percentage of `value_now`; NULL where that is 0.
-- last_changed_at: The last read that found another figure or another row of it (UTC).
-- known_since: The first read whose rows were kept (UTC).
-- read_at: The last read of the month (UTC).
-- gap: Why there is no value: not yet, history begins later, not read since, no values.
CREATE OR REPLACE VIEW sync.settling AS
WITH chosen AS (
    SELECT portal, bool_or(name = 'salary_includes_supplements' AND value = 'false') AS adds_supplements FROM sync.mart_settings GROUP BY portal
),
-- From the first version of a shift's punches that is approved to the last; that none was for a while in between does not show.
approved AS (
    SELECT portal, shift_id, min(valid_from) AS valid_from, CASE WHEN bool_and(valid_to IS NOT NULL) THEN max(valid_to) END AS valid_to
    FROM punchclock_history.punch_clock_shifts
    WHERE is_approved AND shift_id IS NOT NULL AND shift_start_date_time IS NOT NULL AND shift_end_date_time IS NOT NULL
    GROUP BY portal, shift_id
),
-- What each version adds to a figure while it holds.
amounts AS (
    SELECT portal, month, 'planned_hours' AS figure, 'scheduling.shifts' AS table_name, valid_from, valid_to, changed_after,
        CASE WHEN employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft' AND lower(coalesce(status, '')) NOT IN ('cancelled', 'canceled', 'deleted')
            THEN CAST(date_diff('second', start_date_time, end_date_time) / 3600.0 AS DECIMAL(18, 4)) ELSE 0
        END AS amount
    FROM scheduling_history.shifts
    UNION ALL
    SELECT portal, month, 'punched_hours', 'punchclock.punch_clock_shifts', valid_from, valid_to, changed_after,
        CAST(date_diff('second', start_date_time, end_date_time) / 3600.0 AS DECIMAL(18, 4))
    FROM punchclock_history.punch_clock_shifts
    UNION ALL
    SELECT b.portal, b.month, 'punched_hours', 'punchclock.punch_clock_shifts', b.valid_from, b.valid_to, b.changed_after,
        CAST(date_diff('second', b.end_date_time, b.start_date_time) / 3600.0 AS DECIMAL(18, 4))
    FROM punchclock_history.punch_clock_breaks AS b
    SEMI JOIN punchclock_history.punch_clock_shifts AS p ON p.portal = b.portal AND p.id = b.punch_clock_shift_id AND p.end_date_time IS NOT NULL
    UNION ALL
    SELECT portal, month, 'approved_hours', 'punchclock.punch_clock_shifts', valid_from, valid_to, changed_after,
        CASE WHEN is_approved THEN CAST(date_diff('second', shift_start_date_time, shift_end_date_time) / 3600.0 AS DECIMAL(18, 4)) ELSE 0 END
    FROM punchclock_history.punch_clock_shifts
    UNION ALL
    SELECT portal, month, 'approved_hours', 'scheduling.shifts', valid_from, valid_to, changed_after,
        CASE WHEN status IN ('Approved', 'PunchclockApproved') AND employee_id IS NOT NULL THEN CAST(date_diff('second', start_date_time, end_date_time) / 3600.0 AS DECIMAL(18, 4)) ELSE 0 END
    FROM scheduling_history.shifts
    UNION ALL
    -- Less those that an approved punch tells the hours of, while it does.
    SELECT s.portal, s.month, 'approved_hours', 'scheduling.shifts', greatest(s.valid_from, p.valid_from), least(s.valid_to, p.valid_to), NULL,
        CAST(date_diff('second', s.end_date_time, s.start_date_time) / 3600.0 AS DECIMAL(18, 4))
    FROM scheduling_history.shifts AS s
    JOIN approved AS p ON p.portal = s.portal AND p.shift_id = s.id
    WHERE s.status IN ('Approved', 'PunchclockApproved') AND s.employee_id IS NOT NULL
        AND coalesce(s.valid_to > p.valid_from, true) AND coalesce(p.valid_to > s.valid_from, true)
    UNION ALL
    SELECT portal, month, 'paid_hours', 'payroll.shifts', valid_from, valid_to, changed_after,
        CAST(date_diff('second', start, "end") / 3600.0 AS DECIMAL(18, 4))
    FROM payroll_history.shifts
    UNION ALL
    SELECT portal, month, 'paid_hours', 'payroll.shifts', valid_from, valid_to, changed_after,
        CASE WHEN is_paid IS NOT DISTINCT FROM false THEN -coalesce(duration, CAST(date_diff('second', start, "end") / 3600.0 AS DECIMAL(18, 4))) ELSE 0 END
    FROM payroll_history.shift_breaks
    UNION ALL
    -- As in marts.hours: an amount of 0 without a rate means that there is no pay data.
    SELECT portal, month, 'cost', 'payroll.shifts', valid_from, valid_to, changed_after,
        CASE WHEN TRY_CAST(salary AS DECIMAL(18, 4)) <> 0 OR coalesce(TRY_CAST(wage_rate AS DECIMAL(18, 4)), 0) <> 0 THEN TRY_CAST(salary AS DECIMAL(18, 4)) END
    FROM payroll_history.shifts
    UNION ALL
    SELECT portal, month, 'cost', 'payroll.shifts', valid_from, valid_to, changed_after, TRY_CAST(salary AS DECIMAL(18, 4)) FROM payroll_history.supplements
    UNION ALL
    SELECT portal, month, 'cost', 'payroll.shifts', valid_from, valid_to, changed_after, TRY_CAST(salary AS DECIMAL(18, 4)) FROM payroll_history.salaried
    UNION ALL
    SELECT portal, month, 'cost', 'payroll.shifts', valid_from, valid_to, changed_after, TRY_CAST(modification AS DECIMAL(18, 4))
    FROM payroll_history.shift_supplements WHERE portal IN (SELECT portal FROM chosen WHERE adds_supplements)
),
dated AS (
    SELECT *, TRY_CAST(month || '-01' AS TIMESTAMP) + INTERVAL 1 MONTH AS month_end FROM amounts
),
-- In microseconds: instants computed row by row took two thirds of the time.
instants AS (
    SELECT *, epoch_us(month_end) AS ended, epoch_us(valid_from) AS began_at, epoch_us(valid_to) AS over_at FROM dated WHERE month_end IS NOT NULL
),
tables AS (
    SELECT portal, month, month_end, figure, table_name, count(amount) AS amounts,
        sum(amount) FILTER (WHERE began_at <= ended + 86400000000 AND (over_at IS NULL OR over_at > ended + 86400000000)) AS value_1,
        sum(amount) FILTER (WHERE began_at <= ended + 604800000000 AND (over_at IS NULL OR over_at > ended + 604800000000)) AS value_7,
        sum(amount) FILTER (WHERE began_at <= ended + 2592000000000 AND (over_at IS NULL OR over_at > ended + 2592000000000)) AS value_30,
        sum(amount) FILTER (WHERE began_at <= ended + 5184000000000 AND (over_at IS NULL OR over_at > ended + 5184000000000)) AS value_60,
        sum(amount) FILTER (WHERE valid_to IS NULL) AS value_now,
        min(coalesce(changed_after, valid_from)) AS known_since,
        max(coalesce(valid_to, CASE WHEN changed_after IS NOT NULL THEN valid_from END)) AS last_changed_at
    FROM instants GROUP BY portal, month, month_end, figure, table_name
),
reads AS (SELECT portal, month, table_name, max(fetched_at) AS read_at FROM sync.slices GROUP BY portal, month, table_name),
figures AS (
    SELECT t.portal, t.month, t.month_end, t.figure, sum(t.amounts) > 0 AS has_values,
        coalesce(sum(t.value_1), 0) AS value_1, coalesce(sum(t.value_7), 0) AS value_7, coalesce(sum(t.value_30), 0) AS value_30,
        coalesce(sum(t.value_60), 0) AS value_60, coalesce(sum(t.value_now), 0) AS value_now,
        max(t.known_since) AS known_since, max(t.last_changed_at) AS last_changed_at, min(r.read_at) AS read_at
    FROM tables AS t LEFT JOIN reads AS r ON r.portal = t.portal AND r.month = t.month AND r.table_name = t.table_name
    GROUP BY t.portal, t.month, t.month_end, t.figure
),
steps AS (
    SELECT f.*, d.days_after, timezone('UTC', f.month_end + to_days(d.days_after)) AS as_of,
        CASE d.days_after WHEN 1 THEN f.value_1 WHEN 7 THEN f.value_7 WHEN 30 THEN f.value_30 ELSE f.value_60 END AS value_then
    FROM figures AS f, (VALUES (1), (7), (30), (60)) AS d (days_after)
),
judged AS (
    SELECT *, CASE
        WHEN NOT has_values THEN 'no values'
        WHEN as_of > now() THEN 'not yet'
        WHEN known_since > as_of THEN 'history begins later'
        WHEN coalesce(read_at <= as_of, true) THEN 'not read since'
    END AS gap
    FROM steps
)
SELECT
    portal,
    month,
    figure,
    days_after,
    as_of,
    CASE WHEN gap IS NULL THEN CAST(value_then AS DECIMAL(18, 4)) END AS value_then,
    CASE WHEN has_values THEN CAST(value_now AS DECIMAL(18, 4)) END AS value_now,
    CASE WHEN gap IS NULL THEN CAST(value_now - value_then AS DECIMAL(18, 4)) END AS moved,
    CASE WHEN gap IS NULL THEN round(100.0 * CAST(value_now - value_then AS DOUBLE) / nullif(CAST(value_now AS DOUBLE), 0), 2) END AS moved_percent,
    last_changed_at,
    known_since,
    read_at,
    gap
FROM judged;
