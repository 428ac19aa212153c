-- One row per portal, department, day and clock hour: planned and worked hours of work and what the shifts cost, spread over the hours of the clock in proportion to the minutes, so that a shift's hours add up to its own. Planned hours lie between the shift's times, worked ones between the first punch in and the last punch out, or else between the shift's times, both with the shift's offsets from UTC. Breaks, and the time between two punches of a shift, are not cut out of the hours they were in: they take the same share of each hour. From when to when somebody worked is in `marts.work_periods`. There is no revenue here: Planday has it by day only.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the shift (YYYY-MM).
-- date: Day the shift begins, as in `marts.labour_daily`.
-- calendar_date: Day of the clock hour, which after midnight is the next one; NULL where `hour` is.
-- hour: Hour of the clock, 0 to 23; on the night clocks go back the hour that comes twice holds both. NULL where no times are known, or where somebody was punched in for more than 36 hours.
-- department_id: Id in `hr.departments`; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- planned_work_hours: Of assigned shifts of kind work, without breaks that are known.
-- worked_hours: Approved, else punched, else paid hours of work, as in `marts.labour_daily`.
-- planned_cost: What time and cost says the shifts cost; never add it to payroll.
-- shift_cost: Pay for shifts of all kinds, from payroll. Salaries and supplements of the month belong to no hour.
-- currency: Of both: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.labour_hourly AS
WITH timed AS (
    SELECT portal, portal_id, month, date, department_id, start_local, end_local, make_timestamp(epoch_us(start_utc)) AS start_at, make_timestamp(epoch_us(end_utc)) AS end_at,
        CASE WHEN kind = 'work' AND employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft' THEN planned_hours END AS planned_hours,
        CASE WHEN kind = 'work' THEN worked_hours END AS worked_hours,
        planned_cost, paid_cost,
        CASE WHEN worked_by IN ('approved', 'punched') THEN first_punch_in END AS came_local,
        CASE WHEN worked_by IN ('approved', 'punched') THEN last_punch_out END AS left_local
    FROM marts.hours
),
clocked AS (
    -- Seconds ahead of UTC at both ends; where no zone is known, the clock on the wall is all there is.
    SELECT *, coalesce(date_diff('second', start_at, start_local), 0) AS ahead, coalesce(date_diff('second', end_at, end_local), date_diff('second', start_at, start_local), 0) AS ahead_later,
        coalesce(start_at, start_local) AS begins, coalesce(end_at, end_local) AS ends
    FROM timed
),
parts AS (
    SELECT portal, portal_id, month, date, department_id, ahead, ahead_later,
        CASE WHEN is_worked AND left_local - to_seconds(ahead_later) > came_local - to_seconds(ahead) THEN came_local - to_seconds(ahead) ELSE begins END AS begins,
        CASE WHEN is_worked AND left_local - to_seconds(ahead_later) > came_local - to_seconds(ahead) THEN left_local - to_seconds(ahead_later) ELSE ends END AS ends,
        is_worked,
        CASE WHEN is_worked THEN worked_hours ELSE planned_hours END AS hours,
        CASE WHEN is_worked THEN paid_cost ELSE planned_cost END AS cost
    FROM clocked, (VALUES (true), (false)) AS two (is_worked)
    WHERE CASE WHEN is_worked THEN coalesce(worked_hours, paid_cost) ELSE coalesce(planned_hours, planned_cost) END IS NOT NULL
),
-- When clocks change, as UTC. Offsets at both ends say which change it was.
turns AS (
    SELECT z.portal, o.ahead, o.ahead_later, min(o.turns_at) AS turns_at
    FROM (
        SELECT zone, lag(offset_seconds) OVER (PARTITION BY zone ORDER BY local_from) AS ahead, offset_seconds AS ahead_later,
            local_from - to_seconds(greatest(offset_seconds, lag(offset_seconds) OVER (PARTITION BY zone ORDER BY local_from))) AS turns_at
        FROM sync.time_zone_offsets
    ) AS o
    JOIN (SELECT DISTINCT portal, zone FROM sync.time_zones) AS z ON z.zone = o.zone
    WHERE o.ahead <> o.ahead_later
    GROUP BY z.portal, o.ahead, o.ahead_later, CAST(date_trunc('week', o.turns_at) AS DATE)
),
sized AS (
    -- By the hour; on nights when clocks change by the quarter, because then hours of the clock need not be hours of UTC.
    SELECT p.*, t.turns_at, p.ahead = p.ahead_later AS is_even, date_diff('second', p.begins, p.ends) AS seconds,
        CASE WHEN p.ahead = p.ahead_later THEN date_trunc('hour', p.begins + to_seconds(p.ahead)) - to_seconds(p.ahead)
            ELSE time_bucket(INTERVAL 15 MINUTE, p.begins)
        END AS first_begins,
        CASE WHEN p.ahead = p.ahead_later THEN 3600 ELSE 900 END AS step
    FROM parts AS p
    LEFT JOIN turns AS t ON t.portal = p.portal AND t.ahead = p.ahead AND t.ahead_later = p.ahead_later
        AND t.turns_at > p.begins - INTERVAL 12 HOUR AND t.turns_at < p.ends + INTERVAL 12 HOUR
        AND date_diff('second', p.begins, p.ends) BETWEEN 1 AND 129600
),
counted AS (
    SELECT *, seconds BETWEEN 0 AND 129600 AS is_split,
        CASE WHEN seconds BETWEEN 1 AND 129600 THEN CAST((date_diff('second', first_begins, ends) + step - 1) // step AS INTEGER) ELSE 1 END AS pieces
    FROM sized
),
numbers AS (
    SELECT CAST(c.pieces AS INTEGER) AS pieces, n.number
    FROM (SELECT unnest(range(1, 147)) AS pieces) AS c JOIN (SELECT unnest(range(0, 146)) AS number) AS n ON n.number < c.pieces
),
cut AS (
    SELECT c.*, greatest(c.begins, c.first_begins + to_seconds(n.number * c.step)) AS cut_begins,
        least(c.ends, c.first_begins + to_seconds((n.number + 1) * c.step)) AS cut_ends
    FROM counted AS c JOIN numbers AS n ON n.pieces = c.pieces
),
weighed AS (
    -- Shares of the whole by what is passed until then, so that they add up exactly; in ten-thousandths.
    SELECT portal, portal_id, month, date, department_id, is_worked,
        CASE WHEN is_split THEN cut_begins + to_seconds(CASE WHEN NOT is_even AND cut_begins >= turns_at THEN ahead_later ELSE ahead END) END AS clock,
        CAST(CAST(hours AS DECIMAL(24, 4)) * 10000 AS HUGEINT) AS hours,
        CAST(CAST(cost AS DECIMAL(24, 4)) * 10000 AS HUGEINT) AS cost,
        CASE WHEN is_split AND seconds > 0 THEN CAST(date_diff('second', begins, cut_begins) AS HUGEINT) ELSE 0 END AS passed,
        CASE WHEN is_split AND seconds > 0 THEN CAST(date_diff('second', begins, cut_ends) AS HUGEINT) ELSE 1 END AS passed_then,
        CASE WHEN is_split AND seconds > 0 THEN CAST(seconds AS HUGEINT) ELSE 1 END AS of_all
    FROM cut
),
shared AS (
    SELECT portal, portal_id, month, date, department_id, is_worked, CAST(clock AS DATE) AS calendar_date, hour(clock) AS hour,
        hours * passed_then // of_all - hours * passed // of_all AS hours,
        cost * passed_then // of_all - cost * passed // of_all AS cost
    FROM weighed
),
summed AS (
    SELECT portal, any_value(portal_id) AS portal_id, month, date, calendar_date, hour, department_id,
        sum(hours) FILTER (WHERE NOT is_worked) AS planned, sum(hours) FILTER (WHERE is_worked) AS worked,
        sum(cost) FILTER (WHERE NOT is_worked) AS planned_cost, sum(cost) FILTER (WHERE is_worked) AS paid_cost
    FROM shared GROUP BY portal, month, date, calendar_date, hour, department_id
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL)
SELECT
    s.portal,
    s.portal_id,
    s.month,
    s.date,
    s.calendar_date,
    s.hour,
    s.department_id,
    d.name AS department,
    CAST(CAST(s.planned AS DECIMAL(20, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(24, 4)) AS planned_work_hours,
    CAST(CAST(s.worked AS DECIMAL(20, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(24, 4)) AS worked_hours,
    CAST(CAST(s.planned_cost AS DECIMAL(20, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(24, 4)) AS planned_cost,
    CAST(CAST(s.paid_cost AS DECIMAL(20, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(24, 4)) AS shift_cost,
    c.currency
FROM summed AS s
LEFT JOIN departments AS d ON d.portal = s.portal AND d.id = s.department_id
LEFT JOIN currencies AS c ON c.portal = s.portal;
