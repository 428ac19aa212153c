-- One row per portal, month and reason why a value could not be used as Planday sends it: a time zone that had to be replaced, a duration that is not clear. No rows means no such values.
--
-- portal: Key of the portal in portals.yaml.
-- month: Month of the rows (YYYY-MM).
-- table_name: Table that the value is in, as domain.table.
-- column_name: Column that the value is in.
-- finding: What is wrong with it.
-- consequence: What the marts do about it.
-- rows: How many rows have it.
CREATE OR REPLACE VIEW sync.findings AS
SELECT portal, month, 'scheduling.time_and_costs' AS table_name, 'duration' AS column_name, hours_gap AS finding,
    'No hours in marts.planned_costs; planned hours are those of the roster.' AS consequence, count(*) AS rows
FROM marts.planned_costs WHERE hours_gap IS NOT NULL GROUP BY ALL
UNION ALL
SELECT s.portal, s.month, 'scheduling.shifts', 'time_zone', z.reason,
    CASE WHEN z.zone IS NULL THEN 'No instants.' ELSE 'Times are read as ' || z.zone || '.' END, count(*)
FROM scheduling.shifts AS s
JOIN sync.time_zones AS z ON z.portal = s.portal AND z.name = coalesce(s.time_zone, '') AND z.reason IS NOT NULL
GROUP BY ALL;
