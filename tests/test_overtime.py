"""`marts.overtime` and `marts.overtime_over`: hours beyond the contract, the week and the day, as plain Python says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings

from planday_io.warehouse.zones import write_zones
from tests.support.rosters import KINDS, ROSTERS, Shift, hours, instants, monday, plant, punched_hours
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
CONTRACTS = {1: D("160.33"), 2: D(0)}


def days_of(shifts: Sequence[Shift]) -> Iterator[tuple[str, int, date, Decimal | None, Decimal | None, bool]]:
    """Portal, person, day, planned and worked hours, and whether some are missing, of shifts and punches without one."""
    for shift in shifts:
        planned = hours(length(shift, shift.begin, shift.end))
        punched = [(punch, punched_hours(punch, shift.zone)) for punch in shift.punches]
        if not shift.status:
            for punch, size in punched:
                worked = planned if punch.is_approved else size
                yield shift.portal, shift.person or 1, punch.came.date(), None, worked, worked is None
        elif shift.is_assigned and shift.person and KINDS[shift.type] in ("work", "course"):
            by_punch = [planned for punch, _ in punched if punch.is_approved]
            approved = by_punch or ([planned] if shift.status == "Approved" else [])
            sizes = [size for _, size in punched if size is not None]
            worked = sum(approved or sizes, D(0)) if approved or sizes else None
            is_part = not approved and any(size is None for _, size in punched)
            is_part |= 0 < len(by_punch) < len(punched) and shift.status != "Approved"
            yield shift.portal, shift.person, shift.begin.date(), planned, worked, worked is None or is_part


def length(shift: Shift, begin: Any, end: Any) -> timedelta:
    first, last = instants(begin, end, shift.zone)
    return last - first


def total(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [one for one in values if one is not None]
    return sum(known, D(0)) if known else None


@pytest.mark.processes
@settings(max_examples=8)
@given(ROSTERS)
def test_overtime_is_what_plain_python_says(empty: Db, shifts: list[Shift]) -> None:
    empty.execute("BEGIN")
    try:
        plant(empty, shifts)
        for portal in ("oslo", "perth"):
            for person, contract in CONTRACTS.items():
                put(empty, "hr.employee_details", portal=portal, id=person, work_hours=contract)
        found = empty.execute(
            "SELECT portal, employee_id, period_of, period_start, period_end, planned_hours, worked_hours, "
            "shifts_without_hours, days_worked, longest_day_hours, contract_hours, "
            "over_contract_hours, over_contract_gap FROM marts.overtime"
        ).fetchall()
        over = empty.execute(
            "SELECT portal, employee_id, week, worked_hours, over_weekly_hours, over_daily_hours, longest_day_hours "
            "FROM marts.overtime_over(weekly_hours := 12.5, daily_hours := 8)"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    by_day: dict[Any, list[Any]] = defaultdict(list)
    for portal, person, day, *values in days_of(shifts):
        by_day[portal, person, day].append(values)
    periods: dict[Any, list[Any]] = defaultdict(list)
    for (portal, person, day), rows in by_day.items():
        of_day = (total([row[0] for row in rows]), total([row[1] for row in rows]), sum(row[2] for row in rows))
        periods[portal, person, "week", monday(day)].append(of_day)
        periods[portal, person, "month", day.replace(day=1)].append(of_day)
    assert sorted(found, key=repr) == sorted((expected(key, days) for key, days in periods.items()), key=repr)
    weeks = []
    for (portal, person, period, start), days in periods.items():
        worked = [one[1] for one in days if one[1] is not None]
        beyond = (max(sum(worked, D(0)) - D("12.5"), D(0)), sum((max(one - 8, D(0)) for one in worked), D(0)))
        if period == "week" and any(beyond):
            weeks.append((portal, person, start, sum(worked), *beyond, max(worked)))
    assert sorted(over) == sorted(weeks)


def expected(key: Any, days: Sequence[Any]) -> tuple[Any, ...]:
    portal, person, period, start = key
    worked = [one[1] for one in days if one[1] is not None]
    sum_of = total(worked)
    contract = CONTRACTS[person] or None
    if contract and period == "week":
        contract = round(contract * 12 / 52, 4)
    end = start + timedelta(days=6)
    if period == "month":
        end = (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    beyond = max(sum_of - contract, D(0)) if contract and sum_of is not None else None
    gap = "no contracted hours" if not contract else "no worked hours" if sum_of is None else None
    return (
        portal, person, period, start, end, total([one[0] for one in days]), sum_of, sum(one[2] for one in days),
        sum(one > 0 for one in worked), max(worked, default=None), contract, beyond, gap,
    )  # fmt: skip


def put_days(db: Db, first: date, lengths: Sequence[int]) -> None:
    for number, size in enumerate(lengths):
        day = first + timedelta(days=number)
        times = {"date": day, "start_date_time": f"{day} 06:00", "end_date_time": f"{day} {6 + size:02}:00"}
        put(db, "scheduling.shifts", portal="oslo", month=f"{day:%Y-%m}", id=number, employee_id=1, department_id=10,
            status="Approved", time_zone="UTC", **times)  # fmt: skip
    write_zones(db, again=False)


def test_a_week_over_two_months_is_whole(db: Db) -> None:
    """From Monday, 29 September on: 40 hours in the week, 16 of them in September."""
    put_days(db, date(2025, 9, 29), [8, 8, 8, 8, 8])
    put(db, "hr.employee_details", portal="oslo", id=1, work_hours=15)
    columns = "period_of, period_start, worked_hours, over_contract_hours"
    assert db.execute(f"SELECT {columns} FROM marts.overtime ORDER BY ALL").fetchall() == [
        ("month", date(2025, 9, 1), 16, 1),
        ("month", date(2025, 10, 1), 24, 9),
        ("week", date(2025, 9, 29), 40, D("36.5385")),
    ]


def test_limits_and_days_are_arguments(db: Db) -> None:
    put_days(db, date(2025, 9, 1), [10, 8, 8, 8, 4, 0, 0, 9])

    def over(arguments: str) -> list[Any]:
        columns = "week, over_weekly_hours, over_daily_hours"
        return db.execute(f"SELECT {columns} FROM marts.overtime_over({arguments}) ORDER BY ALL").fetchall()

    first, second = date(2025, 9, 1), date(2025, 9, 8)
    assert over("") == [(first, 1, None)]
    assert over("weekly_hours := 38") == []
    assert over("daily_hours := 8") == [(first, 1, 2), (second, 0, 1)]
    assert over("weekly_hours := NULL, daily_hours := 9") == [(first, None, 1)]
    assert over("daily_hours := 8, from_date := '2025-09-10'") == [(second, 0, 1)]
    assert over("daily_hours := 8, to_date := '2025-09-03'") == [(first, 1, 2)], "whole weeks count"
