"""`marts.roster_changes` and `marts.roster_stability` show what reads of changing rosters saw, as plain Python says.

Both nights on which clocks change, two portals in different zones, shifts that move to the next month, reads that fail,
drafts that name an employee, shifts without a department.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.warehouse.zones import write_zones
from tests.support import roster_truth as truth
from tests.support.roster_truth import ZONES, Change, Slice, State
from tests.support.rounding import half_up
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
HOUR = timedelta(hours=1)
SEASONS = {
    datetime(2025, 3, 29): [(0, 20), (1, 1.5), (1, 22), (2, 18), (3, 2), (4, 9)],  # noqa: DTZ001 - wall clocks
    datetime(2025, 10, 25): [(0, 22), (1, 1.5), (1, 2.5), (6, 20), (7, 6), (8, 0.5)],  # noqa: DTZ001
}
STATUSES = ["Assigned", "Assigned", "Approved", "Draft", "Cancelled"]


@dataclass
class World:
    """Shifts of a portal around the end of a month. A shift moves to the next month at most once, and never back."""

    chance: random.Random
    base: datetime

    def start(self, earliest: datetime | None) -> datetime:
        starts = [self.base + timedelta(days=day, hours=hour) for day, hour in SEASONS[self.base]]
        is_late = earliest is not None and earliest.month != self.base.month
        return self.chance.choice([one for one in starts if not is_late or one.month != self.base.month])

    def new(self, earliest: datetime | None = None) -> State:
        chance = self.chance
        length = timedelta(hours=chance.choice([2, 4, 7.5, 10]))
        status = chance.choice([*STATUSES, "Open"])
        person = None if status == "Open" else chance.choice([1, 2, 3])
        return State(self.start(earliest), length, person, chance.choice([10, 11, None]), status)

    def changed(self, state: State) -> State:
        chance = self.chance
        return chance.choice(
            [
                lambda: replace(state, employee=chance.choice([1, 2, 3]), status="Assigned"),
                lambda: replace(state, employee=None, status="Open"),
                lambda: replace(state, start=self.start(state.start)),
                lambda: replace(state, length=state.length + chance.choice([-1, 1, 2]) * HOUR),
                lambda: replace(state, status=chance.choice(STATUSES), employee=state.employee or 1),
                lambda: replace(state, department=chance.choice([10, 11])),
            ]
        )()


def played(seed: int) -> dict[str, Any]:
    """Six nights of two portals: portal -> its slices by month, and the reads in their order."""
    chance = random.Random(seed)
    found = {}
    for portal in ZONES:
        world = World(chance, chance.choice([*SEASONS]))
        months = sorted({f"{world.start(None) + timedelta(days=one):%Y-%m}" for one in (-9, 9)})
        shifts = {number: world.new() for number in range(1, 11) if chance.random() < 0.8}
        gone: dict[int, State] = {}
        slices: dict[str, Slice] = defaultdict(Slice)
        reads = []
        for night in range(6):
            for number in range(1, 13):
                luck = chance.random()
                if number in shifts and luck < 0.1:
                    gone[number] = shifts.pop(number)
                elif number in shifts and luck < 0.45:
                    shifts[number] = world.changed(shifts[number])
                elif number not in shifts and luck < 0.3:
                    shifts[number] = world.new(gone[number].start if number in gone else None)
            for minute, month in enumerate(months):
                if chance.random() < 0.75:
                    at = (world.base - timedelta(days=3) + night * 26 * HOUR + minute * timedelta(minutes=5)).replace(
                        tzinfo=UTC
                    )
                    rows = {number: one for number, one in shifts.items() if one.month == month}
                    slices[month].read(rows, at)
                    reads.append((at, month, rows))
        found[portal] = (slices, reads)
    return found


def row_of(portal: str, month: str, number: int, state: State) -> dict[str, Any]:
    return {"portal": portal, "month": month, "id": number, "department_id": state.department, "date": state.start.date(),
            "employee_id": state.employee, "start_date_time": state.start, "end_date_time": state.end,
            "time_zone": ZONES[portal], "status": state.status}  # fmt: skip


def plant(db: Db, portal: str, slices: dict[str, Slice]) -> dict[int, State]:
    """Put a portal's slices and histories; the shifts as the warehouse shows them now."""
    now: dict[int, tuple[datetime, str, State]] = {}
    for month, one in slices.items():
        put(db, "sync.slices", table_name="scheduling.shifts", portal=portal, month=month, fetched_at=one.read_at)
        for version in one.versions:
            number, state = version["id"], version["state"]
            versioned = {name: value for name, value in version.items() if name not in ("id", "state")}
            put(db, "scheduling_history.shifts", **row_of(portal, month, number, state), **versioned)
        for number, state in one.found.items():
            assert one.read_at is not None
            now[number] = max(
                now.get(number, (one.read_at, "", state)), (one.read_at, month, state), key=lambda it: it[:2]
            )
    for number, (_, month, state) in now.items():
        put(db, "scheduling.shifts", **row_of(portal, month, number, state))
    return {number: state for number, (_, _, state) in now.items()}


def expected_row(portal: str, change: Change) -> tuple[Any, ...]:
    zone, old, new = ZONES[portal], change.old, change.new
    names, it, place = truth.names_of(change, zone), truth.of_it(change), truth.where(change)
    lengths = [truth.hours(one, zone) if one else None for one in (old, new)]
    stake = truth.hours(it, zone)
    if names[0] in ("shortened", "lengthened") and old and new:
        stake = abs(truth.hours(old, zone) - truth.hours(new, zone))
    shown = [
        (one.start, one.end, one.status, one.employee, one.department) if one else (None,) * 5 for one in (old, new)
    ]
    year, week, _ = place.start.isocalendar()
    day = (portal, place.month, place.start.date(), place.department)
    return (*day, change.shift, names, *shown[0], *shown[1], change.after,
            change.before, *lengths, *truth.notice(change, zone), stake, year * 100 + week)  # fmt: skip


COLUMNS = (
    "portal, month, date, department_id, shift_id, changes, old_start_local, old_end_local, old_status, old_employee_id, "
    "old_department_id, new_start_local, new_end_local, new_status, new_employee_id, new_department_id, changed_after, "
    "changed_before, old_hours, new_hours, hours_before_at_least, hours_before_at_most, hours_at_stake, "
    "iso_week"
)


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: (row[0], row[4], row[17], row[16], row[5]))


@pytest.mark.processes
@settings(max_examples=6)
@given(st.integers(0, 2**40))
def test_changes_are_what_reads_saw(empty: Db, seed: int) -> None:
    empty.execute("BEGIN")
    try:
        rows, weeks = [], {}
        for portal, (slices, reads) in played(seed).items():
            current = plant(empty, portal, slices)
            seen = [one for one in truth.changes_seen(reads) if truth.names_of(one, ZONES[portal])]
            rows += [expected_row(portal, one) for one in seen]
            weeks |= stability(portal, current, seen, slices)
        write_zones(empty, again=False)
        found = empty.execute(f"SELECT {COLUMNS} FROM marts.roster_changes").fetchall()
        shown = empty.execute(
            "SELECT portal, department_id, week, * EXCLUDE (portal, portal_id, department_id, department, iso_week, week) "
            "FROM marts.roster_stability"
        ).fetchall()
        main = empty.execute("SELECT count(*) FROM marts.roster_changes WHERE change <> changes[1]").fetchone()
        for first, last in [(week, week) for week in {row[2] for row in shown}] + [
            (date(2025, 1, 1), date(2026, 12, 31))
        ]:
            some = f"from_date := '{first}', to_date := DATE '{last}' + 6"
            between = empty.execute(f"FROM marts.roster_stability_between({some}) ORDER BY ALL").fetchall()
            weeks_of_view = f"week BETWEEN date_trunc('week', DATE '{first}') AND DATE '{last}' + 6"
            assert (
                between == empty.execute(f"FROM marts.roster_stability WHERE {weeks_of_view} ORDER BY ALL").fetchall()
            )
    finally:
        empty.execute("ROLLBACK")
    assert in_order(found) == in_order(rows)
    weeks_found = {row[:3]: row[3:] for row in shown}
    assert weeks_found.keys() == weeks.keys()
    for week, figures in weeks_found.items():
        # Medians are rounded.
        assert [*figures] == [None if one is None else pytest.approx(one, abs=0.006) for one in weeks[week]]
    assert main == (0,)


def stability(
    portal: str, current: dict[int, State], changes: list[Change], slices: dict[str, Slice]
) -> dict[Any, tuple[Any, ...]]:
    """The rows of `marts.roster_stability` of a portal."""
    zone = ZONES[portal]
    cells: dict[Any, dict[str, Any]] = defaultdict(lambda: defaultdict(list))

    def cell(state: State) -> dict[str, Any]:
        return cells[portal, state.department, truth.monday(state.start.date())]

    for number, state in current.items():
        if state.employee is not None and state.status != "Draft":
            cell(state)["assigned"].append(number)
    for one in changes:
        least, most = truth.notice(one, zone)
        of_cell, names = cell(truth.where(one)), truth.names_of(one, zone)
        of_cell["assigned"].append(one.shift)
        for limit in (24, 48, 168):
            if least >= 0 and most <= limit:
                of_cell[f"surely {limit}"].append(one.shift)
            if least < limit and most > 0:
                of_cell[f"maybe {limit}"].append(one.shift)
        if most > 0:
            of_cell["notice"].append((one.shift, max(least, Decimal(0)), most))
            if names[0] == "assigned" and one.old is not None:
                of_cell["filled"].append((one.shift, max(least, Decimal(0)), most))
    for one in (version for month in slices.values() for version in month.versions):
        state, starts = one["state"], truth.instant(one["state"].start, zone)
        if (
            state.kind == "open"
            and one["valid_from"] <= starts
            and (one["valid_to"] or datetime.max.replace(tzinfo=UTC)) > starts
        ):
            cell(state)["open"].append(one["id"])
    return {key: _row_of(of_cell) for key, of_cell in cells.items()}


def _row_of(cell: dict[str, Any]) -> tuple[Any, ...]:
    def least_of(name: str) -> list[float | None]:
        shifts = {one for one, _, _ in cell[name]}
        smallest = [[min(row[side] for row in cell[name] if row[0] == one) for one in shifts] for side in (1, 2)]
        return [float(median(side)) if side else None for side in smallest]

    assigned = len({*cell["assigned"]})
    counts = [len({*cell[f"{how} {limit}"]}) for limit in (24, 48, 168) for how in ("surely", "maybe")]
    percents = [half_up(100.0 * count / assigned, 2) if assigned else None for count in counts]
    filled = len({one for one, _, _ in cell["filled"]})
    return (assigned, len({one for one, _, _ in cell["notice"]}), *counts, *percents, *least_of("notice"),
            len({*cell["open"]}), filled, *least_of("filled"))  # fmt: skip


NIGHT = timedelta(days=1)
FIRST = datetime(2025, 9, 1, 2, tzinfo=UTC)


def version(db: Db, number: int, since: int, until: int | None, **columns: Any) -> None:
    """A version of a shift of somebody, from 8 to 16 on 8 September, from one night to another."""
    times = {"date": date(2025, 9, 8), "start_date_time": "2025-09-08 08:00", "end_date_time": "2025-09-08 16:00"}
    usual = {
        "portal": "oslo",
        "month": "2025-09",
        "employee_id": 1,
        "department_id": 10,
        "status": "Assigned",
        "time_zone": "UTC",
    }
    before = FIRST + (since - 1) * NIGHT if since else None
    ends = {"valid_to": FIRST + until * NIGHT, "ended_after": FIRST + (until - 1) * NIGHT} if until is not None else {}
    since_when = {"valid_from": FIRST + since * NIGHT, "changed_after": before, "is_current": not ends}
    put(db, "scheduling_history.shifts", id=number, **(since_when | ends | usual | times | columns))


def test_cost_at_stake_is_that_of_the_person(db: Db) -> None:
    """And is unknown where time and cost says nothing of the person."""
    version(db, 1, 0, 2)
    version(db, 2, 0, 2, employee_id=2)
    put(db, "scheduling.shifts", portal="oslo", id=5, month="2025-09", start_date_time="2025-09-10 08:00",
        end_date_time="2025-09-10 18:00", time_zone="UTC")  # fmt: skip
    # Its ten hours are in several rows, of which one has no cost.
    for ordinal, day, cost in ((0, 10, 1000), (1, 10, 400), (0, 11, 100), (2, 10, None)):
        put(db, "scheduling.time_and_costs", portal="oslo", month="2025-09", department_id=10, shift_id=5, ordinal=ordinal,
            date=f"2025-09-{day}", employee_id=1, duration="0:10:00", cost=cost)  # fmt: skip
    put(db, "sync.mart_settings", portal="oslo", name="currency", value="NOK")
    write_zones(db, again=False)
    rows = db.execute(
        "SELECT change, hours_at_stake, cost_at_stake, cost_gap, currency FROM marts.roster_changes ORDER BY shift_id"
    )
    assert rows.fetchall() == [("cancelled", 8, 1200, None, "NOK"), ("cancelled", 8, None, "no planned cost", "NOK")]


def test_ends_of_older_versions_are_wide_intervals(db: Db) -> None:
    """They were closed before the read in front of the end was kept."""
    version(db, 1, 0, 5, ended_after=None)
    write_zones(db, again=False)
    rows = db.execute(
        "SELECT changed_after, changed_before, hours_before_at_least, hours_before_at_most FROM marts.roster_changes"
    )
    assert rows.fetchall() == [(FIRST, FIRST + 5 * NIGHT, 54, 174)]


@pytest.mark.parametrize("columns", [{"comment": "x"}, {"position_id": 3}, {"status": "Approved"}])
def test_what_touches_nobody_is_no_change(db: Db, columns: dict[str, Any]) -> None:
    version(db, 1, 0, 2)
    version(db, 1, 2, None, **columns)
    write_zones(db, again=False)
    assert db.execute("FROM marts.roster_changes").fetchall() == []


def test_absurd_dates_and_unknown_zones_give_no_instants(db: Db) -> None:
    far = {
        "date": "9999-12-31",
        "start_date_time": "9999-12-31 08:00",
        "end_date_time": "9999-12-31 16:00",
        "month": "9999-12",
    }
    version(db, 1, 0, 2, **far)
    version(db, 2, 0, 2, time_zone="Nowhere")
    write_zones(db, again=False)
    rows = db.execute(
        "SELECT shift_id, old_hours, hours_before_at_least IS NULL FROM marts.roster_changes ORDER BY ALL"
    ).fetchall()
    assert rows == [(1, 8, False), (2, 8, True)]
    weeks = db.execute("SELECT count(*) FROM marts.roster_stability").fetchone()
    assert weeks == (2,)


def test_a_move_to_another_month_is_one_change(db: Db) -> None:
    """Whichever month is read first: in between the shift is in both, or in neither."""
    later = {"month": "2025-10", "date": date(2025, 10, 1)}
    times = {"start_date_time": "2025-10-01 08:00", "end_date_time": "2025-10-01 16:00"}
    version(db, 1, 0, 5, ended_after=FIRST + 3 * NIGHT)
    version(db, 1, 4, None, **later, **times)
    version(db, 2, 0, 4)
    version(db, 2, 5, None, **later, **times, changed_after=FIRST + 3 * NIGHT)
    write_zones(db, again=False)
    rows = db.execute("SELECT shift_id, change, changed_after, changed_before FROM marts.roster_changes ORDER BY ALL")
    between = (FIRST + 3 * NIGHT, FIRST + 4 * NIGHT)
    assert rows.fetchall() == [(1, "moved", *between), (2, "moved", *between)]


@pytest.mark.parametrize(("until", "changes"), [(None, ["moved"]), (7, ["cancelled", "moved"])])
def test_a_month_not_read_again_may_still_have_it(db: Db, until: int | None, changes: list[str]) -> None:
    """The shift went to October and is gone from there; September says whether it came back."""
    version(db, 1, 0, until)
    version(db, 1, 4, 6, month="2025-10", date=date(2025, 10, 1), start_date_time="2025-10-01 08:00")
    write_zones(db, again=False)
    rows = db.execute("SELECT change FROM marts.roster_changes ORDER BY ALL").fetchall()
    assert [change for (change,) in rows] == changes
