"""Histories: exactly the versions that the reads saw, whatever happened between, twice, late or half-way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake.history import advance
from planday_io.months import month_of, shifted
from planday_io.sync.session import PortalSession, refresh
from tests.support.installation import EVERYTHING, Installation, Make

FIRST = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
THIS = month_of(datetime.now(UTC).date())


def read(planday: Installation, table: str, at: datetime, month: str | None = None) -> None:
    session = PortalSession(planday.installation, "oslo", run_id=f"run {at:%d}", clock=lambda: at)
    refresh(session, table, month=month, accept_shrink=True)


def instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class Model:
    """What each read saw, kept as plainly as can be: id -> list of [from, to, stamp]."""

    def __init__(self) -> None:
        self.versions: dict[int, list[list[Any]]] = {}

    def saw(self, at: datetime, rows: dict[int, datetime | None]) -> None:
        for number in self.versions.keys() | rows.keys():
            log = self.versions.setdefault(number, [])
            current = log[-1] if log and log[-1][1] is None else None
            if current and current[2] == rows.get(number):
                continue
            if current:
                current[1] = at
            if number in rows:
                log.append([at, None, rows[number]])

    def as_rows(self) -> list[tuple[Any, ...]]:
        return sorted((number, *version) for number, log in self.versions.items() for version in log)


@pytest.mark.processes
def test_month_of_edits_deletions_rehires_gaps_and_reruns(planday: Installation) -> None:
    """Thirty nights: some missed, some twice, one late, one killed between slice and history."""
    portal, chance, model = planday.sandbox.portals["oslo"], random.Random(4), Model()
    gone: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for night in range(30):
        at = FIRST + timedelta(days=night)
        for _ in range(chance.randrange(3)):
            portal.edit_employee(
                chance.choice(portal.employees)["id"],
                at,
                city=chance.choice(("Oslo", "Moss", "Hamar")),
                jobTitle=f"t{night}",
            )
        if night % 6 == 2:
            portal.hire(at)
        if night % 5 == 3:
            leaver = chance.choice(portal.employees)
            gone[leaver["id"]] = (dict(leaver), portal.details[leaver["id"]])
            portal.deactivate(leaver["id"], at)
        if night % 9 == 8:
            back = chance.choice(list(gone))
            row, details = gone.pop(back)
            portal.deactivated[:] = [one for one in portal.deactivated if one["id"] != back]
            portal.employees.append(row)
            portal.details[back] = details
        if night in (5, 6, 7, 8, 20):
            continue  # missed
        read(planday, "hr.employees", at)
        model.saw(at, {row["id"]: instant(row["dateTimeModified"]) for row in portal.employees})
        if night in (10, 11):
            read(planday, "hr.employees", at + timedelta(hours=1))
        if night == 15:
            # A run that began before the last one and comes late changes nothing.
            late = PortalSession(
                planday.installation, "oslo", run_id="late", clock=lambda at=at: at - timedelta(hours=3)
            )  # type: ignore[misc]
            before = planday.provenance("hr.employees")
            refresh(late, "hr.employees")
            assert planday.provenance("hr.employees") == before
    found = [
        (
            row["id"],
            row["valid_from"],
            row["valid_to"],
            row["date_time_modified"],
        )
        for row in planday.rows("hr.employees_history")
    ]
    assert sorted(found) == model.as_rows()
    assert len(found) > 30
    current = {row["id"] for row in planday.rows("hr.employees_history") if row["is_current"]}
    assert current == {row["id"] for row in planday.rows("hr.employees")}
    # After the missed nights, a change lies somewhere between the read before them and the one after.
    back = [row for row in planday.rows("hr.employees_history") if row["valid_from"] == FIRST + timedelta(days=9)]
    assert back
    assert {row["changed_after"] for row in back} == {FIRST + timedelta(days=4)}


ACTIONS = st.lists(st.dictionaries(st.integers(1, 6), st.sampled_from("abc"), max_size=6), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(reads=ACTIONS, twice=st.sets(st.integers(0, 7)))
def test_versions_are_what_the_reads_saw(reads: list[dict[int, str]], twice: set[int]) -> None:
    table = CATALOGUE.table("pay.salaries")
    schema = arrow_schema(table, PrivacyPolicy())
    versions = arrow_schema(CATALOGUE.histories[table.full_name], PrivacyPolicy()).empty_table()
    model = Model()
    columns = [column.name for column in table.columns]
    for number, rows in enumerate(reads):
        at = FIRST + timedelta(days=number)
        snapshot = pa.Table.from_pylist(
            [
                {
                    "portal": "o",
                    "portal_id": 1,
                    "employee_id": n,
                    "salary_code": text,
                    "valid_from": date(2024, 1, 1),
                    "_fetched_at": at,
                }
                for n, text in rows.items()
            ],
            schema=schema,
        )
        for _ in range(2 if number in twice else 1):
            versions = advance(versions, snapshot, table=table, compared=columns, at=at, seen=None)
        model.saw(at, rows)
    found = [
        (row["employee_id"], row["valid_from"], row["valid_to"], row["salary_code"]) for row in versions.to_pylist()
    ]
    assert sorted(found) == model.as_rows()
    assert [row["is_current"] for row in versions.to_pylist()] == [
        row["valid_to"] is None for row in versions.to_pylist()
    ]


CUT = """
import os, signal, sys
from planday_io.lake import history
from tests.support.children import cut_between
cut_between(sys.argv[1])
"""


@pytest.mark.parametrize("who_heals", ["the next read", "the next publication"])
def test_a_kill_between_slice_and_history_heals(planday: Installation, who_heals: str) -> None:
    portal = planday.sandbox.portals["oslo"]
    read(planday, "hr.employees", FIRST)
    person = portal.employees[0]["id"]
    portal.edit_employee(person, FIRST, zip="0001")
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(planday.config_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert planday.provenance("hr.employees").run_id == "killed"  # type: ignore[union-attr]
    assert len(planday.rows("hr.employees_history")) == len(portal.employees)
    if who_heals == "the next read":
        portal.edit_employee(person, FIRST + timedelta(days=2), zip="0002")
        read(planday, "hr.employees", FIRST + timedelta(days=2))
    planday.publish()
    versions = planday.query(
        f"SELECT valid_from, valid_to FROM hr_history.employees WHERE id = {person} AND portal = 'oslo' ORDER BY 1"
    )
    starts = [FIRST + timedelta(days=n) for n in ((0, 1, 2) if who_heals == "the next read" else (0, 1))]
    assert versions == [*zip(starts, [*starts[1:], None], strict=True)]


def test_a_policy_that_changes_makes_no_versions(planday: Installation) -> None:
    """Neither one that hides more, nor one that shows what was not kept until now."""
    read(planday, "hr.employees", FIRST)
    planday.edit_config("defaults:", "privacy: {contact: keep}\ndefaults:")
    read(planday, "hr.employees", FIRST + timedelta(days=1))
    rows = planday.rows("hr.employees_history")
    assert {row["valid_from"] for row in rows} == {FIRST}
    assert all(row["email"] for row in rows)
    planday.edit_config("privacy: {contact: keep}", "privacy: {identity: drop}")
    read(planday, "hr.employees", FIRST + timedelta(days=2))
    rows = planday.rows("hr.employees_history")
    assert {row["valid_from"] for row in rows} == {FIRST}
    assert not any(row["email"] or row["first_name"] for row in rows)


def test_newly_hashed_class_makes_no_versions(planday: Installation) -> None:
    """Also where the publication took the values out of the lake before the next read."""
    for name in ("hr.employees", "hr.employee_details"):
        read(planday, name, FIRST)
    planday.publish()
    planday.edit_config("defaults:", "privacy: {identity: hash, hash_key: {file: key.txt}}\ndefaults:")
    (planday.folder / "key.txt").write_text("a key for hashes")
    assert planday.publish().is_rebuild
    assert {row["first_name"] for row in planday.rows("hr.employee_details_history")} == {None}
    for name in ("hr.employees", "hr.employee_details"):
        read(planday, name, FIRST + timedelta(days=1))
        assert {len(row["first_name"]) for row in planday.rows(name)} == {64}, "nobody is carried over without a hash"
        rows = planday.rows(f"{name}_history")
        assert {(row["valid_from"], row["is_current"]) for row in rows} == {(FIRST, True)}


def test_the_roster_as_it_was(make: Make) -> None:
    """Five known states of a month: as read, edited, deleted and added, moved, and as it is now."""
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    month, other = shifted(THIS, -1), shifted(THIS, -2)
    roster = planday.sandbox.portals["oslo"].roster
    states = []
    base = datetime.now(UTC) - timedelta(days=5)
    some = [shift["id"] for shift in roster.shifts.values() if shift["date"].startswith(month) and shift["employeeId"]]

    def look(day: int) -> None:
        at = base + timedelta(days=day)
        for one in (other, month):
            read(planday, "scheduling.shifts", at, one)
        rows = {
            s["id"]: (s["startDateTime"], s["status"])
            for s in roster.shifts.values()
            if s["date"][:7] in (month, other)
        }
        states.append((at, rows))

    look(0)
    roster.edit_shift(some[0], startDateTime=f"{roster.shifts[some[0]]['date']}T05:15")
    look(1)
    roster.delete_shift(some[1])
    roster.add_shift(some[2], date.fromisoformat(f"{month}-11"))
    look(2)
    roster.edit_shift(some[3], date=f"{other}-07")
    look(3)
    roster.edit_shift(some[0], status="Draft", employeeId=None)
    look(4)
    planday.publish()
    for at, expected in states:
        for moment in (at, at + timedelta(hours=7)):
            found = planday.query(
                f"SELECT id, start_date_time, status FROM scheduling.shifts_as_of(TIMESTAMPTZ '{moment.isoformat()}')"
            )
            assert {number: (f"{start:%Y-%m-%dT%H:%M}", status) for number, start, status in found} == expected
    assert planday.query(f"SELECT count(*) FROM scheduling.shifts_as_of(TIMESTAMPTZ '{base - timedelta(days=1)}')") == [
        (0,)
    ]
    now = planday.query("SELECT * EXCLUDE (_fetched_at) FROM scheduling.shifts_as_of(now()) ORDER BY ALL")
    assert now == planday.query("SELECT * EXCLUDE (_fetched_at) FROM scheduling.shifts ORDER BY ALL")


@pytest.mark.processes
def test_every_snapshot_has_history_that_agrees_with_it(make: Make) -> None:
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    for endpoint in CATALOGUE.endpoints:
        if endpoint.grid == "portal" and endpoint.is_snapshot:
            planday.refresh(endpoint.name)
            planday.refresh(endpoint.name)
    planday.publish()
    for name in CATALOGUE.histories:
        if name != "scheduling.shifts":
            assert planday.query(
                f"SELECT * EXCLUDE (_fetched_at) FROM {name}_as_of(now()) ORDER BY ALL"
            ) == planday.query(f"SELECT * EXCLUDE (_fetched_at) FROM {name} ORDER BY ALL"), name
    total = planday.query("SELECT count(*), sum(kept) FROM sync.derived WHERE table_name = 'hr_history.employees'")
    assert total == [(1, planday.query("SELECT count(*) FROM hr_history.employees")[0][0])]
