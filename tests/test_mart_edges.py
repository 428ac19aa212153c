"""Marts where a sum, a date or a reason tips over: one row more or less, the last day of a month, nothing instead of 0."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from planday_io.config.model import MartSettings
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones
from tests.support.tables import found, put, put_oslo

Db = duckdb.DuckDBPyConnection
D = Decimal


def shifts(db: Db, *rows: dict[str, Any]) -> None:
    usual = {"employee_id": 1, "department_id": 10, "status": "Assigned", "time_zone": "UTC"}
    times = {"date": "2025-09-08", "start_date_time": "2025-09-08 08:00", "end_date_time": "2025-09-08 16:00"}
    for number, row in enumerate(rows, 1):
        put(db, "scheduling.shifts", portal="oslo", **({"id": number, "month": "2025-09"} | usual | times | row))
    put(db, "sync.slices", portal="oslo", table_name="payroll.shifts", month="2025-09", slice_id="s")
    write_zones(db, again=False)


def test_several_punches_of_one_shift_add_up(db: Db) -> None:
    """One of them is not ended: the person is still in."""
    shifts(db, {})
    times = (("08:00", "10:00"), ("10:30", "12:00"), ("13:00", None))
    for number, (begin, end) in enumerate(times):
        ends = {"end_date_time": f"2025-09-08 {end}"} if end else {}
        planned = {
            "shift_start_date_time": f"2025-09-08 {begin}",
            "shift_end_date_time": f"2025-09-08 {end or '15:00'}",
        }
        put_oslo(db, "punchclock.punch_clock_shifts", {"id": number, **ends, **planned}, month="2025-09", shift_id=1,
            start_date_time=f"2025-09-08 {begin}", is_approved=bool(end), time_zone="UTC")  # fmt: skip
    write_zones(db, again=False)
    assert found(db, "hours", "punched_hours, approved_hours, punches, punched_gap") == [
        (D("3.5"), D("3.5"), 3, "not punched out")
    ]


@pytest.mark.parametrize("zone", ["UTC", None])
def test_future_shifts_are_not_yet_worked(db: Db, zone: str | None) -> None:
    """Where no zone is known, the wall clock decides."""
    ahead, past = (datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days) for days in (30, -30))
    times = [
        {"date": at.date(), "start_date_time": at, "end_date_time": at + timedelta(hours=8)} for at in (ahead, past)
    ]
    shifts(db, *({"time_zone": zone, **one} for one in times))
    gaps = db.execute("SELECT punched_gap, approved_gap FROM marts.hours ORDER BY date").fetchall()
    assert gaps == [("not punched", "not approved"), ("not yet", "not yet")]


def test_salary_of_zero_with_rate_is_pay(db: Db) -> None:
    shifts(db, {}, {}, {})
    pay = (
        {"id": 1, "salary": 0, "wage_rate": 150},
        {"id": 2, "salary": 0, "wage_rate": 0},
        {"id": 3, "wage_rate": 150},
    )
    put_oslo(db, "payroll.shifts", *pay, month="2025-09", date="2025-09-08")
    assert found(db, "hours", "shift_id, paid_cost, paid_gap") == [
        (1, 0, None),
        (2, None, "no pay data"),
        (3, None, "no pay data"),
    ]


def test_nobody_is_approved_for_a_shift_without_anybody(db: Db) -> None:
    shifts(db, {"status": "Approved"}, {"status": "Approved", "employee_id": None}, {"status": "PunchclockApproved"})
    assert found(db, "hours", "shift_id, approved_hours, approved_gap") == [
        (1, 8, None),
        (2, None, "open"),
        (3, 8, None),
    ]


def test_a_salary_counts_in_its_own_month(db: Db) -> None:
    shifts(db, {}, {"employee_id": 2})
    put_oslo(db, "payroll.salaried", {"employee_id": 1, "month": "2025-10"}, {"employee_id": 2, "month": "2025-09"})
    assert found(db, "hours", "employee_id, paid_gap") == [(1, "not in payroll"), (2, "salaried")]


def test_absence_explains_its_own_day_only(db: Db) -> None:
    shifts(db, {}, {"date": "2025-09-09"}, {"employee_id": 2})
    period = {"absence_period_start": "2025-09-08", "absence_period_end": "2025-09-08"}
    put_oslo(db, "absence.absence_records", {"id": 1, "employee_id": 1, "status": "Approved", **period})
    assert found(db, "hours", "shift_id, punched_gap") == [(1, "absent"), (2, "not punched"), (3, "not punched")]


def test_drafts_are_neither_planned_nor_open(db: Db) -> None:
    shifts(db, {"status": "Draft"}, {"status": "Draft", "employee_id": None}, {"employee_id": None}, {"status": None})
    assert found(db, "labour_daily", "planned_work_hours, open_hours") == [(8, 8)]


@pytest.mark.parametrize(("turnover", "percent"), [(0, None), (400, 25.0), (-400, None)])
def test_labour_in_percent_of_revenue(db: Db, turnover: int, percent: float | None) -> None:
    put_oslo(db, "payroll.shifts", {"id": 1, "salary": 100, "department_id": 10}, month="2025-09", date="2025-09-08")
    put_oslo(db, "revenue.revenue_units", {"id": 70, "department_id": 10})
    put_oslo(db, "revenue.revenue", {"revenue_unit_id": 70, "turnover": turnover}, month="2025-09", date="2025-09-08")
    assert found(db, "labour_daily", "labour_cost, revenue, labour_cost_percent") == [(100, turnover, percent)]


def test_costs_of_day_and_department_add_up(db: Db) -> None:
    """Nobody is known to belong anywhere, so supplements and salaries are allocated to no department."""
    where = {"date": "2025-09-08", "month": "2025-09"}
    put_oslo(db, "payroll.shifts", {"id": 1, "salary": 100}, {"id": 2, "salary": D("0.25")}, department_id=10, **where)
    put_oslo(db, "payroll.shifts", {"id": 3, "salary": 7}, **where)
    put_oslo(db, "payroll.shift_supplements", {"shift_id": 1, "ordinal": 1, "modification": 30}, month="2025-09")
    put_oslo(db, "payroll.supplements", {"ordinal": 1, "salary": -20}, {"ordinal": 2, "salary": 5}, **where)
    put_oslo(db, "payroll.salaried", {"ordinal": 1, "salary": 1000}, **where)
    columns = "department_id, shift_cost, shift_supplement_cost, labour_cost, unallocated_cost"
    assert found(db, "labour_daily", columns) == [
        (10, D("100.25"), 30, D("100.25"), None),
        (None, None, None, None, D("992")),
    ]
    # Where a shift's pay is said not to hold its supplements, they are added.
    write_settings(db, {"oslo": MartSettings(salary_includes_supplements=False)})
    assert found(db, "labour_daily", "labour_cost, unallocated_cost") == [(D("130.25"), None), (None, 992)]
    write_settings(db, {"oslo": MartSettings(salary_includes_supplements=True)})
    assert found(db, "labour_daily", "labour_cost, unallocated_cost") == [(D("100.25"), None), (None, 992)]


KINDS = ("work", "sickness", "absence", "course", "standby", "unpaid")


def test_each_kind_of_shift_counts_apart(db: Db) -> None:
    """Approved shifts of six types: `shift_kinds` lists one by its id and one by its name; the others are guessed."""
    names = ("Normal", "Sygdom", "Vacation", "XY", "Bagvagt", "Ulønnet fri")
    put_oslo(db, "scheduling.shift_types", *({"id": 50 + n, "name": name} for n, name in enumerate(names)))
    write_settings(db, {"oslo": MartSettings(shift_kinds={"53": "course", " normal ": "work"}, currency="NOK")})
    assert db.execute("SELECT kind, is_guessed FROM sync.shift_kinds ORDER BY shift_type_id").fetchall() == [
        (kind, kind not in ("work", "course")) for kind in KINDS
    ]
    shifts(db, *({"shift_type_id": 50 + n, "status": "Approved"} for n in range(6)), {"status": "Approved"})
    assert found(db, "hours", "kind, worked_hours, worked_gap, currency") == sorted(
        [
            *((kind, 8, None, "NOK") for kind in ("work", "work", "course", "standby")),
            *((kind, None, kind, "NOK") for kind in ("sickness", "absence", "unpaid")),
        ]
    )
    columns = (
        "planned_work_hours, sickness_hours, absence_hours, course_hours, standby_hours, unpaid_hours, worked_hours"
    )
    assert found(db, "labour_daily", f"{columns}, cost_unknown_hours, currency") == [(16, 8, 8, 8, 8, 8, 16, 32, "NOK")]


@pytest.mark.parametrize(
    ("status", "gap"), [(None, "partly approved"), ("Assigned", "partly approved"), ("PunchclockApproved", None)]
)
def test_one_punch_of_two_approved_is_a_part(db: Db, status: str, gap: str | None) -> None:
    """Unless the shift itself is approved: then somebody decided on all of it."""
    shifts(db, {"status": status})
    for number, is_approved in ((1, True), (2, False)):
        put(db, "punchclock.punch_clock_shifts", portal="oslo", id=number, shift_id=1, month="2025-09", employee_id=1,
            time_zone="UTC", start_date_time="2025-09-08 08:00", end_date_time="2025-09-08 11:00",
            shift_start_date_time="2025-09-08 08:00", shift_end_date_time="2025-09-08 12:00",
            is_approved=is_approved)  # fmt: skip
    assert found(db, "hours", "worked_hours, worked_by, worked_gap") == [(4, "approved", gap)]


@pytest.mark.parametrize(
    ("times", "worked"),
    [({}, (None, None, "absent")), ({"time_start": "08:00", "time_end": "10:00"}, (8, "paid", None))],
)
def test_absent_for_hours_is_not_for_the_day(db: Db, times: dict[str, str], worked: tuple[Any, ...]) -> None:
    period = {"absence_period_start": "2025-09-08", "absence_period_end": "2025-09-08"}
    put(db, "absence.absence_records", portal="oslo", id=1, employee_id=1, status="Approved", **period)
    put(
        db,
        "absence.absence_record_registrations",
        portal="oslo",
        absence_record_id=1,
        ordinal=1,
        date="2025-09-08",
        **times,
    )
    put(db, "payroll.shifts", portal="oslo", id=1, month="2025-09", employee_id=1, department_id=10, date="2025-09-08",
        start="2025-09-08 08:00", end="2025-09-08 16:00", wage_rate="200", salary="1600")  # fmt: skip
    shifts(db, {})
    assert found(db, "hours", "worked_hours, worked_by, worked_gap") == [worked]


def test_a_paid_punch_of_a_deleted_shift_counts_once(db: Db) -> None:
    """Payroll and the punch name the same shift, which is no longer in the roster."""
    times = {"start_date_time": "2025-09-08 08:00", "end_date_time": "2025-09-08 16:00"}
    put_oslo(db, "punchclock.punch_clock_shifts", {"id": 7, "shift_id": 3}, month="2025-09", employee_id=1, department_id=10,
             time_zone="UTC", **times)  # fmt: skip
    put_oslo(db, "payroll.shifts", {"id": 3, "salary": 800, "wage_rate": 100}, {"id": 4, "salary": 800, "wage_rate": 100},
             month="2025-09", date="2025-09-08", employee_id=1, department_id=10, start="2025-09-08 08:00",
             end="2025-09-08 16:00")  # fmt: skip
    write_zones(db, again=False)
    rows = db.execute(
        "SELECT row_of, shift_id, worked_hours, worked_by, worked_gap, paid_cost FROM marts.hours ORDER BY ALL"
    )
    assert rows.fetchall() == [
        ("payroll", 3, None, None, "in the row of its punch", 800),
        ("payroll", 4, 8, "paid", None, 800),
        ("punch", None, 8, "punched", None, None),
    ]


def test_a_type_that_is_gone_keeps_its_kind(db: Db) -> None:
    history = ({"name": "Sick", "valid_from": "2025-02-01"}, {"name": "Normal", "valid_from": "2025-01-01"})
    put_oslo(db, "scheduling_history.shift_types", *history, id=50)
    write_settings(db, {})
    shifts(db, {"shift_type_id": 50}, {"shift_type_id": 51})
    assert found(db, "shifts", "kind, shift_type") == [("sickness", "Sick"), ("work", None)]


def test_departments_without_a_name_stay_apart(db: Db) -> None:
    put_oslo(db, "hr.departments", {"id": 10}, {"id": 11})
    shifts(db, {}, {"department_id": 11}, {"department_id": None})
    assert found(db, "labour_daily", "department_id, department, planned_work_hours") == [
        (10, None, 8),
        (11, None, 8),
        (None, None, 8),
    ]


def test_percentage_needs_the_cost_of_each_worked_hour(db: Db) -> None:
    """Of two people one has no pay data: the share that is known is said, and no percentage."""
    shifts(db, {"status": "Approved"}, {"status": "Approved", "employee_id": 2})
    pay = ({"id": 1, "salary": 100, "wage_rate": 10}, {"id": 2, "salary": 0, "wage_rate": 0})
    put_oslo(db, "payroll.shifts", *pay, month="2025-09", date="2025-09-08", department_id=10)
    put_oslo(db, "revenue.revenue_units", {"id": 70, "department_id": 10})
    put_oslo(db, "revenue.revenue", {"revenue_unit_id": 70, "turnover": 400}, month="2025-09", date="2025-09-08")
    columns = "shift_cost, cost_known_hours, cost_unknown_hours, cost_known_percent, labour_cost_percent"
    assert found(db, "labour_daily", columns) == [(100, 8, 8, 50.0, None)]
    # Nothing that is unknown is 0.
    db.execute("DELETE FROM payroll.shifts WHERE id = 1")
    assert found(db, "labour_daily", "shift_cost, labour_cost, labour_cost_percent") == [(None, None, None)]


def test_salaried_hours_are_known_once_the_salary_is_allocated(db: Db) -> None:
    shifts(db, {"status": "Approved"})
    put_oslo(db, "payroll.salaried", {"employee_id": 1, "salary": 250}, month="2025-09", date="2025-09-01", ordinal=1)
    put_oslo(db, "revenue.revenue_units", {"id": 70, "department_id": 10})
    put_oslo(db, "revenue.revenue", {"revenue_unit_id": 70, "turnover": 1000}, month="2025-09", date="2025-09-08")
    columns = "salary_cost, salary_allocated_by, cost_known_percent, labour_cost_percent"
    assert found(db, "labour_daily", columns) == [(250, ["worked hours"], 100.0, 25.0)]
    # An amount that the privacy policy dropped is not known.
    db.execute("UPDATE payroll.salaried SET salary = NULL")
    assert found(db, "labour_daily", columns) == [(None, None, 0.0, None)]


def test_durations_of_one_shift_add_up(db: Db) -> None:
    shifts(db, {})
    costs = ({"ordinal": 1, "duration": "0:04:00", "cost": 400}, {"ordinal": 2, "duration": "0:03:30", "cost": 350})
    put_oslo(db, "scheduling.time_and_costs", *costs, month="2025-09", department_id=10, shift_id=1, date="2025-09-08")
    assert found(db, "shifts", "planned_hours, break_hours, planned_cost") == [(D("7.5"), D("0.5"), 750)]


@pytest.mark.parametrize(
    ("end", "is_overnight"),
    [("2025-09-08 23:59", False), ("2025-09-09 00:00", False), ("2025-09-09 00:01", True), ("2025-09-10 00:00", True)],
)
def test_a_shift_until_midnight_is_not_overnight(db: Db, end: str, *, is_overnight: bool) -> None:
    shifts(db, {"end_date_time": end})
    assert found(db, "shifts", "is_overnight") == [(is_overnight,)]


def test_what_was_given_back_is_not_taken(db: Db) -> None:
    """Registrations of one record and day: a day, half of which was given back, and hours."""
    put_oslo(db, "absence.absence_records", {"id": 1, "employee_id": 1, "status": "Approved"})
    costs = (("Days", -1), ("Days", D("0.5")), ("Hours", -3))
    for ordinal, (unit, value) in enumerate(costs):
        put_oslo(db, "absence.absence_record_registrations", {"ordinal": ordinal, "time_start": "08:00" if ordinal else None},
            absence_record_id=1, date="2025-09-08", account_costs=[{"value": value, "unit_type": unit}])  # fmt: skip
    assert found(db, "absence_days", "days, hours, is_whole_day") == [(D("0.5"), 3, True)]


@pytest.mark.parametrize(("length", "days"), [(200, 200), (367, 367), (368, 0)])
def test_absence_up_to_one_year_counts_fully(db: Db, length: int, days: int) -> None:
    """Longer is open: of that the days from the first month read on count."""
    begin = date(2020, 1, 1)
    put(db, "sync.slices", table_name="scheduling.shifts", portal="oslo", month="2025-09")
    put_oslo(db, "absence.absence_records", {"id": 1, "employee_id": 1, "status": "Approved"}, absence_period_start=begin,
        absence_period_end=begin + timedelta(days=length - 1))  # fmt: skip
    assert len(found(db, "absence_days", "date")) == days


def test_rows_without_a_date_count_on_their_start(db: Db) -> None:
    """Paid shifts that the roster lacks, supplements, and punches that only have the scheduled time."""
    put_oslo(
        db, "payroll.shifts", {"id": 77, "salary": 0, "wage_rate": 150}, month="2025-09", department_id=10,
        start="2025-09-08 08:00", end="2025-09-08 16:00",
    )  # fmt: skip
    put_oslo(
        db,
        "payroll.supplements",
        {"ordinal": 1, "employee_id": 1, "salary": 5},
        month="2025-09",
        start="2025-09-09 00:00",
    )
    put_oslo(
        db, "punchclock.punch_clock_shifts", {"id": 5}, month="2025-09", department_id=11, is_approved=False,
        shift_start_date_time="2025-09-10 08:00", shift_end_date_time="2025-09-10 16:00",
    )  # fmt: skip
    write_zones(db, again=False)
    assert db.execute("SELECT row_of, date FROM marts.hours ORDER BY date").fetchall() == [
        ("payroll", date(2025, 9, 8)),
        ("punch", date(2025, 9, 10)),
    ]
    # A cost of 0 is known to be 0.
    assert found(db, "labour_daily", "sum(unallocated_cost)") == [(5,)]
    assert found(db, "labour_daily", "date, department_id, labour_cost") == [
        (date(2025, 9, 8), 10, D(0)),
        (date(2025, 9, 9), None, None),
        (date(2025, 9, 10), 11, None),
    ]


def test_breaks_count_for_the_punch_that_they_are_of(db: Db) -> None:
    """Also without a shift. Those of somebody who is still in do not count yet."""
    shifts(db, {})
    punches = ((5, None, "16:00"), (6, 1, "10:00"), (7, 1, None))
    for number, shift, end in punches:
        punch = {"id": number, "shift_id": shift, "end_date_time": end and f"2025-09-08 {end}"}
        begin = {"month": "2025-09", "start_date_time": "2025-09-08 08:00", "time_zone": "UTC"}
        put_oslo(db, "punchclock.punch_clock_shifts", punch, **begin)
        pause = {"start_date_time": "2025-09-08 09:00", "end_date_time": "2025-09-08 09:15"}
        put_oslo(
            db,
            "punchclock.punch_clock_breaks",
            {"id": number, "punch_clock_shift_id": number},
            month="2025-09",
            time_zone="UTC",
            **pause,
        )
    write_zones(db, again=False)
    assert found(db, "hours", "row_of, punched_hours, month") == [
        ("punch", D("7.75"), "2025-09"),
        ("shift", D("1.75"), "2025-09"),
    ]


def test_what_belongs_to_a_shift_may_be_of_the_month_before(db: Db) -> None:
    shifts(
        db,
        {
            "month": "2025-10",
            "date": "2025-10-01",
            "start_date_time": "2025-10-01 00:00",
            "end_date_time": "2025-10-01 08:00",
        },
    )
    put_oslo(db, "punchclock.punch_clock_shifts", {"id": 5}, month="2025-09", shift_id=1, start_date_time="2025-09-30 23:45",
        end_date_time="2025-10-01 08:00", time_zone="UTC")  # fmt: skip
    pause = {"start_date_time": "2025-10-01 01:00", "end_date_time": "2025-10-01 01:15"}
    put_oslo(
        db,
        "punchclock.punch_clock_breaks",
        {"id": 1, "punch_clock_shift_id": 5},
        month="2025-09",
        time_zone="UTC",
        **pause,
    )
    times = {"start": "2025-10-01 00:00", "end": "2025-10-01 08:00"}
    put_oslo(db, "payroll.shifts", {"id": 1, "salary": 100}, month="2025-09", date="2025-10-01", **times)
    put_oslo(
        db, "payroll.shift_breaks", {"shift_id": 1, "ordinal": 1}, month="2025-09", duration=D("0.5"), is_paid=False
    )
    write_zones(db, again=False)
    columns = "month, planned_hours, punched_hours, paid_hours, paid_cost"
    assert found(db, "hours", columns) == [("2025-10", D("7.5"), 8, D("7.5"), 100)]
    of_month = db.execute(f"SELECT {columns} FROM marts.hours WHERE month = '2025-10'").fetchall()
    assert of_month == found(db, "hours", columns)
