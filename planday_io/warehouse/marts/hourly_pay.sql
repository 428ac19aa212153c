-- One row per person that Planday lists: what an hour and a day of work are paid, by the rates and salaries that Planday has now, and why that is not known.
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- employee_id: Id of the employee.
-- employee: Name of the employee.
-- is_active: Whether the person is in the list of active employees.
-- department_id: Main department of the person, as in `marts.employees`; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- hourly_pay: Pay per hour, without supplements; where there are several hourly rates, their mean.
-- hourly_pay_by: salary, hourly rate, mean of several hourly rates.
-- highest_hourly_pay: Where there are several hourly rates, the highest; otherwise the same.
-- hourly_pay_gap: Why there is none: salary without hours, paid per shift, amount missing or hidden (by the privacy policy), no rate or salary, left (rates are read of active people only).
-- day_hours: Hours of a working day: those of the salary's period, else the contracted hours of a month, over five days a week (260 a year).
-- daily_pay: Pay per working day: of the salary where there is one, else the highest hourly pay times `day_hours`.
-- daily_pay_gap: Why there is none: as in `hourly_pay_gap`, or hours of a day not known.
-- currency: Of the amounts: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.hourly_pay AS
WITH rates AS (
    -- A rate of 0 is what Planday has where there is none.
    SELECT portal, employee_id, count(DISTINCT rate) AS rates, avg(rate) AS mean, max(rate) AS highest,
        bool_or(wage_type = 'ShiftRate') AS is_shift, bool_or(wage_type = 'HourlyRate' AND is_hidden) AS is_hidden
    FROM (
        SELECT portal, employee_id, wage_type, TRY_CAST(rate AS DECIMAL(18, 4)) IS NULL AS is_hidden,
            CASE WHEN wage_type = 'HourlyRate' AND TRY_CAST(rate AS DECIMAL(18, 4)) > 0 THEN CAST(TRY_CAST(rate AS DECIMAL(18, 4)) AS DOUBLE) END AS rate
        FROM pay.pay_rates
    )
    GROUP BY ALL
),
types AS (
    SELECT portal, id, max(CASE lower(trim(name)) WHEN 'monthly' THEN 12 WHEN 'fortnightly' THEN 26 WHEN 'weekly' THEN 52
        WHEN 'annual' THEN 1 WHEN 'fourweekly' THEN 13 WHEN 'four weekly' THEN 13 END) AS periods
    FROM pay.salary_types GROUP BY ALL
),
contracts AS (SELECT portal, id, CAST(max(work_hours) AS DOUBLE) * 12 / 260 AS day_hours FROM hr.employee_details WHERE work_hours > 0 GROUP BY ALL),
salaries AS (
    SELECT s.portal, s.employee_id, t.periods,
        CASE WHEN TRY_CAST(s.salary AS DECIMAL(18, 4)) > 0 THEN CAST(TRY_CAST(s.salary AS DECIMAL(18, 4)) AS DOUBLE) END AS amount,
        TRY_CAST(s.salary AS DECIMAL(18, 4)) IS NULL AS is_hidden,
        CASE WHEN s.hours > 0 THEN CAST(s.hours AS DOUBLE) END AS hours
    FROM pay.salaries AS s LEFT JOIN types AS t ON t.portal = s.portal AND t.id = s.salary_type_id
    QUALIFY row_number() OVER (PARTITION BY s.portal, s.employee_id ORDER BY s.valid_from DESC NULLS LAST) = 1
),
known AS (
    SELECT e.portal, e.portal_id, e.employee_id, e.name, e.is_active, e.primary_department_id, e.primary_department,
        s.amount AS salary, s.periods, s.employee_id IS NOT NULL AS is_salaried, coalesce(s.is_hidden, false) OR coalesce(r.is_hidden, false) AS is_hidden,
        r.mean, r.highest, r.rates, coalesce(r.is_shift, false) AS is_shift,
        coalesce(s.hours * s.periods / 260, c.day_hours) AS day_hours,
        coalesce(s.amount / s.hours, s.amount * s.periods / (c.day_hours * 260)) AS of_salary
    FROM marts.employees AS e
    LEFT JOIN salaries AS s ON s.portal = e.portal AND s.employee_id = e.employee_id
    LEFT JOIN rates AS r ON r.portal = e.portal AND r.employee_id = e.employee_id
    LEFT JOIN contracts AS c ON c.portal = e.portal AND c.id = e.employee_id
),
paid AS (
    SELECT *,
        CASE WHEN salary IS NOT NULL THEN of_salary ELSE mean END AS hourly,
        CASE WHEN salary IS NOT NULL THEN of_salary ELSE highest END AS highest_hourly,
        CASE WHEN salary IS NOT NULL THEN coalesce(salary * periods / 260, of_salary * day_hours) ELSE highest * day_hours END AS daily,
        CASE
            WHEN salary IS NOT NULL THEN 'salary without hours'
            WHEN is_hidden THEN 'amount missing or hidden'
            WHEN is_shift THEN 'paid per shift'
            WHEN is_active OR is_salaried THEN 'no rate or salary'
            ELSE 'left'
        END AS gap
    FROM known
),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL)
SELECT
    p.portal,
    p.portal_id,
    p.employee_id,
    p.name AS employee,
    p.is_active,
    p.primary_department_id AS department_id,
    p.primary_department AS department,
    TRY_CAST(round(p.hourly, 4) AS DECIMAL(18, 4)) AS hourly_pay,
    CASE WHEN p.hourly IS NULL THEN NULL WHEN p.salary IS NOT NULL THEN 'salary' WHEN p.rates > 1 THEN 'mean of several hourly rates' ELSE 'hourly rate' END AS hourly_pay_by,
    TRY_CAST(round(p.highest_hourly, 4) AS DECIMAL(18, 4)) AS highest_hourly_pay,
    CASE WHEN p.hourly IS NULL THEN p.gap END AS hourly_pay_gap,
    TRY_CAST(round(p.day_hours, 4) AS DECIMAL(18, 4)) AS day_hours,
    TRY_CAST(round(p.daily, 4) AS DECIMAL(18, 4)) AS daily_pay,
    CASE WHEN p.daily IS NOT NULL THEN NULL WHEN p.salary IS NOT NULL OR p.hourly IS NOT NULL THEN 'hours of a day not known' ELSE p.gap END AS daily_pay_gap,
    c.currency
FROM paid AS p
LEFT JOIN currencies AS c ON c.portal = p.portal;
