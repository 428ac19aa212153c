-- One row per person and week, Monday to Sunday, with hours of work and courses beyond a limit per week or per day.
--
-- weekly_hours: Hours a week that are no overtime, 37 unless given; NULL for no such limit.
-- daily_hours: Hours a day that are no overtime; no such limit unless given.
-- from_date: First day: its whole week counts; all weeks unless given.
-- to_date: Last day: its whole week counts; all weeks unless given.
-- db: Name that the file is attached as; the database in use unless given.
--
-- portal: Key of the portal in portals.yaml.
-- week: Monday of the week.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- worked_hours: Hours as in `marts.hours`: approved, else punched, else paid.
-- over_weekly_hours: Hours beyond the weekly limit, 0 where there are none; NULL without such a limit.
-- over_daily_hours: Sum of the hours of each day beyond the daily limit, likewise. Partly the same hours as those beyond the weekly limit.
-- longest_day_hours: Worked hours of the longest day.
CREATE OR REPLACE MACRO marts.overtime_over(weekly_hours := 37, daily_hours := NULL, from_date := NULL, to_date := NULL, db := NULL) AS TABLE
SELECT * FROM (
    SELECT portal, week, employee_id, any_value(employee) AS employee, sum(hours) AS worked_hours,
        CASE WHEN weekly_hours IS NOT NULL THEN greatest(sum(hours) - CAST(weekly_hours AS DECIMAL(18, 4)), 0) END AS over_weekly_hours,
        CASE WHEN daily_hours IS NOT NULL THEN sum(greatest(hours - CAST(daily_hours AS DECIMAL(18, 4)), 0)) END AS over_daily_hours,
        max(hours) AS longest_day_hours
    FROM (
        SELECT h.portal, CAST(date_trunc('week', h.date) AS DATE) AS week, h.employee_id, any_value(h.employee) AS employee, h.date, sum(h.worked_hours) AS hours
        FROM marts.hours AS h
        WHERE h.worked_hours IS NOT NULL AND h.employee_id IS NOT NULL AND h.kind IN ('work', 'course') AND isfinite(h.date)
            AND (from_date IS NULL OR h.date >= date_trunc('week', CAST(from_date AS DATE)))
            AND (to_date IS NULL OR h.date < date_trunc('week', CAST(to_date AS DATE)) + INTERVAL 7 DAY)
            -- The days' months as well, which limit what is read.
            AND h.month >= strftime(date_trunc('week', greatest(CAST(from_date AS DATE), DATE '1900-01-01')), '%Y-%m')
            AND h.month <= strftime(least(CAST(to_date AS DATE), DATE '9999-12-01') + 6, '%Y-%m')
        GROUP BY h.portal, h.employee_id, h.date
    ) GROUP BY portal, week, employee_id
) WHERE over_weekly_hours > 0 OR over_daily_hours > 0;
