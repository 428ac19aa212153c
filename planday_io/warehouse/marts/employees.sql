-- One row per person that Planday lists, active or left: where they belong, how they are employed and paid. No contact details, and no date of birth.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- employee_id: Id in `hr.employees` or `hr.deactivated_employees`.
-- first_name: First name.
-- last_name: Last name.
-- name: Both names.
-- is_active: Whether the person is in the list of active employees.
-- hired_date: First day of employment.
-- deactivation_date: Day the person left or will leave.
-- tenure_days: Days from the first day to today, or to the last one; NULL where the first day is not known, or before 1950, or did not come yet.
-- termination_type: Why the person left, as the portal classifies it.
-- department_ids: Ids in `hr.departments`.
-- departments: Their names.
-- primary_department_id: Main department. Of people who left the API does not say it: then the last one known from `hr_history.employees`, or else the first of their departments.
-- primary_department: Its name; NULL where it has none. Group by the id as well.
-- primary_department_by: Where that is from: employee list, history, first department; NULL where there is none.
-- employee_group_ids: Ids in `hr.employee_groups`.
-- employee_groups: Their names.
-- employee_type: How the person is employed.
-- job_title: Job title.
-- work_hours: Contracted hours per month.
-- contract_rule: Name of the contract rule, often with its hours.
-- pay_type: salaried, hourly, shift (paid per shift), or hourly and shift; NULL where there is no pay data.
CREATE OR REPLACE VIEW marts.employees AS
WITH formerly AS (
    SELECT portal, id, arg_max(primary_department_id, valid_from) AS department_id
    FROM hr_history.employees WHERE primary_department_id IS NOT NULL GROUP BY ALL
),
people AS (
    SELECT portal, portal_id, id, first_name, last_name, departments, primary_department_id,
        CASE WHEN primary_department_id IS NOT NULL THEN 'employee list' END AS primary_department_by, employee_groups,
        employee_type_id, hired_date, deactivation_date, termination_type_name, true AS is_active
    FROM hr.employees
    UNION ALL
    SELECT d.portal, d.portal_id, d.id, d.first_name, d.last_name, d.departments, coalesce(h.department_id, d.departments[1]),
        CASE WHEN h.department_id IS NOT NULL THEN 'history' WHEN d.departments[1] IS NOT NULL THEN 'first department' END, d.employee_groups,
        d.employee_type_id, d.hired_date, d.deactivation_date, d.termination_type_name, false
    FROM hr.deactivated_employees AS d
    LEFT JOIN formerly AS h ON h.portal = d.portal AND h.id = d.id
    WHERE NOT EXISTS (FROM hr.employees AS e WHERE e.portal = d.portal AND e.id = d.id)
),
of_departments AS (
    SELECT p.portal, p.id, list(d.name ORDER BY d.name) AS names
    FROM (SELECT portal, id, unnest(departments) AS department_id FROM people) AS p
    JOIN hr.departments AS d ON d.portal = p.portal AND d.id = p.department_id
    GROUP BY ALL
),
of_groups AS (
    SELECT p.portal, p.id, list(g.name ORDER BY g.name) AS names
    FROM (SELECT portal, id, unnest(employee_groups) AS group_id FROM people) AS p
    JOIN hr.employee_groups AS g ON g.portal = p.portal AND g.id = p.group_id
    GROUP BY ALL
),
rates AS (
    SELECT portal, employee_id, bool_or(wage_type = 'HourlyRate') AS is_hourly, bool_or(wage_type = 'ShiftRate') AS is_shift
    FROM pay.pay_rates GROUP BY ALL
)
SELECT
    p.portal,
    p.portal_id,
    p.id AS employee_id,
    p.first_name,
    p.last_name,
    nullif(trim(concat_ws(' ', p.first_name, p.last_name)), '') AS name,
    p.is_active,
    coalesce(p.hired_date, x.hired_from) AS hired_date,
    p.deactivation_date,
    CASE WHEN coalesce(p.hired_date, x.hired_from) BETWEEN DATE '1950-01-01' AND least(CAST(today() AS DATE), coalesce(p.deactivation_date, CAST(today() AS DATE)))
        THEN date_diff('day', coalesce(p.hired_date, x.hired_from), least(CAST(today() AS DATE), coalesce(p.deactivation_date, CAST(today() AS DATE))))
    END AS tenure_days,
    p.termination_type_name AS termination_type,
    p.departments AS department_ids,
    d.names AS departments,
    p.primary_department_id,
    m.name AS primary_department,
    p.primary_department_by,
    p.employee_groups AS employee_group_ids,
    g.names AS employee_groups,
    t.name AS employee_type,
    x.job_title,
    x.work_hours,
    coalesce(r.name, c.name) AS contract_rule,
    CASE
        WHEN s.employee_id IS NOT NULL THEN 'salaried'
        WHEN w.is_hourly AND w.is_shift THEN 'hourly and shift'
        WHEN w.is_hourly THEN 'hourly'
        WHEN w.is_shift THEN 'shift'
    END AS pay_type
FROM people AS p
LEFT JOIN of_departments AS d ON d.portal = p.portal AND d.id = p.id
LEFT JOIN of_groups AS g ON g.portal = p.portal AND g.id = p.id
LEFT JOIN hr.departments AS m ON m.portal = p.portal AND m.id = p.primary_department_id
LEFT JOIN hr.employee_types AS t ON t.portal = p.portal AND t.id = p.employee_type_id
LEFT JOIN hr.employee_details AS x ON x.portal = p.portal AND x.id = p.id
LEFT JOIN contract_rules.employee_contract_rules AS r ON r.portal = p.portal AND r.employee_id = p.id
LEFT JOIN contract_rules.contract_rules AS c ON c.portal = p.portal AND c.id = x.contract_rules_rule_id
LEFT JOIN pay.salaries AS s ON s.portal = p.portal AND s.employee_id = p.id
LEFT JOIN rates AS w ON w.portal = p.portal AND w.employee_id = p.id;
