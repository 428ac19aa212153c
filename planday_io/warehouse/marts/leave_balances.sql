-- One row per account of leave and unit: what it holds, what was earned and taken, and what the company owes for it. Balances are those of the day they were read; they are read weekly (`absence.account_balances`).
--
-- portal: Key of the portal in portals.yaml.
-- portal_id: Planday's id of the portal.
-- employee_id: Id of the employee; where the account does not say it, the person whose absence is taken from it; NULL where neither does.
-- employee: Name of the employee.
-- department_id: Main department of the person, as in `marts.employees`; NULL where there is none.
-- department: Its name; NULL where it has none. Group by the id as well.
-- account_id: Id in `absence.accounts`.
-- account: Name of the account.
-- account_type_id: Id in `absence.account_types`.
-- account_type: Name of the type.
-- absence_type: Vacation, Flextime and others, as Planday calls it.
-- absence_kind: sickness, vacation or other, by `sync.absence_kinds`.
-- status: Active or Inactive.
-- valid_from: First day of the account; NULL where it has none.
-- valid_to: Last day of the account; NULL where it has none.
-- unit: Days, Hours and the like; NULL where there is no balance.
-- balance: Earned minus taken on `balance_date`, in that unit; negative where more was taken. Leave that is booked for later is still in it.
-- balance_date: Day of the balance: that of the read, or the last day of the account if it has passed.
-- balance_gap: Why there is none: not read, Planday gives none.
-- used: Taken from the account up to that day.
-- booked: Leave after that day that is approved already.
-- used_by: Where both figures are from: transactions (`absence.account_transactions`, read on request), records (approved absence).
-- used_gap: Why they are not known: no balance, account begins before the first month read (or at an unknown day).
-- entitlement: Earned up to that day, corrections included: `balance` plus `used`.
-- rate: Pay per hour or day, as `unit` says: `highest_hourly_pay` or `daily_pay` of `marts.hourly_pay`.
-- liability: What the balance is worth at that rate; negative where more was taken.
-- liability_gap: Why it is not known: no balance, account has ended, inactive account, person not known, person not in the lists of people, unit is neither days nor hours, or what `marts.hourly_pay` says of the person.
-- currency: Of rate and liability: that of portals.yaml, or the symbol that payroll shows; NULL where neither is known.
CREATE OR REPLACE VIEW marts.leave_balances AS
WITH takers AS (
    SELECT g.portal, g.account_id, min(r.employee_id) AS employee_id
    FROM absence.absence_record_registrations AS g
    JOIN absence.absence_records AS r ON r.portal = g.portal AND r.id = g.absence_record_id
    WHERE g.account_id IS NOT NULL GROUP BY ALL
),
balances AS (
    SELECT portal, account_id, unit_type AS unit, value AS balance, balance_date FROM absence.account_balances
    QUALIFY row_number() OVER (PARTITION BY portal, account_id, unit_type ORDER BY balance_date DESC NULLS LAST) = 1
),
read_tables AS (SELECT DISTINCT portal, table_name, true AS is_read FROM sync.slices),
held AS (
    SELECT a.portal, a.portal_id, coalesce(a.employee_id, k.employee_id) AS employee_id, a.id AS account_id, a.name AS account,
        a.type_id, a.status, a.validity_period_start AS valid_from, a.validity_period_end AS valid_to,
        b.unit, b.balance, b.balance_date,
        CASE WHEN b.balance IS NOT NULL THEN NULL WHEN r.is_read THEN 'Planday gives none' ELSE 'not read' END AS balance_gap
    FROM absence.accounts AS a
    LEFT JOIN takers AS k ON k.portal = a.portal AND k.account_id = a.id
    LEFT JOIN balances AS b ON b.portal = a.portal AND b.account_id = a.id
    LEFT JOIN read_tables AS r ON r.portal = a.portal AND r.table_name = 'absence.account_balances'
),
recorded AS (
    SELECT g.portal, g.account_id, g.date, cost.unit_type AS unit, TRY_CAST(cost.value AS DECIMAL(18, 4)) AS value
    FROM (SELECT portal, absence_record_id, account_id, date, unnest(account_costs) AS cost FROM absence.absence_record_registrations) AS g
    JOIN absence.absence_records AS r ON r.portal = g.portal AND r.id = g.absence_record_id AND r.status = 'Approved'
),
entered AS (
    SELECT portal, account_id, date, cost.unit_type AS unit, TRY_CAST(cost.value AS DECIMAL(18, 4)) AS value
    FROM (SELECT portal, account_id, date, unnest(costs) AS cost FROM absence.account_transactions WHERE type = 'Entry')
),
taken AS (
    SELECT h.portal, h.account_id, h.unit, t.source,
        -- Whether costs of records are negative is not documented; those of transactions are.
        CASE t.source WHEN 'records' THEN abs(coalesce(sum(t.value) FILTER (WHERE t.date <= h.balance_date), 0))
            ELSE -coalesce(sum(t.value) FILTER (WHERE t.date <= h.balance_date), 0) END AS used,
        CASE t.source WHEN 'records' THEN abs(coalesce(sum(t.value) FILTER (WHERE t.date > h.balance_date), 0))
            ELSE -coalesce(sum(t.value) FILTER (WHERE t.date > h.balance_date), 0) END AS booked
    FROM balances AS h
    JOIN (SELECT *, 'records' AS source FROM recorded UNION ALL SELECT *, 'transactions' FROM entered) AS t
        ON t.portal = h.portal AND t.account_id = h.account_id AND t.unit = h.unit
    GROUP BY h.portal, h.account_id, h.unit, t.source
),
by_records AS (SELECT portal, account_id, unit, any_value(used) AS used, any_value(booked) AS booked FROM taken WHERE source = 'records' GROUP BY ALL),
by_transactions AS (SELECT portal, account_id, unit, any_value(used) AS used, any_value(booked) AS booked FROM taken WHERE source = 'transactions' GROUP BY ALL),
grids AS (SELECT portal, min(CAST(month || '-01' AS DATE)) AS first FROM sync.slices WHERE month IS NOT NULL GROUP BY portal),
used AS (
    SELECT h.*,
        CASE
            WHEN h.balance IS NULL THEN NULL
            WHEN t.is_read THEN 'transactions'
            WHEN h.valid_from >= g.first THEN 'records'
        END AS used_by,
        coalesce(x.used, 0) AS used_by_transactions, coalesce(x.booked, 0) AS booked_by_transactions,
        coalesce(y.used, 0) AS used_by_records, coalesce(y.booked, 0) AS booked_by_records
    FROM held AS h
    LEFT JOIN read_tables AS t ON t.portal = h.portal AND t.table_name = 'absence.account_transactions'
    LEFT JOIN grids AS g ON g.portal = h.portal
    LEFT JOIN by_transactions AS x ON x.portal = h.portal AND x.account_id = h.account_id AND x.unit = h.unit
    LEFT JOIN by_records AS y ON y.portal = h.portal AND y.account_id = h.account_id AND y.unit = h.unit
),
known AS (
    SELECT *,
        CASE used_by WHEN 'transactions' THEN used_by_transactions WHEN 'records' THEN used_by_records END AS used,
        CASE used_by WHEN 'transactions' THEN booked_by_transactions WHEN 'records' THEN booked_by_records END AS booked
    FROM used
),
pay AS (
    SELECT portal, employee_id, any_value(highest_hourly_pay) AS hourly, any_value(hourly_pay_gap) AS hourly_gap,
        any_value(daily_pay) AS daily, any_value(daily_pay_gap) AS daily_gap
    FROM marts.hourly_pay GROUP BY ALL
),
people AS (
    SELECT portal, employee_id, any_value(name) AS name, any_value(primary_department_id) AS department_id,
        any_value(primary_department) AS department
    FROM marts.employees GROUP BY ALL
),
types AS (SELECT portal, id, any_value(name) AS name, any_value(absence_type) AS absence_type FROM absence.account_types GROUP BY ALL),
kinds AS (SELECT portal, type_id, any_value(kind) AS kind FROM sync.absence_kinds WHERE type_of = 'account' GROUP BY ALL),
currencies AS (SELECT portal, any_value(value) AS currency FROM sync.mart_settings WHERE name = 'currency' GROUP BY ALL),
rated AS (
    SELECT k.*, CASE k.unit WHEN 'Hours' THEN p.hourly WHEN 'Days' THEN p.daily END AS rate,
        CASE
            WHEN k.balance IS NULL THEN 'no balance'
            WHEN k.valid_to < today() THEN 'account has ended'
            WHEN k.status = 'Inactive' THEN 'inactive account'
            WHEN k.employee_id IS NULL THEN 'person not known'
            WHEN k.unit IS DISTINCT FROM 'Hours' AND k.unit IS DISTINCT FROM 'Days' THEN 'unit is neither days nor hours'
            WHEN p.employee_id IS NULL THEN 'person not in the lists of people'
            WHEN k.unit = 'Hours' THEN p.hourly_gap
            ELSE p.daily_gap
        END AS liability_gap
    FROM known AS k LEFT JOIN pay AS p ON p.portal = k.portal AND p.employee_id = k.employee_id
)
SELECT
    r.portal,
    r.portal_id,
    r.employee_id,
    e.name AS employee,
    e.department_id,
    e.department,
    r.account_id,
    r.account,
    r.type_id AS account_type_id,
    t.name AS account_type,
    t.absence_type,
    coalesce(k.kind, 'other') AS absence_kind,
    r.status,
    r.valid_from,
    r.valid_to,
    r.unit,
    r.balance,
    r.balance_date,
    r.balance_gap,
    r.used,
    r.booked,
    r.used_by,
    CASE WHEN r.used_by IS NOT NULL THEN NULL WHEN r.balance IS NULL THEN 'no balance' ELSE 'account begins before the first month read' END AS used_gap,
    r.balance + r.used AS entitlement,
    CASE WHEN r.liability_gap IS NULL THEN r.rate END AS rate,
    CASE WHEN r.liability_gap IS NULL THEN TRY_CAST(round(CAST(r.balance AS DOUBLE) * CAST(r.rate AS DOUBLE), 2) AS DECIMAL(18, 4)) END AS liability,
    r.liability_gap,
    c.currency
FROM rated AS r
LEFT JOIN people AS e ON e.portal = r.portal AND e.employee_id = r.employee_id
LEFT JOIN types AS t ON t.portal = r.portal AND t.id = r.type_id
LEFT JOIN kinds AS k ON k.portal = r.portal AND k.type_id = r.type_id
LEFT JOIN currencies AS c ON c.portal = r.portal;
