"""`planday sync` reads portals side by side, and ends cleanly when it is interrupted or one of its processes is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from starlette.requests import Request
from starlette.responses import Response

from pipelines.cli.orders import Done, GiveWay, Order
from pipelines.cli.outcome import Outcome
from pipelines.cli.priorities import Priorities
from pipelines.cli.runs import Wanted
from pipelines.cli.worker import work
from pipelines.progress import Listener
from planday_io import errors
from planday_io.client.http import Counters
from planday_io.sandbox.state import Fault
from planday_io.state import RateWindow
from planday_io.sync.forecast import Forecast, TableForecast
from planday_io.sync.side_by_side import portals_at_once, seconds_together
from planday_io.sync.writer import TableReport
from tests.support.commands import planday_command, started, summary
from tests.support.installation import Installation, Make

DEPARTMENTS = "/hr/v1.0/departments"
PATIENCE = 120
"""Seconds, on a busy machine."""
PORTALS = ["oslo", "london", "copenhagen"]


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(4, 4, 4), resources="resources: {include: [hr.departments, hr.employee_groups]}")


def down_until_asked_for(planday: Installation, portal: str, other: str) -> Fault:
    """A portal whose departments fail until those of another portal are requested."""

    def down(request: Request, _: int, __: Any) -> Response | None:
        bearer = planday.sandbox.bearer(request)
        waits = bearer and bearer[1].key == portal and not planday.sandbox.requests[f"{other} {DEPARTMENTS}"]
        return Response(status_code=503) if waits else None

    return Fault(DEPARTMENTS, down, times=None)


def standing_still(planday: Installation, portal: str) -> tuple[threading.Event, Callable[[], None]]:
    """Lets a portal's departments fail until it is released. Returns the event of the first request, and the release."""
    reached = threading.Event()

    def down(request: Request, _: int, __: Any) -> Response | None:
        bearer = planday.sandbox.bearer(request)
        if not bearer or bearer[1].key != portal:
            return None
        reached.set()
        return Response(status_code=503)

    fault = Fault(DEPARTMENTS, down, times=None)
    planday.sandbox.faults.append(fault)
    return reached, lambda: planday.sandbox.faults.remove(fault)


@pytest.mark.processes
@pytest.mark.parametrize(("processes", "failed"), [("3", set()), ("1", {"oslo"})])
def test_portals_are_read_at_the_same_time(planday: Installation, processes: str, failed: set[str]) -> None:
    """With one process the second portal is asked only when the first has failed for good."""
    planday.edit_config("step_delay_seconds: 10", "step: 1, step_delay_seconds: 1")
    planday.sandbox.faults.append(down_until_asked_for(planday, "oslo", "london"))
    done = planday_command(planday, "sync", *PORTALS, "--processes", processes, "--json")
    found = summary(done)
    assert {one["portal"] for one in found["failures"]} == failed, done.stderr
    assert {one["portal"] for one in found["tables"] if one["table"] == "hr.departments"} == {*PORTALS} - failed
    shown = planday.query("SELECT DISTINCT portal FROM hr.departments")
    assert {portal for (portal,) in shown} == {*PORTALS} - failed, "published once, at the end"


@pytest.mark.processes
@pytest.mark.parametrize("how", ["ctrl-c", "sigterm", "terminal closed"])
def test_interruption_ends_all_cleanly(planday: Installation, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(planday.folder)  # paths of dagster.yaml are relative
    reached, release = standing_still(planday, "london")
    process = started(planday, "sync", *PORTALS, "--processes", "3")
    assert reached.wait(PATIENCE)
    wait_for_line(process, "copenhagen hr.employee_groups")
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to all
    elif how == "terminal closed":
        os.killpg(process.pid, signal.SIGHUP)
    else:
        process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert statuses(planday)["london"] == dg.DagsterRunStatus.CANCELED, output
    assert planday.query("SELECT count(*) FROM sync.slices") == [(0,)], "nothing was published"
    release()
    assert planday_command(planday, "publish").returncode == 0
    assert planday.query("SELECT count(DISTINCT portal) FROM hr.departments WHERE portal = 'copenhagen'") == [(1,)]
    assert planday_command(planday, "sync").returncode == 0
    assert planday.query("SELECT count(DISTINCT portal) FROM hr.departments") == [(3,)]


@pytest.mark.processes
def test_killed_process_fails_its_portal_only(planday: Installation) -> None:
    """The next portal gets a new process."""
    reached, release = standing_still(planday, "oslo")
    process = started(planday, "sync", "oslo", "london", "--processes", "1")
    assert reached.wait(PATIENCE)
    os.kill(reader_of(process), signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE)
    release()
    assert process.returncode == 1, output
    assert "was killed by SIGKILL" in output
    assert planday.query("SELECT DISTINCT portal FROM hr.departments") == [("london",)]
    failures = planday.state.failures.of("oslo")
    assert {(one.table, one.cause) for one in failures} == {
        ("hr.departments", "crash"),
        ("hr.employee_groups", "crash"),
    }
    assert planday_command(planday, "sync", "oslo").returncode == 0
    assert planday.state.failures.of("oslo") == []


@pytest.mark.processes
def test_without_the_command_its_processes_end(planday: Installation) -> None:
    reached, release = standing_still(planday, "oslo")
    process = started(planday, "sync", "oslo", "london", "--processes", "1")
    assert reached.wait(PATIENCE)
    process.kill()
    release()
    process.communicate(timeout=PATIENCE)  # ends when every process has closed its output
    assert planday.sandbox.requests[f"london {DEPARTMENTS}"] == 0
    assert planday_command(planday, "sync", "oslo", "london").returncode == 0


@pytest.mark.processes
def test_process_that_ends_at_its_start_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As where a service manager ends all processes of a command while one of them reads portals.yaml."""
    file = tmp_path / "portals.yaml"
    os.mkfifo(file)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=work, args=(theirs, file))
    process.start()
    with file.open("w"):  # waits until the process has opened it as well
        process.terminate()
        process.join(PATIENCE)
    assert process.exitcode == 0
    assert capfd.readouterr().err == ""
    ours.close()


@pytest.mark.processes
def test_process_ends_where_interrupts_are_ignored(planday: Installation) -> None:
    """As in background jobs of scripts: after a run, Dagster gives SIGTERM the handler of SIGINT."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=work, args=(theirs, planday.config_path), daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()
    ours.send(Order("oslo", Wanted(["hr.departments"]), {}, ""))
    while not isinstance(told := ours.recv(), Done):
        pass
    assert told.error is None
    ours.close()
    process.join(PATIENCE)
    assert process.exitcode == 0


@pytest.mark.processes
def test_a_worker_gives_way_when_told(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sends then counts in a bucket of its own as well."""
    monkeypatch.chdir(planday.folder)  # paths of dagster.yaml are relative
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=work, args=(theirs, planday.config_path), daemon=True)
    process.start()
    theirs.close()
    given: list[int] = []
    for gives_way in (False, True):
        ours.send(GiveWay(gives_way))
        ours.send(Order("oslo", Wanted(["hr.departments"]), {}, ""))
        while not isinstance(ours.recv(), Done):
            pass
        uses = planday.state.budget.read(lambda bookings: bookings.uses(0))
        given.append(sum(booked.sent for bucket, booked in uses.items() if bucket.startswith("rest of client ")))
    ours.close()
    process.join(PATIENCE)
    assert given[0] == 0
    assert given[1] > 0


def test_the_portal_with_the_most_left_gives_way_to_none(planday: Installation) -> None:
    """Oslo and copenhagen have one app, london another; each is to read two tables."""
    outcome = Outcome(Listener())
    priorities = Priorities(planday.installation, [(key, Wanted(["hr"])) for key in PORTALS], outcome)

    def giving_way() -> set[str]:
        return {portal for portal in PORTALS if priorities.gives_way(portal, PORTALS)}

    assert giving_way() == set(), "nothing is known yet"
    outcome.finished("oslo", report("hr.departments", requests=3))
    outcome.finished("copenhagen", report("hr.departments", requests=4))
    outcome.finished("london", report("hr.departments", requests=9))
    assert giving_way() == {"oslo"}
    outcome.finished("copenhagen", report("hr.employee_groups", requests=50))
    assert giving_way() == {"copenhagen"}, "it has everything"
    assert not priorities.gives_way("copenhagen", ["copenhagen"]), "nothing else is read now"


@pytest.mark.parametrize(("app", "portal", "at_once"), [(2000, 750, 2), (2000, 2000, 1), (1001, 1000, 2), (60, 750, 1)])
def test_as_many_as_the_budget_feeds(planday: Installation, app: int, portal: int, at_once: int) -> None:
    """Oslo and copenhagen have one app, london another."""
    url = planday.config.planday.api_url
    for client in planday.sandbox.apps:
        learned(planday, f"client {url} {client}", app)
    for key in PORTALS:
        learned(planday, f"portal {url} {key}", portal)
    assert portals_at_once(planday.installation, ["oslo", "copenhagen"]) == at_once
    assert portals_at_once(planday.installation, PORTALS) == at_once + 1
    assert portals_at_once(planday.installation, ["london"]) == 1


@pytest.mark.parametrize(("at_once", "seconds"), [(1, 70), (2, 40), (3, 40)])
def test_time_together_is_that_of_the_slowest(planday: Installation, at_once: int, seconds: int) -> None:
    """Portals of 40, 20 and 10 seconds: of two at once, one has 40, the other 20 and then 10."""
    forecasts = [Forecast(key, seconds=n) for key, n in zip(PORTALS, (40, 20, 10), strict=True)]
    alone = seconds_together(planday.installation, [Forecast("oslo")], 1)
    assert seconds_together(planday.installation, forecasts, at_once) - alone == seconds


def test_time_together_is_what_the_app_imposes(planday: Installation) -> None:
    """Oslo and copenhagen share 60 requests a minute; each alone would take a minute for its 61."""
    url = planday.config.planday.api_url
    for client in planday.sandbox.apps:
        learned(planday, f"client {url} {client}", 60)
    forecasts = [
        Forecast(key, {"hr.departments": TableForecast("hr.departments", requests=61)}, seconds=61)
        for key in ("oslo", "copenhagen")
    ]
    alone = seconds_together(planday.installation, [Forecast("oslo")], 1)
    assert seconds_together(planday.installation, forecasts, 2) - alone == pytest.approx(122, abs=1)


def test_a_portal_without_an_app_counts_nothing(planday: Installation) -> None:
    planday.edit_config("client_id: ", "client_id: {env: NOT_SET} #")
    assert portals_at_once(planday.installation, PORTALS) == 1


def everything_below(kind: type[errors.PlandayError]) -> list[type[errors.PlandayError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in everything_below(below))]


@pytest.mark.parametrize("kind", everything_below(errors.PlandayError))
def test_errors_reach_another_process_unchanged(kind: type[errors.PlandayError]) -> None:
    if issubclass(kind, errors.ApiError):
        error: errors.PlandayError = kind("refused", path="/hr", portal="oslo", status=403, wait_seconds=2.5)
    elif issubclass(kind, errors.DamagedSliceError):
        error = kind(Path("data.parquet"), "cut off")
    elif issubclass(kind, errors.DamagedFileError):
        error = kind("damaged", Path("data.parquet"))
    else:
        error = kind("because")
    error.add_place("here")
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (kind, str(error), vars(error))


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"no line with {text!r}")


def reader_of(process: subprocess.Popen[str]) -> int:
    """The process that executes the runs of a command."""
    (server,) = [one for one in psutil.Process(process.pid).children() if "forkserver" in str(one.cmdline())]
    (reader,) = server.children()
    return reader.pid


def statuses(planday: Installation) -> dict[str, dg.DagsterRunStatus]:
    """Portal -> how its latest run ended."""
    with dg.DagsterInstance.from_config(str(planday.folder)) as instance:
        return {
            run.tags["dagster/partition"]: run.status
            for run in reversed(instance.get_runs())
            if run.tags.get("dagster/partition")
        }


def report(table: str, *, requests: int) -> TableReport:
    return TableReport(
        table=table,
        rows=1,
        received=1,
        account="",
        previous_rows=None,
        verdict="exhausted",
        window="",
        counters=Counters(requests=requests),
        seconds=1.0,
        rereads=0,
        gone=0,
        path="",
    )


def learned(planday: Installation, bucket: str, a_minute: int) -> None:
    """Store a policy, as the first answer does."""
    planday.state.budget.transaction(lambda bookings: bookings.set_policy(bucket, [RateWindow(a_minute, 60.0)]))
