-- Made-up rows of one portal: $shifts shifts of $people people in 100 departments on $days days from $first on, and all that belongs to
-- them. Days are in order, as slices are; what differs from row to row follows from the row's number, so every run makes the same.
INSERT INTO portal.portals (portal, portal_id, id, time_zone) VALUES ('bench', 1, 1, 'Europe/Copenhagen');
INSERT INTO hr.departments (portal, portal_id, id, name) SELECT 'bench', 1, 100 + i, 'Department ' || i FROM range(100) AS t(i);
INSERT INTO hr.employee_groups (portal, portal_id, id, name) SELECT 'bench', 1, 200 + i, 'Group ' || i FROM range(10) AS t(i);
INSERT INTO scheduling.positions (portal, portal_id, id, name) SELECT 'bench', 1, 800 + i, 'Position ' || i FROM range(100) AS t(i);
INSERT INTO scheduling.shift_types (portal, portal_id, id, name)
SELECT 'bench', 1, * FROM (VALUES (50, 'Normal'), (51, 'Sick'), (52, 'Course'), (53, 'Standby')) AS t;
INSERT INTO hr.employees (portal, portal_id, id, first_name, last_name, departments, primary_department_id, employee_groups, hired_date)
SELECT 'bench', 1, 1000 + i, 'A' || i, 'B' || i, [100 + i % 100], 100 + i % 100, [200 + i % 10], DATE '2015-01-01' + CAST(hash(i) % 3500 AS INTEGER)
FROM range($people) AS t(i);
INSERT INTO hr.deactivated_employees (portal, portal_id, id, first_name, last_name, departments, hired_date, deactivation_date)
SELECT 'bench', 1, 500000 + i, 'C' || i, 'D' || i, [100 + i % 100], DATE '2015-01-01' + CAST(hash(i) % 2000 AS INTEGER),
    DATE '$first' + CAST(hash(i) % $days AS INTEGER)
FROM range($people // 2) AS t(i);
INSERT INTO hr.employee_details (portal, portal_id, id, work_hours) SELECT 'bench', 1, 1000 + i, 60 + i % 100 FROM range($people) AS t(i);
INSERT INTO scheduling.shifts (portal, portal_id, month, id, department_id, employee_id, employee_group_id, position_id, shift_type_id, date,
    start_date_time, end_date_time, time_zone, status, date_time_created, date_time_modified)
SELECT 'bench', 1, strftime(day, '%Y-%m'), i + 1, 100 + e % 100, CASE WHEN i % 50 <> 0 THEN 1000 + e END, 200 + i % 10, 800 + i % 100,
    CASE WHEN i % 20 = 0 THEN 50 + i // 20 % 4 END, day, day + to_hours(CAST(6 + i % 14 AS INTEGER)), day + to_hours(CAST(14 + i % 14 AS INTEGER)),
    'Europe/Copenhagen',
    CASE WHEN i % 50 = 0 THEN 'Open' WHEN i % 49 = 0 THEN 'Draft' WHEN day >= today() OR i % 3 = 0 THEN 'Assigned' ELSE 'Approved' END,
    day - 20, day - 10
FROM (SELECT i, hash(i) % $people AS e, DATE '$first' + CAST(i * $days // $shifts AS INTEGER) AS day FROM range($shifts) AS t(i));
INSERT INTO punchclock.punch_clock_shifts (portal, portal_id, month, id, shift_id, department_id, employee_id, start_date_time, end_date_time,
    time_zone, shift_start_date_time, shift_end_date_time, is_approved)
SELECT portal, portal_id, month, id + 100000000, id, department_id, employee_id, start_date_time + to_minutes(CAST(id % 30 - 10 AS INTEGER)),
    CASE WHEN id % 1000 > 0 THEN end_date_time + INTERVAL 5 MINUTE END, 'Europe/Copenhagen', start_date_time, end_date_time, id % 10 < 9
FROM scheduling.shifts WHERE id % 5 < 3 AND employee_id IS NOT NULL AND status <> 'Draft' AND date < today() AND department_id % 7 > 0;
INSERT INTO punchclock.punch_clock_breaks (portal, portal_id, month, id, punch_clock_shift_id, start_date_time, end_date_time, time_zone)
SELECT portal, portal_id, month, id + 100000000, id, start_date_time + INTERVAL 3 HOUR, start_date_time + INTERVAL 210 MINUTE, 'Europe/Copenhagen'
FROM punchclock.punch_clock_shifts WHERE id % 5 = 1;
INSERT INTO scheduling.time_and_costs (portal, portal_id, month, department_id, date, shift_id, ordinal, employee_id, shift_type_id, position_id,
    duration, cost, currency_symbol)
SELECT portal, portal_id, month, department_id, date, id, 1, employee_id, shift_type_id, position_id, '0:07:30', 1500.25, 'kr'
FROM scheduling.shifts WHERE employee_id IS NOT NULL AND status <> 'Draft';
INSERT INTO payroll.shifts (portal, portal_id, month, id, employee_id, department_id, employee_group_id, position_id, shift_type_id, date, start,
    "end", salary, wage_rate, wage_type, currency_symbol)
SELECT portal, portal_id, month, id, employee_id, department_id, employee_group_id, position_id, shift_type_id, date, start_date_time, end_date_time,
    CASE WHEN employee_id % 10 = 0 THEN 0 ELSE 1432.55 END, CASE WHEN employee_id % 10 = 0 THEN 0 ELSE 191 END, 'Hourly', 'kr'
FROM scheduling.shifts WHERE employee_id IS NOT NULL AND status <> 'Draft' AND date < today();
INSERT INTO payroll.shift_supplements (portal, portal_id, month, shift_id, ordinal, name, modification)
SELECT portal, portal_id, month, id, 1, 'Evening', 25.5 FROM payroll.shifts WHERE id % 5 = 2;
INSERT INTO payroll.shift_breaks (portal, portal_id, month, shift_id, ordinal, duration, is_paid)
SELECT portal, portal_id, month, id, 1, 0.5, false FROM payroll.shifts WHERE id % 2 = 0;
CREATE TEMP TABLE months AS
SELECT strftime(first, '%Y-%m') AS month, CAST(first AS DATE) AS first, CAST(last_day(first) AS DATE) AS last
FROM (SELECT unnest(generate_series(TIMESTAMP '$first', date_trunc('month', CAST(today() AS TIMESTAMP)), INTERVAL 1 MONTH)) AS first);
INSERT INTO payroll.salaried (portal, portal_id, month, employee_id, date, ordinal, start, "end", salary, currency_symbol)
SELECT 'bench', 1, month, 1000 + i, first, 1, first, last, 30000.77, 'kr' FROM range(0, $people, 10) AS t(i), months ORDER BY first, i;
INSERT INTO payroll.supplements (portal, portal_id, month, employee_id, date, ordinal, start, salary, currency_symbol)
SELECT 'bench', 1, month, 1000 + i, first + 2, 1, first + 2, -33.33, 'kr' FROM range(0, $people, 2) AS t(i), months ORDER BY first, i;
INSERT INTO pay.salaries (portal, portal_id, employee_id, salary) SELECT 'bench', 1, 1000 + i, 30000 FROM range(0, $people, 10) AS t(i);
INSERT INTO pay.pay_rates (portal, portal_id, employee_id, employee_group_id, wage_type, rate)
SELECT 'bench', 1, 1000 + i, 200 + i % 10, 'HourlyRate', 191 FROM range($people) AS t(i) WHERE i % 10 <> 0;
INSERT INTO pay.salary_allocations (portal, portal_id, employee_id, valid_from, ordinal, cost_allocation, department_distributions)
SELECT 'bench', 1, 1000 + i, DATE '2020-01-01', 1,
    CASE i // 20 % 4 WHEN 0 THEN 'BusinessDays' WHEN 1 THEN 'MonthlySalary' WHEN 2 THEN 'ScheduledHours' ELSE 'NoAllocation' END,
    [{'department_id': 100 + i % 100, 'department_weight': 60, 'week_days_weight': NULL},
        {'department_id': 100 + (i + 1) % 100, 'department_weight': 40, 'week_days_weight': NULL}]
FROM range(0, $people, 20) AS t(i);
INSERT INTO absence.account_types (portal, portal_id, id, name, absence_type) VALUES ('bench', 1, 1, 'Vacation', 'Vacation'), ('bench', 1, 2, 'Illness', 'Sick');
INSERT INTO absence.accounts (portal, portal_id, id, employee_id, type_id, name, status)
SELECT 'bench', 1, 2 * i + k, 1000 + i, k, CASE k WHEN 1 THEN 'Vacation' ELSE 'Illness' END, 'Active' FROM range($people) AS t(i), range(1, 3) AS u(k);
INSERT INTO absence.absence_records (portal, portal_id, id, employee_id, status, absence_period_start, absence_period_end)
SELECT 'bench', 1, i, 1000 + i % $people, 'Approved', day, day + 3
FROM (SELECT i, DATE '$first' + CAST(hash(i) % $days AS INTEGER) AS day FROM range($shifts // 100) AS t(i));
INSERT INTO absence.absence_record_registrations (portal, portal_id, absence_record_id, ordinal, date, account_id, account_costs)
SELECT r.portal, r.portal_id, r.id, k, r.absence_period_start + CAST(k AS INTEGER), 2 * (r.employee_id - 1000) + 1 + r.id % 2,
    [{'value': -1, 'unit_type': 'Days'}]
FROM absence.absence_records AS r, range(4) AS t(k) WHERE r.id % 3 > 0;
INSERT INTO revenue.revenue_units (portal, portal_id, id, department_id) SELECT 'bench', 1, 700 + i, 100 + i FROM range(100) AS t(i);
INSERT INTO revenue.revenue (portal, portal_id, month, revenue_unit_id, date, turnover)
SELECT 'bench', 1, strftime(day, '%Y-%m'), 700 + i, day, 400000
FROM (SELECT DATE '$first' + CAST(d AS INTEGER) AS day FROM range($days) AS t(d)), range(100) AS u(i);
INSERT INTO sync.slices (table_name, portal, portal_id, month, slice_id, fetched_at)
SELECT name, 'bench', 1, month, 's', now() FROM months, (VALUES ('payroll.shifts'), ('scheduling.shifts')) AS t(name);
