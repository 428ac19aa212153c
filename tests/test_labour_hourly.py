"""`marts.labour_hourly` splits shifts over the hours of the clock as plain Python does, walking along UTC.

Both nights on which clocks change, zones with half hours and one whose clocks change by half an hour, midnight, two
departments, two portals, open punches, punches of several days.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.warehouse.zones import write_zones
from tests.support.roster_truth import instant
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Of the last one clocks change by half an hour.
NIGHTS = {
    "Europe/Oslo": [datetime(2025, 3, 29, 12), datetime(2025, 10, 25, 12)],  # noqa: DTZ001 - wall clocks
    "America/St_Johns": [datetime(2025, 3, 8, 12), datetime(2025, 11, 1, 12)],  # noqa: DTZ001
    "Australia/Lord_Howe": [datetime(2025, 4, 5, 12), datetime(2025, 10, 4, 12)],  # noqa: DTZ001
}
Cell = tuple[str, date, date | None, int | None, int]


def minutes_by_hour(begin: datetime, end: datetime, zone: str) -> dict[tuple[date, int], int]:
    """Minutes between two instants by what the clock showed; no clock changes within its half hours."""
    found: dict[tuple[date, int], int] = defaultdict(int)
    while begin < end:
        clock = begin.astimezone(ZoneInfo(zone))
        until = min(end, begin + (30 - clock.minute % 30) * MINUTE)
        found[clock.date(), clock.hour] += (until - begin) // MINUTE
        begin = until
    return found


def ahead(at: datetime, zone: str) -> timedelta | None:
    return at.astimezone(ZoneInfo(zone)).utcoffset()


def is_skipped(clock: datetime, zone: str) -> bool:
    """Whether no clock ever shows that time."""
    return instant(clock, zone).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != clock


class Expected:
    """Sums by cell; shares are exact, so rounding is judged by their distance."""

    def __init__(self) -> None:
        self.cells: dict[Cell, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        self.pieces: dict[Cell, int] = defaultdict(int)

    def add(
        self,
        head: tuple[str, date, int],
        span: tuple[datetime, datetime] | None,
        zone: str,
        amounts: dict[str, Decimal],
    ) -> None:
        portal, day, department = head
        shares = minutes_by_hour(*span, zone) if span else {}
        total = sum(shares.values())
        if not total:
            shares, total = {(None, None): 1}, 1  # type: ignore[dict-item]
        for (calendar, hour), minutes in shares.items():
            cell = (portal, day, calendar, hour, department)
            self.pieces[cell] += 1
            for name, amount in amounts.items():
                self.cells[cell][name] += Fraction(amount) * minutes / total


def plant(db: Db, chance: random.Random, expected: Expected, zones: dict[str, str]) -> None:
    for number in range(1, chance.randrange(8, 24)):
        portal = chance.choice([*zones])
        zone, department = zones[portal], chance.choice([10, 11])
        begin = chance.choice(NIGHTS[zone]) + 15 * MINUTE * chance.randrange(80)
        end = begin + 15 * MINUTE * chance.randrange(2, 50)
        if is_skipped(begin, zone) or is_skipped(end, zone):
            continue
        whose = {"portal": portal, "month": f"{begin:%Y-%m}", "department_id": department}
        status = chance.choice(["Assigned", "Assigned", "Draft", "Open"])
        person = None if status == "Open" else 1
        put(db, "scheduling.shifts", **whose, id=number, employee_id=person, date=begin.date(),
            start_date_time=begin, end_date_time=end, time_zone=zone, status=status)  # fmt: skip
        first = instant(begin, zone)
        span = (first, instant(end, zone, first))
        head = (portal, begin.date(), department)
        planned = round(D((span[1] - span[0]) / HOUR), 4)
        if status == "Assigned":
            expected.add(head, span, zone, {"planned": planned})
        if chance.random() < 0.6:
            came, left = begin + MINUTE * chance.choice([0, -7, 20]), end + MINUTE * chance.choice([0, 13, 60 * 24 * 4])
            came_at = instant(came, zone)
            at_work = (came_at, instant(left, zone, came_at))
            worked = round(D((at_work[1] - at_work[0]) / HOUR), 4)
            is_beyond = any(ahead(one, zone) != ahead(other, zone) for one, other in zip(span, at_work, strict=True))
            if worked <= 36 and (is_beyond or is_skipped(came, zone) or is_skipped(left, zone)):
                # Punches are read with the shift's offsets, so none is drawn on the other side of a change of the clocks.
                continue
            put(db, "punchclock.punch_clock_shifts", **whose, id=number, shift_id=number, employee_id=1, start_date_time=came,
                end_date_time=left, time_zone="UTC")  # fmt: skip
            if status != "Draft":
                expected.add(head, at_work if worked <= 36 else None, zone, {"worked": worked})


@pytest.mark.processes
@settings(max_examples=4)
@given(st.integers(0, 2**40))
def test_hours_of_the_clock_are_plain_minutes(empty: Db, seed: int) -> None:
    chance, expected = random.Random(seed), Expected()
    zones = dict(zip(("one", "two"), chance.sample([*NIGHTS], 2), strict=True))
    empty.execute("BEGIN")
    try:
        plant(empty, chance, expected, zones)
        write_zones(empty, again=False)
        rows = empty.execute(
            "SELECT portal, date, calendar_date, hour, department_id, planned_work_hours, worked_hours "
            "FROM marts.labour_hourly WHERE coalesce(planned_work_hours, worked_hours) IS NOT NULL"
        ).fetchall()
        apart = empty.execute(
            "SELECT count(*) FROM (SELECT portal, date, department_id, sum(planned_work_hours) AS p, sum(worked_hours) AS w "
            "FROM marts.labour_hourly GROUP BY ALL) AS h "
            "FULL JOIN marts.labour_daily AS d USING (portal, date, department_id) "
            "WHERE (h.p, h.w) IS DISTINCT FROM (d.planned_work_hours, d.worked_hours)"
        ).fetchone()
    finally:
        empty.execute("ROLLBACK")
    assert apart == (0,), "the hours of a day add up to those of labour_daily"
    found = {row[:5]: row[5:] for row in rows}
    assert len(found) == len(rows)
    assert found.keys() == expected.cells.keys()
    for cell, values in found.items():
        for name, value in zip(("planned", "worked"), values, strict=True):
            wanted = expected.cells[cell].get(name)
            assert (value is None) == (wanted is None)
            # Each piece is rounded down or up by less than one ten-thousandth.
            assert value is None or abs(Fraction(value) - wanted) < Fraction(expected.pieces[cell], 10_000)


def shift(db: Db, begin: str, end: str, zone: str | None = "Europe/Oslo", **columns: Any) -> None:
    usual = {"portal": "oslo", "id": 1, "month": begin[:7], "department_id": 10, "employee_id": 1, "status": "Assigned"}
    times = {"date": begin[:10], "start_date_time": begin, "end_date_time": end, "time_zone": zone}
    put(db, "scheduling.shifts", **(usual | times | columns))
    write_zones(db, again=False)


def by_hour(db: Db, column: str = "planned_work_hours") -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT calendar_date, hour, {column} FROM marts.labour_hourly ORDER BY ALL").fetchall()


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2025-03-30", [(0, D("0.5")), (1, 1), (3, D("0.5"))]),
        ("2025-10-26", [(0, D("0.5")), (1, 1), (2, 2), (3, D("0.5"))]),
    ],
)
def test_nights_when_clocks_change(db: Db, day: str, hours: list[tuple[int, Any]]) -> None:
    shift(db, f"{day} 00:30", f"{day} 03:30")
    assert by_hour(db) == [(date.fromisoformat(day), *one) for one in hours]


def test_cost_adds_up_to_the_last_digit(db: Db) -> None:
    """100 kroner over three pieces of an hour; the break takes its share of each hour."""
    shift(db, "2025-09-08 22:20", "2025-09-09 00:40")
    pay = {"portal": "oslo", "month": "2025-09", "id": 1, "employee_id": 1, "department_id": 10, "date": "2025-09-08"}
    put(db, "payroll.shifts", **pay, start="2025-09-08 22:20", end="2025-09-09 00:40", salary=100, wage_rate=1)
    costs = by_hour(db, "shift_cost")
    assert [row[:2] for row in costs] == [(date(2025, 9, 8), 22), (date(2025, 9, 8), 23), (date(2025, 9, 9), 0)]
    assert sum(row[2] for row in costs) == 100
    assert [round(row[2], 2) for row in costs] == [D("28.57"), D("42.86"), D("28.57")]


@pytest.mark.parametrize(
    ("begin", "end", "zone", "found"),
    [
        ("2025-09-08 08:00", "2025-09-08 10:00", None, [(8, 1), (9, 1)]),
        ("2025-09-08 08:00", "2027-09-08 08:00", "Europe/Oslo", [(None, 17520)]),
        ("2025-01-08 08:00", "2025-07-08 08:00", "Europe/Oslo", [(None, 4343)]),
        ("9999-12-31 22:00", "9999-12-31 23:00", "Europe/Oslo", [(22, 1)]),
        ("2025-09-08 08:00", "2025-09-08 08:00", "Europe/Oslo", [(8, 0)]),
    ],
)
def test_odd_times_lose_no_hours(db: Db, begin: str, end: str, zone: str | None, found: list[Any]) -> None:
    shift(db, begin, end, zone)
    assert [row[1:] for row in by_hour(db)] == found


def test_departments_and_people_without_a_name_stay_apart(db: Db) -> None:
    shift(db, "2025-09-08 08:00", "2025-09-08 09:00")
    shift(db, "2025-09-08 08:00", "2025-09-08 09:00", id=2, department_id=11, employee_id=2)
    shift(db, "2025-09-08 08:00", "2025-09-08 09:00", id=3, department_id=None)
    rows = db.execute(
        "SELECT department_id, department, planned_work_hours FROM marts.labour_hourly ORDER BY ALL"
    ).fetchall()
    assert rows == [(10, None, 1), (11, None, 1), (None, None, 1)]
