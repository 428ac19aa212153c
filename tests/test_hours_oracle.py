"""`marts.hours` and `marts.labour_daily` over random rosters, as plain Python with zoneinfo says.

Both nights on which clocks change, midnight, two departments, two portals in different zones, punches that are open or not
approved, and paid times that are not those of the roster.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.warehouse.zones import write_zones
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
ZONES = {"oslo": "Europe/Oslo", "perth": "America/St_Johns"}
SPRING, AUTUMN = datetime(2025, 3, 29, 12), datetime(2025, 10, 25, 12)  # noqa: DTZ001 - wall clocks
TIMES = st.tuples(st.sampled_from([SPRING, AUTUMN]), st.integers(0, 120)).map(
    lambda drawn: drawn[0] + timedelta(minutes=15 * drawn[1])
)
LENGTHS = st.integers(1, 60).map(lambda n: timedelta(minutes=15 * n))
PUNCH = st.tuples(st.integers(-8, 8), st.none() | st.integers(-8, 8), st.booleans(), st.none() | st.integers(1, 4))
PAY = st.none() | st.tuples(st.sampled_from([0, 0, 0, 1, -2]), st.sampled_from([0, 100]), st.sampled_from([0, 0, 1]))
SHIFT = st.tuples(
    st.sampled_from(["oslo", "perth"]),
    st.sampled_from([10, 11]),
    TIMES,
    LENGTHS,
    st.sampled_from(["Assigned", "Approved", "Draft", "Open"]),
    st.lists(PUNCH, max_size=2),
    PAY,
)


def between(begin: datetime, end: datetime, zone: str) -> Decimal:
    """Hours between two wall clock times; in an hour that comes twice the first start counts, and the first end behind it."""
    rules = ZoneInfo(zone)
    first = begin.replace(tzinfo=rules).astimezone(UTC)
    ends = [end.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return round(Decimal((next((one for one in ends if one > first), ends[1]) - first) / timedelta(hours=1)), 4)


def plant(db: Db, number: int, drawn: Any) -> dict[str, Any]:
    """Put a shift with its punches and pay, and say what `marts.hours` has to show."""
    portal, department, begin, length, status, punches, pay = drawn
    end, zone = begin + length, ZONES[portal]
    whose = {"portal": portal, "month": f"{begin:%Y-%m}", "department_id": department}
    person = None if status == "Open" else 1
    put(db, "scheduling.shifts", **whose, id=number, employee_id=person, date=begin.date(), start_date_time=begin,
        end_date_time=end, time_zone=zone, status=status)  # fmt: skip
    planned = between(begin, end, zone)
    punched: list[Decimal] = []
    approved: list[Decimal] = []
    for index, (early, late, is_approved, pause) in enumerate(punches):
        came = begin + timedelta(minutes=15 * early)
        left = None if late is None else max(end + timedelta(minutes=15 * late), came + timedelta(hours=2))
        identity = number * 10 + index
        scheduled = {"shift_start_date_time": begin, "shift_end_date_time": end, "is_approved": is_approved}
        put(db, "punchclock.punch_clock_shifts", **whose, **scheduled, id=identity, shift_id=number, employee_id=1,
            start_date_time=came, end_date_time=left, time_zone="UTC")  # fmt: skip
        breaks = Decimal(0)
        if pause and left:
            times = {"start_date_time": came, "end_date_time": came + timedelta(minutes=15 * pause)}
            put(db, "punchclock.punch_clock_breaks", portal=portal, month=whose["month"], id=identity,
                punch_clock_shift_id=identity, time_zone="UTC", **times)  # fmt: skip
            breaks = between(times["start_date_time"], times["end_date_time"], zone)
        if left:
            punched.append(between(came, left, zone) - breaks)
        if is_approved:
            approved.append(planned)
    paid = cost = None
    if pay:
        moved, salary, unpaid = pay
        paid_begin = begin + timedelta(hours=moved)
        paid_end = max(end, paid_begin + timedelta(hours=1))
        put(db, "payroll.shifts", **whose, id=number, employee_id=1, date=begin.date(), start=paid_begin, end=paid_end,
            salary=salary, wage_rate=salary)  # fmt: skip
        if unpaid:
            pause = {"shift_id": number, "ordinal": 1, "duration": Decimal("0.25"), "is_paid": False}
            put(db, "payroll.shift_breaks", portal=portal, month=whose["month"], **pause)
        paid = between(paid_begin, paid_end, zone) - (Decimal("0.25") if unpaid else 0)
        cost = Decimal(salary) if salary else None
        planned -= Decimal("0.25") if unpaid else 0
    if not approved and status == "Approved":
        approved = [planned]
    shown = {
        "punched": sum(punched) if punched else None,
        "approved": sum(approved) if approved else None,
        "paid": paid,
    }
    worked_by = next((name for name in ("approved", "punched", "paid") if shown[name] is not None), None)
    worked_by = None if status == "Draft" else worked_by
    return {
        "key": (portal, number),
        "planned": planned,
        **shown,
        "worked_by": worked_by,
        "worked": shown[worked_by] if worked_by else None,
        "cost": cost,
        "first_in": min((begin + timedelta(minutes=15 * one[0]) for one in punches), default=None),
        "day": (portal, begin.date(), department),
        "kind_of_hours": {"Draft": "", "Open": "open"}.get(status, "planned"),
    }


@pytest.mark.processes
@settings(max_examples=10)
@given(st.lists(SHIFT, min_size=10, max_size=25))
def test_hours_are_what_plain_python_says(empty: Db, drawn: list[Any]) -> None:
    empty.execute("BEGIN")
    try:
        expected = [plant(empty, number, one) for number, one in enumerate(drawn, 1)]
        write_zones(empty, again=False)
        rows = empty.execute(
            "SELECT portal, shift_id, planned_hours, punched_hours, approved_hours, paid_hours, worked_by, worked_hours, "
            "paid_cost, first_punch_in FROM marts.hours ORDER BY shift_id"
        ).fetchall()
        days = empty.execute(
            "SELECT portal, date, department_id, planned_work_hours, open_hours, worked_hours, punched_hours, "
            "approved_hours, paid_hours, shift_cost, cost_known_hours FROM marts.labour_daily"
        ).fetchall()
        spans = empty.execute(
            "SELECT s.shift_id, s.start_utc, s.end_utc, s.hours, t.start_utc, t.end_utc, t.hours FROM marts.shifts AS s "
            "JOIN marts.spans AS t ON t.span_of = 'shift' AND t.portal = s.portal AND t.id = s.shift_id"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    names = ("planned", "punched", "approved", "paid", "worked_by", "worked", "cost", "first_in")
    assert rows == [(*one["key"], *(one[name] for name in names)) for one in expected]
    assert days == _by_day(expected, days)
    assert [row[1:4] for row in spans] == [row[4:] for row in spans], "instants of shifts are those of marts.spans"


def _by_day(expected: list[dict[str, Any]], found: list[Any]) -> list[Any]:
    """The rows of `marts.labour_daily`, in the order in which they were found."""
    sums: dict[Any, dict[str, Decimal]] = defaultdict(dict)
    for one in expected:
        day = sums[one["day"]]
        parts = {
            "planned": one["planned"] if one["kind_of_hours"] == "planned" else None,
            "open": one["planned"] if one["kind_of_hours"] == "open" else None,
            **{name: one[name] for name in ("worked", "punched", "approved", "paid", "cost")},
            "known": one["worked"] if one["cost"] is not None and (one["worked"] or 0) > 0 else None,
        }
        for name, value in parts.items():
            if value is not None:
                day[name] = day.get(name, Decimal(0)) + value
    names = ("planned", "open", "worked", "punched", "approved", "paid", "cost", "known")
    assert {row[:3] for row in found} == sums.keys()
    return [(*row[:3], *(sums[row[:3]].get(name) for name in names)) for row in found]
