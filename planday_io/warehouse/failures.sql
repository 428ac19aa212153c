-- One row per table that a run failed to read, with the reason, and whether it was read since. What a run that was killed did not read is in no row.
--
-- portal: Key of the portal in portals.yaml.
-- table_name: Table, as domain.table.
-- month: Month that was to be read (YYYY-MM), NULL for what has no months.
-- run_id: Dagster's run.
-- started_at: When that run began (UTC).
-- ended_at: When it ended (UTC).
-- error: The reason.
-- read_at: When what is shown now was read (UTC); NULL where the table or month was never read.
-- is_over: Whether that was after the run began. False: what is shown is older, or there is nothing. It stays false where a table is no longer read.
CREATE OR REPLACE VIEW sync.failures AS
SELECT r.portal, r.table_name, r.of_month AS month, r.run_id, r.started_at, r.ended_at, r.error, s.fetched_at AS read_at,
    coalesce(s.fetched_at > r.started_at, false) AS is_over
FROM (
    SELECT portal, of_month, run_id, started_at, ended_at, unnest(failed) AS table_name, unnest(errors) AS error FROM sync.runs
) AS r
LEFT JOIN sync.slices AS s ON s.portal = r.portal AND s.table_name = r.table_name AND s.month IS NOT DISTINCT FROM r.of_month;
