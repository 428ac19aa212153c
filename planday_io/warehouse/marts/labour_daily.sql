-- One row per portal, department and day: hours planned, worked and paid, their cost, and revenue. Supplements of the month and salaries belong to no department: they are in rows without one, on the day in payroll, so that sums equal Planday's.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- date: The day.
-- department_id: Id in `hr.departments`; NULL for what payroll assigns to no department.
-- department: Its name.
-- planned_hours: Of assigned shifts, without breaks that are known.
-- open_hours: Of shifts without an employee.
-- worked_hours: Punched, without punched breaks; a shift counts on the day it begins.
-- approved_hours: As approved.
-- paid_hours: As payroll counts them.
-- planned_cost: From time and cost, supplements included; never add it to payroll.
-- shift_cost: Pay for shifts, from payroll.
-- supplement_cost: Supplements that belong to no shift; may be negative.
-- salary_cost: Salaries, on the day in payroll.
-- labour_cost: The three together.
-- revenue: Turnover of the department's revenue units.
-- labour_cost_percent: Labour cost in percent of revenue; NULL where either is missing.
CREATE OR REPLACE VIEW marts.labour_daily AS
WITH parts AS (
    SELECT portal, portal_id, date, department_id,
        CASE WHEN status IS DISTINCT FROM 'Draft' AND employee_id IS NOT NULL THEN planned_hours END AS planned_hours,
        CASE WHEN status IS DISTINCT FROM 'Draft' AND employee_id IS NULL THEN planned_hours END AS open_hours,
        punched_hours AS worked_hours, approved_hours, paid_hours,
        NULL::DECIMAL(18, 4) AS planned_cost, NULL::DECIMAL(18, 4) AS shift_cost, NULL::DECIMAL(18, 4) AS supplement_cost,
        NULL::DECIMAL(18, 4) AS salary_cost, NULL::DECIMAL(18, 4) AS revenue
    FROM marts.hours
    UNION ALL BY NAME
    SELECT portal, portal_id, date, department_id, TRY_CAST(cost AS DECIMAL(18, 4)) AS planned_cost FROM scheduling.time_and_costs
    UNION ALL BY NAME
    SELECT portal, portal_id, coalesce(date, CAST(start AS DATE)) AS date, department_id,
        TRY_CAST(salary AS DECIMAL(18, 4)) AS shift_cost
    FROM payroll.shifts
    UNION ALL BY NAME
    SELECT portal, portal_id, coalesce(date, CAST(start AS DATE)) AS date, TRY_CAST(salary AS DECIMAL(18, 4)) AS supplement_cost
    FROM payroll.supplements
    UNION ALL BY NAME
    SELECT portal, portal_id, coalesce(date, start) AS date, TRY_CAST(salary AS DECIMAL(18, 4)) AS salary_cost
    FROM payroll.salaried
    UNION ALL BY NAME
    SELECT r.portal, r.portal_id, r.date, u.department_id, r.turnover AS revenue
    FROM revenue.revenue AS r
    LEFT JOIN revenue.revenue_units AS u ON u.portal = r.portal AND u.id = r.revenue_unit_id
),
days AS (
    SELECT portal, portal_id, date, department_id,
        sum(planned_hours) AS planned_hours, sum(open_hours) AS open_hours, sum(worked_hours) AS worked_hours,
        sum(approved_hours) AS approved_hours, sum(paid_hours) AS paid_hours, sum(planned_cost) AS planned_cost,
        sum(shift_cost) AS shift_cost, sum(supplement_cost) AS supplement_cost, sum(salary_cost) AS salary_cost,
        sum(revenue) AS revenue
    FROM parts GROUP BY ALL
)
SELECT
    t.portal,
    t.portal_id,
    t.date,
    t.department_id,
    d.name AS department,
    t.planned_hours,
    t.open_hours,
    t.worked_hours,
    t.approved_hours,
    t.paid_hours,
    t.planned_cost,
    t.shift_cost,
    t.supplement_cost,
    t.salary_cost,
    CASE WHEN coalesce(t.shift_cost, t.supplement_cost, t.salary_cost) IS NOT NULL
        THEN coalesce(t.shift_cost, 0) + coalesce(t.supplement_cost, 0) + coalesce(t.salary_cost, 0)
    END AS labour_cost,
    t.revenue,
    CASE WHEN t.revenue <> 0 AND coalesce(t.shift_cost, t.supplement_cost, t.salary_cost) IS NOT NULL
        THEN round(100.0 * CAST(coalesce(t.shift_cost, 0) + coalesce(t.supplement_cost, 0) + coalesce(t.salary_cost, 0) AS DOUBLE)
            / CAST(t.revenue AS DOUBLE), 2)
    END AS labour_cost_percent
FROM days AS t
LEFT JOIN hr.departments AS d ON d.portal = t.portal AND d.id = t.department_id;
