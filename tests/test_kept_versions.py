"""Versions of punches and payroll rows: rows without an id, what was changed later, who is forgotten, older installations."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake.history import advance
from planday_io.months import month_of, shifted
from planday_io.privacy.erasure import forget_person
from planday_io.state import SliceKey
from planday_io.sync.session import PortalSession, refresh
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.tables import put

FIRST = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
NIGHT = timedelta(days=1)
MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
PAGE = (Path(__file__).parents[1] / "docs" / "querying.md").read_text()

ROW = st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([10, 20, 30]))
READS = st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=7)


def supplements(rows: list[tuple[int | None, int]], at: datetime) -> pa.Table:
    """A read of supplements; a shift's are numbered by their content, as the program does."""
    seen: Counter[int | None] = Counter()
    found = []
    for shift, amount in sorted(rows, key=lambda row: (row[0] or 0, row[1])):
        row = {"portal": "oslo", "portal_id": 1, "month": "2026-09", "shift_id": shift, "ordinal": seen[shift]}
        found.append(row | {"modification": Decimal(amount), "_fetched_at": at})
        seen[shift] += 1
    schema = arrow_schema(CATALOGUE.table("payroll.shift_supplements"), PrivacyPolicy())
    return pa.Table.from_pylist(found, schema=schema)


class Model:
    """Versions of rows without an id: rows are matched by content, and rows with equal content by their number."""

    def __init__(self) -> None:
        self.closed: list[tuple[Any, ...]] = []
        self.open: dict[tuple[int | None, int], tuple[int, datetime, datetime | None]] = {}
        """(shift, number) -> amount, since when, and the read before that."""

    def saw(self, rows: list[tuple[int | None, int]], at: datetime, before: datetime | None) -> None:
        wanted = Counter(rows)
        for shift, number in sorted(self.open, key=lambda key: key[1]):
            amount, since, after = self.open[shift, number]
            wanted[shift, amount] -= 1
            if wanted[shift, amount] < 0:
                self.closed.append((shift, number, amount, since, after, at, before))
                del self.open[shift, number]
        for (shift, amount), count in sorted(wanted.items(), key=lambda item: item[0][1]):
            for _ in range(count):
                number = next(n for n in range(99) if (shift, n) not in self.open)
                self.open[shift, number] = (amount, at, before)

    def rows(self) -> list[tuple[Any, ...]]:
        return [*self.closed, *((*key, *one, None, None) for key, one in self.open.items())]


@pytest.mark.processes
@settings(max_examples=15, deadline=None)
@given(reads=READS)
@example(reads=[[(1, 10), (1, 30)], [(1, 10), (1, 20), (1, 30)], [(1, 30)], []])
def test_a_row_in_between_is_one_version(empty: duckdb.DuckDBPyConnection, reads: list[Any]) -> None:
    """And `as_of` shows each read as it was."""
    table = CATALOGUE.table("payroll.shift_supplements")
    columns, model = [column.name for column in table.columns], Model()
    versions = arrow_schema(CATALOGUE.histories[table.full_name], PrivacyPolicy()).empty_table()
    for night, rows in enumerate(reads):
        at, before = FIRST + night * NIGHT, FIRST + (night - 1) * NIGHT if night else None
        read = supplements(rows, at)
        versions = advance(versions, read, table=table, compared=columns, at=at, seen=before)
        assert advance(versions, read, table=table, compared=columns, at=at, seen=before).equals(versions)
        model.saw(rows, at, before)
    names = ("shift_id", "ordinal", "modification", "valid_from", "changed_after", "valid_to", "ended_after")
    found = [tuple(row[name] for name in names) for row in versions.to_pylist()]
    assert Counter(found) == Counter(model.rows())
    empty.execute("BEGIN")
    try:
        empty.register("versions", versions)
        empty.execute("INSERT INTO payroll_history.shift_supplements BY NAME SELECT * FROM versions")
        for night, rows in enumerate(reads):
            shown = empty.execute(
                "SELECT shift_id, CAST(modification AS INT) FROM payroll.shift_supplements_as_of(?)",
                [FIRST + night * NIGHT],
            ).fetchall()
            assert Counter(shown) == Counter(rows)
    finally:
        empty.execute("ROLLBACK")


def test_supplements_as_of_follow_their_shift(db: duckdb.DuckDBPyConnection) -> None:
    """The shift moved to October with two supplements fewer; September is not read again yet."""
    for month, numbers, since in (("2026-09", 3, FIRST), ("2026-10", 1, FIRST + NIGHT)):
        for number in range(numbers):
            put(db, "payroll_history.shift_supplements", portal="oslo", month=month, shift_id=1, ordinal=number,
                valid_from=since, is_current=True)  # fmt: skip
    for at, found in ((FIRST, [("2026-09", 3)]), (FIRST + NIGHT, [("2026-10", 1)])):
        rows = "SELECT month, count(*) FROM payroll.shift_supplements_as_of(?) GROUP BY ALL"
        assert db.execute(rows, [at]).fetchall() == found


def read(planday: Installation, table: str, night: int) -> None:
    at = FIRST + night * NIGHT
    session = PortalSession(planday.installation, "oslo", run_id=f"run {night}", clock=lambda: at)
    refresh(session, table, month=MONTH, accept_shrink=True)


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(5, 5, 5), resources=EVERYTHING)


def test_changes_of_punches_and_pay_are_kept(planday: Installation) -> None:
    """A night without changes adds nothing; the table and its history agree after each read."""
    roster = planday.sandbox.portals["oslo"].roster
    punch = next(
        one for one in roster.punches.values() if one["startDateTime"].startswith(MONTH) and one["endDateTime"]
    )
    tables = ("hr.departments", "scheduling.shifts", "punchclock.punch_clock_shifts", "punchclock.punch_clock_breaks")
    for night in range(3):
        if night == 2:
            punch["endDateTime"] = f"{punch['startDateTime'][:10]}T23:59"
        for table in (*tables, "payroll.shifts"):
            read(planday, table, night) if table != "hr.departments" else planday.refresh(table)
    planday.publish()
    versions = planday.query(
        f"SELECT valid_from, ended_after, valid_to, changed_after FROM punchclock_history.punch_clock_shifts "
        f"WHERE id = {punch['id']} ORDER BY 1"
    )
    assert versions == [(FIRST, FIRST + NIGHT, FIRST + 2 * NIGHT, None), (FIRST + 2 * NIGHT, None, None, FIRST + NIGHT)]
    for name in CATALOGUE.histories:
        if name.startswith(("payroll.", "punchclock.")):
            rows = planday.query(f"SELECT * EXCLUDE (_fetched_at) FROM {name} ORDER BY ALL")
            assert rows, name
            assert planday.query(f"SELECT * EXCLUDE (_fetched_at) FROM {name}_as_of(now()) ORDER BY ALL") == rows, name
            assert (planday.query(f"SELECT count(*) FROM {name.replace('.', '_history.')}")[0][0] > len(rows)) == (
                name == "punchclock.punch_clock_shifts"
            )


@pytest.mark.processes
def test_versions_of_the_forgotten_keep_amounts_only(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {free_text: keep}\ndefaults:")
    planday.refresh("hr.departments")
    planday.refresh("hr.employees")
    for name in ("scheduling.shifts", "punchclock.punch_clock_shifts", "payroll.shifts"):
        read(planday, name, 0)
    roster = planday.sandbox.portals["oslo"].roster
    punch = next(one for one in roster.punches.values() if one["startDateTime"].startswith(MONTH) and one["employeeId"])
    punch["description"] = "Quistgaard came late"
    read(planday, "punchclock.punch_clock_shifts", 1)
    read(planday, "payroll.shifts", 1)
    planday.publish()
    person = punch["employeeId"]
    assert "Quistgaard" in str(planday.rows("punchclock.punch_clock_shifts_history", month=MONTH))
    sums = "SELECT sum(salary), count(*) FROM payroll_history.shifts"
    before = planday.query(sums)
    forget_person(planday.installation, "oslo", person)
    for name in ("payroll.shifts_history", "punchclock.punch_clock_shifts_history"):
        rows = planday.rows(name, month=MONTH)
        assert person not in {row["employee_id"] for row in rows}
        assert any(row["employee_id"] < 0 for row in rows if row["employee_id"])
        assert "Quistgaard" not in str(rows)
    assert planday.query(sums) == before


def test_versions_begin_with_the_read_before_the_upgrade(planday: Installation) -> None:
    """An installation that exists has a month of punches, and no history of it."""
    read(planday, "scheduling.shifts", 0)
    read(planday, "punchclock.punch_clock_shifts", 0)
    key = SliceKey.of("punchclock.punch_clock_shifts_history", "oslo", MONTH)
    planday.lake.path(key).unlink()
    roster = planday.sandbox.portals["oslo"].roster
    punch = next(one for one in roster.punches.values() if one["startDateTime"].startswith(MONTH))
    punch["isApproved"] = not punch["isApproved"]
    read(planday, "punchclock.punch_clock_shifts", 1)
    rows = planday.rows("punchclock.punch_clock_shifts_history", month=MONTH)
    assert {row["valid_from"] for row in rows} == {FIRST, FIRST + NIGHT}
    assert [(row["is_approved"], row["changed_after"]) for row in rows if row["id"] == punch["id"]] == [
        (not punch["isApproved"], None),
        (punch["isApproved"], FIRST),
    ]


def query_of(page: str, begins: str) -> str:
    """The query behind a sentence of the page."""
    found = re.search(re.escape(begins) + r".*?```sql\n(.*?)```", page, re.DOTALL)
    assert found, begins
    return found[1]


def test_the_page_finds_changes_after_approval(db: duckdb.DuckDBPyConnection) -> None:
    """A note that changed, and a change before the approval, are none."""
    usual = {"portal": "oslo", "month": "2026-09", "employee_id": 7, "is_approved": True}
    start, end, later = "2026-09-01 08:00", "2026-09-01 16:00", "2026-09-01 17:00"
    states: dict[int, list[dict[str, Any]]] = {
        1: [{"shift_end_date_time": end}, {"shift_end_date_time": later}],
        2: [{"shift_end_date_time": end}, {"shift_end_date_time": end, "description": "x"}],
        3: [{"shift_end_date_time": end, "is_approved": False}, {"shift_end_date_time": later}],
        4: [{"shift_end_date_time": end}, {"shift_end_date_time": end, "is_approved": None}],
    }
    for number, versions in states.items():
        for night, version in enumerate(versions):
            ends = {"valid_to": FIRST + NIGHT} if night == 0 else {"changed_after": FIRST}
            row = {**usual, "shift_start_date_time": start, **version, **ends, "valid_from": FIRST + night * NIGHT}
            put(db, "punchclock_history.punch_clock_shifts", id=number, **row)
    found = db.execute(query_of(PAGE, "Which punches were changed after they were approved")).fetchall()
    assert [(row[1], str(row[6])[:16], row[8], row[9]) for row in found] == [
        (1, later, FIRST, FIRST + NIGHT),
        (4, end, FIRST, FIRST + NIGHT),
    ]


def test_the_page_finds_pay_that_changed_later(db: duckdb.DuckDBPyConnection) -> None:
    """Not what changed before the tenth, and not a month that was first read later."""
    late = FIRST + 20 * NIGHT
    amounts: dict[str, dict[tuple[str, int], list[tuple[int, datetime, datetime | None]]]] = {
        "payroll_history.shifts": {("2026-09", 1): [(100, FIRST, late), (130, late, None)]},
        "payroll_history.supplements": {("2026-09", 2): [(10, FIRST, FIRST + NIGHT), (11, FIRST + NIGHT, None)]},
        "payroll_history.salaried": {
            ("2026-09", 3): [(500, FIRST, late)],
            ("2026-08", 4): [(500, late, late + NIGHT), (600, late + NIGHT, None)],
        },
    }
    for table, rows in amounts.items():
        for number, ((month, person), versions) in enumerate(rows.items()):
            for salary, since, until in versions:
                key = {"id": number} if table == "payroll_history.shifts" else {"ordinal": 0}
                put(db, table, portal="oslo", month=month, employee_id=person, salary=salary, valid_from=since,
                    valid_to=until, **key)  # fmt: skip
    found = db.execute(query_of(PAGE, "What has changed in payroll since a month was paid")).fetchall()
    assert found == [("oslo", "2026-09", 1, "shift", 100, 130), ("oslo", "2026-09", 3, "salary", 500, 0)]
