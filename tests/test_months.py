"""Months: slices that add up, one row per key, backfills that change nothing, and what people edit afterwards."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE
from planday_io.config.grid import grid_months, window_months
from planday_io.months import first_day, last_day, month_of, shifted
from tests.support.commands import planday_command
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.months import FACTS, THIS, a_shift


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(5, 5, 5), resources=EVERYTHING)


def ids(planday: Installation, month: str) -> set[int]:
    return {row["id"] for row in planday.rows("scheduling.shifts", month=month)}


@pytest.mark.processes
def test_each_shift_is_in_exactly_one_month(planday: Installation) -> None:
    months = [shifted(THIS, by) for by in (-2, -1, 0, 1)]
    planday.read_months(months)
    found = Counter(number for month in months for number in ids(planday, month))
    roster = planday.sandbox.portals["oslo"].roster
    assert set(found.values()) == {1}
    assert found.keys() == {shift["id"] for shift in roster.on(first_day(months[0]), last_day(months[-1]))}
    punched = {row["id"] for month in months for row in planday.rows("punchclock.punch_clock_shifts", month=month)}
    begin = first_day(months[0]).isoformat()
    assert punched == {number for number, row in roster.punches.items() if row["startDateTime"] >= begin}


def test_the_same_shift_tells_the_same_everywhere(planday: Installation) -> None:
    planday.read_months([shifted(THIS, -1)])
    (strays,) = planday.query(
        "SELECT count(*) FROM payroll.shifts AS p LEFT JOIN scheduling.shifts AS s USING (portal, id) "
        "WHERE s.id IS NULL OR s.start_date_time <> p.start OR s.employee_id <> p.employee_id"
    )[0]
    assert strays == 0
    differing = planday.query(
        "SELECT p.id FROM payroll.shifts AS p JOIN scheduling.time_and_costs AS c ON c.shift_id = p.id "
        "WHERE c.cost <> p.salary"
    )
    assert not differing
    (lost,) = planday.query(
        "SELECT count(*) FROM punchclock.punch_clock_breaks AS b LEFT JOIN punchclock.punch_clock_shifts AS p "
        "ON p.portal = b.portal AND p.id = b.punch_clock_shift_id WHERE p.id IS NULL"
    )[0]
    assert lost == 0


@pytest.mark.processes
def test_reading_twice_changes_nothing(planday: Installation) -> None:
    months = [shifted(THIS, by) for by in (-1, 0)]
    planday.read_months(months)
    before = planday.content()
    assert all(before[name] for name in FACTS)
    planday.read_months(months)
    assert planday.content() == before
    fresh = planday.fresh()
    fresh.read_months(months)
    assert fresh.content() == before
    planday.publish(rebuild=True)
    assert planday.content() == before


@pytest.mark.processes
def test_month_read_again_after_edits_equals_fresh_load(planday: Installation) -> None:
    month = shifted(THIS, -1)
    planday.read_months([month])
    roster, punches = planday.sandbox.portals["oslo"].roster, planday.sandbox.portals["oslo"].roster.punches
    roster.edit_shift(a_shift(roster, month), comment="later", employeeId=1001)
    roster.delete_shift(a_shift(roster, month))
    roster.add_shift(a_shift(roster, month), first_day(month))
    # A punch that was corrected, and one of its breaks that is gone.
    number = next(
        iter(number for number, row in punches.items() if row["startDateTime"][:7] == month and number in roster.breaks)
    )
    punches[number]["isApproved"] = not punches[number]["isApproved"]
    roster.breaks[number] = roster.breaks[number][:1]
    roster.turnover[roster.revenue_units[0]["id"], first_day(month).isoformat()] = 1.5
    planday.read_months([month])
    fresh = planday.fresh()
    fresh.read_months([month])
    assert planday.content() == fresh.content()


def test_breaks_are_requested_for_changed_punches_only(planday: Installation) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    month = month_of(yesterday)
    planday.refresh("punchclock.punch_clock_breaks", month=month)
    roster = planday.sandbox.portals["oslo"].roster
    punches = {n: row for n, row in roster.punches.items() if row["startDateTime"][:7] == month}
    is_open = [number for number, row in punches.items() if row.get("endDateTime") is None]
    planday.sandbox.requests.clear()
    planday.refresh("punchclock.punch_clock_breaks", month=month)
    asked = [key for key in planday.sandbox.requests if key.endswith("/breaks")]
    assert [key for key in asked if not any(f"/{number}/" in key for number in is_open)] == []
    assert len(asked) == len(is_open) >= 1
    changed = next(number for number in punches if number in roster.breaks and number not in is_open)
    roster.punches[changed]["description"] = "forgot"
    roster.punches[changed]["shiftEndDateTime"] = f"{month}-02T12:00"
    planday.sandbox.requests.clear()
    planday.refresh("punchclock.punch_clock_breaks", month=month)
    asked = [key for key in planday.sandbox.requests if key.endswith("/breaks")]
    assert len(asked) == len(is_open) + 1
    assert {row["punch_clock_shift_id"] for row in planday.rows("punchclock.punch_clock_breaks", month=month)} == {
        number for number in punches if number in roster.breaks
    }


def test_shift_history_grows_with_changed_shifts(planday: Installation) -> None:
    month = shifted(THIS, -1)
    planday.refresh("scheduling.shift_history", month=month)
    roster = planday.sandbox.portals["oslo"].roster
    before = planday.rows("scheduling.shift_history", month=month)
    edited, deleted = a_shift(roster, month), a_shift(roster, month, status="PunchclockApproved")
    roster.edit_shift(edited, comment="swapped")
    roster.delete_shift(deleted)
    planday.sandbox.requests.clear()
    planday.refresh("scheduling.shift_history", month=month)
    assert [key for key in planday.sandbox.requests if "/history" in key] == [
        f"oslo /scheduling/v1.0/shifts/{edited}/history"
    ]
    after = planday.rows("scheduling.shift_history", month=month)
    assert len(after) == len(before) + 1
    assert deleted in {row["shift_id"] for row in after}


@pytest.mark.processes
def test_a_moved_shift_is_never_there_twice(planday: Installation) -> None:
    """Its old month still has it when the new one is read; the later read is published, the other is counted."""
    old, new = shifted(THIS, -3), shifted(THIS, -2)
    planday.read_months([old, new])
    roster = planday.sandbox.portals["oslo"].roster
    shift = a_shift(roster, old)
    roster.edit_shift(shift, date=first_day(new).isoformat())
    planday.read_months([new])
    where = f"SELECT month FROM {{}} WHERE {{}} = {shift}"
    assert planday.query(where.format("scheduling.shifts", "id")) == [(new,)]
    assert planday.query(where.format("payroll.shifts", "id")) == [(new,)]
    for child in ("payroll.shift_supplements", "payroll.shift_breaks"):
        assert {month for (month,) in planday.query(where.format(child, "shift_id"))} <= {new}
    ledger = f"SELECT kept, elsewhere FROM sync.slices WHERE table_name = 'scheduling.shifts' AND month = '{old}'"
    ((kept, elsewhere),) = planday.query(ledger)
    assert (kept, elsewhere) == (len(ids(planday, old)), 1)
    # Back again, while the new month is not read: the later read of the old month decides.
    roster.edit_shift(shift, date=first_day(old).isoformat())
    planday.read_months([old])
    assert planday.query(where.format("scheduling.shifts", "id")) == [(old,)]
    # The new month without it: what was left out for its sake is whole again.
    planday.read_months([new])
    assert planday.query(where.format("scheduling.shifts", "id")) == [(old,)]
    assert planday.query("SELECT sum(elsewhere) FROM sync.slices") == [(0,)]
    planday.publish(rebuild=True)
    assert planday.query(where.format("scheduling.shifts", "id")) == [(old,)]


@pytest.mark.processes
def test_a_department_that_was_closed_keeps_its_history(planday: Installation) -> None:
    # Its revenue goes with it; how much that is depends on the day of the month.
    planday.edit_config("retries: {step", "guards: {max_lost_rows: 1000}\n  retries: {step")
    month = shifted(THIS, -1)
    planday.read_months([month])
    before = planday.content()
    portal = planday.sandbox.portals["oslo"]
    closed = portal.departments.pop()["id"]
    assert any(shift["departmentId"] == closed for shift in portal.roster.on(first_day(month), last_day(month)))
    planday.read_months([month])
    after = planday.content()
    # Payroll still answers for its id; cost and schedule days do not, so what was read before stays.
    for table in FACTS:
        if table != "revenue.revenue":
            assert after[table] == before[table], table

    async def strict(request: Request) -> Response:
        if str(closed) in request.query_params["departmentIds"].split(","):
            return JSONResponse({"title": "unknown department"}, 400)
        return JSONResponse({"shiftsPayroll": [], "supplementsPayroll": [], "salariedPayroll": []})

    planday.serve(Route("/payroll/v1.0/payroll", strict))
    assert planday.refresh("payroll.shifts", month=month, accept_shrink=True)[0].rows == 0


def test_rows_without_a_whole_key_are_nobodys_double(planday: Installation) -> None:
    """Revenue's members are inferred: where they are called otherwise, all rows land in _extra and all are published."""
    months = [shifted(THIS, -2), shifted(THIS, -1)]

    async def renamed(_: Request) -> Response:
        return JSONResponse({"paging": {"total": 2}, "data": [{"unit": 1, "sum": 5}, {"unit": 2, "sum": 6}]})

    planday.serve(Route("/revenue/v1.0/revenue", renamed))
    for month in months:
        planday.refresh("revenue.revenue", month=month)
    planday.publish()
    kept = sum(len(planday.rows("revenue.revenue", month=month)) for month in months)
    assert planday.query("SELECT count(*), count(_extra) FROM revenue.revenue") == [(kept, kept)]
    assert planday.query("SELECT sum(elsewhere) FROM sync.slices") == [(0,)]


@pytest.mark.processes
def test_changed_type_does_not_bring_moved_shift_back(planday: Installation) -> None:
    old, new = shifted(THIS, -3), shifted(THIS, -2)
    planday.read_months([old, new])
    roster = planday.sandbox.portals["oslo"].roster
    shift = a_shift(roster, old)
    roster.edit_shift(shift, date=first_day(new).isoformat())
    planday.read_months([new])
    planday.edit_config("defaults:", "privacy: {pay: hash, hash_key: {file: key.txt}}\ndefaults:")
    (planday.folder / "key.txt").write_text("a key for hashes")
    planday.refresh("revenue.revenue", month=new)
    planday.publish()
    assert planday.query(f"SELECT month FROM payroll.shifts WHERE id = {shift}") == [(new,)]
    plain = planday.query("SELECT count(salary), count(wage_rate) FROM payroll.shifts")
    assert plain == [(0, 0)], "amounts that were read before are not shown where hashes are wanted"
    planday.refresh("payroll.shifts", month=new)
    planday.publish()
    hashes = planday.query(f"SELECT DISTINCT length(salary) FROM payroll.shifts WHERE month = '{new}'")
    assert hashes == [(64,)]


def test_the_window_is_inside_the_grid(planday: Installation) -> None:
    now = datetime.fromisoformat(f"{THIS}-15T12:00:00Z")
    planday.edit_config("history_start: 2025-01", f"history_start: {THIS}")
    assert window_months(planday.config, "oslo", now)[0] == THIS == grid_months(planday.config, "oslo", now)[0]
    assert window_months(planday.config, "oslo", now)[-1] == shifted(THIS, 2)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("months", "says"),
    [
        ("2026", "is not a month: write 2026-09"),
        ("2026-13", "is not a month"),
        ("2026-10..2026-08", "ends before it starts"),
        ("2019-01..2026-08", "reaches beyond 2025-01.."),
        ("2026-08..2099-01", "reaches beyond 2025-01.."),
    ],
)
def test_months_that_cannot_be_read(planday: Installation, months: str, says: str) -> None:
    done = planday_command(planday, "sync", "oslo", "--months", months)
    assert done.returncode == 2
    assert says in done.stderr
    assert not planday.sandbox.requests


@pytest.mark.slow
def test_backfill_requests_nothing_twice(make: Make) -> None:
    """Some months of three portals by `planday sync --months`; two years by `make backfill`."""
    count = int(os.environ.get("PLANDAY_MONTHS", "4"))
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    first, last = shifted(THIS, 2 - count), shifted(THIS, 1)
    planday.edit_config("history_start: 2025-01", f"history_start: {first}")
    done = planday_command(planday, "sync", "--months", f"{first}..{last}")
    assert done.returncode == 0, done.stdout + done.stderr
    slices = planday.query(
        "SELECT portal, table_name, count(DISTINCT month), "
        "bool_and(distinct_keys = received AND coalesce(expected_total = received, true)) FROM sync.slices GROUP BY ALL"
    )
    assert {(portal, table) for portal, table, _, _ in slices} == {
        (portal, table) for portal in planday.config.portals for table in FACTS
    }
    assert {(count, whole) for _, _, count, whole in slices} == {(count, True)}
    twice = {key: n for key, n in planday.sandbox.queries.items() if n > 1 and "/portal/v1.0/info" not in key}
    assert not twice
    assert planday.sandbox.limits.refused == 0
    for key, portal in planday.sandbox.portals.items():
        shifts = {row[0] for row in planday.query(f"SELECT id FROM scheduling.shifts WHERE portal = '{key}'")}
        assert shifts == {shift["id"] for shift in portal.roster.on(first_day(first), last_day(last))}


@pytest.mark.processes
def test_a_portal_without_the_payroll_scope(make: Make) -> None:
    planday = make(
        people=(4, 4, 4),
        resources="resources: {include: [hr.employees, scheduling.shifts, scheduling.time_and_costs, payroll]}",
    )
    for app in planday.sandbox.apps.values():
        app.scopes -= {"payroll:read"}
    month = shifted(THIS, -1)
    done = planday_command(planday, "sync", "oslo", "--months", month, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    ((portal, table, failed, error),) = [tuple(failure.values()) for failure in told["failures"]]
    assert (portal, table, failed) == ("oslo", "payroll.shifts", month)
    assert "lacks scope payroll:read" in error
    assert "exclude the tables it fills from the resources of portal 'oslo'" in error
    assert planday.query("SELECT count(*) > 0 FROM scheduling.time_and_costs") == [(True,)]
    assert planday.query("SELECT count(*) FROM sync.slices WHERE table_name LIKE 'payroll%'") == [(0,)]
    planday.edit_config("  oslo:\n", "  oslo:\n    resources: {include: [scheduling.shifts], exclude: [payroll]}\n")
    done = planday_command(planday, "sync", "oslo", "--months", month)
    assert done.returncode == 0, done.stdout + done.stderr


def test_people_who_left_worked_before(planday: Installation) -> None:
    """The sandbox has people who left, and shifts they worked before."""
    portal = planday.sandbox.portals["oslo"]
    left = {row["id"]: date.fromisoformat(row["deactivationDate"]) for row in portal.deactivated}
    worked = [shift for shift in portal.roster.shifts.values() if shift["employeeId"] in left]
    assert worked
    assert all(date.fromisoformat(shift["date"]) < left[shift["employeeId"]] for shift in worked)


@pytest.mark.processes
def test_a_portal_with_nothing_in_it(planday: Installation) -> None:
    """Every table is there with no rows: read, and found empty."""
    portal = planday.sandbox.portals["oslo"]
    roster, pay, leave = portal.roster, portal.pay, portal.leave
    for rows in (portal.departments, portal.employees, portal.deactivated, portal.employee_groups, portal.supervisors):
        rows.clear()
    for facts in (roster.shifts, roster.punches, roster.breaks, roster.deleted, pay.rates, pay.salaries):
        facts.clear()
    for rows in (
        roster.revenue_units,
        roster.positions,
        roster.sections,
        leave.accounts,
        leave.records,
        leave.requests,
    ):
        rows.clear()
    for endpoint in CATALOGUE.endpoints:
        planday.refresh(endpoint.name, month=THIS if endpoint.grid == "month" else None)
    planday.publish()
    published = dict(planday.query("SELECT table_name, kept FROM sync.slices"))
    assert published.keys() == {table.full_name for table in CATALOGUE.tables()}
    assert not any(published[name] for name in FACTS)
    assert planday.query("SELECT count(*) FROM payroll.salaried") == [(0,)]
