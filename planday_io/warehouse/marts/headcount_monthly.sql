-- One row per portal, main department and month: how many people there were, came, left and worked.
--
-- portal: Key of the portal in portals.yaml.
-- month: The month (YYYY-MM), from the first one somebody was hired in to the current one.
-- department_id: Main department of the people as it is today, or was when they left; NULL where there is none.
-- department: Its name.
-- headcount: People employed on the last day of the month (of the current month: today).
-- hired: People whose first day lies in the month.
-- left_count: People whose last day lies in the month.
-- worked: People with at least one assigned shift in the month.
CREATE OR REPLACE VIEW marts.headcount_monthly AS
WITH people AS (
    SELECT portal, employee_id, primary_department_id AS department_id, hired_date,
        CASE WHEN deactivation_date <= today() OR NOT is_active THEN deactivation_date END AS left_date, is_active
    FROM marts.employees
),
months AS (
    SELECT portal, CAST(unnest(generate_series(
        CAST(date_trunc('month', min(hired_date)) AS TIMESTAMP), CAST(date_trunc('month', today()) AS TIMESTAMP), INTERVAL 1 MONTH
    )) AS DATE) AS first
    FROM people GROUP BY portal
),
ends AS (
    SELECT portal, first, least(CAST(last_day(first) AS DATE), CAST(today() AS DATE)) AS last FROM months
),
workers AS (
    SELECT DISTINCT portal, employee_id, CAST(date_trunc('month', date) AS DATE) AS first FROM marts.shifts WHERE is_assigned
)
SELECT
    m.portal,
    strftime(m.first, '%Y-%m') AS month,
    p.department_id,
    any_value(d.name) AS department,
    -- Who left on a day is still there on the day before. People who left at an unknown time are never counted.
    count(*) FILTER (
        WHERE coalesce(p.hired_date <= m.last, true) AND (p.is_active OR p.left_date IS NOT NULL)
            AND coalesce(p.left_date > m.last, true)
    ) AS headcount,
    count(*) FILTER (WHERE p.hired_date BETWEEN m.first AND m.last) AS hired,
    count(*) FILTER (WHERE p.left_date BETWEEN m.first AND m.last) AS left_count,
    count(w.employee_id) AS worked
FROM ends AS m
JOIN people AS p ON p.portal = m.portal
LEFT JOIN workers AS w ON w.portal = p.portal AND w.employee_id = p.employee_id AND w.first = m.first
LEFT JOIN hr.departments AS d ON d.portal = p.portal AND d.id = p.department_id
GROUP BY m.portal, m.first, p.department_id;
