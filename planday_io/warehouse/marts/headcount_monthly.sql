-- One row per portal, main department and month: how many people were employed, hired, left and worked.
--
-- portal: Key of the portal in portals.yaml.
-- month: The month (YYYY-MM), from the month of the first hire (at most ten years before the first month read) to the current one.
-- department_id: Main department of the people as it is today, or was when they left; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- headcount: People employed on the last day of the month (of the current month: today).
-- hired: People whose first day is in the month.
-- left_count: People whose last day is in the month.
-- worked: People with at least one assigned shift in the month.
CREATE OR REPLACE VIEW marts.headcount_monthly AS
WITH people AS (
    SELECT portal, employee_id, primary_department_id AS department_id, hired_date,
        CASE WHEN deactivation_date <= today() OR NOT is_active THEN deactivation_date END AS left_date, is_active
    FROM marts.employees
),
grids AS (SELECT portal, min(CAST(month || '-01' AS DATE)) AS first FROM sync.slices WHERE month IS NOT NULL GROUP BY portal),
begins AS (
    SELECT p.portal, CAST(date_trunc('month', today()) AS DATE) AS this,
        coalesce(least(CAST(date_trunc('month', today()) AS DATE), any_value(g.first)), CAST(date_trunc('month', today()) AS DATE)) AS read,
        min(p.hired_date) AS hired
    FROM people AS p LEFT JOIN grids AS g ON g.portal = p.portal GROUP BY p.portal
),
months AS (
    -- Placeholder dates (year 1, 1753, 1900) begin no series.
    SELECT portal, CAST(unnest(generate_series(
        CAST(greatest(least(date_trunc('month', coalesce(hired, this)), this), read - INTERVAL 10 YEAR) AS TIMESTAMP),
        CAST(this AS TIMESTAMP), INTERVAL 1 MONTH
    )) AS DATE) AS first
    FROM begins
),
ends AS (
    SELECT portal, first, least(CAST(last_day(first) AS DATE), CAST(today() AS DATE)) AS last FROM months
),
workers AS (
    SELECT DISTINCT portal, employee_id, CAST(date_trunc('month', date) AS DATE) AS first
    FROM scheduling.shifts WHERE employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft'
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
