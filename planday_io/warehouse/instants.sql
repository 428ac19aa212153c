-- From local wall-clock times to instants, for your own queries; the marts' own are in `marts.spans`.
--
-- Planday sends local times without an offset. On the night clocks go back an hour of local time happens twice: a start
-- means the first of the two, an end the first that is after the start. On the night they go forward an hour is
-- skipped: a time inside it is read with the offset from before, as a clock that was not changed yet would show it.
--
-- A zone is an IANA name in any case; where DuckDB does not know it, the result is NULL. No macro calls another one, because
-- after an ATTACH it would not find it.

CREATE OR REPLACE MACRO first_instant(local_time, zone) AS (
    SELECT CASE
        WHEN timezone(known, timezone(known, clock) - INTERVAL 1 HOUR) = clock THEN timezone(known, clock) - INTERVAL 1 HOUR
        WHEN timezone(known, timezone(known, clock) - INTERVAL 30 MINUTE) = clock THEN timezone(known, clock) - INTERVAL 30 MINUTE
        ELSE timezone(known, clock)
    END
    FROM (
        SELECT local_time AS clock,
            (SELECT any_value(name) FROM pg_timezone_names() WHERE lower(name) = lower(trim(zone))) AS known
    )
);

CREATE OR REPLACE MACRO end_instant(local_start, local_end, zone) AS (
    SELECT CASE WHEN first_end > first_start THEN first_end ELSE last_end END
    FROM (
        SELECT timezone(known, finish) AS last_end,
            CASE
                WHEN timezone(known, timezone(known, begin) - INTERVAL 1 HOUR) = begin THEN timezone(known, begin) - INTERVAL 1 HOUR
                WHEN timezone(known, timezone(known, begin) - INTERVAL 30 MINUTE) = begin THEN timezone(known, begin) - INTERVAL 30 MINUTE
                ELSE timezone(known, begin)
            END AS first_start,
            CASE
                WHEN timezone(known, timezone(known, finish) - INTERVAL 1 HOUR) = finish THEN timezone(known, finish) - INTERVAL 1 HOUR
                WHEN timezone(known, timezone(known, finish) - INTERVAL 30 MINUTE) = finish THEN timezone(known, finish) - INTERVAL 30 MINUTE
                ELSE timezone(known, finish)
            END AS first_end
        FROM (
            SELECT local_start AS begin, local_end AS finish,
                (SELECT any_value(name) FROM pg_timezone_names() WHERE lower(name) = lower(trim(zone))) AS known
        )
    )
);

CREATE OR REPLACE MACRO hours_between(local_start, local_end, zone) AS (
    SELECT CAST(date_diff('second', first_start, CASE WHEN first_end > first_start THEN first_end ELSE last_end END) / 3600.0
        AS DECIMAL(18, 4))
    FROM (
        SELECT timezone(known, finish) AS last_end,
            CASE
                WHEN timezone(known, timezone(known, begin) - INTERVAL 1 HOUR) = begin THEN timezone(known, begin) - INTERVAL 1 HOUR
                WHEN timezone(known, timezone(known, begin) - INTERVAL 30 MINUTE) = begin THEN timezone(known, begin) - INTERVAL 30 MINUTE
                ELSE timezone(known, begin)
            END AS first_start,
            CASE
                WHEN timezone(known, timezone(known, finish) - INTERVAL 1 HOUR) = finish THEN timezone(known, finish) - INTERVAL 1 HOUR
                WHEN timezone(known, timezone(known, finish) - INTERVAL 30 MINUTE) = finish THEN timezone(known, finish) - INTERVAL 30 MINUTE
                ELSE timezone(known, finish)
            END AS first_end
        FROM (
            SELECT local_start AS begin, local_end AS finish,
                (SELECT any_value(name) FROM pg_timezone_names() WHERE lower(name) = lower(trim(zone))) AS known
        )
    )
);
