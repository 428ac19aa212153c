-- The rows of `marts.working_time` of some days. The view looks back as far as anything is known of a person and reads all months for that; this reads the months that the days need.
--
-- from_date: First day; all days unless given.
-- to_date: Last day; all days unless given.
-- look_back_weeks: Weeks before the week of the first day that are read, never fewer than 17. Rest since work before them is NULL, and days in a row are counted from there. An error where `weekly_hours` of `working_time` is over more weeks.
-- db: Name that the file is attached as; the database in use unless given.
CREATE OR REPLACE MACRO marts.working_time_between(from_date := NULL, to_date := NULL, look_back_weeks := 17, db := NULL) AS TABLE
WITH marts_punches AS MATERIALIZED (
    SELECT * FROM marts.punches
    WHERE (from_date IS NULL OR date >= greatest(CAST(from_date AS DATE), DATE '1900-01-01') - CAST(7 * greatest(look_back_weeks, 17) + 6 AS INTEGER))
        AND (to_date IS NULL OR date <= least(CAST(to_date AS DATE), DATE '9999-12-01') + 7)
        -- The days' months as well, which limit what is read.
        AND month >= strftime(greatest(CAST(from_date AS DATE), DATE '1900-01-01') - CAST(7 * greatest(look_back_weeks, 17) + 6 AS INTEGER), '%Y-%m')
        AND month <= strftime(least(CAST(to_date AS DATE), DATE '9999-12-01') + 7, '%Y-%m')
),
marts_work_periods AS MATERIALIZED (
    SELECT * FROM marts.work_periods
    WHERE (from_date IS NULL OR date >= greatest(CAST(from_date AS DATE), DATE '1900-01-01') - CAST(7 * greatest(look_back_weeks, 17) + 6 AS INTEGER))
        AND (to_date IS NULL OR date <= least(CAST(to_date AS DATE), DATE '9999-12-01') + 7)
        -- The days' months as well, which limit what is read.
        AND month >= strftime(greatest(CAST(from_date AS DATE), DATE '1900-01-01') - CAST(7 * greatest(look_back_weeks, 17) + 6 AS INTEGER), '%Y-%m')
        AND month <= strftime(least(CAST(to_date AS DATE), DATE '9999-12-01') + 7, '%Y-%m')
)
SELECT * FROM marts.working_time
WHERE (from_date IS NULL OR date >= CAST(from_date AS DATE)) AND (to_date IS NULL OR date <= CAST(to_date AS DATE))
    AND CASE WHEN (SELECT max(over_weeks) FROM sync.working_time_rules) > greatest(look_back_weeks, 17)
        THEN error('weekly_hours of working_time is over more weeks than look_back_weeks: pass look_back_weeks := ' || (SELECT max(over_weeks) FROM sync.working_time_rules))
        ELSE true
    END;
