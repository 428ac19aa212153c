"""What is missing, and why: found without asking Planday, by a quick look and by one at every byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, Engine, event

from planday_io.errors import LostSliceError, StorageError
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.missing import Missing, missing_of
from planday_io.monitoring.older_files import note_older_files
from planday_io.months import first_day, last_day, month_of, months_between, shifted
from planday_io.state import Failure
from tests.support.holes import became_folder, cut, emptied, flip, leads_nowhere, overwritten, refused
from tests.support.installation import Installation, Make

NOW = datetime.now(UTC)
THIS = month_of(NOW.astimezone(ZoneInfo("Europe/Oslo")).date())
FIRST = shifted(THIS, -2)
MONTHS = months_between(FIRST, shifted(THIS, 1))
DEPARTMENTS, GROUPS, SHIFTS, DELETED = (
    "hr.departments",
    "hr.employee_groups",
    "scheduling.shifts",
    "scheduling.deleted_shifts",
)


def key(table: str, month: str | None = None) -> SliceKey:
    return SliceKey.of(table, "oslo", month)


@pytest.fixture
def planday(make: Make) -> Installation:
    """Three lists, one of them a feed, and the shifts of four months: three until now, one ahead."""
    made = make(people=(4, 4, 4), resources=f"resources: {{include: [{DEPARTMENTS}, {GROUPS}, {SHIFTS}, {DELETED}]}}")
    made.edit_config("history_start: 2025-01", f"history_start: {FIRST}")
    made.edit_config("defaults:", "defaults:\n  window: {past_months: 1, future_months: 1}")
    return made


@pytest.fixture
def whole(planday: Installation) -> Installation:
    """With nothing missing in oslo."""
    for table in (DEPARTMENTS, GROUPS, DELETED):
        planday.refresh(table)
    for month in MONTHS:
        planday.refresh(SHIFTS, month=month)
    planday.publish()
    return planday


def look(planday: Installation, *, verifies: bool = True, now: datetime = NOW) -> Missing:
    return missing_of(planday.installation, ["oslo"], now, verifies=verifies)


def reasons(missing: Missing) -> dict[SliceKey, str]:
    return {one.key: one.reason for one in missing.slices}


@pytest.mark.parametrize("verifies", [True, False])
def test_portal_never_read_lacks_everything(planday: Installation, verifies: bool) -> None:
    wanted = [key(DEPARTMENTS), key(GROUPS), key(DELETED), *(key(SHIFTS, month) for month in MONTHS)]
    assert reasons(look(planday, verifies=verifies)) == dict.fromkeys(wanted, "absent")


@pytest.mark.parametrize("verifies", [True, False])
def test_whole_portal_lacks_nothing(whole: Installation, verifies: bool) -> None:
    assert look(whole, verifies=verifies) == Missing()


@pytest.mark.processes
@pytest.mark.parametrize("damage", [flip, cut])
def test_old_months_are_verified_byte_by_byte(whole: Installation, damage: Callable[[Path], None]) -> None:
    damage(whole.lake.path(key(SHIFTS, FIRST)))
    assert reasons(look(whole)) == {key(SHIFTS, FIRST): "damaged"}


@pytest.mark.parametrize("verifies", [True, False])
def test_lost_slices_are_missing(whole: Installation, verifies: bool) -> None:
    shutil.rmtree(whole.lake.path(key(SHIFTS, THIS)).parent)
    whole.lake.path(key(DEPARTMENTS)).unlink()
    assert reasons(look(whole, verifies=verifies)) == {key(DEPARTMENTS): "lost", key(SHIFTS, THIS): "lost"}


def versions(planday: Installation) -> list[tuple[Any, ...]]:
    planday.publish()
    return planday.query("SELECT * EXCLUDE (_fetched_at) FROM hr_history.departments ORDER BY ALL")


@pytest.mark.processes
@pytest.mark.parametrize("damage", [cut, flip, emptied, overwritten])
def test_damaged_slice_is_read_again_with_its_history(whole: Installation, damage: Callable[[Path], None]) -> None:
    """The damaged file is kept."""
    before, file = versions(whole), whole.lake.path(key(DEPARTMENTS))
    damage(file)
    bad = file.read_bytes()
    (one,) = look(whole).slices
    assert (one.key, one.reason) == (key(DEPARTMENTS), "damaged")
    (report,) = whole.refresh(DEPARTMENTS, replaces_lost=True)
    (aside,) = whole.lake.files_set_aside()
    assert aside.name in "".join(report.warnings)
    assert aside.read_bytes() == bad
    assert look(whole) == Missing()
    assert versions(whole) == before


@pytest.mark.processes
@pytest.mark.parametrize("damage", [became_folder, leads_nowhere, refused])
def test_refused_file_is_named_and_stops_nothing_else(whole: Installation, damage: Callable[[Path], None]) -> None:
    """The file may be whole, on a disk that is not mounted, so nothing is written in its place."""
    damage(whole.lake.path(key(DEPARTMENTS)))
    flip(whole.lake.path(key(GROUPS)))
    found = look(whole)
    assert reasons(found) == {key(GROUPS): "damaged"}
    (one,) = found.unrecoverable
    assert (one.key, one.reason) == (key(DEPARTMENTS), "unreadable")
    assert str(whole.lake.path(key(DEPARTMENTS))) in one.why
    whole.refresh(GROUPS)
    with pytest.raises(StorageError, match=str(whole.lake.path(key(DEPARTMENTS)))):
        whole.refresh(DEPARTMENTS, replaces_lost=True)
    assert [*whole.publish(compare_all=True).problems] == [key(DEPARTMENTS)]


def test_older_file_is_missing(whole: Installation) -> None:
    file = whole.lake.path(key(DEPARTMENTS))
    backup = file.read_bytes()
    whole.refresh(DEPARTMENTS)
    whole.publish()
    file.write_bytes(backup)
    assert reasons(look(whole)) == {key(DEPARTMENTS): "older"}


@pytest.mark.processes
@pytest.mark.parametrize("verifies", [True, False])
def test_failed_slices_are_missing(whole: Installation, verifies: bool) -> None:
    """Not those of tables and months that the portal no longer has."""
    failed = [(SHIFTS, FIRST), (GROUPS, None), (SHIFTS, "2019-01"), ("hr.skills", None)]
    whole.state.failures.record(
        Failure(portal="oslo", table=table, month=month, cause="api", error="down", run_id="", since=NOW)
        for table, month in failed
    )
    found = look(whole, verifies=verifies)
    assert reasons(found) == {key(GROUPS): "failed", key(SHIFTS, FIRST): "failed"}
    assert {one.why for one in found.slices} == {"down"}


@pytest.mark.processes
@pytest.mark.parametrize("change", [{"catalogue_version": 1}, {"absent": ["name"]}])
def test_slices_of_older_definitions_are_missing(whole: Installation, change: dict[str, Any]) -> None:
    one = key(SHIFTS, FIRST)
    stored = whole.lake.provenance(one)
    assert stored is not None
    whole.lake.replace(one, whole.lake.read(one), replace(stored, **change).encoded())
    assert reasons(look(whole)) == {one: "outdated"}
    assert reasons(look(whole, verifies=False)) == {one: "outdated"}, "the index knows it now"
    whole.publish(compare_all=True)
    assert reasons(look(whole, verifies=False)) == {one: "outdated"}, "publishing it changes nothing"
    whole.refresh(SHIFTS, month=FIRST)
    assert look(whole) == Missing()


def test_rows_without_new_columns_are_read_again(make: Make) -> None:
    """An incremental read carries over what has not changed, but no rows that lack a column."""
    table = "hr.employee_details"
    planday = make()
    planday.refresh(table)
    assert not planday.refresh(table)[0].window.startswith("all")
    stored = planday.provenance(table)
    assert stored is not None
    planday.lake.replace(key(table), planday.lake.read(key(table)), replace(stored, absent=["phone"]).encoded())
    assert planday.refresh(table)[0].window.startswith("all")
    again = planday.provenance(table)
    assert again is not None
    assert again.absent == []


@pytest.mark.processes
@pytest.mark.parametrize("verifies", [True, False])
def test_what_schedules_should_have_read_is_missing(whole: Installation, verifies: bool) -> None:
    """Only months that were in the window when the schedule was due."""
    whole.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    observe(whole.installation, NOW - timedelta(days=30))
    month = shifted(THIS, 1)
    first = datetime.combine(first_day(month), time(0, 30), ZoneInfo("Europe/Oslo")).astimezone(UTC)
    lists = {key(DEPARTMENTS), key(GROUPS), key(DELETED)}
    assert key(SHIFTS, shifted(month, 1)) not in reasons(look(whole, verifies=verifies, now=first)), (
        "the night will read it"
    )
    stale = {*lists, key(SHIFTS, THIS), key(SHIFTS, month)}
    wanted = dict.fromkeys(stale, "stale") | {key(SHIFTS, shifted(month, 1)): "absent"}
    assert reasons(look(whole, verifies=verifies, now=first + timedelta(days=14))) == wanted


def test_lost_slice_is_replaced_only_when_asked(whole: Installation) -> None:
    """A feed never is."""
    for table in (DEPARTMENTS, DELETED):
        whole.lake.path(key(table)).unlink()
    with pytest.raises(LostSliceError, match="sync --missing"):
        whole.refresh(DEPARTMENTS)
    whole.refresh(DEPARTMENTS, replaces_lost=True)
    with pytest.raises(LostSliceError):
        whole.refresh(DELETED, replaces_lost=True)


def test_feed_and_history_are_named_and_last(whole: Installation) -> None:
    """Planday no longer sends all of them."""
    flip(whole.lake.path(key(DELETED)))
    whole.lake.path(key("hr.departments_history")).unlink()
    found = look(whole)
    assert not found.slices
    assert {one.key: one.reason for one in found.unrecoverable} == {
        key(DELETED): "damaged",
        key("hr.departments_history"): "lost",
    }


def put_back(planday: Installation, *keys: SliceKey) -> None:
    """Put older files of a feed and of a history back, and have it noticed."""
    older = {key: planday.lake.path(key).read_bytes() for key in keys}
    roster = planday.sandbox.portals["oslo"].roster
    roster.delete_shift(next(iter(roster.on(first_day(THIS), last_day(THIS))))["id"])
    planday.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    for table in (DELETED, DEPARTMENTS):
        planday.refresh(table)
    planday.publish()
    for key, content in older.items():
        planday.lake.path(key).write_bytes(content)
    note_older_files(planday.installation, NOW)


@pytest.mark.processes
@pytest.mark.parametrize("verifies", [True, False])
def test_older_feed_and_history_are_restored(whole: Installation, verifies: bool) -> None:
    history = key("hr.departments_history")
    put_back(whole, key(DELETED), history)
    found = look(whole, verifies=verifies)
    assert [one.key for one in found.older] == [key(DELETED), history]
    assert (found.slices, found.unrecoverable) == ((), ())
    assert whole.publish().problems == {}
    assert len(look(whole).older) == 2, "a publication after a run looks at neither"
    assert whole.publish(compare_all=True).problems == {}
    assert look(whole) == Missing()


def test_older_feed_that_failed_is_read_afterwards(whole: Installation) -> None:
    put_back(whole, key(DELETED))
    with pytest.raises(LostSliceError, match="planday sync oslo --missing"):
        whole.refresh(DELETED, replaces_lost=True)
    failure = Failure(portal="oslo", table=DELETED, month=None, cause="storage", error="older", run_id="", since=NOW)
    whole.state.failures.record([failure])
    found = look(whole)
    assert [one.key for one in found.older] == [key(DELETED)]
    assert reasons(found) == {key(DELETED): "failed"}
    whole.publish(compare_all=True)
    assert not look(whole).older
    whole.refresh(DELETED, replaces_lost=True)


def test_month_before_history_start_lasts(whole: Installation) -> None:
    whole.lake.path(key(SHIFTS, FIRST)).unlink()
    whole.edit_config(f"history_start: {FIRST}", f"history_start: {shifted(FIRST, 1)}")
    found = look(whole)
    assert not found.slices
    assert [(one.key, one.reason) for one in found.unrecoverable] == [(key(SHIFTS, FIRST), "lost")]


def test_table_left_out_is_not_missing(whole: Installation) -> None:
    whole.edit_config(f", {GROUPS}", "")
    assert look(whole) == Missing()
    flip(whole.lake.path(key(GROUPS)))
    found = look(whole)
    assert not found.slices
    assert [one.key for one in found.unrecoverable] == [key(GROUPS)]


def test_table_on_request_is_missing_where_it_was(make: Make) -> None:
    balances = "absence.account_balances"
    planday = make(people=(4, 4, 4), resources=f"resources: {{include: [{balances}, {DEPARTMENTS}]}}")
    planday.refresh(DEPARTMENTS)
    assert look(planday) == Missing()
    planday.refresh(balances)
    planday.state.failures.record(
        [Failure(portal="oslo", table=balances, month=None, cause="api", error="down", run_id="", since=NOW)]
    )
    assert look(planday) == Missing(), "nobody promised it"
    flip(planday.lake.path(key(balances)))
    assert reasons(look(planday)) == {key(balances): "damaged"}
    planday.edit_config("weekly: {enabled: false}", "weekly: {enabled: true}")
    planday.refresh(balances)
    assert reasons(look(planday)) == {key(balances): "failed"}, "a schedule asks for it"


def test_lake_that_is_not_mounted_is_not_missing(whole: Installation) -> None:
    """Thousands of slices would be read into an empty folder."""
    whole.config.lake.rename(whole.folder / "elsewhere")
    found = look(whole)
    assert not found.slices
    assert isinstance(found.unreadable["oslo"], LostSliceError)


def test_no_portal_costs_all_rows_of_the_state(whole: Installation) -> None:
    """Where hundreds of portals fail at once, each is asked for; a query that reads every row would take minutes then."""
    noted = [Failure(portal="oslo", table=SHIFTS, month=THIS, cause="api", error="x", run_id="r", since=NOW)]
    whole.state.failures.record(noted)
    plans: list[str] = []

    def explain(connection: Connection, cursor: Any, statement: str, values: Any, *_: object) -> None:
        if statement.startswith("SELECT") and ("indexed_slice" in statement or "FROM published" in statement):
            plan = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[union-attr]
            plans.extend(str(step[3]) for step in plan.fetchall())

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        found = missing_of(whole.installation, ["oslo"], NOW)
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
    assert [one.key for one in found.slices] == [key(SHIFTS, THIS)]
    scans = [plan for plan in plans if plan.startswith("SCAN ")]
    assert (len(plans) > 2, scans) == (True, []), plans
    assert any("SEARCH published USING INDEX" in plan for plan in plans)
    assert any("SEARCH indexed_slice USING INDEX" in plan for plan in plans)
