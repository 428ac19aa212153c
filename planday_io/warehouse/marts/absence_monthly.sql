-- One row per portal, month and person with planned work or absence in it: days and hours of absence by kind, the rate, spells of sickness, and the Bradford score where it is switched on. Absence is what records say and what shifts of kind sickness or absence say; a day that both say counts once. For departments add up days, and divide afterwards.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: The month (YYYY-MM); months ahead hold what is planned.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- department_id: Main department of the person, as in `marts.employees`; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- planned_days: Days with assigned shifts of work or courses, less the part of them that the person was absent.
-- absent_days: Days of absence. A day counts once and at most as 1: as sickness, else as vacation, else as other. Part of a day is what Planday takes from an account that counts days, else hours absent as a share of the hours of that day's shifts; where neither is known it counts as a day.
-- sickness_days: Those of sickness.
-- vacation_days: Those of vacation.
-- other_days: Those of other absence, and of absence for which Planday names no account.
-- calendar_days: How many of `absent_days` are days without a planned shift in an absence of which only the first and the last day are known: they include days off.
-- planned_hours: Hours of those shifts, without breaks that are known, less those of the absence.
-- absent_hours: Hours of absence: of shifts that stand for absence, or as registered, or of the work that was planned on the day; NULL where none of its hours are known.
-- sickness_hours: Those of sickness.
-- vacation_hours: Those of vacation.
-- other_hours: Those of other absence.
-- days_without_hours: Days of absence whose hours are not known, and which the hours leave out.
-- absence_percent: `absent_days` as a percentage of `planned_days` and `absent_days` together. For several people add up the days, and divide afterwards.
-- sickness_percent: `sickness_days` as a percentage of the same.
-- sickness_spells: Spells of sickness that begin in the month. Days belong to one spell if they follow each other, or if at most three days lie between them (a long weekend) on which no work was planned.
-- spells_52_weeks: Where the Bradford score is switched on: spells with a day in the 52 weeks (364 days) up to the end of the month, or up to today in the current month.
-- sick_days_52_weeks: Days of these spells in the 52 weeks; part of a day counts as a day.
-- bradford_score: Spells x spells x days of these 52 weeks.
-- bradford_gap: Why there is no score: switched off (`bradford` of portals.yaml), not yet; or why it holds a part only: less than 52 weeks read.
CREATE OR REPLACE VIEW marts.absence_monthly AS
WITH shift_kinds AS (SELECT portal, type_id, any_value(kind) AS kind FROM sync.absence_kinds WHERE type_of = 'shift' GROUP BY ALL),
records AS MATERIALIZED (
    -- No rows of absurd months.
    SELECT portal, portal_id, employee_id, strftime(date, '%Y-%m') AS month, date, absence_kind, days, hours, is_whole_day, is_registered
    FROM marts.absence_days
    WHERE employee_id IS NOT NULL AND date BETWEEN DATE '1990-01-01' AND CAST(today() + INTERVAL 18 MONTH AS DATE)
),
absence_shifts AS (
    SELECT s.portal, s.employee_id, s.date, k.kind
    FROM scheduling.shifts AS s JOIN shift_kinds AS k ON k.portal = s.portal AND k.type_id = s.shift_type_id
    WHERE s.employee_id IS NOT NULL AND s.status IS DISTINCT FROM 'Draft' AND s.date IS NOT NULL
),
absent_dates AS (
    SELECT portal, employee_id, date FROM records UNION SELECT portal, employee_id, date FROM absence_shifts
),
-- One row per person and day of absence, and one per person and month for all other days, which need no more than to be counted.
sources AS (
    SELECT s.portal, any_value(s.portal_id) AS portal_id, s.employee_id, s.month, a.date,
        bit_or(CASE WHEN a.date IS NULL AND s.kind IN ('work', 'course') AND s.planned_hours > 0 THEN CAST(1 AS BIGINT) << (day(s.date) - 1) END) AS work_days,
        sum(CASE WHEN s.kind IN ('work', 'course') THEN greatest(s.planned_hours, 0) END) AS planned,
        sum(CASE WHEN s.kind IN ('sickness', 'absence') THEN greatest(s.planned_hours, 0) END) AS of_shift,
        min(CASE WHEN s.kind IN ('sickness', 'absence') THEN CASE k.kind WHEN 'sickness' THEN 1 WHEN 'vacation' THEN 2 ELSE 3 END END) AS kind,
        NULL AS days, NULL AS hours, NULL AS is_whole, NULL AS is_registered, false AS is_record
    FROM marts.shifts AS s
    LEFT JOIN absent_dates AS a ON a.portal = s.portal AND a.employee_id = s.employee_id AND a.date = s.date
    LEFT JOIN shift_kinds AS k ON k.portal = s.portal AND k.type_id = s.shift_type_id
    WHERE s.is_assigned AND s.kind IN ('work', 'course', 'sickness', 'absence') AND s.date IS NOT NULL
    GROUP BY s.portal, s.employee_id, s.month, a.date
    UNION ALL
    SELECT portal, portal_id, employee_id, month, date, NULL, NULL, NULL,
        CASE absence_kind WHEN 'sickness' THEN 1 WHEN 'vacation' THEN 2 ELSE 3 END, days, hours, is_whole_day, is_registered, true
    FROM records
),
of_days AS (
    SELECT portal, any_value(portal_id) AS portal_id, employee_id, month, date, bit_or(work_days) AS work_days,
        coalesce(sum(planned), 0) AS planned, sum(of_shift) AS of_shift, min(kind) AS kind,
        sum(days) AS days, sum(hours) AS hours, coalesce(bool_or(is_whole), false) AS is_whole,
        bool_or(is_record) AS is_record, bool_or(is_registered) AS is_registered
    FROM sources GROUP BY portal, employee_id, month, date
),
parts AS (
    SELECT *, planned + coalesce(of_shift, 0) AS of_roster,
        -- Which part of the day records, and shifts, say the person was absent.
        CASE
            WHEN NOT is_record THEN 0
            WHEN days IS NOT NULL THEN least(days, 1)
            WHEN is_whole OR hours IS NULL OR planned + coalesce(of_shift, 0) <= 0 THEN 1
            ELSE CAST(least(hours / (planned + coalesce(of_shift, 0)), 1) AS DECIMAL(18, 4))
        END AS by_record,
        CASE
            WHEN of_shift IS NULL THEN 0
            WHEN planned > 0 THEN CAST(of_shift / (planned + of_shift) AS DECIMAL(18, 4))
            ELSE 1
        END AS by_shift
    FROM of_days
),
absences AS (
    SELECT *, greatest(by_record, by_shift) AS part,
        CASE
            WHEN date IS NULL THEN coalesce(bit_count(work_days), 0)
            WHEN planned > 0 THEN 1 - greatest(by_record, by_shift)
            ELSE 0
        END AS planned_part,
        CAST(planned * (1 - by_record) AS DECIMAL(38, 4)) AS planned_left,
        CASE
            WHEN greatest(by_record, by_shift) <= 0 OR (hours IS NULL AND of_roster <= 0) THEN NULL
            ELSE greatest(coalesce(of_shift, 0), coalesce(hours, CAST(by_record * of_roster AS DECIMAL(38, 4))))
        END AS absent
    FROM parts
),
monthly AS (
    SELECT portal, any_value(portal_id) AS portal_id, month, employee_id,
        sum(planned_part) AS planned_days,
        sum(part) AS absent_days,
        coalesce(sum(part) FILTER (WHERE kind = 1), 0) AS sickness_days,
        coalesce(sum(part) FILTER (WHERE kind = 2), 0) AS vacation_days,
        coalesce(sum(part) FILTER (WHERE kind = 3), 0) AS other_days,
        coalesce(sum(part) FILTER (WHERE NOT is_registered AND of_roster <= 0), 0) AS calendar_days,
        sum(planned_left) AS planned_hours,
        sum(absent) AS absent_hours,
        sum(absent) FILTER (WHERE kind = 1) AS sickness_hours,
        sum(absent) FILTER (WHERE kind = 2) AS vacation_hours,
        sum(absent) FILTER (WHERE kind = 3) AS other_hours,
        count(*) FILTER (WHERE part > 0 AND absent IS NULL) AS days_without_hours
    FROM absences GROUP BY portal, month, employee_id
    HAVING sum(planned_part) > 0 OR sum(part) > 0
),
-- Spells need no more than the days of sickness, and shifts of work between them.
sick_days AS (
    SELECT portal, employee_id, date FROM absence_shifts
    WHERE kind = 'sickness' AND date BETWEEN DATE '1990-01-01' AND CAST(today() + INTERVAL 18 MONTH AS DATE)
    UNION
    SELECT portal, employee_id, date FROM records WHERE absence_kind = 'sickness' AND coalesce(days, 1) > 0
),
ordered AS (
    SELECT *, lag(date) OVER (PARTITION BY portal, employee_id ORDER BY date) AS previous FROM sick_days
),
between_them AS (
    SELECT portal, employee_id, date, CAST(previous + number AS DATE) AS day
    FROM (SELECT *, unnest([1, 2, 3]) AS number FROM ordered WHERE date - previous BETWEEN 2 AND 4)
    WHERE previous + number < date
),
-- Materialized, or DuckDB looks up the kind of every shift there is.
met AS MATERIALIZED (
    SELECT b.portal, b.employee_id, b.date, s.shift_type_id
    FROM between_them AS b
    JOIN scheduling.shifts AS s ON s.portal = b.portal AND s.employee_id = b.employee_id AND s.date = b.day
        AND s.status IS DISTINCT FROM 'Draft'
),
worked_between AS (
    SELECT DISTINCT m.portal, m.employee_id, m.date, true AS is_worked
    FROM met AS m
    LEFT JOIN sync.shift_kinds AS k ON k.portal = m.portal AND k.shift_type_id = m.shift_type_id
    WHERE coalesce(k.kind, 'work') IN ('work', 'course')
),
begun AS (
    SELECT o.portal, o.employee_id, o.date,
        coalesce(o.date - o.previous > 4, true) OR w.is_worked IS NOT NULL AS begins
    FROM ordered AS o
    LEFT JOIN worked_between AS w ON w.portal = o.portal AND w.employee_id = o.employee_id AND w.date = o.date
),
spells AS (
    SELECT *, sum(CAST(begins AS INTEGER)) OVER (PARTITION BY portal, employee_id ORDER BY date ROWS UNBOUNDED PRECEDING) AS spell FROM begun
),
begun_monthly AS (
    SELECT portal, employee_id, strftime(date, '%Y-%m') AS month, count(*) FILTER (WHERE begins) AS spells FROM spells GROUP BY ALL
),
switched_on AS (SELECT DISTINCT portal, true AS is_on FROM sync.mart_settings WHERE name = 'bradford' AND value = 'true'),
windows AS (
    SELECT s.portal, s.employee_id, s.date, s.spell, CAST(date_trunc('month', s.date) + to_months(s.number) AS DATE) AS first
    FROM (SELECT *, CAST(unnest(range(13)) AS INTEGER) AS number FROM spells WHERE portal IN (SELECT portal FROM switched_on)) AS s
),
rolling AS (
    SELECT portal, employee_id, strftime(first, '%Y-%m') AS month, count(DISTINCT spell) AS spells, count(*) AS days
    FROM windows
    WHERE first <= today() AND date <= least(CAST(last_day(first) AS DATE), CAST(today() AS DATE))
        AND date > least(CAST(last_day(first) AS DATE), CAST(today() AS DATE)) - 364
    GROUP BY ALL
),
grids AS (SELECT portal, min(CAST(month || '-01' AS DATE)) AS first FROM sync.slices WHERE month IS NOT NULL GROUP BY portal),
people AS (
    SELECT portal, employee_id, any_value(name) AS name, any_value(primary_department_id) AS department_id,
        any_value(primary_department) AS department
    FROM marts.employees GROUP BY ALL
)
SELECT
    m.portal,
    m.portal_id,
    m.month,
    m.employee_id,
    e.name AS employee,
    e.department_id,
    e.department,
    m.planned_days,
    m.absent_days,
    m.sickness_days,
    m.vacation_days,
    m.other_days,
    m.calendar_days,
    m.planned_hours,
    m.absent_hours,
    m.sickness_hours,
    m.vacation_hours,
    m.other_hours,
    m.days_without_hours,
    round(100.0 * CAST(m.absent_days AS DOUBLE) / CAST(m.planned_days + m.absent_days AS DOUBLE), 1) AS absence_percent,
    round(100.0 * CAST(m.sickness_days AS DOUBLE) / CAST(m.planned_days + m.absent_days AS DOUBLE), 1) AS sickness_percent,
    coalesce(b.spells, 0) AS sickness_spells,
    CASE WHEN o.is_on AND m.month <= strftime(today(), '%Y-%m') THEN coalesce(r.spells, 0) END AS spells_52_weeks,
    CASE WHEN o.is_on AND m.month <= strftime(today(), '%Y-%m') THEN coalesce(r.days, 0) END AS sick_days_52_weeks,
    CASE WHEN o.is_on AND m.month <= strftime(today(), '%Y-%m') THEN coalesce(r.spells * r.spells * r.days, 0) END AS bradford_score,
    CASE
        WHEN o.is_on IS NULL THEN 'switched off'
        WHEN m.month > strftime(today(), '%Y-%m') THEN 'not yet'
        WHEN g.first > least(CAST(last_day(TRY_CAST(m.month || '-01' AS DATE)) AS DATE), CAST(today() AS DATE)) - 363 THEN 'less than 52 weeks read'
    END AS bradford_gap
FROM monthly AS m
LEFT JOIN people AS e ON e.portal = m.portal AND e.employee_id = m.employee_id
LEFT JOIN begun_monthly AS b ON b.portal = m.portal AND b.employee_id = m.employee_id AND b.month = m.month
LEFT JOIN rolling AS r ON r.portal = m.portal AND r.employee_id = m.employee_id AND r.month = m.month
LEFT JOIN switched_on AS o ON o.portal = m.portal
LEFT JOIN grids AS g ON g.portal = m.portal;
