-- One row per shift: planned, punched, approved, paid and worked hours, cost, and why one of them is missing. Punches without a shift, and paid shifts that the roster no longer has, are rows of their own, so that sums equal Planday's. Names may be missing or alike: group by ids as well.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- row_of: shift; punch (without a shift); payroll (paid, and no longer in the roster).
-- shift_id: Id in `scheduling.shifts`; NULL for punches without one.
-- month: Month of the shift (YYYY-MM).
-- date: Day the shift or punch starts.
-- department_id: Id in `hr.departments`; NULL where there is none.
-- department: Its name; NULL where it has none.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- employee_group_id: Id in `hr.employee_groups`.
-- employee_group: Group the shift is for.
-- position_id: Id in `scheduling.positions`.
-- position: Position the shift is for.
-- shift_type_id: Id in `scheduling.shift_types`; NULL is an ordinary shift.
-- shift_type: Its name.
-- kind: What the type stands for: work, sickness, absence, course, standby, unpaid, by `sync.shift_kinds`.
-- status: Of the shift.
-- start_local: Start, wall clock; of punches without a shift as punched.
-- end_local: End, wall clock.
-- start_utc: Start as an instant.
-- end_utc: End as an instant.
-- is_overnight: Whether it ends on a later day.
-- first_punch_in: First time punched in, wall clock.
-- last_punch_out: Last time punched out, wall clock; NULL while somebody is punched in.
-- planned_hours: Hours of the roster, without breaks that are known; drafts, open shifts and all kinds included.
-- punched_hours: From punching in to punching out, without punched breaks; NULL before punching out.
-- approved_hours: As approved: the times of approved punches, or the planned hours of a shift approved without a punch.
-- paid_hours: As payroll counts them, without unpaid breaks.
-- worked_hours: The best that is known: approved, else punched, else paid once the shift is over. NULL for sickness, absence and unpaid types, and where nothing is known.
-- worked_by: Which of them: approved, punched, paid. Paid hours are planned ones where nobody punches, see `uses_punch_clock`.
-- planned_cost: From time and cost; never add it to payroll.
-- paid_cost: Pay for the shift, from payroll; NULL where payroll has no pay data. Whether it holds the shift's supplements is not documented.
-- currency: Of both: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
-- punches: Number of punches of the shift.
-- uses_punch_clock: Whether anybody punched in the department in that month.
-- created_at: When the shift was created; the zone is not documented, UTC is assumed.
-- modified_at: When it was last changed, likewise.
-- punched_gap: Why there are no punched hours: draft, open, not punched out, not yet, absent, not punched.
-- approved_gap: Why there are no approved hours: draft, open, not yet, absent, not approved.
-- paid_gap: Why there is no cost: draft, open, not yet, payroll not read, salaried, no pay data, absent, not in payroll.
-- worked_gap: Why there are no worked hours, or only a part: draft, the kind (sickness, absence, unpaid), not yet, not punched out, open, absent, nothing recorded.
CREATE OR REPLACE VIEW marts.hours AS
WITH breaks AS (
    SELECT b.portal, b.punch_clock_shift_id, sum(t.hours) AS hours
    FROM punchclock.punch_clock_breaks AS b
    JOIN marts.spans AS t ON t.span_of = 'break' AND t.portal = b.portal AND t.id = b.id
    WHERE b.end_date_time IS NOT NULL
    GROUP BY ALL
),
punches AS (
    SELECT p.portal, p.portal_id, p.id, t.shift_id, p.department_id, p.employee_id,
        CAST(coalesce(p.start_date_time, p.shift_start_date_time) AS DATE) AS date,
        p.start_date_time, p.end_date_time,
        coalesce(p.start_date_time, p.shift_start_date_time) AS start_local,
        CASE WHEN p.start_date_time IS NULL THEN p.shift_end_date_time ELSE p.end_date_time END AS end_local,
        coalesce(t.start_utc, a.start_utc) AS start_utc,
        CASE WHEN p.start_date_time IS NULL THEN a.end_utc ELSE t.end_utc END AS end_utc,
        t.hours - coalesce(b.hours, 0) AS hours,
        CASE WHEN p.is_approved THEN a.hours END AS approved_hours,
        p.start_date_time IS NOT NULL AND p.end_date_time IS NULL AS is_open
    FROM punchclock.punch_clock_shifts AS p
    LEFT JOIN marts.spans AS t ON t.span_of = 'punch' AND t.portal = p.portal AND t.id = p.id
    LEFT JOIN marts.spans AS a ON a.span_of = 'approved' AND a.portal = p.portal AND a.id = p.id
    LEFT JOIN breaks AS b ON b.portal = p.portal AND b.punch_clock_shift_id = p.id
),
by_shift AS (
    SELECT portal, shift_id, count(*) AS punches, sum(hours) AS hours, sum(approved_hours) AS approved_hours,
        bool_or(is_open) AS is_open, min(start_date_time) AS first_in, max(end_date_time) AS last_out
    FROM punches WHERE shift_id IS NOT NULL GROUP BY ALL
),
unpaid AS (
    SELECT portal, shift_id, sum(coalesce(duration, CAST(date_diff('second', start, "end") / 3600.0 AS DECIMAL(18, 4)))) AS hours FROM payroll.shift_breaks
    WHERE is_paid IS NOT DISTINCT FROM false GROUP BY ALL
),
pay AS (
    SELECT p.*, t.shift_id, t.start_utc, t.end_utc,
        t.hours - coalesce(u.hours, 0) AS hours,
        TRY_CAST(p.salary AS DECIMAL(18, 4)) AS amount,
        -- Nobody without a rate has one of 0: that is what Planday writes where there is none.
        coalesce(TRY_CAST(p.wage_rate AS DECIMAL(18, 4)), 0) = 0
            AND TRY_CAST(p.salary AS DECIMAL(18, 4)) IS NOT DISTINCT FROM 0 AS lacks_pay_data
    FROM payroll.shifts AS p
    LEFT JOIN marts.spans AS t ON t.span_of = 'payroll' AND t.portal = p.portal AND t.id = p.id
    LEFT JOIN unpaid AS u ON u.portal = p.portal AND u.shift_id = p.id
),
-- DuckDB leaves out a join with grouped rows if nothing of it is asked for.
paid AS (
    SELECT portal, id AS shift_id, any_value(hours) AS hours, any_value(amount) AS amount, bool_or(lacks_pay_data) AS lacks_pay_data
    FROM pay GROUP BY ALL
),
salaried AS (SELECT DISTINCT portal, month, employee_id FROM payroll.salaried),
read_months AS (SELECT DISTINCT portal, month, true AS is_read FROM sync.slices WHERE table_name = 'payroll.shifts'),
absent AS (SELECT DISTINCT portal, employee_id, date, true AS is_absent FROM marts.absence_days),
clocks AS (SELECT DISTINCT portal, month, department_id, true AS is_used FROM punchclock.punch_clock_shifts),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
people AS (SELECT portal, employee_id, any_value(name) AS name FROM marts.employees GROUP BY ALL),
employee_groups AS (SELECT portal, id, any_value(name) AS name FROM hr.employee_groups GROUP BY ALL),
positions AS (SELECT portal, id, any_value(name) AS name FROM scheduling.positions GROUP BY ALL),
shift_types AS (SELECT portal, id, any_value(name) AS name FROM scheduling.shift_types GROUP BY ALL),
kinds AS (SELECT portal, shift_type_id, any_value(name) AS name, any_value(kind) AS kind FROM sync.shift_kinds GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL),
rows_of AS (
    SELECT s.portal, s.portal_id, 'shift' AS row_of, s.shift_id, s.date, s.month, s.department_id, s.employee_id, s.employee_group_id, s.position_id,
        s.shift_type_id, s.status, s.is_draft, s.is_open, s.start_local, s.end_local, s.start_utc, s.end_utc, p.first_in, p.last_out,
        s.planned_hours, s.planned_cost, p.hours AS punched_hours,
        coalesce(
            p.approved_hours, CASE WHEN s.status IN ('Approved', 'PunchclockApproved') AND s.is_assigned THEN s.planned_hours END
        ) AS approved_hours,
        coalesce(p.punches, 0) AS punches, coalesce(p.is_open, false) AS is_in, s.created_at, s.modified_at
    FROM marts.shifts AS s LEFT JOIN by_shift AS p ON p.portal = s.portal AND p.shift_id = s.shift_id
    UNION ALL
    SELECT portal, portal_id, 'punch', NULL, date, strftime(date, '%Y-%m'), department_id, employee_id, NULL, NULL,
        NULL, NULL, false, false, start_local, end_local, start_utc, end_utc, start_date_time, end_date_time,
        NULL, NULL, hours, approved_hours, 1, is_open, NULL, NULL
    FROM punches WHERE shift_id IS NULL
    UNION ALL
    SELECT portal, portal_id, 'payroll', id, coalesce(date, CAST(start AS DATE)), month, department_id, employee_id, employee_group_id, position_id,
        shift_type_id, NULL, false, false, start, "end", start_utc, end_utc, NULL, NULL,
        NULL, NULL, NULL, NULL, 0, false, NULL, NULL
    FROM pay WHERE shift_id IS NULL
),
known AS (
    SELECT r.*, p.hours AS paid_hours, p.amount, p.lacks_pay_data, p.shift_id IS NOT NULL AS is_paid, a.is_absent, k.name AS kind_name,
        coalesce(k.kind, 'work') AS kind,
        r.row_of = 'shift' AND coalesce(r.start_utc > now(), r.start_local > CAST(now() AS TIMESTAMP)) AS is_ahead,
        CASE
            WHEN r.is_draft OR k.kind IN ('sickness', 'absence', 'unpaid') THEN NULL
            WHEN r.punched_hours IS NULL AND r.row_of = 'shift' AND coalesce(r.start_utc > now(), r.start_local > CAST(now() AS TIMESTAMP), false) THEN NULL
            WHEN r.approved_hours IS NOT NULL THEN 'approved'
            WHEN r.punched_hours IS NOT NULL THEN 'punched'
            WHEN p.hours IS NOT NULL AND a.is_absent IS NULL AND NOT coalesce(r.end_utc > now(), r.end_local > CAST(now() AS TIMESTAMP), false) THEN 'paid'
        END AS worked_by
    FROM rows_of AS r
    LEFT JOIN paid AS p ON p.portal = r.portal AND p.shift_id = r.shift_id
    LEFT JOIN absent AS a ON a.portal = r.portal AND a.employee_id = r.employee_id AND a.date = r.date
    LEFT JOIN kinds AS k ON k.portal = r.portal AND k.shift_type_id = r.shift_type_id
)
SELECT
    r.portal,
    r.portal_id,
    r.row_of,
    r.shift_id,
    r.month,
    r.date,
    r.department_id,
    d.name AS department,
    r.employee_id,
    e.name AS employee,
    r.employee_group_id,
    g.name AS employee_group,
    r.position_id,
    o.name AS position,
    r.shift_type_id,
    coalesce(t.name, r.kind_name) AS shift_type,
    r.kind,
    r.status,
    r.start_local,
    r.end_local,
    r.start_utc,
    r.end_utc,
    CAST(r.end_local - INTERVAL 1 SECOND AS DATE) > CAST(r.start_local AS DATE) AS is_overnight,
    r.first_in AS first_punch_in,
    CASE WHEN NOT r.is_in THEN r.last_out END AS last_punch_out,
    r.planned_hours,
    r.punched_hours,
    r.approved_hours,
    r.paid_hours,
    CASE r.worked_by WHEN 'approved' THEN r.approved_hours WHEN 'punched' THEN r.punched_hours WHEN 'paid' THEN r.paid_hours END AS worked_hours,
    r.worked_by,
    r.planned_cost,
    CASE WHEN r.lacks_pay_data THEN NULL ELSE r.amount END AS paid_cost,
    c.currency,
    r.punches,
    coalesce(u.is_used, false) AS uses_punch_clock,
    r.created_at,
    r.modified_at,
    CASE
        WHEN r.punched_hours IS NOT NULL AND NOT r.is_in THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_in THEN 'not punched out'
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not punched'
    END AS punched_gap,
    CASE
        WHEN r.approved_hours IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not approved'
    END AS approved_gap,
    CASE
        WHEN r.is_paid AND NOT r.lacks_pay_data AND r.amount IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.is_open THEN 'open'
        WHEN r.is_ahead THEN 'not yet'
        WHEN l.is_read IS NULL THEN 'payroll not read'
        WHEN y.employee_id IS NOT NULL THEN 'salaried'
        WHEN r.is_paid THEN 'no pay data'
        WHEN r.is_absent THEN 'absent'
        ELSE 'not in payroll'
    END AS paid_gap,
    CASE
        WHEN r.worked_by = 'punched' AND r.is_in THEN 'not punched out'
        WHEN r.worked_by IS NOT NULL THEN NULL
        WHEN r.is_draft THEN 'draft'
        WHEN r.kind IN ('sickness', 'absence', 'unpaid') THEN r.kind
        WHEN r.is_ahead THEN 'not yet'
        WHEN r.is_in THEN 'not punched out'
        WHEN r.is_open THEN 'open'
        WHEN r.is_absent THEN 'absent'
        ELSE 'nothing recorded'
    END AS worked_gap
FROM known AS r
LEFT JOIN read_months AS l ON l.portal = r.portal AND l.month = r.month
LEFT JOIN salaried AS y ON y.portal = r.portal AND y.month = r.month AND y.employee_id = r.employee_id
LEFT JOIN clocks AS u ON u.portal = r.portal AND u.month = r.month AND u.department_id = r.department_id
LEFT JOIN departments AS d ON d.portal = r.portal AND d.id = r.department_id
LEFT JOIN people AS e ON e.portal = r.portal AND e.employee_id = r.employee_id
LEFT JOIN employee_groups AS g ON g.portal = r.portal AND g.id = r.employee_group_id
LEFT JOIN positions AS o ON o.portal = r.portal AND o.id = r.position_id
LEFT JOIN shift_types AS t ON t.portal = r.portal AND t.id = r.shift_type_id
LEFT JOIN currencies AS c ON c.portal = r.portal;
