-- One row per portal, department and week: how many shifts somebody had, how many of them changed shortly before they began, how many were still open then, and how early open ones were filled. Reads show between which two instants a change happened, so each figure is two: what is certain (at least), and what is possible (at most).
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- department_id: Id in `hr.departments`; NULL for shifts without one.
-- department: Its name; NULL where it has none. Group by the id as well.
-- iso_week: ISO year and week in which the shift begins, before the change (202548 is week 48 of 2025). A condition on it limits what is read; `marts.roster_stability_between` reads less.
-- week: Monday of that week. A condition on it still reads all weeks: use `iso_week`.
-- assigned_shifts: Shifts that somebody has, or that have a change in `marts.roster_changes`.
-- changed_shifts: Shifts with a change that may have been before their start.
-- changed_within_24h_at_least: Shifts with a change that was certainly within the last 24 hours before the start.
-- changed_within_24h_at_most: Shifts with a change that may have been within them.
-- changed_within_48h_at_least: The same for 48 hours.
-- changed_within_48h_at_most: The same for 48 hours.
-- changed_within_168h_at_least: The same for a week.
-- changed_within_168h_at_most: The same for a week.
-- changed_within_24h_percent_at_least: As a percentage of `assigned_shifts`; NULL where there are none.
-- changed_within_24h_percent_at_most: Likewise.
-- changed_within_48h_percent_at_least: Likewise.
-- changed_within_48h_percent_at_most: Likewise.
-- changed_within_168h_percent_at_least: Likewise.
-- changed_within_168h_percent_at_most: Likewise.
-- median_notice_hours_at_least: Median over the changed shifts of the hours from the last change to the start, at least.
-- median_notice_hours_at_most: At most.
-- open_at_start: Shifts that the last read before their start found open.
-- filled_shifts: Open shifts that somebody got before they began.
-- median_filled_hours_at_least: Median over them of the hours from then to the start, at least.
-- median_filled_hours_at_most: At most.
CREATE OR REPLACE VIEW marts.roster_stability AS
WITH open_versions AS NOT MATERIALIZED (
    SELECT h.*, z.zone FROM scheduling_history.shifts AS h
    LEFT JOIN sync.time_zones AS z ON z.portal = h.portal AND z.name = coalesce(h.time_zone, '')
    WHERE h.employee_id IS NULL AND h.status IS DISTINCT FROM 'Draft' AND lower(coalesce(h.status, '')) NOT IN ('cancelled', 'canceled', 'deleted')
),
opened AS (
    SELECT h.*, h.start_date_time - to_seconds(CASE WHEN h.start_date_time >= o.later_from THEN o.later_offset_seconds ELSE o.offset_seconds END) AS start_at
    FROM open_versions AS h
    LEFT JOIN sync.time_zone_weeks AS o ON o.zone = h.zone
        AND o.week = date_diff('day', DATE '1990-01-01', CAST(least(greatest(h.start_date_time, TIMESTAMP '1990-01-01'), TIMESTAMP '2070-01-01') AS DATE)) // 7
),
parts AS (
    SELECT portal, portal_id, department_id, date, yearweek(date) AS iso_week, id AS shift_id, true AS is_assigned FROM scheduling.shifts
    WHERE employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft'
    UNION ALL BY NAME
    SELECT portal, portal_id, department_id, date, iso_week, shift_id, true AS is_assigned,
        hours_before_at_least AS at_least, hours_before_at_most AS at_most, change = 'assigned' AND old_start_local IS NOT NULL AS is_filled
    FROM marts.roster_changes
    UNION ALL BY NAME
    SELECT portal, portal_id, department_id, date, yearweek(date) AS iso_week, id AS shift_id, true AS is_open FROM opened
    WHERE start_at <= timezone('UTC', now()) AND valid_from <= make_timestamptz(epoch_us(start_at)) AND (valid_to IS NULL OR valid_to > make_timestamptz(epoch_us(start_at)))
),
each_shift AS (
    SELECT portal, any_value(portal_id) AS portal_id, department_id, iso_week, min(date) AS date, shift_id,
        bool_or(is_assigned) AS is_assigned, bool_or(is_open) AS is_open,
        bool_or(at_most > 0) AS is_changed,
        bool_or(at_least >= 0 AND at_most <= 24) AS surely_24, bool_or(at_least < 24 AND at_most > 0) AS maybe_24,
        bool_or(at_least >= 0 AND at_most <= 48) AS surely_48, bool_or(at_least < 48 AND at_most > 0) AS maybe_48,
        bool_or(at_least >= 0 AND at_most <= 168) AS surely_168, bool_or(at_least < 168 AND at_most > 0) AS maybe_168,
        min(greatest(at_least, 0)) FILTER (WHERE at_most > 0) AS notice_at_least, min(at_most) FILTER (WHERE at_most > 0) AS notice_at_most,
        min(greatest(at_least, 0)) FILTER (WHERE is_filled AND at_most > 0) AS filled_at_least,
        min(at_most) FILTER (WHERE is_filled AND at_most > 0) AS filled_at_most
    FROM parts GROUP BY portal, department_id, iso_week, shift_id
),
weeks AS (
    SELECT portal, any_value(portal_id) AS portal_id, department_id, iso_week, CAST(date_trunc('week', min(date)) AS DATE) AS week,
        count(*) FILTER (WHERE is_assigned) AS assigned_shifts,
        count(*) FILTER (WHERE is_changed) AS changed_shifts,
        count(*) FILTER (WHERE surely_24) AS surely_24, count(*) FILTER (WHERE maybe_24) AS maybe_24,
        count(*) FILTER (WHERE surely_48) AS surely_48, count(*) FILTER (WHERE maybe_48) AS maybe_48,
        count(*) FILTER (WHERE surely_168) AS surely_168, count(*) FILTER (WHERE maybe_168) AS maybe_168,
        median(CAST(notice_at_least AS DOUBLE)) AS notice_at_least, median(CAST(notice_at_most AS DOUBLE)) AS notice_at_most,
        count(*) FILTER (WHERE is_open) AS open_at_start,
        count(filled_at_most) AS filled_shifts, median(CAST(filled_at_least AS DOUBLE)) AS filled_at_least, median(CAST(filled_at_most AS DOUBLE)) AS filled_at_most
    FROM each_shift GROUP BY portal, department_id, iso_week
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL)
SELECT
    w.portal,
    w.portal_id,
    w.department_id,
    d.name AS department,
    w.iso_week,
    w.week,
    w.assigned_shifts,
    w.changed_shifts,
    w.surely_24 AS changed_within_24h_at_least,
    w.maybe_24 AS changed_within_24h_at_most,
    w.surely_48 AS changed_within_48h_at_least,
    w.maybe_48 AS changed_within_48h_at_most,
    w.surely_168 AS changed_within_168h_at_least,
    w.maybe_168 AS changed_within_168h_at_most,
    round(100.0 * w.surely_24 / nullif(w.assigned_shifts, 0), 2) AS changed_within_24h_percent_at_least,
    round(100.0 * w.maybe_24 / nullif(w.assigned_shifts, 0), 2) AS changed_within_24h_percent_at_most,
    round(100.0 * w.surely_48 / nullif(w.assigned_shifts, 0), 2) AS changed_within_48h_percent_at_least,
    round(100.0 * w.maybe_48 / nullif(w.assigned_shifts, 0), 2) AS changed_within_48h_percent_at_most,
    round(100.0 * w.surely_168 / nullif(w.assigned_shifts, 0), 2) AS changed_within_168h_percent_at_least,
    round(100.0 * w.maybe_168 / nullif(w.assigned_shifts, 0), 2) AS changed_within_168h_percent_at_most,
    round(w.notice_at_least, 2) AS median_notice_hours_at_least,
    round(w.notice_at_most, 2) AS median_notice_hours_at_most,
    w.open_at_start,
    w.filled_shifts,
    round(w.filled_at_least, 2) AS median_filled_hours_at_least,
    round(w.filled_at_most, 2) AS median_filled_hours_at_most
FROM weeks AS w
LEFT JOIN departments AS d ON d.portal = w.portal AND d.id = w.department_id;
