-- One row per shift: planned, punched, approved and paid hours and cost, and why one of them is missing. Punches without a shift, and paid shifts that the roster no longer has, are rows of their own, so that sums equal Planday's.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- row_of: shift; punch (without a shift); payroll (paid, and no longer in the roster).
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- date: Day the shift or punch starts.
-- department_id: Id in `hr.departments`.
-- department: Its name.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- status: Of the shift.
-- planned_hours: Hours of the roster, without breaks that are known; drafts and open shifts included.
-- punched_hours: From punching in to punching out, without punched breaks; NULL before punching out.
-- approved_hours: As approved: the times of approved punches, or the planned hours of a shift approved without a punch.
-- paid_hours: As payroll counts them, without unpaid breaks.
-- planned_cost: From time and cost; never add it to payroll.
-- paid_cost: Pay for the shift, from payroll, in the portal's currency; NULL where payroll has no pay data.
-- punches: Number of punches of the shift.
-- punched_gap: Why there are no punched hours: draft, open, not punched out, not yet, absent, not punched.
-- approved_gap: Why there are no approved hours: draft, open, not yet, absent, not approved.
-- paid_gap: Why there is no cost: draft, open, not yet, payroll not read, salaried, no pay data, absent, not in payroll.
CREATE OR REPLACE VIEW marts.hours AS
WITH breaks AS (
    SELECT b.portal, b.punch_clock_shift_id, sum(t.hours) AS hours
    FROM punchclock.punch_clock_breaks AS b
    JOIN marts.spans AS t ON t.span_of = 'break' AND t.portal = b.portal AND t.id = b.id
    WHERE b.end_date_time IS NOT NULL
    GROUP BY ALL
),
punches AS (
    SELECT p.portal, p.portal_id, p.id, s.id AS shift_id, p.department_id, p.employee_id,
        CAST(coalesce(p.start_date_time, p.shift_start_date_time) AS DATE) AS date,
        t.hours - coalesce(b.hours, 0) AS hours,
        CASE WHEN p.is_approved THEN a.hours END AS approved_hours,
        p.start_date_time IS NOT NULL AND p.end_date_time IS NULL AS is_open
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.shift_id
    LEFT JOIN marts.spans AS t ON t.span_of = 'punch' AND t.portal = p.portal AND t.id = p.id
    LEFT JOIN marts.spans AS a ON a.span_of = 'approved' AND a.portal = p.portal AND a.id = p.id
    LEFT JOIN breaks AS b ON b.portal = p.portal AND b.punch_clock_shift_id = p.id
),
by_shift AS (
    SELECT portal, shift_id, count(*) AS punches, sum(hours) AS hours, sum(approved_hours) AS approved_hours,
        bool_or(is_open) AS is_open
    FROM punches WHERE shift_id IS NOT NULL GROUP BY ALL
),
unpaid AS (
    SELECT portal, shift_id, sum(coalesce(duration, CAST(date_diff('second', start, "end") / 3600.0 AS DECIMAL(18, 4)))) AS hours FROM payroll.shift_breaks
    WHERE is_paid IS NOT DISTINCT FROM false GROUP BY ALL
),
paid AS (
    SELECT p.portal, p.portal_id, p.id AS shift_id, p.department_id, p.employee_id, coalesce(p.date, CAST(p.start AS DATE)) AS date,
        p.month, s.id IS NULL AS is_stray,
        t.hours - coalesce(u.hours, 0) AS hours,
        TRY_CAST(p.salary AS DECIMAL(18, 4)) AS salary,
        -- Nobody without a rate has one of 0: that is what Planday writes where there is none.
        coalesce(TRY_CAST(p.wage_rate AS DECIMAL(18, 4)), 0) = 0
            AND TRY_CAST(p.salary AS DECIMAL(18, 4)) IS NOT DISTINCT FROM 0 AS lacks_pay_data
    FROM payroll.shifts AS p
    LEFT JOIN scheduling.shifts AS s ON s.portal = p.portal AND s.id = p.id
    LEFT JOIN marts.spans AS t ON t.span_of = 'payroll' AND t.portal = p.portal AND t.id = p.id
    LEFT JOIN unpaid AS u ON u.portal = p.portal AND u.shift_id = p.id
),
salaried AS (SELECT DISTINCT portal, month, employee_id FROM payroll.salaried),
rows_of AS (
    SELECT s.portal, s.portal_id, 'shift' AS row_of, s.shift_id, s.date, s.month, s.department_id, s.employee_id, s.status,
        s.is_draft, s.is_open, coalesce(s.start_utc > now(), s.start_local > CAST(now() AS TIMESTAMP)) AS is_ahead, s.planned_hours, s.planned_cost, p.hours AS punched_hours,
        coalesce(
            p.approved_hours, CASE WHEN s.status IN ('Approved', 'PunchclockApproved') AND s.is_assigned THEN s.planned_hours END
        ) AS approved_hours,
        coalesce(p.punches, 0) AS punches, coalesce(p.is_open, false) AS is_in
    FROM marts.shifts AS s LEFT JOIN by_shift AS p ON p.portal = s.portal AND p.shift_id = s.shift_id
    UNION ALL
    SELECT portal, portal_id, 'punch', NULL, date, strftime(date, '%Y-%m'), department_id, employee_id, NULL,
        false, false, false, NULL, NULL, hours, approved_hours, 1, is_open
    FROM punches WHERE shift_id IS NULL
    UNION ALL
    SELECT portal, portal_id, 'payroll', shift_id, date, month, department_id, employee_id, NULL,
        false, false, false, NULL, NULL, NULL, NULL, 0, false
    FROM paid WHERE is_stray
)
SELECT
    r.portal,
    r.portal_id,
    r.row_of,
    r.shift_id,
    r.date,
    r.department_id,
    d.name AS department,
    r.employee_id,
    e.name AS employee,
    r.status,
    r.planned_hours,
    r.punched_hours,
    r.approved_hours,
    p.hours AS paid_hours,
    r.planned_cost,
    CASE WHEN p.lacks_pay_data THEN NULL ELSE p.salary END AS paid_cost,
    r.punches,
    CASE
        WHEN r.punched_hours IS NOT NULL AND NOT r.is_in THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_in THEN 'not punched out'
        WHEN r.is_ahead THEN 'not yet'
        WHEN a.employee_id IS NOT NULL THEN 'absent'
        ELSE 'not punched'
    END AS punched_gap,
    CASE
        WHEN r.approved_hours IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN a.employee_id IS NOT NULL THEN 'absent'
        ELSE 'not approved'
    END AS approved_gap,
    CASE
        WHEN p.shift_id IS NOT NULL AND NOT p.lacks_pay_data AND p.salary IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN l.slice_id IS NULL THEN 'payroll not read'
        WHEN y.employee_id IS NOT NULL THEN 'salaried'
        WHEN p.shift_id IS NOT NULL THEN 'no pay data'
        WHEN a.employee_id IS NOT NULL THEN 'absent'
        ELSE 'not in payroll'
    END AS paid_gap
FROM rows_of AS r
LEFT JOIN paid AS p ON p.portal = r.portal AND p.shift_id = r.shift_id
LEFT JOIN sync.slices AS l ON l.table_name = 'payroll.shifts' AND l.portal = r.portal AND l.month = r.month
LEFT JOIN salaried AS y ON y.portal = r.portal AND y.month = r.month AND y.employee_id = r.employee_id
LEFT JOIN marts.absence_days AS a ON a.portal = r.portal AND a.employee_id = r.employee_id AND a.date = r.date
LEFT JOIN hr.departments AS d ON d.portal = r.portal AND d.id = r.department_id
LEFT JOIN marts.employees AS e ON e.portal = r.portal AND e.employee_id = r.employee_id;
