-- From local wall-clock times to instants, the one place where that is done.
--
-- Planday sends local times without an offset. On the night clocks go back an hour of local time happens twice: a start
-- means the first of the two, an end the first that lies behind the start. On the night they go forward an hour does not
-- happen: a time inside it is read with the offset from before, as clocks that were not changed yet would show it.

CREATE OR REPLACE MACRO first_instant(local_time, zone) AS
    CASE
        WHEN timezone(zone, timezone(zone, local_time) - INTERVAL 1 HOUR) = local_time
            THEN timezone(zone, local_time) - INTERVAL 1 HOUR
        WHEN timezone(zone, timezone(zone, local_time) - INTERVAL 30 MINUTE) = local_time
            THEN timezone(zone, local_time) - INTERVAL 30 MINUTE
        ELSE timezone(zone, local_time)
    END;

CREATE OR REPLACE MACRO end_instant(local_start, local_end, zone) AS
    CASE
        WHEN first_instant(local_end, zone) > first_instant(local_start, zone) THEN first_instant(local_end, zone)
        ELSE timezone(zone, local_end)
    END;

CREATE OR REPLACE MACRO hours_between(local_start, local_end, zone) AS
    CAST(date_diff('second', first_instant(local_start, zone), end_instant(local_start, local_end, zone)) / 3600.0
        AS DECIMAL(18, 4));
