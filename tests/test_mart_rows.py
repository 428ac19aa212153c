"""Marts over a handful of rows, with figures worked out by hand; a second portal has the same ids for other things."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from planday_io.warehouse.mart_files import marts
from planday_io.warehouse.zones import write_zones
from tests.support.tables import put
from tests.support.two_portals import ANNA, BAR, BO, CAI, KITCHEN, fill_bergen, fill_oslo

D = Decimal
SEPTEMBER = {day: date(2025, 9, day) for day in range(1, 31)}


@pytest.fixture
def rows(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    fill_oslo(db)
    fill_bergen(db)
    return db


def found(db: duckdb.DuckDBPyConnection, mart: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {columns} FROM marts.{mart} WHERE portal = 'oslo' AND ({where}) ORDER BY ALL").fetchall()


@pytest.mark.parametrize("mart", [mart.name for mart in marts()])
def test_another_portal_changes_no_row(db: duckdb.DuckDBPyConnection, mart: str) -> None:
    fill_oslo(db)
    # Nobody in this roster breaches a rule, so one is stricter.
    db.execute("UPDATE sync.working_time_rules SET limit_value = 168 WHERE rule = 'weekly_rest'")
    before = found(db, mart, "*")
    fill_bergen(db)
    assert before
    assert found(db, mart, "*") == before


def test_shifts_of_the_roster(rows: duckdb.DuckDBPyConnection) -> None:
    assert found(rows, "shifts", "shift_id, hours, break_hours, planned_hours, planned_cost") == [
        (100, 8, D("0.5"), D("7.5"), 1500),
        (101, 8, D("0.75"), D("7.25"), None),
        (102, 4, 0, 4, None),
        (103, 4, 0, 4, None),
        (104, 4, 0, 4, None),
        (105, 4, 0, 4, None),
    ]
    names = "department, employee, employee_group, position, shift_type, start_utc, end_utc, is_overnight"
    assert found(rows, "shifts", names, "shift_id IN (100, 101)") == [
        ("Bar", "Bo Dahl", "Cooks", "Grill", "Training", *utc(8, 15, 23), True),
        ("Kitchen", "Anna Berg", "Cooks", "Grill", "Training", *utc(8, 6, 14), False),
    ]
    assert found(rows, "shifts", "shift_id", "is_open") == [(102,)]
    assert found(rows, "shifts", "shift_id", "is_draft") == [(103,)]
    assert found(rows, "shifts", "shift_id", "is_assigned") == [(100,), (101,), (104,), (105,)]


def utc(day: int, begin: int, end: int) -> list[datetime]:
    return [datetime(2025, 9, day, hour, tzinfo=UTC) for hour in (begin, end)]


def test_hours_planned_punched_approved_and_paid(rows: duckdb.DuckDBPyConnection) -> None:
    columns = "row_of, shift_id, planned_hours, punched_hours, approved_hours, paid_hours, paid_cost, punches"
    assert found(rows, "hours", columns) == [
        ("payroll", 999, None, None, None, 2, 300, 0),
        ("punch", None, None, 2, None, None, None, 1),
        # 8:06 to 16:12 without half an hour, and an hour; the break that was not ended is none.
        ("shift", 100, D("7.5"), D("8.6"), 8, 8, None, 2),
        # Paid without the unpaid break, planned without both.
        ("shift", 101, D("7.25"), None, None, D("7.5"), 1600, 1),
        ("shift", 102, 4, None, None, None, None, 0),
        ("shift", 103, 4, None, None, None, None, 0),
        ("shift", 104, 4, None, None, None, None, 0),
        # Approved without a punch: as planned.
        ("shift", 105, 4, None, 4, None, None, 0),
    ]


def test_why_hours_are_missing(rows: duckdb.DuckDBPyConnection) -> None:
    assert found(rows, "hours", "shift_id, punched_gap, approved_gap, paid_gap") == [
        (100, None, None, "salaried"),
        (101, "not punched out", "not approved", None),
        (102, "open", "open", "open"),
        (103, "draft", "draft", "draft"),
        (104, "absent", "absent", "absent"),
        (105, "not punched", None, "not in payroll"),
        (999, "not punched", "not approved", None),
        (None, None, "not approved", "not in payroll"),
    ]


def test_payroll_of_an_unread_month_is_called_so(rows: duckdb.DuckDBPyConnection) -> None:
    """Bergen's payroll of August was read, and oslo's was not."""
    times = {"date": "2025-08-04", "start_date_time": "2025-08-04 08:00", "end_date_time": "2025-08-04 12:00"}
    for portal in ("oslo", "bergen"):
        put(
            rows,
            "scheduling.shifts",
            portal=portal,
            id=106,
            month="2025-08",
            employee_id=BO,
            status="Assigned",
            **times,
        )
    rows.execute("UPDATE pay.salaries SET employee_id = 99")
    gaps = rows.execute("SELECT portal, paid_gap FROM marts.hours WHERE shift_id = 106 ORDER BY ALL").fetchall()
    assert gaps == [("bergen", "not in payroll"), ("oslo", "payroll not read")]


def test_a_day_of_labour(rows: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "date, department_id, planned_work_hours, open_hours, worked_hours, punched_hours, approved_hours, paid_hours, "
        "planned_cost"
    )
    assert found(
        rows, "labour_daily", columns, "planned_work_hours IS NOT NULL OR open_hours > 0 OR worked_hours > 0"
    ) == [
        # Two punches, of which one is approved: that one counts.
        (SEPTEMBER[8], KITCHEN, D("7.5"), None, 8, D("8.6"), 8, 8, 1500),
        # Not punched out: as paid.
        (SEPTEMBER[8], BAR, D("7.25"), None, D("7.5"), None, None, D("7.5"), None),
        (SEPTEMBER[9], BAR, None, 4, None, None, None, None, 75),
        (SEPTEMBER[10], BAR, 4, None, None, None, None, None, None),
        (SEPTEMBER[11], BAR, 4, None, 4, None, 4, None, None),
        (SEPTEMBER[12], BAR, None, None, 2, 2, None, None, None),
        (SEPTEMBER[13], BAR, None, None, 2, None, None, 2, None),
    ]
    money = (
        "date, department, shift_cost, month_supplement_cost, salary_cost, salary_allocated_by, labour_cost, "
        "unallocated_cost, cost_known_percent, revenue, labour_cost_percent"
    )
    assert found(rows, "labour_daily", money, "labour_cost IS NOT NULL OR revenue IS NOT NULL") == [
        # Anna's salary of the month, on the only day that she worked; her shifts have no pay of their own.
        (SEPTEMBER[8], "Bar", 1600, None, None, None, 1600, None, 100.0, 8000, 20.0),
        (SEPTEMBER[8], "Kitchen", None, None, 30_000, ["worked hours"], 30_000, None, 100.0, None, None),
        (SEPTEMBER[13], "Bar", 300, None, None, None, 300, None, 100.0, None, None),
        # Bo did not work on the day of the supplement: his main department's.
        (SEPTEMBER[30], "Bar", None, -50, None, None, -50, None, None, None, None),
    ]
    # What was worked and is in no payroll.
    unknown = "date, worked_hours, cost_unknown_hours, cost_known_percent"
    assert found(rows, "labour_daily", unknown, "cost_unknown_hours > 0") == [
        (SEPTEMBER[11], 4, 4, 0.0),
        (SEPTEMBER[12], 2, 2, 0.0),
    ]


def test_what_was_worked_and_how_it_is_known(rows: duckdb.DuckDBPyConnection) -> None:
    columns = "shift_id, worked_hours, worked_by, worked_gap, first_punch_in, last_punch_out, uses_punch_clock"
    assert found(rows, "hours", columns) == [
        (100, 8, "approved", None, datetime(2025, 9, 8, 8, 6), datetime(2025, 9, 8, 17, 15), False),  # noqa: DTZ001
        (101, D("7.5"), "paid", None, datetime(2025, 9, 8, 17), None, True),  # noqa: DTZ001
        (102, None, None, "open", None, None, True),
        (103, None, None, "draft", None, None, True),
        (104, None, None, "absent", None, None, True),
        (105, 4, "approved", None, None, None, True),
        (999, 2, "paid", None, None, None, True),
        (None, 2, "punched", None, datetime(2025, 9, 12, 9), datetime(2025, 9, 12, 11), True),  # noqa: DTZ001
    ]


def test_hours_say_what_a_shift_is_for(rows: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "employee_group_id, employee_group, position_id, position, shift_type_id, shift_type, start_utc, end_utc, "
        "is_overnight"
    )
    common = (20, "Cooks", 40, "Grill", 50, "Training")
    assert found(rows, "hours", columns, "shift_id IN (100, 101)") == [
        (*common, *utc(8, 6, 14), False),
        (*common, *utc(8, 15, 23), True),
    ]
    # Without a shift: as punched, or as paid.
    assert found(rows, "hours", "start_utc, end_utc, is_overnight", "row_of <> 'shift'") == [
        (*utc(12, 7, 9), False),
        (*utc(13, 6, 8), False),
    ]


def test_only_approved_absence_counts(rows: duckdb.DuckDBPyConnection) -> None:
    """Two approved records of one day, one since ever; others of the next day were submitted, cancelled and declined."""
    since_ever = ([410], None, None, "other", None, None, True, False)
    assert found(rows, "absence_days", "* EXCLUDE (portal, portal_id)") == [
        (ANNA, "Anna Berg", SEPTEMBER[1], *since_ever),
        (ANNA, "Anna Berg", SEPTEMBER[2], *since_ever),
        (
            BO,
            "Bo Dahl",
            SEPTEMBER[10],
            [400, 401],
            ["Flex", "Vacation 2025"],
            ["Flex", "Vacation"],
            "other",
            1,
            2,
            True,
            True,
        ),
    ]


@pytest.mark.parametrize("status", ["Submitted", "Cancelled", "Declined", "approved", "", None, "SomethingNew"])
def test_absence_of_another_status_is_none(db: duckdb.DuckDBPyConnection, status: str | None) -> None:
    period = {"absence_period_start": "2025-09-10", "absence_period_end": "2025-09-12"}
    put(db, "absence.absence_records", portal="oslo", id=1, employee_id=BO, status=status, **period)
    put(db, "absence.absence_records", portal="oslo", id=2, employee_id=BO, status=status, **period)
    put(db, "absence.absence_record_registrations", portal="oslo", absence_record_id=2, ordinal=1, date="2025-09-10")
    assert found(db, "absence_days", "*") == []


def test_part_of_day_is_no_whole_day(db: duckdb.DuckDBPyConnection) -> None:
    put(db, "absence.absence_records", portal="oslo", id=1, employee_id=BO, status="Approved")
    entry = {"absence_record_id": 1, "date": "2025-09-10", "time_start": "10:00"}
    put(db, "absence.absence_record_registrations", portal="oslo", ordinal=1, **entry)
    assert found(db, "absence_days", "is_whole_day") == [(False,)]


def test_people_and_what_is_known_of_them(rows: duckdb.DuckDBPyConnection) -> None:
    belonging = "departments, primary_department, employee_groups, employee_type"
    columns = f"employee_id, name, is_active, {belonging}, job_title, work_hours, contract_rule, pay_type"
    both = ["Bar", "Kitchen"]
    assert found(rows, "employees", columns) == [
        (ANNA, "Anna Berg", True, both, "Kitchen", ["Cooks"], "Full time", "Chef", 160, "Sixty", "salaried"),
        (BO, "Bo Dahl", True, ["Bar"], "Bar", ["Cooks"], "Full time", None, None, "Part", "hourly and shift"),
        (CAI, "Cai Eik", False, both, "Bar", ["Cooks"], "Full time", None, None, None, None),
    ]
    tenures = dict(found(rows, "employees", "employee_id, tenure_days"))
    assert tenures[CAI] == 619
    today = datetime.now(UTC).date()
    assert tenures[BO] in {(today - SEPTEMBER[1]).days, (today - SEPTEMBER[1]).days + 1}


def test_headcount_of_a_month_somebody_left(rows: duckdb.DuckDBPyConnection) -> None:
    columns = "month, department, headcount, hired, left_count, worked"
    assert found(rows, "headcount_monthly", columns, "month IN ('2025-08', '2025-09', '2025-10')") == [
        ("2025-08", "Bar", 1, 0, 0, 0),
        ("2025-08", "Kitchen", 1, 0, 0, 0),
        ("2025-09", "Bar", 1, 1, 1, 1),
        ("2025-09", "Kitchen", 1, 0, 0, 1),
        ("2025-10", "Bar", 1, 0, 0, 0),
        ("2025-10", "Kitchen", 1, 0, 0, 0),
    ]


def test_only_drafts_are_no_work(rows: duckdb.DuckDBPyConnection) -> None:
    rows.execute("UPDATE scheduling.shifts SET status = 'Draft' WHERE portal = 'oslo'")
    assert found(rows, "headcount_monthly", "sum(worked)") == [(0,)]


def test_planned_costs_of_a_day(rows: duckdb.DuckDBPyConnection) -> None:
    columns = "shift_id, hours, hours_gap, answer_form, shift_hours, cost"
    assert found(rows, "planned_costs", columns) == [
        (100, D("7.5"), None, "D:HH:MM", 8, 1500),
        (None, None, "no duration", None, None, 75),
    ]


def test_cost_of_moved_shift_counts_once(rows: duckdb.DuckDBPyConnection) -> None:
    """The month that the shift left is not read again yet, and still has its cost."""
    cost = {"month": "2025-08", "ordinal": 1, "department_id": KITCHEN, "date": "2025-08-08"}
    put(rows, "scheduling.time_and_costs", portal="oslo", shift_id=100, duration="0:07:00", cost=1400, **cost)
    assert found(rows, "shifts", "planned_cost, planned_hours", "shift_id = 100") == [(1500, D("7.5"))]


def test_punches_are_in_their_shift_s_zone(db: duckdb.DuckDBPyConnection) -> None:
    """Nine hours in Oslo on the night clocks go back; where the shift names no zone, the punch's counts."""
    night = {"start_date_time": "2025-10-25 22:00", "end_date_time": "2025-10-26 06:00"}
    put(db, "portal.portals", portal="oslo", id=1, time_zone="UTC")
    for number, (zone, own) in enumerate((("Europe/Oslo", "UTC"), ("", "Europe/Oslo"), (None, "Europe/Oslo"))):
        put(db, "scheduling.shifts", portal="oslo", month="2025-10", id=number, time_zone=zone, **night)
        put(
            db,
            "punchclock.punch_clock_shifts",
            portal="oslo",
            month="2025-10",
            id=number,
            shift_id=number,
            time_zone=own,
            **night,
        )
        pause = {"start_date_time": "2025-10-26 01:30", "end_date_time": "2025-10-26 03:30"}
        put(db, "punchclock.punch_clock_breaks", portal="oslo", month="2025-10", id=number, punch_clock_shift_id=number,
            time_zone=own, **pause)  # fmt: skip
    write_zones(db, again=False)
    assert found(db, "spans", "id, hours", "span_of = 'punch'") == [(0, 9), (1, 9), (2, 9)]
    assert found(db, "spans", "id, hours", "span_of = 'break'") == [(0, 3), (1, 3), (2, 3)]
    assert found(db, "hours", "shift_id, punched_hours") == [(0, 6), (1, 6), (2, 6)]
