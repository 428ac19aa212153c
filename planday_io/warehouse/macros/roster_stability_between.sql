-- The rows of `marts.roster_stability` of some weeks, from the changes of their months. The view works out all changes.
--
-- from_date: First day: its whole week counts; all weeks unless given.
-- to_date: Last day: its whole week counts; all weeks unless given.
-- db: Name that the file is attached as; the database in use unless given.
CREATE OR REPLACE MACRO marts.roster_stability_between(from_date := NULL, to_date := NULL, db := NULL) AS TABLE
WITH marts_roster_changes AS MATERIALIZED (
    SELECT * FROM marts.roster_changes
    WHERE iso_week >= coalesce(yearweek(CAST(from_date AS DATE)), 0) AND iso_week <= coalesce(yearweek(CAST(to_date AS DATE)), 999999)
        -- The weeks' months as well, which limit what is read.
        AND month >= strftime(greatest(CAST(from_date AS DATE), DATE '1900-01-08') - 6, '%Y-%m')
        AND month <= strftime(least(CAST(to_date AS DATE), DATE '9999-12-01') + 6, '%Y-%m')
)
SELECT * FROM marts.roster_stability
WHERE iso_week >= coalesce(yearweek(CAST(from_date AS DATE)), 0) AND iso_week <= coalesce(yearweek(CAST(to_date AS DATE)), 999999);
