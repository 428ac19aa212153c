"""`marts.attendance` and `marts.punches`: planted cases, and random rosters as plain Python says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings

from planday_io.warehouse.zones import write_zones
from tests.support.rosters import KINDS, ROSTERS, Shift, instants, minutes, plant, punched_hours
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
NOTHING = timedelta(0)
COLUMNS = (
    "shift_id, punch_ids, early_arrival_minutes, late_minutes, arrival_gap, early_leave_minutes, late_leave_minutes, "
    "departure_gap, punched_hours, break_minutes, is_punch_out_forgotten, is_no_show"
)


def expected(shifts: Sequence[Shift]) -> dict[Any, tuple[Any, ...]]:
    """Each shift that people punch for, and each punch without one -> its row. All punches that are open are forgotten."""
    clocks = {(s.portal, f"{p.came:%Y-%m}", s.department) for s in shifts for p in s.punches}
    sick = {(s.portal, s.person, s.begin.date()) for s in shifts if s.is_assigned and KINDS[s.type] == "sickness"}
    loose = [(s.portal, s.person, p.came) for s in shifts for p in s.punches if not s.status]
    read = {s.month for s in shifts}
    rows: dict[Any, tuple[Any, ...]] = {}
    for shift in shifts:
        spans = [(instants(p.came, p.left, shift.zone), p) for p in shift.punches if p.left]
        sizes = [end - begin - pauses(shift, p) for (begin, end), p in spans]
        known = [one for one in (punched_hours(p, shift.zone) for p in shift.punches) if one is not None]
        if not shift.status:
            for punch in shift.punches:
                gap = "no shift" if punch.left else "forgotten punch-out"
                paused = minutes(pauses(shift, punch)) if punch.left else None
                own = punched_hours(punch, shift.zone)
                rows[shift.portal, "punch", punch.number] = (
                    None, [punch.number], None, None, "no shift", None, None, gap, own, paused, not punch.left, False
                )  # fmt: skip
            continue
        if not shift.is_assigned or KINDS[shift.type] != "work":
            continue
        if not shift.punches and (shift.portal, shift.month, shift.department) not in clocks:
            continue
        begin, end = instants(shift.begin, shift.end, shift.zone)
        is_open = any(not p.left for p in shift.punches)
        came = min((instants(p.came, p.came, shift.zone)[0] for p in shift.punches), default=None)
        left = None if is_open else max((until for (_, until), _ in spans), default=None)
        arrival = None if came else gap_of(shift, sick, loose, read)
        departure = "forgotten punch-out" if is_open else arrival
        rows[shift.portal, "shift", shift.number] = (
            shift.number,
            sorted(p.number for p in shift.punches) or None,
            minutes(max(begin - came, NOTHING)) if came else None,
            minutes(max(came - begin, NOTHING)) if came else None,
            arrival,
            minutes(max(end - left, NOTHING)) if left else None,
            minutes(max(left - end, NOTHING)) if left else None,
            departure,
            sum(known, D(0)) if known else None,
            minutes(max(left - came - sum(sizes, NOTHING), NOTHING)) if came and left else None,
            is_open,
            arrival == "no-show" if arrival != "punches not read" else None,
        )
    return rows


def pauses(shift: Shift, punch: Any) -> timedelta:
    return sum((b - a for a, b in [instants(begin, end, shift.zone) for begin, end in punch.breaks]), NOTHING)


def gap_of(shift: Shift, sick: Any, loose: Any, read: set[str]) -> str:
    for portal, person, came in loose:
        if (portal, person) == (shift.portal, shift.person):
            is_after_midnight = came.date() == shift.begin.date() + timedelta(days=1)
            is_early = (
                came.hour >= 20 and came.date() == shift.begin.date() - timedelta(days=1) and shift.begin.hour < 4
            )
            if came.date() == shift.begin.date() or (is_after_midnight and is_overnight(shift)) or is_early:
                return "punched without the shift"
    if (shift.portal, shift.person, shift.begin.date()) in sick:
        return "absent"
    if shift.status == "Approved":
        return "approved without a punch"
    ends = f"{shift.end:%Y-%m}" if is_overnight(shift) else shift.month
    return "no-show" if shift.portal == "oslo" and ends in read else "punches not read"


def is_overnight(shift: Shift) -> bool:
    return (shift.end - timedelta(seconds=1)).date() > shift.begin.date()


@pytest.mark.processes
@settings(max_examples=8)
@given(ROSTERS)
def test_attendance_is_what_plain_python_says(empty: Db, shifts: list[Shift]) -> None:
    empty.execute("BEGIN")
    try:
        plant(empty, shifts)
        rows = empty.execute(f"SELECT portal, row_of, {COLUMNS} FROM marts.attendance").fetchall()
        sums = empty.execute(
            "SELECT (SELECT sum(hours) FROM marts.punches), (SELECT sum(punched_hours) FROM marts.hours)"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    found = {(row[0], row[1], row[2] if row[1] == "shift" else row[3][0]): row[2:] for row in rows}
    assert len(found) == len(rows)
    assert found == expected(shifts)
    assert sums[0][0] == sums[0][1]


def put_shift(db: Db, number: int = 1, **more: Any) -> None:
    usual = {
        "portal": "oslo",
        "month": "2025-09",
        "id": number,
        "employee_id": 1,
        "department_id": 10,
        "status": "Assigned",
        "time_zone": "UTC",
    }
    times = {"date": "2025-09-08", "start_date_time": "2025-09-08 08:00", "end_date_time": "2025-09-08 16:00"}
    put(db, "scheduling.shifts", **(usual | times | more))
    write_zones(db, again=False)


def put_punch(db: Db, number: int = 1, **more: Any) -> None:
    usual = {
        "portal": "oslo",
        "month": "2025-09",
        "id": number,
        "employee_id": 1,
        "department_id": 10,
        "shift_id": 1,
        "time_zone": "UTC",
    }
    times = {"start_date_time": "2025-09-08 08:00", "end_date_time": "2025-09-08 16:00"}
    put(db, "punchclock.punch_clock_shifts", **(usual | times | more))
    write_zones(db, again=False)


def read_at(db: Db, instant: str) -> None:
    put(
        db,
        "sync.slices",
        portal="oslo",
        table_name="punchclock.punch_clock_shifts",
        month="2025-09",
        fetched_at=instant,
    )


def gaps(db: Db) -> list[Any]:
    return db.execute("SELECT arrival_gap, is_no_show FROM marts.attendance WHERE shift_id = 1").fetchall()


@pytest.mark.parametrize(
    ("read", "gap", "is_no_show"),
    [
        ("2025-09-08 16:01+00", "no-show", True),
        ("2025-09-08 15:59+00", "not yet", False),
        (None, "punches not read", None),
    ],
)
def test_no_show_needs_punches_read_afterwards(db: Db, read: str | None, gap: str, *, is_no_show: bool | None) -> None:
    put_shift(db)
    put_shift(db, 2, employee_id=2)
    put_punch(db, shift_id=2)
    if read:
        read_at(db, read)
    assert gaps(db) == [(gap, is_no_show)]


@pytest.mark.parametrize(("begin", "gap"), [("00:00", "punched without the shift"), ("06:00", "no-show")])
def test_an_evening_punch_may_be_for_the_night(db: Db, begin: str, gap: str) -> None:
    """Of a punch that has no shift yet; somebody else's keeps the department's clock in use."""
    read_at(db, "2025-09-10 00:00+00")
    put_shift(db, start_date_time=f"2025-09-08 {begin}", end_date_time="2025-09-08 12:00")
    put_punch(db, shift_id=None, start_date_time="2025-09-07 23:50", end_date_time="2025-09-08 12:00")
    assert gaps(db)[0][0] == gap


@pytest.mark.parametrize(("also_read", "gap"), [(True, "no-show"), (False, "punches not read")])
def test_a_night_over_the_month_needs_both(db: Db, also_read: bool, gap: str) -> None:
    read_at(db, "2025-10-02 00:00+00")
    put_shift(db, date="2025-09-30", start_date_time="2025-09-30 23:55", end_date_time="2025-10-01 08:00")
    put_punch(db, 9, shift_id=None, employee_id=3)
    if also_read:
        october = {"table_name": "punchclock.punch_clock_shifts", "month": "2025-10"}
        put(db, "sync.slices", portal="oslo", fetched_at="2025-10-02 00:00+00", **october)
    assert gaps(db)[0][0] == gap


@pytest.mark.parametrize("excuse", ["absence", "payroll", "approved", "clock", "nobody"])
def test_what_is_no_no_show(db: Db, excuse: str) -> None:
    """Absent, paid, approved; and where no department punches, or nobody has the shift, there is no row at all."""
    read_at(db, "2025-09-10 00:00+00")
    if excuse != "clock":
        put_punch(db, 9, shift_id=None, employee_id=3)
    more: dict[str, dict[str, Any]] = {"approved": {"status": "Approved"}, "nobody": {"employee_id": None}}
    put_shift(db, **more.get(excuse, {}))
    if excuse == "absence":
        period = {"absence_period_start": "2025-09-08", "absence_period_end": "2025-09-08"}
        put(db, "absence.absence_records", portal="oslo", id=1, employee_id=1, status="Approved", **period)
    if excuse == "payroll":
        put(db, "payroll.shifts", portal="oslo", month="2025-09", id=1)
    said = {"absence": "absent", "payroll": "paid without a punch", "approved": "approved without a punch"}
    assert gaps(db) == ([(said[excuse], False)] if excuse in said else [])


@pytest.mark.parametrize(("after", "is_forgotten"), [(15, False), (17, True)])
def test_open_punch_is_forgotten_after_16_hours(db: Db, after: int, *, is_forgotten: bool) -> None:
    put_shift(db)
    put_punch(db, end_date_time=None, _fetched_at=datetime(2025, 9, 8, 8, tzinfo=UTC) + timedelta(hours=after))
    found = db.execute("SELECT departure_gap, is_punch_out_forgotten, last_punch_out FROM marts.attendance").fetchall()
    assert found == [("forgotten punch-out" if is_forgotten else "not punched out", is_forgotten, None)]


def test_breaks_are_compared_with_planned_ones(db: Db) -> None:
    """Half an hour is planned; 20 minutes were punched as a break and 25 by punching out and in again."""
    put_shift(db)
    cost = {"shift_id": 1, "ordinal": 1, "duration": "0:07:30", "cost": 100}
    put(db, "scheduling.time_and_costs", portal="oslo", month="2025-09", department_id=10, date="2025-09-08", **cost)
    put_punch(db, end_date_time="2025-09-08 12:00")
    put_punch(db, 2, start_date_time="2025-09-08 12:25")
    pause = {"start_date_time": "2025-09-08 14:00", "end_date_time": "2025-09-08 14:20"}
    put(
        db,
        "punchclock.punch_clock_breaks",
        portal="oslo",
        month="2025-09",
        id=1,
        punch_clock_shift_id=2,
        time_zone="UTC",
        **pause,
    )
    write_zones(db, again=False)
    columns = "break_minutes, planned_break_minutes, long_break_minutes, break_gap"
    assert db.execute(f"SELECT {columns} FROM marts.attendance").fetchall() == [(45, 30, 15, None)]
    db.execute("DELETE FROM scheduling.time_and_costs")
    assert db.execute(f"SELECT {columns} FROM marts.attendance").fetchall() == [
        (45, None, None, "planned breaks not known")
    ]


def test_exceptions_go_by_the_tolerance(db: Db) -> None:
    """Seven minutes late and six early away; the next day nobody comes, and somebody does not punch out."""
    read_at(db, "2025-09-20 00:00+00")
    put_shift(db)
    put_punch(db, start_date_time="2025-09-08 08:07", end_date_time="2025-09-08 15:54")
    next_day = {"date": "2025-09-09", "start_date_time": "2025-09-09 08:00", "end_date_time": "2025-09-09 16:00"}
    put_shift(db, 2, **next_day)
    put_punch(db, 3, shift_id=None, employee_id=4, start_date_time="2025-09-09 08:00", end_date_time=None)

    def exceptions(arguments: str) -> list[Any]:
        return db.execute(
            f"SELECT exception, minutes FROM marts.attendance_exceptions({arguments}) ORDER BY ALL"
        ).fetchall()

    always = [("forgotten punch-out", None)]
    assert exceptions("") == [*always, ("late", 7), ("left early", 6), ("no-show", None)]
    assert exceptions("tolerance_minutes := 6") == [*always, ("late", 7), ("no-show", None)]
    assert exceptions("tolerance_minutes := 7") == [*always, ("no-show", None)]
    assert exceptions("from_date := '2025-09-09'") == [*always, ("no-show", None)]
    assert exceptions("to_date := DATE '2025-09-08'") == [("late", 7), ("left early", 6)]
