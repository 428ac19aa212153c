"""`sync.settling`: how much a month's figures still moved, as plain Python says of the versions that reads kept."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rounding import half_up
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
END = datetime(2025, 10, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BEGIN = datetime(2025, 9, 8, 8)  # noqa: DTZ001 - a wall clock
DAYS = (1, 7, 30, 60)
PAYROLL = "payroll.shifts"


def drawn(chance: random.Random, table: str) -> tuple[dict[str, Any], dict[str, Decimal | None]]:  # noqa: PLR0911
    """Columns of a version, and what it adds to which figure."""
    length = chance.choice([2, 4, 7])
    end = BEGIN + length * HOUR
    match table:
        case "scheduling.shifts":
            status, person = chance.choice(
                [
                    ("Assigned", 1),
                    ("Approved", 1),
                    ("PunchclockApproved", 1),
                    ("Draft", 1),
                    ("Open", None),
                    ("Cancelled", 1),
                ]
            )
            planned = length if person and status not in ("Draft", "Cancelled") else 0
            columns = {"start_date_time": BEGIN, "end_date_time": end, "status": status, "employee_id": person}
            return columns, {
                "planned_hours": D(planned),
                "approved_hours": D(length if status in ("Approved", "PunchclockApproved") else 0),
            }
        case "punchclock.punch_clock_shifts":
            left, is_approved = chance.choice([end, end, None]), chance.choice([True, False, None])
            columns = {"start_date_time": BEGIN, "end_date_time": left, "shift_start_date_time": BEGIN,
                       "shift_end_date_time": BEGIN + 5 * HOUR, "is_approved": is_approved}  # fmt: skip
            return columns, {"punched_hours": D(length) if left else None, "approved_hours": D(5 if is_approved else 0)}
        case "punchclock.punch_clock_breaks":
            columns = {"start_date_time": BEGIN, "end_date_time": BEGIN + HOUR / 2, "punch_clock_shift_id": 99}
            return columns, {"punched_hours": D("-0.5")}
        case "payroll.shifts":
            pay = chance.choice([100, 250])
            return {"start": BEGIN, "end": end, "salary": pay}, {"paid_hours": D(length), "cost": D(pay)}
        case "payroll.shift_breaks":
            duration, is_paid = chance.choice([D("0.25"), None]), chance.choice([True, False])
            columns = {"start": BEGIN, "end": BEGIN + HOUR, "duration": duration, "is_paid": is_paid}
            return columns, {"paid_hours": D(0) if is_paid else -(duration or D(1))}
        case "payroll.shift_supplements":
            return {"modification": 7}, {"cost": D(7)}
        case _:
            pay = chance.choice([-20, 33])
            return {"salary": pay}, {"cost": D(pay)}


TABLES = ("scheduling.shifts", "punchclock.punch_clock_shifts", "punchclock.punch_clock_breaks", "payroll.shifts",
          "payroll.shift_breaks", "payroll.shift_supplements", "payroll.supplements", "payroll.salaried")  # fmt: skip
READ_WITH = {
    "punchclock.punch_clock_breaks": "punchclock.punch_clock_shifts",
    **{one: PAYROLL for one in TABLES if "payroll" in one},
}
KEYS = {"payroll.shift_breaks": "shift_id", "payroll.shift_supplements": "shift_id", "payroll.supplements": "employee_id",
        "payroll.salaried": "employee_id"}  # fmt: skip
FIGURES = {
    "planned_hours": {"scheduling.shifts"},
    "punched_hours": {"punchclock.punch_clock_shifts"},
    "approved_hours": {"scheduling.shifts", "punchclock.punch_clock_shifts"},
    "paid_hours": {PAYROLL},
    "cost": {PAYROLL},
}


def plant(db: Db, chance: random.Random, portal: str, *, adds: bool) -> dict[Any, tuple[Any, ...]]:
    """Put a portal's versions of September. Returns what `sync.settling` has to show."""
    instants = sorted(chance.sample(range(-10, 75), chance.choice([2, 5, 9])))
    reads = {
        one: [END + day * DAY + HOUR for day in instants if chance.random() < 0.8]
        for one in {*READ_WITH.values(), TABLES[0]}
    }
    put(db, "punchclock_history.punch_clock_shifts", portal=portal, month="2025-08", id=99, end_date_time=BEGIN)
    parts: list[tuple[str, str, Decimal | None, datetime, datetime | None, datetime | None]] = []
    for table in TABLES:
        read_with = READ_WITH.get(table, table)
        times = reads[read_with]
        if times and read_with == table:
            put(db, "sync.slices", table_name=table, portal=portal, month="2025-09", fetched_at=times[-1])
        for number in range(chance.randrange(4)):
            begin = chance.randrange(len(times) + 1)
            while begin < len(times):
                end = chance.randrange(begin + 1, len(times) + 2)
                until = times[end] if end < len(times) else None
                columns, adding = drawn(chance, table)
                after = times[begin - 1] if begin else None
                put(db, table.replace(".", "_history."), portal=portal, month="2025-09", valid_from=times[begin],
                    valid_to=until, changed_after=after, **{KEYS.get(table, "id"): number}, **columns)  # fmt: skip
                if table != "payroll.shift_supplements" or adds:
                    parts += [
                        (figure, read_with, hours, times[begin], until, after) for figure, hours in adding.items()
                    ]
                begin = end
    shown: dict[Any, tuple[Any, ...]] = {}
    for figure, tables in FIGURES.items():
        own = [part for part in parts if part[0] == figure]
        if not own:
            continue
        known: dict[str, datetime] = {}
        for _, table, _, since, _, after in own:
            known[table] = min(known.get(table, since), after or since)
        assert {*known} <= tables
        read_at = min(reads[table][-1] for table in known)
        has_values = any(part[2] is not None for part in own)
        now = sum(part[2] or D(0) for part in own if part[4] is None) if has_values else None
        changed = [part[4] or (part[3] if part[5] else None) for part in own]
        last = max((one for one in changed if one), default=None)
        for days in DAYS:
            at = END + days * DAY
            then = sum(part[2] or D(0) for part in own if part[3] <= at and (part[4] is None or part[4] > at))
            gap = "history begins later" if max(known.values()) > at else "not read since" if read_at <= at else None
            gap = gap if has_values else "no values"
            moved = None if gap or now is None else now - then
            percent = half_up(100.0 * float(moved) / float(now), 2) if moved is not None and now else None
            shown[portal, figure, days] = (
                None if gap else then,
                now,
                moved,
                percent,
                last,
                max(known.values()),
                read_at,
                gap,
            )
    return shown


@settings(max_examples=10)
@given(st.integers(0, 2**40))
def test_figures_move_as_versions_say(empty: Db, seed: int) -> None:
    chance = random.Random(seed)
    empty.execute("BEGIN")
    try:
        put(empty, "sync.mart_settings", portal="oslo", name="salary_includes_supplements", value="false")
        expected = plant(empty, chance, "oslo", adds=True) | plant(empty, chance, "bergen", adds=False)
        rows = empty.execute(
            "SELECT portal, figure, days_after, value_then, value_now, moved, moved_percent, last_changed_at, known_since, "
            "read_at, gap FROM sync.settling WHERE month = '2025-09'"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    assert {row[:3]: row[3:] for row in rows} == expected
    assert len(rows) == len(expected)


def test_months_that_go_on_have_no_figures_yet(db: Db) -> None:
    now = datetime.now(UTC)
    for month, since in ((f"{now:%Y-%m}", now - DAY), ("9999-11", now), ("no month", now)):
        put(db, "scheduling_history.shifts", portal="oslo", month=month, id=1, valid_from=since, employee_id=1,
            start_date_time=BEGIN, end_date_time=BEGIN + HOUR, status="Assigned")  # fmt: skip
    rows = db.execute(
        "SELECT month, count(*), list_distinct(list(gap)), max(value_now) FROM sync.settling "
        "WHERE figure = 'planned_hours' GROUP BY ALL ORDER BY ALL"
    )
    assert rows.fetchall() == [(f"{now:%Y-%m}", 4, ["not yet"], 1), ("9999-11", 4, ["not yet"], 1)]


@pytest.mark.parametrize(("is_approved", "hours"), [(True, 5), (False, 1)])
def test_an_approved_shift_counts_once(db: Db, *, is_approved: bool, hours: int) -> None:
    """By its punch where that is approved, else by its own times."""
    usual = {"portal": "oslo", "month": "2025-09", "valid_from": END}
    put(db, "scheduling_history.shifts", **usual, id=1, employee_id=1, status="Approved", start_date_time=BEGIN,
        end_date_time=BEGIN + HOUR)  # fmt: skip
    put(db, "punchclock_history.punch_clock_shifts", **usual, id=2, shift_id=1, is_approved=is_approved,
        shift_start_date_time=BEGIN, shift_end_date_time=BEGIN + 5 * HOUR)  # fmt: skip
    rows = db.execute("SELECT DISTINCT value_now FROM sync.settling WHERE figure = 'approved_hours'").fetchall()
    assert rows == [(hours,)]


def test_a_punch_counts_from_when_it_was_approved(db: Db) -> None:
    """The approved shift's 8 hours until then, the punch's 5 afterwards; of another punch they end with it."""
    shift = {"portal": "oslo", "month": "2025-09", "status": "Approved", "employee_id": 1, "valid_from": END - DAY}
    punch = {"portal": "oslo", "month": "2025-09", "shift_start_date_time": BEGIN}
    for number in (1, 2):
        put(db, "scheduling_history.shifts", **shift, id=number, start_date_time=BEGIN, end_date_time=BEGIN + 8 * HOUR)
    end = {"shift_end_date_time": BEGIN + 5 * HOUR}
    for number, is_approved, since, until in ((1, False, -1, 20), (1, True, 20, None), (2, True, -1, 40)):
        put(db, "punchclock_history.punch_clock_shifts", **punch, **end, id=10 + number, shift_id=number,
            is_approved=is_approved, valid_from=END + since * DAY,
            valid_to=None if until is None else END + until * DAY)  # fmt: skip
    put(db, "punchclock_history.punch_clock_shifts", **punch, id=20, shift_id=2, is_approved=True, valid_from=END - DAY)
    for table in ("scheduling.shifts", "punchclock.punch_clock_shifts"):
        put(db, "sync.slices", table_name=table, portal="oslo", month="2025-09", fetched_at=END + 70 * DAY)
    rows = db.execute(
        "SELECT days_after, value_then, value_now FROM sync.settling WHERE figure = 'approved_hours' ORDER BY days_after"
    ).fetchall()
    assert rows == [(1, 8 + 5, 5 + 8), (7, 8 + 5, 13), (30, 5 + 5, 13), (60, 5 + 8, 13)]


def test_open_punches_and_missing_pay_are_unknown(db: Db) -> None:
    usual = {"portal": "oslo", "month": "2025-09", "valid_from": END, "id": 1}
    put(db, "punchclock_history.punch_clock_shifts", **usual, start_date_time=BEGIN)
    put(db, "punchclock_history.punch_clock_breaks", **usual, punch_clock_shift_id=1, start_date_time=BEGIN,
        end_date_time=BEGIN + HOUR)  # fmt: skip
    put(db, "payroll_history.shifts", **usual, salary=0, start=BEGIN, end=BEGIN + HOUR)
    rows = db.execute("SELECT DISTINCT figure, value_now, gap FROM sync.settling ORDER BY figure").fetchall()
    figures = {figure: (value, gap) for figure, value, gap in rows}
    assert figures["punched_hours"] == figures["cost"] == (None, "no values")


def test_dropped_amounts_are_not_nothing(db: Db) -> None:
    put(db, "payroll_history.shifts", portal="oslo", month="2025-09", id=1, valid_from=END)
    rows = db.execute("SELECT DISTINCT value_now, moved, gap FROM sync.settling WHERE figure = 'cost'").fetchall()
    assert rows == [(None, None, "no values")]


def test_pay_that_moved_twice_after_the_month(db: Db) -> None:
    sums: dict[int, list[Decimal]] = defaultdict(list)
    for number, (since, until, pay) in enumerate([(0, None, 90), (0, 3, 10), (3, None, 20), (0, 20, 5)]):
        put(db, "payroll_history.shifts", portal="oslo", month="2025-09", id=number, salary=pay, valid_from=END + since * DAY,
            valid_to=None if until is None else END + until * DAY, changed_after=END if since else None)  # fmt: skip
        for days in DAYS:
            if since <= days and (until is None or until > days):
                sums[days].append(D(pay))
    put(db, "sync.slices", table_name=PAYROLL, portal="oslo", month="2025-09", fetched_at=END + 90 * DAY)
    rows = db.execute(
        "SELECT days_after, value_then, moved FROM sync.settling WHERE figure = 'cost' ORDER BY ALL"
    ).fetchall()
    assert rows == [(days, sum(sums[days]), 110 - sum(sums[days])) for days in DAYS]
