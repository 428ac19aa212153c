-- One row per shift or punch and exception beyond a tolerance: came late, left early, came early, left late, too long a break; and whatever the tolerance, a forgotten punch-out and a no-show.
--
-- tolerance_minutes: Only more minutes than these are an exception; 5 unless given.
-- from_date: First day; all days unless given.
-- to_date: Last day; all days unless given.
-- db: Name that the file is attached as; the database in use unless given.
--
-- portal: Key of the portal in portals.yaml.
-- month: Month of the shift or punch (YYYY-MM).
-- date: Day it begins.
-- department_id: Id in `hr.departments`.
-- department: Its name.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- punch_ids: Ids in `punchclock.punch_clock_shifts`.
-- exception: late, left early, came early, left late, long break, forgotten punch-out, no-show.
-- minutes: By how much, the tolerated minutes included; NULL for a forgotten punch-out and a no-show.
-- start_local: Planned start, wall clock.
-- end_local: Planned end, wall clock.
-- first_punch_in: First time punched in, wall clock.
-- last_punch_out: Last time punched out, wall clock.
CREATE OR REPLACE MACRO marts.attendance_exceptions(tolerance_minutes := 5, from_date := NULL, to_date := NULL, db := NULL) AS TABLE
SELECT * FROM (
    SELECT a.portal, a.month, a.date, a.department_id, a.department, a.employee_id, a.employee, a.shift_id, a.punch_ids, x.exception,
        CAST(CASE x.exception
            WHEN 'late' THEN a.late_minutes WHEN 'left early' THEN a.early_leave_minutes WHEN 'came early' THEN a.early_arrival_minutes
            WHEN 'left late' THEN a.late_leave_minutes WHEN 'long break' THEN a.long_break_minutes
        END AS DECIMAL(18, 4)) AS minutes,
        a.start_local, a.end_local, a.first_punch_in, a.last_punch_out
    FROM marts.attendance AS a
    CROSS JOIN (VALUES ('late'), ('left early'), ('came early'), ('left late'), ('long break'), ('forgotten punch-out'), ('no-show')) AS x(exception)
    WHERE (from_date IS NULL OR a.date >= CAST(from_date AS DATE)) AND (to_date IS NULL OR a.date <= CAST(to_date AS DATE))
        -- The days' months as well, which limit what is read.
        AND a.month >= strftime(greatest(CAST(from_date AS DATE), DATE '1900-01-01'), '%Y-%m') AND a.month <= strftime(least(CAST(to_date AS DATE), DATE '9999-12-01'), '%Y-%m')
        AND CASE x.exception WHEN 'forgotten punch-out' THEN a.is_punch_out_forgotten WHEN 'no-show' THEN a.is_no_show ELSE true END
) WHERE minutes > tolerance_minutes OR exception IN ('forgotten punch-out', 'no-show');
