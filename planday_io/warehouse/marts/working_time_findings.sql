-- One row per breach of a rule of `working_time` of portals.yaml (`sync.working_time_rules`; without that key those of the preset eu), in what was worked and in what is planned. A help to find cases, and no legal advice: collective agreements, exceptions for trades and compensatory rest are not known here. Where nobody punches and nothing is approved, nothing worked is found. For some days of a large portal see `marts.working_time_findings_between`.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of `date` (YYYY-MM).
-- date: Last day of the period.
-- basis: planned; worked.
-- rule: daily_rest (the longest rest of the 24 hours from a start of work; of several such periods that begin on one day the one with the least); weekly_rest (the longest rest from Monday to Sunday); weekly_hours (the average of the reference period); break_after (hours on end without a break); days_in_row.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- department_id: Id in `hr.departments` of the last shift or punch of the period.
-- department: Its name; NULL where it has none. Group by the id as well.
-- period_start: First day of the period.
-- period_end: Last day of the period.
-- start_utc: Start of work that the 24 hours, or the hours without a break, are counted from; NULL for rules that count days, and where no zone is known.
-- start_local: The same, wall clock; NULL for rules that count days.
-- value: What it was.
-- limit_value: What the rule says: at least that rest, at most those hours or days.
-- unit: hours; days.
-- shift_ids: Ids in `scheduling.shifts` of the work that the period consists of.
-- punch_ids: Ids in `punchclock.punch_clock_shifts` of it.
CREATE OR REPLACE VIEW marts.working_time_findings AS
WITH rules AS (SELECT portal, rule, limit_value, unit, over_weeks FROM sync.working_time_rules),
periods AS (
    SELECT portal, portal_id, employee_id, basis, date, shift_id, punch_id, department_id, start_local, start_utc, longest_stretch_hours,
        coalesce(epoch_us(start_utc), epoch_us(start_local)) AS begins, coalesce(epoch_us(end_utc), epoch_us(end_local)) AS ends
    FROM marts.work_periods
),
-- Rest of 11 hours ends a chain; what is no chain, and not longer than the other 13 hours, breaches nothing.
followed AS (
    SELECT p.*, CAST(r.limit_value * 3600000000 AS BIGINT) AS rest,
        p.begins - max(p.ends) OVER (so_far ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS rest_before,
        lead(p.begins) OVER so_far - max(p.ends) OVER (so_far ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS rest_after
    FROM periods AS p JOIN rules AS r ON r.portal = p.portal AND r.rule = 'daily_rest'
    WINDOW so_far AS (PARTITION BY p.portal, p.employee_id, p.basis ORDER BY p.begins, p.ends)
),
chained AS (SELECT * FROM followed WHERE rest_before < rest OR rest_after < rest OR ends - begins > 86400000000 - rest),
-- The 24 hours from each start; of the starts of a day the one with the least rest counts.
windows AS (
    SELECT *,
        greatest(coalesce(max(rest_before) OVER later, 0), begins + 86400000000 - max(ends) OVER until, 0) AS longest,
        max(date) OVER inside AS last_date, arg_max(department_id, begins) OVER inside AS last_department_id,
        list(shift_id) OVER inside AS shift_list, list(punch_id) OVER inside AS punch_list
    FROM chained
    WINDOW later AS (PARTITION BY portal, employee_id, basis ORDER BY begins RANGE BETWEEN 1 FOLLOWING AND 86400000000 FOLLOWING),
        inside AS (PARTITION BY portal, employee_id, basis ORDER BY begins RANGE BETWEEN CURRENT ROW AND 86400000000 FOLLOWING),
        until AS (PARTITION BY portal, employee_id, basis ORDER BY begins RANGE BETWEEN UNBOUNDED PRECEDING AND 86400000000 FOLLOWING)
),
rested AS (
    SELECT *, row_number() OVER (PARTITION BY portal, employee_id, basis, date ORDER BY longest, begins, ends) AS place
    FROM windows WHERE longest < rest
),
found AS (
    SELECT portal, portal_id, employee_id, basis, 'daily_rest' AS rule, date AS period_start, last_date AS period_end, begins, start_local, start_utc,
        CAST(longest / 3600000000.0 AS DECIMAL(18, 4)) AS value, last_department_id AS department_id, shift_list, punch_list
    FROM rested WHERE place = 1
    UNION ALL
    SELECT p.portal, any_value(p.portal_id), p.employee_id, p.basis, 'break_after', min(p.date), max(p.date),
        p.begins, min(p.start_local), min(p.start_utc), max(p.longest_stretch_hours), min(p.department_id), list(p.shift_id), list(p.punch_id)
    FROM periods AS p JOIN rules AS r ON r.portal = p.portal AND r.rule = 'break_after'
    WHERE p.longest_stretch_hours > r.limit_value
    GROUP BY p.portal, p.employee_id, p.basis, p.begins
),
by_days AS (
    SELECT d.portal, d.portal_id, d.employee_id, d.basis, d.date, d.week, r.rule, r.limit_value,
        CASE WHEN d.basis = 'planned' THEN d.planned_days_in_row ELSE d.worked_days_in_row END AS in_row,
        CASE WHEN r.rule = 'weekly_rest' THEN d.week WHEN r.rule = 'weekly_hours' THEN d.week - CAST(7 * (r.over_weeks - 1) AS INTEGER) END AS begin_of_weeks,
        CASE r.rule
            WHEN 'days_in_row' THEN CASE WHEN d.basis = 'planned' THEN d.planned_days_in_row ELSE d.worked_days_in_row END
            WHEN 'weekly_rest' THEN CASE WHEN d.basis = 'planned' THEN d.planned_week_rest_hours ELSE d.worked_week_rest_hours END
            WHEN 'weekly_hours' THEN CASE
                WHEN d.basis = 'planned' AND d.planned_average_weeks >= r.over_weeks THEN d.planned_average_week_hours
                WHEN d.basis = 'worked' AND d.worked_average_weeks >= r.over_weeks THEN d.worked_average_week_hours
            END
        END AS value
    FROM (SELECT *, unnest(['planned', 'worked']) AS basis FROM marts.working_time) AS d
    JOIN rules AS r ON r.portal = d.portal AND r.rule IN ('days_in_row', 'weekly_rest', 'weekly_hours')
),
over_days AS (
    SELECT portal, any_value(portal_id) AS portal_id, employee_id, basis, rule,
        CASE rule WHEN 'days_in_row' THEN date - CAST(in_row - 1 AS INTEGER) ELSE begin_of_weeks END AS period_start,
        CASE rule WHEN 'days_in_row' THEN max(date) ELSE max(week) + 6 END AS period_end,
        max(value) AS value
    FROM by_days
    WHERE CASE WHEN rule = 'weekly_rest' THEN value < limit_value ELSE value > limit_value END
    GROUP BY portal, employee_id, basis, rule, CASE rule WHEN 'days_in_row' THEN date - CAST(in_row - 1 AS INTEGER) ELSE begin_of_weeks END
),
proved AS (
    SELECT o.portal, o.portal_id, o.employee_id, o.basis, o.rule, o.period_start, o.period_end, o.value,
        arg_max(p.department_id, p.begins) AS department_id, list(p.shift_id) AS shift_list, list(p.punch_id) AS punch_list
    FROM over_days AS o
    LEFT JOIN periods AS p ON p.portal = o.portal AND p.employee_id = o.employee_id AND p.basis = o.basis
        AND p.date BETWEEN o.period_start AND o.period_end
    GROUP BY ALL
),
every AS (
    SELECT portal, portal_id, employee_id, basis, rule, period_start, period_end, start_local, start_utc, value, department_id, shift_list, punch_list FROM found
    UNION ALL BY NAME
    SELECT * FROM proved
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL)
SELECT
    f.portal,
    f.portal_id,
    strftime(f.period_end, '%Y-%m') AS month,
    f.period_end AS date,
    f.basis,
    f.rule,
    f.employee_id,
    e.name AS employee,
    f.department_id,
    d.name AS department,
    f.period_start,
    f.period_end,
    f.start_utc,
    f.start_local,
    f.value,
    r.limit_value,
    r.unit,
    list_sort(list_distinct(f.shift_list)) AS shift_ids,
    list_sort(list_distinct(f.punch_list)) AS punch_ids
FROM every AS f
JOIN rules AS r ON r.portal = f.portal AND r.rule = f.rule
LEFT JOIN departments AS d ON d.portal = f.portal AND d.id = f.department_id
LEFT JOIN people AS e ON e.portal = f.portal AND e.employee_id = f.employee_id;
