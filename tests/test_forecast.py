"""`planday plan` tells what then happens, within ten percent."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planday_io.months import month_of, shifted
from planday_io.reading.pages import Page
from planday_io.state import RateWindow
from planday_io.sync.forecast import forecast, pages, seconds_for
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import planday_command
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.pages import read, rows

THIS = month_of(datetime.now(UTC).date())
NIGHTLY = "portal,hr,scheduling,punchclock,absence,payroll,revenue"
WEEKLY = "pay,contract_rules,hr.employee_history,absence.account_balances"


def planned(planday: Installation, *options: str) -> tuple[int, int]:
    """Requests that the plan predicts, and those it took to tell."""
    before = sum(planday.sandbox.requests.values())
    done = planday_command(planday, "plan", "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    portals = json.loads(done.stdout)["portals"]
    asked = sum(portal["asked"] for portal in portals)
    spent = sum(planday.sandbox.requests.values()) - before
    assert asked <= spent <= asked + len(portals), "what was spent on looking is told (but for whose portal it is)"
    return sum(portal["requests"] for portal in portals), asked


def happened(planday: Installation, *options: str) -> int:
    before = sum(planday.sandbox.requests.values())
    done = planday_command(planday, "sync", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return sum(planday.sandbox.requests.values()) - before


def close(predicted: int, made: int) -> bool:
    return abs(predicted - made) <= max(2, made * 0.1)


@pytest.mark.slow
def test_nightly_and_weekly_after_a_first_sync(make: Make) -> None:
    planday = make(people=(12, 9, 8), resources=EVERYTHING)
    planday.edit_config("history_start: 2025-01", f"history_start: {shifted(THIS, -1)}")
    planday.edit_config("timezone: Europe/Copenhagen\n", "window: {past_months: 1, future_months: 1}\n")
    predicted, _ = planned(planday, "oslo")
    assert close(predicted, happened(planday, "oslo")), "the first sync"
    predicted, asked = planned(planday, "oslo", "--schedule", "nightly")
    assert asked == 0
    assert close(predicted, happened(planday, "oslo", "--resources", NIGHTLY)), "a nightly"
    predicted, _ = planned(planday, "oslo", "--schedule", "weekly")
    assert close(predicted, happened(planday, "oslo", "--resources", WEEKLY)), "the first weekly"
    predicted, asked = planned(planday, "oslo", "--schedule", "weekly")
    assert asked == 0
    assert close(predicted, happened(planday, "oslo", "--resources", WEEKLY)), "the second weekly"
    predicted, _ = planned(planday, "oslo", "--schedule", "changes")
    assert close(predicted, happened(planday, "oslo", "--resources", "scheduling.deleted_shifts")), "a changes run"


@pytest.mark.slow
def test_a_backfill_of_portals_that_were_never_read(make: Make) -> None:
    count = int(os.environ.get("PLANDAY_MONTHS", "3"))
    planday = make(people=(12, 9, 8), resources=EVERYTHING)
    first = shifted(THIS, -count)
    planday.edit_config("history_start: 2025-01", f"history_start: {first}")
    months = f"{first}..{shifted(THIS, -1)}"
    predicted, asked = planned(planday, "--months", months)
    made = happened(planday, "--months", months)
    print(f"backfill of {count} months: {predicted} requests predicted for {asked}, {made} made")
    assert close(predicted, made)


def test_parents_that_runs_share_count_once(make: Make) -> None:
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    months, tables = [shifted(THIS, -2), shifted(THIS, -1)], ["scheduling.shifts", "payroll.shifts"]
    endpoints = [planday.catalogue.endpoint_of(table) for table in tables]
    predicted = forecast(planday.session(), [(month, endpoints) for month in months]).requests
    made = 0
    for month in months:
        session = PortalSession(planday.installation, "oslo", run_id=month, batch="backfill")
        made += sum(refresh(session, table, month=month)[0].counters.requests for table in tables)
    assert predicted == made


@pytest.mark.processes
def test_a_plan_says_what_it_cannot_tell(make: Make) -> None:
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    for app in planday.sandbox.apps.values():
        app.scopes -= {"punchclockshift:read"}
    done = planday_command(planday, "plan", "oslo", "--months", shifted(THIS, -1))
    assert done.returncode == 1
    assert "lacks scope punchclockshift:read" in " ".join(done.stdout.split())


@pytest.mark.processes
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--schedule", "nigthly"), "did you mean 'nightly'?"),
        (("--schedule", "nightly", "--months", THIS), "leave out --resources and --months"),
    ],
)
def test_plans_of_what_is_not_there(planday: Installation, options: tuple[str, ...], says: str) -> None:
    done = planday_command(planday, "plan", "oslo", *options)
    assert done.returncode == 2
    assert says in done.stderr


@given(st.integers(0, 400), st.integers(2, 60), st.booleans())
def test_pages_are_counted_as_they_are_read(length: int, limit: int, has_total: bool) -> None:
    source = list(range(length))
    asked = []

    def fetch(offset: int) -> Page:
        asked.append(offset)
        return Page(source[offset : offset + limit], length if has_total else None)

    assert rows(read(fetch)) == source
    assert len(asked) == pages(length, limit, has_total=has_total)


@given(st.integers(1, 5000))
def test_the_budget_decides_the_time(requests: int) -> None:
    windows = [RateWindow(20, 1.0), RateWindow(750, 60.0)]
    seconds = seconds_for(requests, windows)
    assert seconds >= (requests - 1) // 750 * 60
    assert seconds <= requests * 61 / 750 + 61
