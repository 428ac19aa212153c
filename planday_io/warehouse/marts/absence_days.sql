-- One row per employee and day of approved absence. A record without an end, or longer than a year, that is not registered day by day counts from the first month read to the last one, or to 18 months ahead.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- date: Day of absence.
-- absence_record_ids: Ids in `absence.absence_records`.
-- accounts: Names of the accounts that it is taken from.
-- absence_types: Types of those accounts (Vacation, Flextime and others).
-- absence_kind: sickness, vacation or other, by `sync.absence_kinds`; of several the first of these. Other also where Planday names no account.
-- days: Days taken from accounts that count days.
-- hours: Hours taken from accounts that count hours.
-- is_whole_day: Whether the absence has no times of day.
-- is_registered: Whether Planday registers the day; if not, it is a day of a record that only has a first and a last one, weekends included.
CREATE OR REPLACE VIEW marts.absence_days AS
WITH grids AS (
    -- The months that are read, and as far ahead as absence is asked for.
    SELECT portal, min(CAST(month || '-01' AS DATE)) AS first,
        greatest(CAST(last_day(max(CAST(month || '-01' AS DATE))) AS DATE), CAST(today() + INTERVAL 18 MONTH AS DATE)) AS last
    FROM sync.slices WHERE month IS NOT NULL GROUP BY portal
),
records AS (
    SELECT *, isfinite(absence_period_start) AND isfinite(absence_period_end)
        AND date_diff('day', absence_period_start, absence_period_end) <= 366 AS is_usual
    FROM absence.absence_records WHERE status = 'Approved'
),
taken AS (
    SELECT portal, absence_record_id, ordinal,
        sum(TRY_CAST(cost.value AS DECIMAL(18, 4))) FILTER (WHERE cost.unit_type = 'Days') AS days,
        sum(TRY_CAST(cost.value AS DECIMAL(18, 4))) FILTER (WHERE cost.unit_type = 'Hours') AS hours
    FROM (SELECT portal, absence_record_id, ordinal, unnest(account_costs) AS cost FROM absence.absence_record_registrations)
    GROUP BY ALL
),
days AS (
    SELECT r.portal, r.portal_id, r.employee_id, g.date, r.id, a.name AS account, t.absence_type, n.kind, k.days, k.hours,
        g.time_start IS NULL AND g.time_end IS NULL AS is_whole, true AS is_registered
    FROM records AS r
    JOIN absence.absence_record_registrations AS g ON g.portal = r.portal AND g.absence_record_id = r.id
    LEFT JOIN taken AS k ON k.portal = g.portal AND k.absence_record_id = g.absence_record_id AND k.ordinal = g.ordinal
    LEFT JOIN absence.accounts AS a ON a.portal = g.portal AND a.id = g.account_id
    LEFT JOIN absence.account_types AS t ON t.portal = a.portal AND t.id = a.type_id
    LEFT JOIN sync.absence_kinds AS n ON n.type_of = 'account' AND n.portal = a.portal AND n.type_id = a.type_id
    WHERE g.date IS NOT NULL
    UNION ALL
    -- Records that do not say it day by day. Longer than a year is open: of that the days within the grid count.
    SELECT r.portal, r.portal_id, r.employee_id,
        CAST(unnest(generate_series(
            CAST(CASE WHEN r.is_usual THEN r.absence_period_start
                ELSE greatest(least(r.absence_period_start, DATE '9999-12-31'), coalesce(g.first, CAST(today() - INTERVAL 2 YEAR AS DATE)))
            END AS TIMESTAMP),
            CAST(CASE WHEN r.is_usual THEN r.absence_period_end
                ELSE least(greatest(coalesce(r.absence_period_end, DATE '9999-12-31'), DATE '0001-01-01'),
                    coalesce(g.last, CAST(today() + INTERVAL 18 MONTH AS DATE)))
            END AS TIMESTAMP),
            INTERVAL 1 DAY
        )) AS DATE),
        r.id, NULL, NULL, NULL, NULL, NULL, true, false
    FROM records AS r LEFT JOIN grids AS g ON g.portal = r.portal
    WHERE r.absence_period_start IS NOT NULL AND NOT EXISTS (
        FROM absence.absence_record_registrations AS g
        WHERE g.portal = r.portal AND g.absence_record_id = r.id AND g.date IS NOT NULL
    )
),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL)
SELECT
    d.portal,
    d.portal_id,
    d.employee_id,
    any_value(e.name) AS employee,
    d.date,
    list(DISTINCT d.id ORDER BY d.id) AS absence_record_ids,
    list(DISTINCT d.account ORDER BY d.account) FILTER (WHERE d.account IS NOT NULL) AS accounts,
    list(DISTINCT d.absence_type ORDER BY d.absence_type) FILTER (WHERE d.absence_type IS NOT NULL) AS absence_types,
    CASE WHEN bool_or(d.kind = 'sickness') THEN 'sickness' WHEN bool_or(d.kind = 'vacation') THEN 'vacation' ELSE 'other' END AS absence_kind,
    abs(sum(d.days)) AS days,
    abs(sum(d.hours)) AS hours,
    bool_or(d.is_whole) AS is_whole_day,
    bool_or(d.is_registered) AS is_registered
FROM days AS d
LEFT JOIN people AS e ON e.portal = d.portal AND e.employee_id = d.employee_id
GROUP BY d.portal, d.portal_id, d.employee_id, d.date;
