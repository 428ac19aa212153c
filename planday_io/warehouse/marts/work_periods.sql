-- One row per stretch of work of a person, as planned and as worked: the register that rules of working time are about. Worked is as punched, whatever approving made of it; without punching out, or out more than 16 hours later, as approved; without a punch, the planned times of a shift that was approved. Planned are assigned shifts of work and courses. Sickness, absence, unpaid shifts and drafts are not here, nor is anything longer than 36 hours by the wall clock.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the shift or punch (YYYY-MM). Around midnight at the end of a month the day of a punch may be in the next.
-- date: Day it begins; of a punch that belongs to a shift, the shift's day, which may be the day before or after.
-- basis: planned; worked.
-- worked_by: punched; approved; NULL for planned ones.
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- punch_id: Id in `punchclock.punch_clock_shifts`; NULL for planned ones, and for shifts approved without a punch.
-- department_id: Id in `hr.departments`.
-- department: Its name; NULL where it has none. Group by the id as well.
-- employee_id: Id of the employee: the punch's, or else the shift's.
-- employee: Name of the employee.
-- zone: Time zone of the local times; NULL where none is known.
-- start_local: Start, wall clock.
-- end_local: End, wall clock.
-- start_utc: Start as an instant.
-- end_utc: End as an instant.
-- hours: Hours without the breaks that are known: as punched, or as planned.
-- longest_stretch_hours: Longest time without a break. NULL where breaks are not known: worked, in departments where nobody punched a break in that month; planned, where there is a break, at an unknown time.
CREATE OR REPLACE VIEW marts.work_periods AS
WITH breakers AS (
    SELECT portal, month, department_id, true AS punches_breaks FROM punchclock.punch_clock_shifts AS p
    WHERE EXISTS (FROM punchclock.punch_clock_breaks AS b WHERE b.portal = p.portal AND b.punch_clock_shift_id = p.id AND b.end_date_time IS NOT NULL)
    GROUP BY ALL
),
kinds AS (SELECT portal, shift_type_id, any_value(kind) AS kind FROM sync.shift_kinds WHERE kind IN ('sickness', 'absence', 'unpaid') GROUP BY ALL),
clocked AS NOT MATERIALIZED (
    -- A punch of a shift is on the shift's day: for one that begins at midnight people punch in the evening before.
    SELECT p.* REPLACE (
            coalesce(p.employee_id, s.employee_id) AS employee_id,
            CASE WHEN abs(date_diff('day', s.date, p.date)) <= 1 THEN s.date ELSE p.date END AS date
        ),
        CASE WHEN abs(date_diff('day', s.date, TRY_CAST(p.approved_start AS DATE))) <= 1 THEN s.date ELSE TRY_CAST(p.approved_start AS DATE) END AS approved_date,
        b.punches_breaks, p.is_approved AND p.approved_start IS NOT NULL AND p.approved_end IS NOT NULL AS is_corrected, coalesce(
        CASE WHEN isfinite(p.punched_in_utc) AND isfinite(p.punched_out_utc) THEN epoch_us(p.punched_out_utc) - epoch_us(p.punched_in_utc) END,
        date_diff('microsecond', p.punched_in, p.punched_out)
    ) AS stayed
    FROM marts.punches AS p
    LEFT JOIN breakers AS b ON b.portal = p.portal AND b.month = p.month AND b.department_id = p.department_id
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN kinds AS k ON k.portal = s.portal AND k.shift_type_id = s.shift_type_id
    WHERE k.kind IS NULL
),
-- Each shift once or twice: as planned, and as worked if it was approved and is no longer to come.
rostered AS NOT MATERIALIZED (
    SELECT s.*, x.basis FROM marts.shifts AS s CROSS JOIN (VALUES ('planned'), ('worked')) AS x(basis)
    WHERE s.is_assigned AND s.kind IN ('work', 'course') AND (
        x.basis = 'planned' OR s.status IN ('Approved', 'PunchclockApproved') AND coalesce(s.start_utc <= now(), s.start_local <= CAST(now() AS TIMESTAMP))
    )
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL),
periods AS (
    -- As punched, or else as approved.
    SELECT portal, portal_id, month, CASE WHEN is_as_punched THEN date ELSE approved_date END AS date, 'worked' AS basis,
        CASE WHEN is_as_punched THEN 'punched' ELSE 'approved' END AS worked_by, shift_id, punch_id, department_id, employee_id, zone,
        CASE WHEN is_as_punched THEN punched_in ELSE approved_start END AS start_local, CASE WHEN is_as_punched THEN punched_out ELSE approved_end END AS end_local,
        CASE WHEN is_as_punched THEN punched_in_utc ELSE approved_start_utc END AS start_utc, CASE WHEN is_as_punched THEN punched_out_utc ELSE approved_end_utc END AS end_utc,
        CASE WHEN is_as_punched THEN hours END AS hours, CASE WHEN is_as_punched AND punches_breaks THEN longest_stretch_hours END AS longest_stretch_hours
    FROM (SELECT *, coalesce(stayed <= 57600000000 OR stayed IS NOT NULL AND NOT is_corrected, false) AS is_as_punched FROM clocked)
    WHERE is_as_punched OR is_corrected
    UNION ALL
    SELECT portal, portal_id, month, date, basis, CASE WHEN basis = 'worked' THEN 'approved' END, shift_id, NULL, department_id, employee_id, zone,
        start_local, end_local, start_utc, end_utc, planned_hours,
        CASE WHEN basis = 'planned' AND break_hours = 0 AND planned_cost IS NOT NULL AND time_and_cost_gap IS NULL THEN hours END
    FROM rostered AS r
    -- Not the shifts that a punch tells the times of, as one does that lasts up to 36 hours.
    WHERE basis = 'planned' OR NOT EXISTS (
        FROM punchclock.punch_clock_shifts AS p WHERE p.portal = r.portal AND p.shift_id = r.shift_id AND (
            date_diff('microsecond', p.start_date_time, p.end_date_time) BETWEEN 1 AND 129600000000
            OR p.is_approved AND p.shift_end_date_time > p.shift_start_date_time
        )
    )
),
bounded AS (
    SELECT *, coalesce(
        CASE WHEN isfinite(start_utc) AND isfinite(end_utc) THEN epoch_us(end_utc) - epoch_us(start_utc) END,
        date_diff('microsecond', start_local, end_local)
    ) AS lasted
    FROM periods WHERE isfinite(start_local) AND isfinite(end_local) AND isfinite(date)
        AND date_diff('microsecond', start_local, end_local) <= 129600000000
)
SELECT
    b.portal,
    b.portal_id,
    b.month,
    b.date,
    b.basis,
    b.worked_by,
    b.shift_id,
    b.punch_id,
    b.department_id,
    d.name AS department,
    b.employee_id,
    e.name AS employee,
    b.zone,
    b.start_local,
    b.end_local,
    b.start_utc,
    b.end_utc,
    coalesce(b.hours, CAST(b.lasted / 3600000000.0 AS DECIMAL(18, 4))) AS hours,
    b.longest_stretch_hours
FROM bounded AS b
LEFT JOIN departments AS d ON d.portal = b.portal AND d.id = b.department_id
LEFT JOIN people AS e ON e.portal = b.portal AND e.employee_id = b.employee_id
WHERE b.lasted > 0 AND b.employee_id IS NOT NULL;
