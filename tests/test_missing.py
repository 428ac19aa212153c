"""What is missing, and why: found without asking Planday, by a quick look and by one at every byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from planday_io.errors import LostSliceError
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.missing import Missing, missing_of
from planday_io.months import month_of, months_between, shifted
from planday_io.state import Failure
from tests.support.holes import cut, flip
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


@pytest.mark.parametrize("damage", [flip, cut])
def test_old_months_are_verified_byte_by_byte(whole: Installation, damage: Callable[[Path], None]) -> None:
    damage(whole.lake.path(key(SHIFTS, FIRST)))
    assert reasons(look(whole)) == {key(SHIFTS, FIRST): "damaged"}


@pytest.mark.parametrize("verifies", [True, False])
def test_lost_slices_are_missing(whole: Installation, verifies: bool) -> None:
    shutil.rmtree(whole.lake.path(key(SHIFTS, THIS)).parent)
    whole.lake.path(key(DEPARTMENTS)).unlink()
    assert reasons(look(whole, verifies=verifies)) == {key(DEPARTMENTS): "lost", key(SHIFTS, THIS): "lost"}


def test_older_file_is_missing(whole: Installation) -> None:
    file = whole.lake.path(key(DEPARTMENTS))
    backup = file.read_bytes()
    whole.refresh(DEPARTMENTS)
    whole.publish()
    file.write_bytes(backup)
    assert reasons(look(whole)) == {key(DEPARTMENTS): "older"}


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
    assert "new or modified" in planday.refresh(table)[0].window
    stored = planday.provenance(table)
    assert stored is not None
    planday.lake.replace(key(table), planday.lake.read(key(table)), replace(stored, absent=["phone"]).encoded())
    assert "new or modified" not in planday.refresh(table)[0].window
    again = planday.provenance(table)
    assert again is not None
    assert again.absent == []


@pytest.mark.parametrize("verifies", [True, False])
def test_what_schedules_should_have_read_is_missing(whole: Installation, verifies: bool) -> None:
    """Only months that were in the window when the schedule was due, and months that came into it."""
    whole.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    observe(whole.installation, NOW - timedelta(days=30))
    later = NOW + timedelta(days=3)
    month = month_of(later.astimezone(ZoneInfo("Europe/Oslo")).date())
    due = {one for one in months_between(shifted(month, -1), shifted(month, 1)) if one in MONTHS}
    stale = {key(DEPARTMENTS), key(GROUPS), key(DELETED), *(key(SHIFTS, one) for one in due)}
    absent = {key(SHIFTS, one) for one in months_between(THIS, shifted(month, 1)) if one not in MONTHS}
    wanted = dict.fromkeys(absent, "absent") | dict.fromkeys(stale, "stale")
    assert reasons(look(whole, verifies=verifies, now=later)) == wanted


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
    assert {one.key: one.reason for one in found.lasting} == {
        key(DELETED): "damaged",
        key("hr.departments_history"): "lost",
    }


def test_month_before_history_start_lasts(whole: Installation) -> None:
    whole.lake.path(key(SHIFTS, FIRST)).unlink()
    whole.edit_config(f"history_start: {FIRST}", f"history_start: {shifted(FIRST, 1)}")
    found = look(whole)
    assert not found.slices
    assert [(one.key, one.reason) for one in found.lasting] == [(key(SHIFTS, FIRST), "lost")]


def test_table_left_out_is_not_missing(whole: Installation) -> None:
    whole.edit_config(f", {GROUPS}", "")
    assert look(whole) == Missing()
    flip(whole.lake.path(key(GROUPS)))
    found = look(whole)
    assert not found.slices
    assert [one.key for one in found.lasting] == [key(GROUPS)]


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
