-- One row per payroll row that belongs to no department (a salary, or a supplement of the month), day and department: which part of its amount is for them. The parts of a row add up to its amount exactly. A part that nothing assigns to a department is a row without one, on the day in payroll.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- month: Month of the payroll row (YYYY-MM).
-- employee_id: Id of the employee.
-- cost_of: salary (`payroll.salaried`) or supplement (`payroll.supplements`).
-- payroll_date: Day in payroll; where there is none, the first of the month.
-- ordinal: Number of the row among those of one employee and day.
-- date: Day that the part is for: of a salary the days from start to end, of a supplement its day.
-- department_id: Id in `hr.departments`; NULL for what is not allocated.
-- department: Its name.
-- amount: The part, in the portal's currency; of supplements it may be negative.
-- currency: That of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
-- allocated_by: allocation (`pay.salary_allocations`), worked hours (of the person in these days of the month), planned hours (supplements only), main department; NULL where nothing says it.
CREATE OR REPLACE VIEW marts.allocated_costs AS
WITH payroll_rows AS NOT MATERIALIZED (
    SELECT portal, portal_id, month, employee_id, 'salary' AS cost_of, coalesce(date, start, TRY_CAST(month || '-01' AS DATE)) AS payroll_date, ordinal,
        TRY_CAST(salary AS DECIMAL(18, 4)) AS amount,
        TRY_CAST(month || '-01' AS DATE) AS month_first, CAST(last_day(TRY_CAST(month || '-01' AS DATE)) AS DATE) AS month_last, start, "end"
    FROM payroll.salaried
    UNION ALL
    SELECT portal, portal_id, month, employee_id, 'supplement', coalesce(date, CAST(start AS DATE), TRY_CAST(month || '-01' AS DATE)), ordinal,
        TRY_CAST(salary AS DECIMAL(18, 4)), NULL, NULL, NULL, NULL
    FROM payroll.supplements
),
ranges AS (
    SELECT *, coalesce(start, month_first) AS first, coalesce("end", month_last) AS last,
        coalesce(start, month_first) <= coalesce("end", month_last) AND coalesce(start, month_first) <= month_last
            AND coalesce("end", month_last) >= month_first AS is_of_month
    FROM payroll_rows WHERE amount IS NOT NULL
),
-- Payroll is asked for by the month, and a salary is the share of that month. So rows are numbered by month and joined with hours of the month, and a condition
-- on it reaches all tables.
numbered AS NOT MATERIALIZED (
    SELECT portal, portal_id, month, employee_id, cost_of, payroll_date, ordinal, amount,
        -- No series over absurd dates: of more than a year the days in the payroll month count, and else the whole month.
        CASE WHEN NOT is_of_month THEN month_first WHEN date_diff('day', first, last) <= 366 THEN first ELSE greatest(first, month_first) END AS first,
        CASE WHEN NOT is_of_month THEN month_last WHEN date_diff('day', first, last) <= 366 THEN last ELSE least(last, month_last) END AS last,
        row_number() OVER (PARTITION BY portal, month ORDER BY employee_id, cost_of, payroll_date, ordinal, start, "end", amount) AS number
    FROM ranges
),
days AS NOT MATERIALIZED (
    SELECT number, portal, month, employee_id, cost_of, amount,
        CAST(unnest(generate_series(CAST(first AS TIMESTAMP), CAST(last AS TIMESTAMP), INTERVAL 1 DAY)) AS DATE) AS date
    FROM numbered WHERE cost_of = 'salary'
    UNION ALL
    SELECT number, portal, month, employee_id, cost_of, amount, payroll_date FROM numbered WHERE cost_of = 'supplement'
),
rules AS (
    SELECT portal, employee_id, coalesce(valid_from, DATE '0001-01-01') AS valid_from, ordinal, coalesce(valid_to, DATE 'infinity') AS valid_to,
        cost_allocation, department_distributions AS shares
    FROM pay.salary_allocations
),
ruled AS NOT MATERIALIZED (
    -- The latest allocation in force on a day; one without a rule (NoAllocation) hides an earlier one.
    SELECT d.*,
        CASE WHEN r.cost_allocation IS DISTINCT FROM 'NoAllocation' THEN r.valid_from END AS rule_from,
        CASE WHEN r.cost_allocation IS DISTINCT FROM 'NoAllocation' THEN r.ordinal END AS rule_ordinal,
        coalesce(r.cost_allocation = 'ScheduledHours', false) AS is_scheduled
    FROM days AS d
    LEFT JOIN rules AS r ON d.cost_of = 'salary' AND r.portal = d.portal AND r.employee_id = d.employee_id AND d.date BETWEEN r.valid_from AND r.valid_to
    QUALIFY row_number() OVER (PARTITION BY d.portal, d.month, d.number, d.date ORDER BY r.valid_from DESC NULLS LAST, r.ordinal DESC NULLS LAST) = 1
),
parts AS (
    -- Days with the same rule; each such part gets its share of the amount by calendar days.
    SELECT portal, month, number, rule_from, rule_ordinal, any_value(CAST(CAST(amount AS DECIMAL(24, 4)) * 10000 AS HUGEINT)) AS units,
        min(date) AS part_first, count(*) AS part_days
    FROM ruled GROUP BY portal, month, number, rule_from, rule_ordinal
),
part_ends AS (
    SELECT *, CAST(sum(part_days) OVER (of_row ORDER BY part_first ROWS UNBOUNDED PRECEDING) AS HUGEINT) AS days_until,
        CAST(sum(part_days) OVER of_row AS HUGEINT) AS all_days
    FROM parts WINDOW of_row AS (PARTITION BY portal, month, number)
),
part_amounts AS (
    SELECT *, units * days_until // all_days - units * (days_until - CAST(part_days AS HUGEINT)) // all_days AS part_amount FROM part_ends
),
shares AS (
    SELECT portal, employee_id, valid_from, ordinal, cost_allocation, department_id, department_weight, [
            coalesce(TRY_CAST(json_extract_string(week, '$.monday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.tuesday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.wednesday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.thursday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.friday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.saturday') AS DECIMAL(18, 4)), 0),
            coalesce(TRY_CAST(json_extract_string(week, '$.sunday') AS DECIMAL(18, 4)), 0)
        ] AS given
    FROM (
        SELECT portal, employee_id, valid_from, ordinal, cost_allocation, share.department_id AS department_id,
            coalesce(share.department_weight, 0) AS department_weight, lower(CAST(share.week_days_weight AS VARCHAR)) AS week
        FROM (SELECT portal, employee_id, valid_from, ordinal, cost_allocation, unnest(shares) AS share FROM rules)
        WHERE share.department_id IS NOT NULL AND cost_allocation IS DISTINCT FROM 'ScheduledHours'
    )
),
weights AS (
    -- Weights that are all 0 say nothing: then those of the weekdays, or of the departments, count alone.
    SELECT portal, employee_id, valid_from, ordinal, department_id,
        CASE WHEN max(abs(department_weight)) OVER rule = 0 AND max(list_max(given)) OVER rule > 0 THEN 1 ELSE department_weight END AS department_weight,
        CASE
            WHEN list_max(given) <> 0 OR list_min(given) <> 0 THEN given
            WHEN cost_allocation = 'BusinessDays' THEN [1, 1, 1, 1, 1, 0, 0]
            ELSE [1, 1, 1, 1, 1, 1, 1]
        END AS day_weights
    FROM shares WINDOW rule AS (PARTITION BY portal, employee_id, valid_from, ordinal)
),
hours AS (
    SELECT h.portal, h.month, h.employee_id, h.date, h.department_id, sum(h.worked_hours) AS worked,
        sum(h.planned_hours) FILTER (WHERE h.kind = 'work' AND h.status IS DISTINCT FROM 'Draft') AS planned
    FROM marts.hours AS h
    SEMI JOIN payroll_rows AS r ON r.portal = h.portal AND r.month = h.month AND r.employee_id = h.employee_id
    WHERE h.department_id IS NOT NULL
    GROUP BY ALL
),
mains AS (
    SELECT portal, employee_id, any_value(primary_department_id) AS department_id FROM marts.employees
    WHERE primary_department_id IS NOT NULL GROUP BY ALL
),
cells AS (
    SELECT d.portal, d.month, d.number, d.rule_from, d.rule_ordinal, d.date, w.department_id, 1 AS step,
        -- A weight that no share can have makes the rule unusable.
        CASE WHEN w.department_weight BETWEEN 0 AND 10000 AND w.day_weights[isodow(d.date)] BETWEEN 0 AND 10000
            THEN CAST(w.department_weight * 10000 AS HUGEINT) * CAST(w.day_weights[isodow(d.date)] * 10000 AS HUGEINT) ELSE -1
        END AS weight
    FROM ruled AS d
    JOIN weights AS w ON w.portal = d.portal AND w.employee_id = d.employee_id AND w.valid_from = d.rule_from AND w.ordinal = d.rule_ordinal
    UNION ALL
    SELECT d.portal, d.month, d.number, d.rule_from, d.rule_ordinal, d.date, h.department_id, s.step,
        CAST(CASE s.step WHEN 2 THEN h.worked ELSE h.planned END * 10000 AS HUGEINT)
    FROM ruled AS d
    JOIN hours AS h ON h.portal = d.portal AND h.month = d.month AND h.employee_id = d.employee_id AND h.date = d.date
    CROSS JOIN (VALUES (1), (2), (3)) AS s(step)
    WHERE CASE s.step WHEN 1 THEN d.is_scheduled AND h.planned > 0 WHEN 2 THEN h.worked > 0 ELSE d.cost_of = 'supplement' AND h.planned > 0 END
    UNION ALL
    SELECT d.portal, d.month, d.number, d.rule_from, d.rule_ordinal, d.date, m.department_id, 4, 1
    FROM ruled AS d JOIN mains AS m ON m.portal = d.portal AND m.employee_id = d.employee_id
),
summed AS (
    SELECT portal, month, number, rule_from, rule_ordinal, step, date, department_id, sum(weight) AS weight, min(weight) AS least
    FROM cells GROUP BY ALL
),
usable AS (
    SELECT *, sum(weight) OVER step_of AS total, min(least) OVER step_of AS least_of_all
    FROM summed WINDOW step_of AS (PARTITION BY portal, month, number, rule_from, rule_ordinal, step)
),
chosen AS (
    SELECT *, min(step) OVER (PARTITION BY portal, month, number, rule_from, rule_ordinal) AS first_step
    FROM usable WHERE least_of_all >= 0 AND total BETWEEN 1 AND 100000000000000000000
),
ends AS (
    SELECT *, sum(weight) OVER (PARTITION BY portal, month, number, rule_from, rule_ordinal ORDER BY date, department_id ROWS UNBOUNDED PRECEDING) AS until
    FROM chosen WHERE step = first_step
),
allocated AS (
    SELECT p.portal, p.month, p.number, e.date, e.department_id, e.step,
        CASE WHEN e.number IS NULL THEN p.part_amount
            ELSE p.part_amount * CAST(e.until AS HUGEINT) // CAST(e.total AS HUGEINT)
                - p.part_amount * CAST(e.until - e.weight AS HUGEINT) // CAST(e.total AS HUGEINT)
        END AS units
    FROM part_amounts AS p
    LEFT JOIN ends AS e ON e.portal = p.portal AND e.month = p.month AND e.number = p.number
        AND e.rule_from IS NOT DISTINCT FROM p.rule_from AND e.rule_ordinal IS NOT DISTINCT FROM p.rule_ordinal
    WHERE e.weight IS NULL OR e.weight > 0
),
departments AS (SELECT portal, id, any_value(name) AS name FROM hr.departments GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL),
totals AS (
    SELECT portal, month, number, date, department_id, step, sum(units) AS units FROM allocated GROUP BY ALL
)
SELECT
    n.portal,
    n.portal_id,
    n.month,
    n.employee_id,
    n.cost_of,
    n.payroll_date,
    n.ordinal,
    coalesce(t.date, n.payroll_date) AS date,
    t.department_id,
    d.name AS department,
    CAST(CAST(t.units AS DECIMAL(20, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(18, 4)) AS amount,
    c.currency,
    CASE t.step WHEN 1 THEN 'allocation' WHEN 2 THEN 'worked hours' WHEN 3 THEN 'planned hours' WHEN 4 THEN 'main department' END AS allocated_by
FROM totals AS t
JOIN numbered AS n ON n.portal = t.portal AND n.month = t.month AND n.number = t.number
LEFT JOIN departments AS d ON d.portal = n.portal AND d.id = t.department_id
LEFT JOIN currencies AS c ON c.portal = n.portal;
