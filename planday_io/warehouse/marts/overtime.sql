-- One row per person and period (week or month) with hours of work and courses: worked hours beside contracted ones. Contracted hours are those per month that `hr.employee_details` says today, in full for every month, also one that somebody joined or left in; hours in the names of contract rules are not read. For limits per week or day see `marts.overtime_over`.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the period (YYYY-MM); of weeks that of the Monday.
-- period_of: week (Monday to Sunday); month (the period of the contracted hours).
-- period_start: First day of the period.
-- period_end: Last day of the period.
-- is_over: Whether the period is over.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- department_id: Main department of the person, id in `hr.departments`.
-- department: Its name; NULL where it has none. Group by the id as well.
-- planned_hours: Assigned hours of the roster, without breaks that are known.
-- worked_hours: Hours as in `marts.hours`: approved, else punched, else paid; NULL where none are known.
-- shifts_without_hours: Shifts that began and whose worked hours are not known, or not whole: nothing recorded, not punched out, partly approved.
-- days_worked: Days with worked hours.
-- longest_day_hours: Worked hours of the longest day.
-- contract_hours: Contracted hours of the period; of a week those of the month times 12, divided by 52. NULL where they are missing or 0.
-- over_contract_hours: Worked hours beyond the contracted ones, 0 where there are none; NULL where either is not known.
-- over_contract_gap: Why that is not known: no contracted hours, no worked hours.
CREATE OR REPLACE VIEW marts.overtime AS
WITH days AS NOT MATERIALIZED (
    SELECT portal, portal_id, employee_id, date, month, sum(worked_hours) AS worked_hours, sum(planned_hours) AS planned_hours,
        count(*) FILTER (worked_gap IN ('nothing recorded', 'not punched out', 'partly approved')) AS shifts_without_hours
    FROM marts.hours
    WHERE employee_id IS NOT NULL AND kind IN ('work', 'course') AND status IS DISTINCT FROM 'Draft' AND isfinite(date)
    GROUP BY ALL
),
periods AS (
    SELECT portal, portal_id, strftime(date_trunc('week', date), '%Y-%m') AS month, employee_id, 'week' AS period_of,
        CAST(date_trunc('week', date) AS DATE) AS period_start,
        sum(planned_hours) AS planned_hours, sum(worked_hours) AS worked_hours, sum(shifts_without_hours) AS shifts_without_hours,
        count(*) FILTER (worked_hours > 0) AS days_worked, max(worked_hours) AS longest_day_hours
    FROM days GROUP BY ALL
    UNION ALL
    -- DuckDB moves a filter below a join only if it cannot fail, as TRY_CAST cannot.
    SELECT portal, portal_id, month, employee_id, 'month', TRY_CAST(month || '-01' AS DATE),
        sum(planned_hours), sum(worked_hours), sum(shifts_without_hours), count(*) FILTER (worked_hours > 0), max(worked_hours)
    FROM days GROUP BY ALL
),
contracts AS (
    SELECT portal, id, CAST(any_value(work_hours) AS DOUBLE) AS hours FROM hr.employee_details WHERE work_hours > 0 GROUP BY ALL
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (
    SELECT portal, employee_id, any_value(name) AS name, any_value(primary_department_id) AS department_id FROM marts.employees GROUP BY ALL
),
bounded AS (
    SELECT p.*, CASE p.period_of WHEN 'week' THEN p.period_start + 6 ELSE CAST(last_day(p.period_start) AS DATE) END AS period_end,
        TRY_CAST(CASE p.period_of WHEN 'week' THEN c.hours * 12 / 52 ELSE c.hours END AS DECIMAL(18, 4)) AS contract_hours
    FROM periods AS p
    LEFT JOIN contracts AS c ON c.portal = p.portal AND c.id = p.employee_id
)
SELECT
    b.portal,
    b.portal_id,
    b.month,
    b.period_of,
    b.period_start,
    b.period_end,
    b.period_end < today() AS is_over,
    b.employee_id,
    e.name AS employee,
    e.department_id,
    d.name AS department,
    b.planned_hours,
    b.worked_hours,
    CAST(b.shifts_without_hours AS BIGINT) AS shifts_without_hours,
    b.days_worked,
    b.longest_day_hours,
    b.contract_hours,
    CASE WHEN b.worked_hours IS NOT NULL AND b.contract_hours IS NOT NULL THEN greatest(b.worked_hours - b.contract_hours, 0) END AS over_contract_hours,
    CASE WHEN b.contract_hours IS NULL THEN 'no contracted hours' WHEN b.worked_hours IS NULL THEN 'no worked hours' END AS over_contract_gap
FROM bounded AS b
LEFT JOIN people AS e ON e.portal = b.portal AND e.employee_id = b.employee_id
LEFT JOIN departments AS d ON d.portal = b.portal AND d.id = e.department_id;
