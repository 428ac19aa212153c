-- One row per portal, department and day: hours by kind, what they cost, and revenue. Salaries and supplements of the month are spread over the departments and days that they are for (`marts.allocated_costs`); what belongs to no department is `unallocated_cost` in rows without one, so that sums equal Planday's.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the day (YYYY-MM); of pay the month of payroll.
-- date: The day.
-- department_id: Id in `hr.departments`; NULL for what belongs to no department.
-- department: Its name; NULL where it has none. Group by the id as well.
-- planned_work_hours: Of assigned shifts of kind work, without breaks that are known.
-- sickness_hours: Planned hours of assigned shifts that stand for sickness.
-- absence_hours: Of those that stand for vacation and other absence.
-- course_hours: Of those that stand for courses.
-- standby_hours: Of those that stand for standby.
-- unpaid_hours: Of those of unpaid types, as planned.
-- open_hours: Of shifts without an employee, of all kinds; drafts left out.
-- worked_hours: Approved, else punched, else paid hours of work, as in `marts.hours`; a shift counts on the day it begins. Courses and standby are not among them.
-- punched_hours: From punching in to punching out, without punched breaks.
-- approved_hours: As approved, of all kinds, as in `marts.hours`.
-- paid_hours: As payroll counts them, of all kinds.
-- planned_cost: From time and cost, supplements included; never add it to payroll.
-- shift_cost: Pay for shifts, from payroll; NULL where none of them has pay data.
-- shift_supplement_cost: Supplements of those shifts. Whether `shift_cost` holds them already is not documented.
-- month_supplement_cost: Supplements that belong to no shift; may be negative.
-- salary_cost: Salaries.
-- salary_allocated_by: List of what salaries were allocated by: allocation, main department, worked hours; NULL where there are none.
-- labour_cost: `shift_cost`, `month_supplement_cost` and `salary_cost`; `shift_supplement_cost` as well where `salary_includes_supplements` of portals.yaml is false. NULL where there is none of them, and in rows without a department.
-- unallocated_cost: Cost that nothing assigns to a department; in rows without one only.
-- currency: Of all amounts: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
-- cost_known_hours: Worked hours, courses and standby included, whose cost is known: by pay data, or by a salary that is allocated.
-- cost_unknown_hours: Worked hours whose cost is not known; NULL where there are none.
-- cost_known_percent: `cost_known_hours` as a percentage of both; NULL where nobody worked.
-- revenue: Revenue of the department's revenue units (`turnover` in `revenue.revenue`).
-- labour_cost_percent: `labour_cost` as a percentage of `revenue`; NULL where either is missing, where revenue is not above 0, or where the cost of any worked hour is not known.
CREATE OR REPLACE VIEW marts.labour_daily AS
WITH allocated AS MATERIALIZED (
    SELECT portal, portal_id, month, employee_id, cost_of, date, department_id, amount, allocated_by FROM marts.allocated_costs
),
salaried AS (
    SELECT portal, month, employee_id, bool_and(TRY_CAST(salary AS DECIMAL(18, 4)) IS NOT NULL) AS is_known FROM payroll.salaried GROUP BY ALL
),
unplaced AS (
    -- No more conditions than on the month, which then reach the tables below what is allocated.
    SELECT portal, month, employee_id, bool_or(cost_of = 'salary' AND department_id IS NULL) AS is_unplaced FROM allocated GROUP BY portal, month, employee_id
),
worked AS (
    SELECT h.portal, h.portal_id, h.month, h.date, h.department_id,
        CASE WHEN h.kind = 'work' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS planned_work_hours,
        CASE WHEN h.kind = 'sickness' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS sickness_hours,
        CASE WHEN h.kind = 'absence' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS absence_hours,
        CASE WHEN h.kind = 'course' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS course_hours,
        CASE WHEN h.kind = 'standby' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS standby_hours,
        CASE WHEN h.kind = 'unpaid' AND h.employee_id IS NOT NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS unpaid_hours,
        CASE WHEN h.employee_id IS NULL AND h.status IS DISTINCT FROM 'Draft' THEN h.planned_hours END AS open_hours,
        CASE WHEN h.kind = 'work' THEN h.worked_hours END AS worked_hours,
        h.punched_hours, h.approved_hours, h.paid_hours,
        CASE WHEN h.worked_hours > 0 AND (h.paid_gap IS NULL OR h.paid_gap = 'salaried' AND s.is_known AND u.is_unplaced IS NOT TRUE)
            THEN h.worked_hours
        END AS cost_known_hours,
        CASE WHEN h.worked_hours > 0 AND NOT coalesce(h.paid_gap IS NULL OR h.paid_gap = 'salaried' AND s.is_known AND u.is_unplaced IS NOT TRUE, false)
            THEN h.worked_hours
        END AS cost_unknown_hours
    FROM marts.hours AS h
    LEFT JOIN salaried AS s ON s.portal = h.portal AND s.month = h.month AND s.employee_id = h.employee_id
    LEFT JOIN unplaced AS u ON u.portal = h.portal AND u.month = h.month AND u.employee_id = h.employee_id
),
paid AS (
    SELECT portal, portal_id, id, month, coalesce(date, TRY_CAST(start AS DATE)) AS date, department_id,
        -- No pay data: a rate and a salary of 0.
        CASE WHEN coalesce(TRY_CAST(wage_rate AS DECIMAL(18, 4)), 0) <> 0 OR TRY_CAST(salary AS DECIMAL(18, 4)) <> 0
            THEN TRY_CAST(salary AS DECIMAL(18, 4))
        END AS amount
    FROM payroll.shifts
),
parts AS (
    SELECT * FROM worked
    UNION ALL BY NAME
    SELECT portal, portal_id, month, date, department_id, TRY_CAST(cost AS DECIMAL(18, 4)) AS planned_cost FROM scheduling.time_and_costs
    UNION ALL BY NAME
    SELECT portal, portal_id, month, date, department_id, CASE WHEN department_id IS NOT NULL THEN amount END AS shift_cost,
        CASE WHEN department_id IS NULL THEN amount END AS unallocated_cost
    FROM paid
    UNION ALL BY NAME
    SELECT s.portal, s.portal_id, s.month, p.date, p.department_id, TRY_CAST(s.modification AS DECIMAL(18, 4)) AS shift_supplement_cost
    FROM payroll.shift_supplements AS s LEFT JOIN paid AS p ON p.portal = s.portal AND p.month = s.month AND p.id = s.shift_id
    UNION ALL BY NAME
    SELECT portal, portal_id, month, date, department_id,
        CASE WHEN department_id IS NOT NULL AND cost_of = 'supplement' THEN amount END AS month_supplement_cost,
        CASE WHEN department_id IS NOT NULL AND cost_of = 'salary' THEN amount END AS salary_cost,
        CASE WHEN department_id IS NULL THEN amount END AS unallocated_cost,
        department_id IS NOT NULL AND cost_of = 'salary' AND allocated_by = 'allocation' AS is_by_allocation,
        department_id IS NOT NULL AND cost_of = 'salary' AND allocated_by = 'worked hours' AS is_by_hours,
        department_id IS NOT NULL AND cost_of = 'salary' AND allocated_by = 'main department' AS is_by_main
    FROM allocated
    UNION ALL BY NAME
    SELECT r.portal, r.portal_id, r.month, r.date, u.department_id, r.turnover AS revenue
    FROM revenue.revenue AS r
    LEFT JOIN revenue.revenue_units AS u ON u.portal = r.portal AND u.id = r.revenue_unit_id
),
days AS (
    SELECT portal, portal_id, month, date, department_id,
        sum(planned_work_hours) AS planned_work_hours, sum(sickness_hours) AS sickness_hours, sum(absence_hours) AS absence_hours,
        sum(course_hours) AS course_hours, sum(standby_hours) AS standby_hours, sum(unpaid_hours) AS unpaid_hours,
        sum(open_hours) AS open_hours, sum(worked_hours) AS worked_hours, sum(punched_hours) AS punched_hours,
        sum(approved_hours) AS approved_hours, sum(paid_hours) AS paid_hours, sum(planned_cost) AS planned_cost,
        sum(shift_cost) AS shift_cost, sum(shift_supplement_cost) AS shift_supplement_cost,
        sum(month_supplement_cost) AS month_supplement_cost, sum(salary_cost) AS salary_cost,
        bool_or(is_by_allocation) AS is_by_allocation, bool_or(is_by_hours) AS is_by_hours, bool_or(is_by_main) AS is_by_main,
        sum(unallocated_cost) AS unallocated_cost, sum(revenue) AS revenue,
        sum(cost_known_hours) AS cost_known_hours, sum(cost_unknown_hours) AS cost_unknown_hours
    FROM parts GROUP BY ALL
),
chosen AS (
    SELECT portal, bool_or(name = 'salary_includes_supplements' AND value = 'false') AS adds_supplements,
        max(value) FILTER (WHERE name = 'currency') AS currency
    FROM sync.mart_settings GROUP BY portal
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
costed AS (
    SELECT t.* EXCLUDE (unallocated_cost), d.name AS department, c.currency,
        CASE WHEN t.department_id IS NULL AND coalesce(t.unallocated_cost, CASE WHEN c.adds_supplements THEN t.shift_supplement_cost END) IS NOT NULL
            THEN coalesce(t.unallocated_cost, 0) + CASE WHEN c.adds_supplements THEN coalesce(t.shift_supplement_cost, 0) ELSE 0 END
        END AS unallocated_cost,
        CASE
            WHEN t.department_id IS NULL THEN NULL
            WHEN coalesce(t.shift_cost, t.month_supplement_cost, t.salary_cost, CASE WHEN c.adds_supplements THEN t.shift_supplement_cost END) IS NOT NULL
                THEN coalesce(t.shift_cost, 0) + coalesce(t.month_supplement_cost, 0) + coalesce(t.salary_cost, 0)
                    + CASE WHEN c.adds_supplements THEN coalesce(t.shift_supplement_cost, 0) ELSE 0 END
        END AS labour_cost
    FROM days AS t
    LEFT JOIN departments AS d ON d.portal = t.portal AND d.id = t.department_id
    LEFT JOIN chosen AS c ON c.portal = t.portal
)
SELECT
    portal,
    portal_id,
    month,
    date,
    department_id,
    department,
    planned_work_hours,
    sickness_hours,
    absence_hours,
    course_hours,
    standby_hours,
    unpaid_hours,
    open_hours,
    worked_hours,
    punched_hours,
    approved_hours,
    paid_hours,
    planned_cost,
    shift_cost,
    shift_supplement_cost,
    month_supplement_cost,
    salary_cost,
    CASE WHEN is_by_allocation OR is_by_main OR is_by_hours THEN list_concat(
        list_concat(CASE WHEN is_by_allocation THEN ['allocation'] ELSE [] END, CASE WHEN is_by_main THEN ['main department'] ELSE [] END),
        CASE WHEN is_by_hours THEN ['worked hours'] ELSE [] END
    ) END AS salary_allocated_by,
    labour_cost,
    unallocated_cost,
    currency,
    cost_known_hours,
    cost_unknown_hours,
    round(100.0 * CAST(coalesce(cost_known_hours, 0) AS DOUBLE) / CAST(nullif(coalesce(cost_known_hours, 0) + coalesce(cost_unknown_hours, 0), 0) AS DOUBLE), 2)
        AS cost_known_percent,
    revenue,
    CASE WHEN revenue > 0 AND labour_cost IS NOT NULL AND cost_unknown_hours IS NULL
        THEN round(100.0 * CAST(labour_cost AS DOUBLE) / CAST(revenue AS DOUBLE), 2)
    END AS labour_cost_percent
FROM costed;
