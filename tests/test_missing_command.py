"""`planday sync --missing`, and the job of the same: exactly what is missing is read, and the warehouse is as if nothing
had been.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest
from starlette.requests import Request
from starlette.responses import Response

from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import month_of, months_between, shifted
from planday_io.sandbox.state import Fault
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import killed, planday_command, started, summary
from tests.support.holes import cut, flip
from tests.support.installation import Installation, Make

pytestmark = pytest.mark.processes

THIS = month_of(datetime.now(UTC).date())
FIRST = shifted(THIS, -2)
PORTALS = ["oslo", "london", "copenhagen"]
TABLES = ["hr.departments", "hr.employee_groups", "scheduling.shifts"]
SHIFTS = "/scheduling/v1.0/shifts"

_LONG_SECONDS = 1200

Written = set[tuple[str, str, str | None]]
"""Portal, table, month."""


def made_whole(planday: Installation, first: str) -> None:
    """Read everything of all portals, as commands do, and publish it."""
    planday.edit_config("history_start: 2025-01", f"history_start: {first}")
    planday.edit_config("defaults:", "defaults:\n  window: {past_months: 0, future_months: 0}")
    for portal in planday.config.portals:
        for month in (None, *months_between(first, THIS)):
            session = PortalSession(planday.installation, portal, run_id=f"{portal} {month}", batch="first")
            for endpoint in planday.installation.endpoints_of(portal, planday.catalogue.domains()):
                if (endpoint.grid == "month") == (month is not None):
                    refresh(session, endpoint.name, month=month)
    planday.publish()


@pytest.fixture
def whole(make: Make) -> Installation:
    planday = make(people=(4, 4, 4), resources=f"resources: {{include: [{', '.join(TABLES)}]}}")
    made_whole(planday, FIRST)
    return planday


def written(done: Any) -> Written:
    return {(one["portal"], one["table"], one["month"]) for one in summary(done)["tables"]}


def runs_of(planday: Installation) -> list[dg.DagsterRun]:
    """Runs that read slices."""
    with dg.DagsterInstance.from_config(str(planday.folder)) as instance:
        return [run for run in instance.get_runs() if run.tags.get("dagster/partition")]


def named(*keys: SliceKey) -> Written:
    return {(key.portal, key.full_name, key.month) for key in keys}


def key(portal: str, table: str, month: str | None = None) -> SliceKey:
    return SliceKey.of(table, portal, month)


def shown(planday: Installation) -> dict[str, Any]:
    """All that readers see of the tables and histories, but for the times of reads."""
    names = [
        f"{schema}.{table}"
        for schema, table in planday.query(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'warehouse' "
            "AND schema_name NOT IN ('sync', 'main') ORDER BY ALL"
        )
    ]
    return planday.queries({name: f"SELECT * EXCLUDE (_fetched_at) FROM {name} ORDER BY ALL" for name in names})


HOLES: dict[str, Callable[[Lake, SliceKey], object]] = {
    "lost": lambda lake, one: shutil.rmtree(lake.path(one).parent),
    "unlinked": lambda lake, one: lake.path(one).unlink(),
    "never read": lambda lake, one: lake.remove(one),
    "cut": lambda lake, one: cut(lake.path(one)),
    "bit flipped": lambda lake, one: flip(lake.path(one)),
    "overwritten": lambda lake, one: lake.path(one).write_bytes(b"hello"),
}


def put_holes(planday: Installation, count: int, seed: int) -> Written:
    """Holes and damages in so many slices of different endpoints. Returns what has to be read."""
    chance = random.Random(seed)
    endpoints = [one for one in planday.catalogue.endpoints if not one.feed]
    slices = [
        (endpoint, portal, month)
        for portal in planday.config.portals
        for endpoint in endpoints
        if endpoint in planday.installation.endpoints_of(portal)
        for month in (months_between(planday.config.history_start, THIS) if endpoint.grid == "month" else [None])
        if planday.lake.path(key(portal, endpoint.name, month)).exists()
    ]
    wanted: Written = set()
    for number, (endpoint, portal, month) in enumerate(chance.sample(slices, count)):
        table = chance.choice(endpoint.tables)
        hole = [*HOLES.values()][number % len(HOLES)]
        hole(planday.lake, key(portal, table.full_name, month))
        wanted |= {(portal, one.full_name, month) for one in endpoint.tables}
    return wanted


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_random_holes_are_read_and_nothing_else(make: Make) -> None:
    months, seed = int(os.environ.get("PLANDAY_MONTHS", "24")), random.SystemRandom().randrange(10**6)
    planday = make(people=(4, 4, 4), resources="timezone: Europe/Copenhagen")
    made_whole(planday, shifted(THIS, 1 - months))
    before = shown(planday)
    wanted = put_holes(planday, 20, seed)
    counts = [sum(planday.sandbox.requests.values())]
    foretold = summary(planday_command(planday, "plan", "--missing", "--json", seconds=_LONG_SECONDS))
    counts.append(sum(planday.sandbox.requests.values()))
    done = planday_command(planday, "sync", "--missing", "--json", seconds=_LONG_SECONDS)
    assert done.returncode == 0, (seed, done.stderr)
    assert written(done) == wanted, seed
    assert sum(table["slices"] for one in foretold["portals"] for table in one["tables"]) == len(wanted), seed
    counts.append(sum(planday.sandbox.requests.values()))
    foretelling, all_of_it = (later - earlier for earlier, later in pairwise(counts))
    made = all_of_it - foretelling
    requests = sum(one["requests"] for one in foretold["portals"])
    assert abs(requests - made) <= max(3, made * 0.1), (seed, requests, made)
    assert shown(planday) == before, seed
    assert not summary(planday_command(planday, "plan", "--missing", "--json", seconds=_LONG_SECONDS))["portals"]


def test_holes_are_read_and_the_warehouse_is_as_before(whole: Installation) -> None:
    before = shown(whole)
    lake = whole.lake
    HOLES["lost"](lake, key("oslo", "scheduling.shifts", FIRST))
    HOLES["bit flipped"](lake, key("london", "scheduling.shifts", FIRST))
    HOLES["cut"](lake, key("london", "hr.departments"))
    wanted = named(
        key("oslo", "scheduling.shifts", FIRST),
        key("london", "scheduling.shifts", FIRST),
        key("london", "hr.departments"),
    )
    status = planday_command(whole, "status").stdout
    assert "planday sync" in status.splitlines()[-1]
    assert status.splitlines()[-1].endswith("--missing")
    plan = planday_command(whole, "plan", "--missing").stdout
    assert "3 slices of 2 portals are missing: 1 lost, 2 damaged" in plan
    assert f"scheduling.shifts {FIRST}" in plan
    done = planday_command(whole, "sync", "--missing", "--json")
    assert done.returncode == 0, done.stderr
    assert written(done) == wanted
    assert shown(whole) == before
    aside = [file.name for file in lake.files_set_aside()]
    assert len(aside) == 2, "the damaged files are kept"
    asked = whole.sandbox.requests.copy()
    again = planday_command(whole, "sync", "--missing")
    assert again.returncode == 0, again.stdout
    assert "Nothing is missing." in again.stdout
    assert whole.sandbox.requests == asked


def test_refused_table_is_tried_once(whole: Installation) -> None:
    """What else is missing is read, and the command fails with the reason."""
    months = months_between(FIRST, THIS)
    for month in months:
        whole.lake.remove(key("oslo", "scheduling.shifts", month))
    whole.lake.path(key("oslo", "hr.departments")).unlink()

    def refused(_: Request, __: int, ___: Any) -> Response:
        return Response(status_code=403, content='{"message": "no"}', media_type="application/json")

    whole.sandbox.faults.append(Fault(SHIFTS, refused, times=None))
    before = whole.sandbox.requests[f"oslo {SHIFTS}"]
    for _ in range(2):
        done = planday_command(whole, "sync", "--missing", "--json")
        assert done.returncode == 1
        failures = summary(done)["failures"]
        assert {(one["table"], one["month"]) for one in failures} == {("scheduling.shifts", one) for one in months}
        assert all("403" in one["error"] for one in failures)
    assert whole.sandbox.requests[f"oslo {SHIFTS}"] - before == 4, "once to foretell and once to read"
    assert whole.lake.provenance(key("oslo", "hr.departments")) is not None


def test_revoked_portal_is_not_tried_for_each_month(whole: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole.folder)  # paths of dagster.yaml are relative
    for month in months_between(FIRST, THIS):
        for portal in ("oslo", "london"):
            whole.lake.path(key(portal, "scheduling.shifts", month)).unlink()
    (whole.folder / "tokens" / "oslo.txt").write_text("revoked")
    done = planday_command(whole, "sync", "--missing", "--json")
    assert done.returncode == 1
    assert written(done) == named(*(key("london", "scheduling.shifts", one) for one in months_between(FIRST, THIS)))
    failures = {(one["portal"], one["table"], one["month"]) for one in summary(done)["failures"]}
    assert failures == {("oslo", "scheduling.shifts", one) for one in months_between(FIRST, THIS)}
    runs = [run for run in runs_of(whole) if run.tags["dagster/partition"].endswith("oslo")]
    assert len(runs) == 1


def test_killed_command_is_resumed(whole: Installation) -> None:
    months = months_between(FIRST, THIS)
    for portal in PORTALS:
        for month in months:
            whole.lake.path(key(portal, "scheduling.shifts", month)).unlink()
    before = shown(whole)
    process = started(whole, "sync", "--missing", "--processes", "1")
    assert process.stdout is not None
    for line in process.stdout:
        if "rows" in line and "scheduling.shifts" in line and "requests," in line:
            break
    killed(process)
    left = summary(planday_command(whole, "plan", "--missing", "--json"))["missing"]["slices"]
    assert 0 < len(left) < len(PORTALS) * len(months)
    done = planday_command(whole, "sync", "--missing", "--json")
    assert done.returncode == 0, done.stderr
    assert written(done) == {(one["portal"], one["table"], one["month"]) for one in left}
    assert shown(whole) == before
    assert whole.lake.pending() == {}


def test_missing_says_what_is_read(whole: Installation) -> None:
    for command in ("sync", "plan"):
        for more in (("--resources", "hr"), ("--months", THIS), ("--full",)):
            done = planday_command(whole, command, "--missing", *more)
            assert done.returncode == 2, done.stdout
            assert "leave out" in done.stderr


def test_what_lasts_is_named_and_stops_nothing(make: Make) -> None:
    planday = make(people=(4, 4, 4), resources="resources: {include: [scheduling.deleted_shifts, hr.departments]}")
    made_whole(planday, FIRST)
    feed, list_ = key("oslo", "scheduling.deleted_shifts"), key("oslo", "hr.departments")
    content = planday.lake.path(feed).read_bytes()
    for one in (feed, list_):
        flip(planday.lake.path(one))
    done = planday_command(planday, "sync", "--missing")
    assert done.returncode == 1, done.stdout
    assert "scheduling.deleted_shifts: damaged" in done.stdout
    assert "newest backup" in done.stdout
    planday.lake.path(feed).write_bytes(content)
    assert planday_command(planday, "sync", "--missing").returncode == 0


@pytest.mark.parametrize("dry_run", [True, False])
def test_job_reads_what_the_command_reads(whole: Installation, monkeypatch: pytest.MonkeyPatch, dry_run: bool) -> None:
    from pipelines.definitions import build_definitions

    monkeypatch.setenv("DAGSTER_HOME", str(whole.folder))
    planday_command(whole, "tables")
    HOLES["lost"](whole.lake, key("oslo", "scheduling.shifts", FIRST))
    HOLES["cut"](whole.lake, key("london", "hr.departments"))
    job = build_definitions(whole.config_path).resolve_job_def("read_missing")
    with dg.DagsterInstance.ephemeral() as instance:
        form = {"portals": ["oslo"], "dry_run": dry_run}
        result = job.execute_in_process(
            instance=instance, run_config={"ops": {"missing_slices": {"config": form}}}, raise_on_error=False
        )
    assert result.success
    (output,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    figures = {name: value.value for name, value in output.event_specific_data.metadata.items()}
    assert figures["missing"] == 1
    there = whole.lake.path(key("oslo", "scheduling.shifts", FIRST)).exists()
    assert there == (not dry_run)
    assert planday_command(whole, "plan", "london", "--missing").stdout.count("hr.departments")
