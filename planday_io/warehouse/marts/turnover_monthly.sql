-- One row per portal, main department and month: who joined, who left and why, turnover over twelve months, how many of those hired stayed, and how long people have been there. Headcount at the start plus hired minus left is the headcount at the end.
--
-- portal: Key of the portal in portals.yaml.
-- month: The month (YYYY-MM), from the month of the first hire (at most ten years before the first month read) to the current one.
-- department_id: Main department of the people as it is today, or was when they left, as in `marts.employees`; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- headcount_start: People employed on the last day of the month before.
-- hired: People whose first day is in the month.
-- left_count: People who left in the month. Who left at an unknown time, or before the first day, is in no column of this view.
-- headcount_end: People employed on the last day of the month (of the current month: today). People are not counted on the day they leave.
-- left_reasons: List of (reason, people) of those who left: `reason` is the portal's termination type, NULL where it names none; NULL where nobody left.
-- left_12_months: People who left in the twelve months up to this one.
-- average_headcount_12_months: Mean of the headcounts at the end of these months.
-- turnover_percent: `left_12_months` as a percentage of `average_headcount_12_months`. For several departments add up both columns, and divide afterwards.
-- turnover_gap: Why there is none: less than twelve months known, nobody employed.
-- stayed_90_days: Of those hired in the month, people who were still employed 90 days after their first day; NULL until the 90 days are over for everybody.
-- survival_percent: `stayed_90_days` as a percentage of `hired`: retention at 90 days.
-- survival_gap: Why there is none: nobody hired, not over yet.
-- tenure_under_3_months: Of the headcount at the end, people whose first day was less than three months earlier.
-- tenure_3_to_12_months: From three months up to a year.
-- tenure_1_to_3_years: From one up to three years.
-- tenure_3_years_or_more: Three years or more.
-- tenure_unknown: People whose first day is not known, or before 1950.
CREATE OR REPLACE VIEW marts.turnover_monthly AS
WITH people AS (
    SELECT * FROM (
        SELECT portal, employee_id, primary_department_id AS department_id, hired_date, termination_type, is_active,
            CASE WHEN deactivation_date <= today() OR NOT is_active THEN deactivation_date END AS left_date
        FROM marts.employees
    )
    -- Otherwise the headcount would not follow from those who came and left.
    WHERE (is_active OR left_date IS NOT NULL) AND coalesce(left_date >= hired_date, true)
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
    SELECT portal, first, first - 1 AS before, least(CAST(last_day(first) AS DATE), CAST(today() AS DATE)) AS last FROM months
),
cells AS (
    SELECT m.portal, m.first, m.before, m.last, p.department_id, p.hired_date, p.left_date, p.termination_type,
        coalesce(p.hired_date <= m.last, true) AND coalesce(p.left_date > m.last, true) AS is_there,
        coalesce(p.left_date BETWEEN m.first AND m.last, false) AS has_left
    FROM ends AS m JOIN people AS p ON p.portal = m.portal
),
counted AS (
    SELECT portal, first, last, department_id,
        count(*) FILTER (WHERE coalesce(hired_date <= before, true) AND coalesce(left_date > before, true)) AS headcount_start,
        count(*) FILTER (WHERE hired_date BETWEEN first AND last) AS hired,
        count(*) FILTER (WHERE has_left) AS left_count,
        count(*) FILTER (WHERE is_there) AS headcount_end,
        count(*) FILTER (WHERE hired_date BETWEEN first AND last AND coalesce(date_diff('day', hired_date, left_date) > 90, true)) AS stayed,
        count(*) FILTER (WHERE is_there AND hired_date + INTERVAL 3 MONTH > last) AS under_3_months,
        count(*) FILTER (WHERE is_there AND hired_date + INTERVAL 3 MONTH <= last AND hired_date + INTERVAL 1 YEAR > last) AS under_1_year,
        count(*) FILTER (WHERE is_there AND hired_date + INTERVAL 1 YEAR <= last AND hired_date + INTERVAL 3 YEAR > last) AS under_3_years,
        count(*) FILTER (WHERE is_there AND hired_date >= DATE '1950-01-01' AND hired_date + INTERVAL 3 YEAR <= last) AS longer,
        count(*) FILTER (WHERE is_there AND coalesce(hired_date < DATE '1950-01-01', true)) AS unknown
    FROM cells GROUP BY portal, first, last, department_id
),
rolling AS (
    SELECT *, count(*) OVER year AS months, CAST(sum(left_count) OVER year AS BIGINT) AS left_12_months, avg(headcount_end) OVER year AS average_headcount
    FROM counted
    WINDOW year AS (PARTITION BY portal, department_id ORDER BY first ROWS BETWEEN 11 PRECEDING AND CURRENT ROW)
),
reasons AS (
    SELECT portal, first, department_id, list({'reason': termination_type, 'people': people} ORDER BY people DESC, termination_type) AS reasons
    FROM (SELECT portal, first, department_id, termination_type, count(*) AS people FROM cells WHERE has_left GROUP BY ALL)
    GROUP BY portal, first, department_id
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL)
SELECT
    r.portal,
    strftime(r.first, '%Y-%m') AS month,
    r.department_id,
    d.name AS department,
    r.headcount_start,
    r.hired,
    r.left_count,
    r.headcount_end,
    w.reasons AS left_reasons,
    r.left_12_months,
    r.average_headcount AS average_headcount_12_months,
    CASE WHEN r.months = 12 AND r.average_headcount > 0 THEN round(100.0 * CAST(r.left_12_months AS DOUBLE) / r.average_headcount, 1) END AS turnover_percent,
    CASE WHEN r.months < 12 THEN 'less than twelve months known' WHEN r.average_headcount = 0 THEN 'nobody employed' END AS turnover_gap,
    CASE WHEN r.hired > 0 AND r.last + 90 <= today() THEN r.stayed END AS stayed_90_days,
    CASE WHEN r.hired > 0 AND r.last + 90 <= today() THEN round(100.0 * CAST(r.stayed AS DOUBLE) / r.hired, 1) END AS survival_percent,
    CASE WHEN r.hired = 0 THEN 'nobody hired' WHEN r.last + 90 > today() THEN 'not over yet' END AS survival_gap,
    r.under_3_months AS tenure_under_3_months,
    r.under_1_year AS tenure_3_to_12_months,
    r.under_3_years AS tenure_1_to_3_years,
    r.longer AS tenure_3_years_or_more,
    r.unknown AS tenure_unknown
FROM rolling AS r
LEFT JOIN reasons AS w ON w.portal = r.portal AND w.first = r.first AND w.department_id IS NOT DISTINCT FROM r.department_id
LEFT JOIN departments AS d ON d.portal = r.portal AND d.id = r.department_id;
