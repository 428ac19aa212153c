"""`planday sync --missing`, and the job of the same: exactly what is missing is read, and the warehouse is as if nothing
had been.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from starlette.requests import Request
from starlette.responses import Response

from pipelines.definitions import build_definitions
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import first_day, last_day, month_of, months_between, shifted
from planday_io.privacy.erasure import forget_person
from planday_io.sandbox.state import Fault
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import environment, killed, planday_command, started, summary
from tests.support.holes import cut, emptied, flip, overwritten
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.services import Services, wait_until

pytestmark = pytest.mark.processes

THIS = month_of(datetime.now(UTC).date())
FIRST = shifted(THIS, -2)
PORTALS = ["oslo", "london", "copenhagen"]
TABLES = ["hr.departments", "hr.employee_groups", "scheduling.shifts"]
SHIFTS = "/scheduling/v1.0/shifts"

_LONG_SECONDS = 1200

IDENTITY = "/portal/v1.0/info"
Read = tuple[str, str, str | None]
"""Portal, table, month."""
Written = set[Read]


Costs = dict[Read, Counter[str]]
"""How often which path was asked for."""


def made_whole(planday: Installation, first: str) -> Costs:
    """Read everything of all portals, as commands do, and publish it. Returns what that took."""
    costs: Costs = {}
    planday.edit_config("history_start: 2025-01", f"history_start: {first}")
    planday.edit_config("defaults:", "defaults:\n  window: {past_months: 0, future_months: 0}")
    for portal in planday.config.portals:
        for month in (None, *months_between(first, THIS)):
            session = PortalSession(planday.installation, portal, run_id=f"{portal} {month}", batch="first")
            for endpoint in planday.installation.endpoints_of(portal, planday.catalogue.domains()):
                if (endpoint.grid == "month") == (month is not None):
                    asked = Counter(planday.sandbox.requests)
                    refresh(session, endpoint.name, month=month)
                    costs[portal, endpoint.name, month] = asked_since(planday, asked)
    planday.publish()
    return costs


def asked_since(planday: Installation, before: Counter[str]) -> Counter[str]:
    """What was asked for since then, but for the question which portal it is."""
    found = Counter(planday.sandbox.requests) - before
    return Counter({path: count for path, count in found.items() if not path.endswith(IDENTITY)})


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
    """All that readers see of tables, histories and slices, but for the ids and times of reads."""
    names = [
        f"{schema}.{table}"
        for schema, table in planday.query(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'warehouse' "
            "AND schema_name NOT IN ('sync', 'main') ORDER BY ALL"
        )
    ]
    asked = {name: f"SELECT * EXCLUDE (_fetched_at) FROM {name} ORDER BY ALL" for name in names}
    of_reads = "fetched_at, run_id, slice_id, requests"
    return planday.queries({**asked, "slices": f"SELECT * EXCLUDE ({of_reads}) FROM sync.slices ORDER BY ALL"})


HOLES: dict[str, Callable[[Lake, SliceKey], object]] = {
    "lost": lambda lake, one: shutil.rmtree(lake.path(one).parent),
    "unlinked": lambda lake, one: lake.path(one).unlink(),
    "never read": lambda lake, one: lake.remove(one),
    "cut": lambda lake, one: cut(lake.path(one)),
    "bit flipped": lambda lake, one: flip(lake.path(one)),
    "overwritten": lambda lake, one: overwritten(lake.path(one)),
    "emptied": lambda lake, one: emptied(lake.path(one)),
}


def put_holes(planday: Installation, reads: Collection[Read], count: int, seed: int) -> set[Read]:
    """Holes and damages in so many slices, each of another read. Returns the reads."""
    chance = random.Random(seed)
    endpoints = {one.name: one for one in planday.catalogue.endpoints if not one.feed}
    holed = chance.sample([one for one in reads if one[1] in endpoints], count)
    for number, (portal, name, month) in enumerate(holed):
        table = chance.choice(endpoints[name].tables)
        [*HOLES.values()][number % len(HOLES)](planday.lake, key(portal, table.full_name, month))
    return {*holed}


def sources(planday: Installation, costs: Costs, reads: Collection[Read]) -> set[Read]:
    """The reads of the tables that fan-outs among some reads run over, and that these run over."""
    found: set[Read] = set()
    for portal, name, month in reads:
        fan_out = planday.catalogue.endpoint_of(name).fan_out
        for parent in fan_out.sources if fan_out else ():
            found |= {(portal, planday.catalogue.endpoint_of(parent).name, one) for one in (None, month)}
    found &= costs.keys()
    return found | sources(planday, costs, found) if found else found


def check_holes(planday: Installation, costs: Costs, count: int, seed: int) -> None:
    """Put holes, read what is missing, and check that it was that, and nothing else."""
    before = shown(planday)
    holed = put_holes(planday, costs, count, seed)
    tables = {one.name: [table.full_name for table in one.tables] for one in planday.catalogue.endpoints}
    wanted = {(portal, table, month) for portal, name, month in holed for table in tables[name]}
    first, asked = sum(planday.sandbox.requests.values()), Counter(planday.sandbox.requests)
    predicted = summary(planday_command(planday, "plan", "--missing", "--json", seconds=_LONG_SECONDS))
    to_predict = asked_since(planday, asked)
    assert len(predicted["missing"]["slices"]) == count, seed
    assert sum(table["slices"] for one in predicted["portals"] for table in one["tables"]) == len(wanted), seed
    second, asked = sum(planday.sandbox.requests.values()), Counter(planday.sandbox.requests)
    done = planday_command(planday, "sync", "--missing", "--json", seconds=_LONG_SECONDS)
    assert done.returncode == 0, (seed, done.stderr)
    assert written(done) == wanted, seed
    read, expected = asked_since(planday, asked), sum((costs[one] for one in holed), Counter[str]())
    read.subtract(to_predict)
    # A fan-out asks for the rows that it runs over as well, where they are not read themselves.
    assert +(expected - read) == Counter(), seed
    assert (read - expected).keys() <= {path for one in sources(planday, costs, holed) for path in costs[one]}, seed
    made = sum(planday.sandbox.requests.values()) - second - (second - first)
    requests = sum(one["requests"] for one in predicted["portals"])
    assert abs(requests - made) <= max(3, made * 0.1), (seed, requests, made)
    assert shown(planday) == before, seed
    again = summary(planday_command(planday, "plan", "--missing", "--json", seconds=_LONG_SECONDS))
    assert again["missing"] == {"slices": [], "older": [], "unrecoverable": [], "unreadable": {}}, seed
    print(f"seed {seed}: {count} holes, {len(wanted)} slices, {made} requests, {requests} predicted")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_random_holes_are_read_and_nothing_else(make: Make) -> None:
    """Of everything that three portals have, in so many months."""
    months = int(os.environ.get("PLANDAY_MONTHS", "24"))
    seed = int(os.environ.get("PLANDAY_SEED", random.SystemRandom().randrange(10**6)))
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    check_holes(planday, made_whole(planday, shifted(THIS, 1 - months)), 20, seed)


def test_random_holes_are_read_and_nothing_else(make: Make) -> None:
    tables = [*TABLES, "hr.employees", "hr.employee_details"]
    planday = make(people=(4, 4, 4), resources=f"resources: {{include: [{', '.join(tables)}]}}")
    check_holes(planday, made_whole(planday, FIRST), 7, random.SystemRandom().randrange(10**6))


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
    of_a_month = before // len(months)
    for _ in range(2):
        done = planday_command(whole, "sync", "--missing", "--json")
        assert done.returncode == 1
        failures = summary(done)["failures"]
        assert {(one["table"], one["month"]) for one in failures} == {("scheduling.shifts", one) for one in months}
        assert all("403" in one["error"] for one in failures)
    asked = whole.sandbox.requests[f"oslo {SHIFTS}"] - before
    assert asked <= 2 * (1 + of_a_month), "once to predict, and one month"
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


def test_older_files_are_restored_then_read(make: Make) -> None:
    """A feed, which its schedule was refused to read meanwhile, and a history."""
    planday = make(people=(4, 4, 4), resources="resources: {include: [scheduling.deleted_shifts, hr.departments]}")
    made_whole(planday, FIRST)
    feed, history = key("oslo", "scheduling.deleted_shifts"), key("oslo", "hr.departments_history")
    older = {one: planday.lake.path(one).read_bytes() for one in (feed, history)}
    portal = planday.sandbox.portals["oslo"]
    portal.roster.delete_shift(next(iter(portal.roster.on(first_day(THIS), last_day(THIS))))["id"])
    portal.departments[0]["name"] = "renamed"
    assert planday_command(planday, "sync", "oslo").returncode == 0
    before = shown(planday)
    for one, content in older.items():
        planday.lake.path(one).write_bytes(content)
    assert planday_command(planday, "sync", "oslo", "--resources", feed.full_name).returncode == 1
    planned = planday_command(planday, "plan", "--missing").stdout
    assert "1 slice of 1 portal is missing: 1 failed last; 2 older files are to be restored" in planned
    unpublished = planday_command(planday, "sync", "--missing", "--no-publish")
    assert unpublished.returncode == 1, unpublished.stdout
    done = planday_command(planday, "sync", "--missing")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("was restored") == 2
    assert f"oslo {feed.full_name}" in done.stdout
    after = shown(planday)
    assert after.pop("slices") != before.pop("slices"), "the feed was read again"
    assert after == before


def test_list_of_forgotten_people_stops_its_portal_only(whole: Installation) -> None:
    forget_person(whole.installation, "oslo", 1)
    before = shown(whole)
    for portal in ("oslo", "london"):
        for month in months_between(FIRST, THIS):
            whole.lake.path(key(portal, "scheduling.shifts", month)).unlink()
    people = whole.config.lake / "_forgotten/oslo.json"
    people.write_bytes(b"{")
    asked = whole.sandbox.requests[f"oslo {SHIFTS}"]
    done = planday_command(whole, "sync", "--missing")
    assert done.returncode == 1, done.stdout
    assert f"{people}" in done.stdout
    assert "remove it: the next run writes it again" in done.stdout
    for month in months_between(FIRST, THIS):
        assert whole.lake.path(key("london", "scheduling.shifts", month)).exists()
        assert not whole.lake.path(key("oslo", "scheduling.shifts", month)).exists()
    assert whole.sandbox.requests[f"oslo {SHIFTS}"] - asked <= 3, "what cannot be written is only predicted"
    people.unlink()
    assert planday_command(whole, "sync", "--missing").returncode == 0
    assert shown(whole) == before


@pytest.fixture
def form(whole: Installation, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dg.ExecuteInProcessResult]:
    """Runs the job with a form, in the installation's own Dagster instance."""
    monkeypatch.setenv("DAGSTER_HOME", str(whole.folder))
    monkeypatch.chdir(whole.folder)  # paths of dagster.yaml are relative
    environment(whole)

    def run(**values: Any) -> dg.ExecuteInProcessResult:
        job = build_definitions(whole.config_path).resolve_job_def("read_missing")
        with dg.DagsterInstance.get() as instance:
            config = {"ops": {"missing_slices": {"config": values}}}
            return job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)

    return run


@pytest.mark.parametrize("dry_run", [True, False])
def test_job_reads_what_the_command_reads(
    whole: Installation, form: Callable[..., dg.ExecuteInProcessResult], dry_run: bool
) -> None:
    HOLES["lost"](whole.lake, key("oslo", "scheduling.shifts", FIRST))
    HOLES["cut"](whole.lake, key("london", "hr.departments"))
    result = form(portals=["oslo"], dry_run=dry_run)
    assert result.success
    (output,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    figures = {name: value.value for name, value in output.event_specific_data.metadata.items()}
    assert figures["missing"] == 1
    there = whole.lake.path(key("oslo", "scheduling.shifts", FIRST)).exists()
    assert there == (not dry_run)
    assert [run.tags["dagster/partition"] for run in runs_of(whole)] == ([] if dry_run else [f"{FIRST}|oslo"])
    left = summary(planday_command(whole, "plan", "--missing", "--json"))["missing"]["slices"]
    assert [(one["portal"], one["table"]) for one in left][-1] == ("london", "hr.departments")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"portals": ["olso"]}, "oslo"),
        ({"portals": ["--full"]}, "--full"),
        ({"portals": ["copenhagen"]}, "another run"),
    ],
)
def test_job_that_cannot_read_all_says_why(
    whole: Installation, form: Callable[..., dg.ExecuteInProcessResult], values: dict[str, Any], says: str
) -> None:
    whole.lake.path(key("copenhagen", "hr.departments")).unlink()
    whole.sandbox.faults.append(Fault("/hr/v1.0/departments", lambda *_: Response(status_code=404), times=None))
    result = form(**values)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert says in str(failure.step_failure_data.user_failure_data.description)


@pytest.mark.slow
def test_canceled_job_ends_its_processes_and_is_resumed(whole: Installation) -> None:
    """So is one that was killed with everything else."""
    files = [whole.lake.path(key("oslo", "scheduling.shifts", month)) for month in months_between(FIRST, THIS)]
    for file in files:
        file.unlink()
    before = shown(whole)
    form = {"ops": {"missing_slices": {"config": {"portals": ["oslo"]}}}}

    def stands_still(after: int) -> str:
        """Launch a run, and wait until so many months are there and its command waits for the next. Returns the run's id."""
        reached = threading.Event()

        def down(_: Request, __: int, ___: Any) -> Response | None:
            if sum(file.exists() for file in files) < after:
                return None
            reached.set()
            return Response(status_code=503)

        whole.sandbox.faults.append(Fault(SHIFTS, down, times=None))
        run_id = services.launch("read_missing", form)
        wait_until(reached.is_set)
        assert commands_of(whole)
        return run_id

    def start() -> Services:
        made = Services(whole, {**environment(whole), "DAGSTER_HOME": str(whole.folder)})
        made.start("dagster", "dev", "-h", "127.0.0.1", "-p", str(made.port), "-w", "workspace.yaml")
        wait_until(lambda: "read_missing" in made.jobs())
        return made

    services = start()
    try:
        run_id = stands_still(1)
        services.cancel(run_id)
        wait_until(lambda: not commands_of(whole), seconds=60)
        wait_until(lambda: services.status(run_id) == "CANCELED")
        whole.sandbox.faults.clear()
        stands_still(2)
        services.kill_all()
        wait_until(lambda: not commands_of(whole))
        whole.sandbox.faults.clear()
        left = summary(planday_command(whole, "plan", "--missing", "--json"))["missing"]["slices"]
        assert [one["month"] for one in left] == [FIRST], "each run read a month"
        services = start()
        last = services.launch("read_missing", form)
        wait_until(lambda: services.status(last) in ("SUCCESS", "FAILURE"))
        assert services.status(last) == "SUCCESS"
    finally:
        services.kill_all()
    assert shown(whole) == before


def commands_of(planday: Installation) -> list[int]:
    """Processes of `planday` commands of this installation."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line, of = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            if b"--missing" in line and str(planday.config_path).encode() in of:
                found.append(int(folder.name))
    return found
