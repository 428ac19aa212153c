"""Months whose refresh is requested because somebody edited, moved or deleted something in them, and what explains a loss."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE
from planday_io.config.grid import grid_months
from planday_io.errors import ShrunkSnapshotError
from planday_io.lake.slices import SliceKey
from planday_io.months import first_day, last_day, shifted
from planday_io.state.state_database import database_file
from planday_io.sync.changes import settle, touched_months
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import planday_command
from tests.support.damage import DAMAGE
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.months import FACTS, THIS, a_shift


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(5, 5, 5), resources=EVERYTHING)


def test_emptied_month_needs_deletions_to_explain_it(planday: Installation) -> None:
    month = shifted(THIS, -1)
    planday.read_months([month])
    roster = planday.sandbox.portals["oslo"].roster
    for shift in list(roster.on(first_day(month), last_day(month))):
        roster.delete_shift(shift["id"])
    with pytest.raises(ShrunkSnapshotError, match=f"scheduling.shifts of portal 'oslo' in {month} shrank"):
        planday.refresh("scheduling.shifts", month=month)
    planday.refresh("scheduling.deleted_shifts")
    (report,) = planday.refresh("scheduling.shifts", month=month)
    assert report.rows == 0


@pytest.mark.slow
def test_changes_outside_window_arrive_with_changes_run(make: Make) -> None:
    """Edits, deletions, moves across months, eight months back: `planday sync` of the feed reads what was touched only."""
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    start = shifted(THIS, -9)
    planday.edit_config("history_start: 2025-01", f"history_start: {start}")
    planday.edit_config("  oslo:\n", "  oslo:\n    window: {past_months: 1, future_months: 1}\n")
    months = grid_months(planday.config, "oslo", datetime.now(UTC))
    # All but the oldest two, which were never read: a plain sync finds that out by itself.
    planday.read_months(months[2:])
    first = planday_command(planday, "sync", "oslo", "--resources", "scheduling.deleted_shifts")
    assert first.returncode == 0, first.stdout + first.stderr
    assert {key.month for key in planday.lake.slices("scheduling.shifts")} == set(months)
    assert not planday.state.refresh_requests.all()

    roster = planday.sandbox.portals["oslo"].roster
    long_ago, later, other = shifted(THIS, -8), shifted(THIS, -6), shifted(THIS, -4)
    edited = a_shift(roster, long_ago)
    roster.edit_shift(edited, endDateTime=f"{roster.shifts[edited]['date']}T23:45")
    moved = a_shift(roster, later)
    roster.edit_shift(moved, date=first_day(other).isoformat())
    deleted = a_shift(roster, shifted(THIS, -3))
    roster.delete_shift(deleted)
    added = roster.add_shift(edited, first_day(shifted(THIS, -7)))
    touched = {long_ago, later, other, shifted(THIS, -3), shifted(THIS, -7)}

    planday.sandbox.queries.clear()
    done = planday_command(planday, "sync", "oslo", "--resources", "scheduling.deleted_shifts", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)["tables"]
    assert {report["month"] for report in reports} == {None, *touched}
    looked = [key for key in planday.sandbox.queries if "modifiedFrom" in key or "deletedFrom" in key]
    assert len(looked) == 3, "a handful of requests: modified, modified drafts, deleted"
    fresh = planday.fresh()
    fresh.read_months(months)
    assert planday.content() == fresh.content()
    shifts = dict(planday.query("SELECT id, month FROM scheduling.shifts"))
    assert (shifts[edited], shifts[moved], shifts[added], deleted in shifts) == (
        long_ago, other, shifted(THIS, -7), False,
    )  # fmt: skip
    # Nothing is left to do.
    planday.sandbox.requests.clear()
    again = planday_command(planday, "sync", "oslo", "--resources", "scheduling.deleted_shifts", "--json")
    assert {report["month"] for report in json.loads(again.stdout)["tables"]} == {None}
    assert sum(planday.sandbox.requests.values()) == 4


@pytest.mark.processes
def test_refresh_request_lasts_until_month_is_read(planday: Installation) -> None:
    old = shifted(THIS, -1)
    planday.edit_config("history_start: 2025-01", f"history_start: {old}")
    planday.edit_config("  oslo:\n", "  oslo:\n    window: {past_months: 0, future_months: 0}\n")
    planday.read_months(grid_months(planday.config, "oslo", datetime.now(UTC)))
    planday.refresh("scheduling.deleted_shifts")
    assert not settle(planday.installation)
    roster = planday.sandbox.portals["oslo"].roster
    roster.edit_shift(a_shift(roster, old), comment="x", status="Assigned")
    (report,) = planday.refresh("scheduling.deleted_shifts")
    assert report.requested_months == (old,)
    (mark,) = settle(planday.installation)
    assert (mark.portal, mark.month, "scheduling.shifts" in mark.endpoints) == ("oslo", old, True)
    planday.refresh("scheduling.shifts", month=old)
    (mark,) = settle(planday.installation)
    assert "scheduling.shifts" not in mark.endpoints
    planday.read_months([old])
    assert not settle(planday.installation)


def test_unread_months_are_marked_once_without_refused_tables(planday: Installation) -> None:
    start = shifted(THIS, -2)
    planday.edit_config("history_start: 2025-01", f"history_start: {start}")
    months = grid_months(planday.config, "oslo", datetime.now(UTC))
    (report,) = planday.refresh("scheduling.deleted_shifts")
    assert report.requested_months == tuple(months)
    (report,) = planday.refresh("scheduling.deleted_shifts")
    assert report.requested_months == ()
    for app in planday.sandbox.apps.values():
        app.scopes -= {"payroll:read"}
    for name in ("scheduling.shifts", "revenue.revenue"):
        for month in months:
            planday.refresh(name, month=month)
    requests = planday.state.refresh_requests
    requests.settle((one, ()) for one in requests.all())
    planday.lake.path(SliceKey.of("revenue.revenue", "oslo", months[0])).unlink()
    (report,) = planday.refresh("scheduling.deleted_shifts")
    assert report.requested_months == (months[0],)
    (mark,) = planday.state.refresh_requests.all()
    assert mark.endpoints == ("revenue.revenue",)


@pytest.mark.processes
def test_failed_month_is_requested_again(planday: Installation) -> None:
    """Shifts were read, payroll was not: later changes runs find no difference, and still the month has to come."""
    old = shifted(THIS, -1)
    planday.edit_config("history_start: 2025-01", f"history_start: {old}")
    planday.edit_config("  oslo:\n", "  oslo:\n    window: {past_months: 0, future_months: 0}\n")
    planday.read_months(grid_months(planday.config, "oslo", datetime.now(UTC)))
    planday.refresh("scheduling.deleted_shifts")
    roster = planday.sandbox.portals["oslo"].roster
    roster.edit_shift(a_shift(roster, old), comment="x", status="Assigned")
    planday.refresh("scheduling.deleted_shifts")
    for endpoint in CATALOGUE.endpoints:
        if endpoint.name in FACTS and endpoint.name != "payroll.shifts":
            planday.refresh(endpoint.name, month=old)
    changed = planday.state.refresh_requests
    (first,) = settle(planday.installation)
    assert first.endpoints == ("payroll.shifts",)
    planday.refresh("scheduling.deleted_shifts")
    assert changed.all() == [first], "not while its run may still be under way"
    later = PortalSession(
        planday.installation, "oslo", run_id="later", clock=lambda: datetime.now(UTC) + timedelta(hours=7)
    )
    refresh(later, "scheduling.deleted_shifts")
    (again,) = changed.all()
    assert again.requested_at > first.requested_at
    assert again.endpoints == ("payroll.shifts",)


@pytest.mark.processes
def test_requests_that_were_lost_are_made_again(planday: Installation) -> None:
    """The changes run that found them would not find them twice: the next one asks for everything."""
    old = shifted(THIS, -2)
    planday.edit_config("history_start: 2025-01", f"history_start: {old}")
    planday.edit_config("  oslo:\n", "  oslo:\n    window: {past_months: 0, future_months: 0}\n")
    planday.read_months(grid_months(planday.config, "oslo", datetime.now(UTC)))
    planday.refresh("scheduling.deleted_shifts")
    roster = planday.sandbox.portals["oslo"].roster
    roster.edit_shift(a_shift(roster, old), comment="x", status="Assigned")
    roster.delete_shift(a_shift(roster, shifted(THIS, -1)))
    planday.refresh("scheduling.deleted_shifts")
    requests = planday.state.refresh_requests
    before = [(one.month, one.endpoints) for one in requests.all()]
    assert [month for month, _ in before] == [old, shifted(THIS, -1)]
    DAMAGE["binary"](database_file(planday.config.state))
    assert requests.all() == []
    planday.refresh("scheduling.deleted_shifts")
    assert [(one.month, one.endpoints) for one in requests.all()] == before
    planday.sandbox.queries.clear()
    planday.refresh("scheduling.deleted_shifts")
    assert [key for key in planday.sandbox.queries if "deletedFrom" in key], "once"


def test_first_changes_run_asks_since_oldest_read(planday: Installation) -> None:
    """And a day longer: nobody knows the zone of stamps."""
    old, at = shifted(THIS, -2), datetime.now(UTC) - timedelta(days=10)
    first = PortalSession(planday.installation, "oslo", run_id="first", clock=lambda: at)
    refresh(first, "scheduling.shifts", month=old)
    planday.refresh("scheduling.shifts", month=shifted(THIS, -1))
    roster = planday.sandbox.portals["oslo"].roster
    roster.edit_shift(a_shift(roster, old), now=at - timedelta(hours=23), status="Edited")
    (report,) = planday.refresh("scheduling.deleted_shifts")
    assert old in report.requested_months
    assert shifted(THIS, -1) not in report.requested_months


def test_an_edit_does_not_explain_an_empty_answer(planday: Installation) -> None:
    """One shift of the month was edited; then payroll answers with nothing, and with rows of its own in one array."""
    month = shifted(THIS, -1)
    planday.read_months([month])
    planday.refresh("scheduling.deleted_shifts")
    roster = planday.sandbox.portals["oslo"].roster
    roster.edit_shift(a_shift(roster, month), comment="x")
    planday.refresh("scheduling.deleted_shifts")
    assert planday.provenance("payroll.shifts", month=month).kept >= 5  # type: ignore[union-attr]
    before = {table: planday.bytes_of(table, month=month) for table in FACTS if table.startswith("payroll")}
    meal = {"employeeId": 1, "date": f"{month}-01", "name": "Meal", "salary": -25}

    async def empty(_: Request) -> Response:
        return JSONResponse({"shiftsPayroll": [], "supplementsPayroll": [meal] * 9, "salariedPayroll": []})

    planday.serve(Route("/payroll/v1.0/payroll", empty))
    with pytest.raises(ShrunkSnapshotError):
        planday.refresh("payroll.shifts", month=month)
    assert {table: planday.bytes_of(table, month=month) for table in before} == before, "all of its tables, or none"


def test_moved_and_deleted_rows_leave_their_month(planday: Installation) -> None:
    """Edited rows stay, and what was never there is gone from nowhere."""
    month, next_month = shifted(THIS, -1), shifted(THIS, 1)
    planday.refresh("scheduling.shifts", month=month)
    rows = planday.frame("scheduling.shifts", month=month)
    count = rows.num_rows
    assert count > 5
    ids = rows.column("id").to_pylist()

    def touched(changed: pa.Table, *deleted: int) -> dict[str, float]:
        return touched_months(planday.lake, "oslo", CATALOGUE.table("scheduling.shifts"), changed, deleted)

    def on(day: date, those: pa.Table) -> pa.Table:
        days = pa.array([day] * those.num_rows, pa.date32())
        return those.set_column(those.schema.get_field_index("date"), "date", days)

    assert touched(rows.slice(0, 0)) == {}
    assert touched(rows.slice(0, 4)) == {}, "as they were read"
    edited = rows.slice(3, 1).set_column(rows.schema.get_field_index("status"), "status", pa.array(["Edited"]))
    assert touched(edited) == {month: 0.0}
    moved = on(first_day(next_month), rows.slice(0, 2))
    assert touched(moved) == {month: 2 / count}, "the month they moved to was never read"
    assert touched(moved, ids[4]) == {month: 3 / count}
    assert touched(edited, ids[4], 999_999_999) == {month: 1 / count}
    assert touched(rows.slice(0, 0), *ids) == {month: 1.0}
    planday.refresh("scheduling.shifts", month=next_month)
    assert touched(moved, ids[4]) == {month: 3 / count, next_month: 0.0}


def test_a_month_that_emptied_by_moves_is_accepted(planday: Installation) -> None:
    month = shifted(THIS, -1)
    planday.refresh("scheduling.shifts", month=month)
    planday.refresh("scheduling.deleted_shifts")
    roster = planday.sandbox.portals["oslo"].roster
    for shift in list(roster.on(first_day(month), last_day(month))):
        roster.edit_shift(shift["id"], date=first_day(THIS).isoformat())
    with pytest.raises(ShrunkSnapshotError):
        planday.refresh("scheduling.shifts", month=month)
    planday.refresh("scheduling.deleted_shifts")
    (report,) = planday.refresh("scheduling.shifts", month=month)
    assert report.rows == 0
