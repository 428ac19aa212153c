"""The health of an installation and its portals: the facts behind `planday status`, `check`, `metrics` and the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from pipelines.dagster_files import DagsterState
from pipelines.schedule_names import RETENTION
from pipelines.scheduler import scheduler_of
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.health import Health, PortalHealth, Scheduler, health_of
from planday_io.state import DriftEntry
from planday_io.state.drift import DriftMemory
from tests.support.commands import environment, planday_command, summary
from tests.support.failures import DEPARTMENTS, fail
from tests.support.installation import Installation, Make

OSLO_OFF = frozenset({("oslo", "nightly", "portal")})


def look(planday: Installation, scheduler: Scheduler | None = None, portals: list[str] | None = None) -> Health:
    """How everything is, with a daemon that runs unless a scheduler says otherwise."""
    now = datetime.now(UTC)
    return health_of(planday.installation, now, scheduler or Scheduler(heartbeat=now), portals)


def of(health: Health, portal: str) -> PortalHealth:
    return next(one for one in health.portals if one.portal == portal)


def test_all_is_well(read_on_time: Installation) -> None:
    health = look(read_on_time)
    assert (health.is_wrong, health.problems, [one.condition for one in health.portals]) == (False, (), ["ok"] * 3)
    assert health.sentence == "OK: 3 portals; nothing is stale, and no incident is open."
    provenance = read_on_time.provenance(DEPARTMENTS)
    assert provenance is not None
    assert of(health, "oslo").oldest == (DEPARTMENTS, provenance.fetched.astimezone(UTC))


def test_next_run_is_on_the_portals_clock(read_on_time: Installation) -> None:
    """The schedule of the sandbox's portals is due at two o'clock, each on its own clock."""
    health = look(read_on_time)
    for one in health.portals:
        zone = ZoneInfo(read_on_time.config.portals[one.portal].timezone)
        assert one.next_run is not None
        assert one.next_run.utcoffset() == one.next_run.astimezone(zone).utcoffset()
        assert (one.next_run.hour, one.next_run.minute) == (2, 0)
        assert timedelta(0) < one.next_run - health.at <= timedelta(hours=25)


@pytest.mark.parametrize("age", [None, timedelta(minutes=6)])
def test_daemon_that_does_not_run_is_wrong(read_on_time: Installation, age: timedelta | None) -> None:
    heartbeat = datetime.now(UTC) - age if age else None
    health = look(read_on_time, Scheduler(heartbeat=heartbeat))
    (problem,) = health.problems
    assert problem.startswith("the Dagster daemon has " + ("not run since 20" if age else "never run here"))
    assert {one.next_run for one in health.portals} == {None}, "nothing will run"
    assert not health.wrong, "the portals are well"
    assert health.sentence == f"Wrong: {problem}."


def test_nobody_needs_a_daemon_without_schedules(planday: Installation) -> None:
    health = look(planday, Scheduler())
    assert (health.is_wrong, {one.condition for one in health.portals}) == (False, {"unscheduled"})


def test_what_dagster_knows_may_be_unknown(read_on_time: Installation) -> None:
    health = look(read_on_time, Scheduler(fault="its storage is damaged"))
    assert health.problems == ("whether schedules run is not known",)


def test_incidents_of_one_cause_are_one_clause(read_on_time: Installation) -> None:
    entries = [
        DriftEntry(
            portal="oslo", table=DEPARTMENTS, kind="new_member", path=path, found="", expected="", is_fatal=False,
            first_seen=datetime.now(UTC), last_seen=datetime.now(UTC), rows=1,
        )
        for path in ("one", "two")
    ]  # fmt: skip
    read_on_time.state.drift.follow("oslo", DEPARTMENTS, lambda before: DriftMemory(before.seen, tuple(entries)))
    health = look(read_on_time)
    assert (len(health.incidents), len(health.problems)) == (2, 1)


def test_damaged_budget_is_wrong_at_first_sight(read_on_time: Installation) -> None:
    (read_on_time.state.folder / "budget.sqlite").write_bytes(b"no database, but as long as the header of one " * 40)
    problems = [look(read_on_time).problems for _ in range(2)]
    assert problems[0] == problems[1]
    assert len(problems[0]) == 1


def test_switched_off_schedule_promises_no_run(read_on_time: Installation) -> None:
    health = look(read_on_time, Scheduler(heartbeat=datetime.now(UTC), off=OSLO_OFF))
    oslo = of(health, "oslo")
    assert (oslo.condition, oslo.off, oslo.next_run) == ("switched off", ("nightly",), None)
    assert health.sentence == "Wrong: 1 of 3 portals (oslo switched off)."
    read_on_time.edit_config("nightly: {enabled: true}", "nightly: {enabled: false}")
    health = look(read_on_time, Scheduler(heartbeat=datetime.now(UTC), off=OSLO_OFF))
    assert not health.is_wrong, "the file says the same"


def test_switched_off_sensor_is_wrong(read_on_time: Installation) -> None:
    health = look(read_on_time, Scheduler(heartbeat=datetime.now(UTC), sensors_off=("alerts",)))
    assert health.problems == ("a sensor is switched off in Dagster: alerts",)


def test_switched_off_retention_is_wrong(read_on_time: Installation) -> None:
    said = DagsterState(heartbeats=[datetime.now(UTC).timestamp()], instigators=[(RETENTION, "STOPPED")])
    assert not look(read_on_time, scheduler_of(said, read_on_time.config)).is_wrong, "there is no rule any more"
    read_on_time.edit_config("portals:\n", "retention: {pay: 10y}\nportals:\n")
    health = look(read_on_time, scheduler_of(said, read_on_time.config))
    assert health.problems == (
        "the schedule of `retention` is switched off in Dagster, so nothing that is too old is taken away",
    )
    assert health.scheduler.sensors_off == ()


def test_budget_of_another_address_is_left_out(read_on_time: Installation) -> None:
    assert look(read_on_time).apps
    read_on_time.edit_config(f"api_url: '{read_on_time.address}'", "api_url: 'http://127.0.0.1:1'")
    assert look(read_on_time).apps == ()


def test_token_that_cannot_be_read_is_wrong(read_on_time: Installation) -> None:
    (read_on_time.folder / "tokens/london.txt").unlink()
    said = read_on_time.sandbox.requests.copy()
    health = look(read_on_time)
    assert [(one.portal, one.condition) for one in health.wrong] == [("london", "no token")]
    assert "the refresh token of portal 'london' cannot be read" in of(health, "london").secret
    assert read_on_time.sandbox.requests == said, "nothing is sent"


def test_worst_portal_comes_first(read_on_time: Installation) -> None:
    fail(read_on_time, DEPARTMENTS, "api")
    (read_on_time.folder / "tokens/london.txt").unlink()
    read_on_time.lake.path(key(read_on_time, "copenhagen")).unlink()
    health = look(read_on_time)
    assert [(one.portal, one.condition) for one in health.wrong] == [
        ("london", "no token"),
        ("oslo", "failing"),
        ("copenhagen", "stale"),
    ]
    assert of(health, "copenhagen").oldest == (DEPARTMENTS, None), "it is not there any more"


def key(planday: Installation, portal: str) -> Any:
    return next(one for one in planday.lake.slices(DEPARTMENTS) if one.portal == portal)


def test_new_portal_is_not_wrong(planday: Installation) -> None:
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    health = look(planday, portals=["oslo"])
    assert (health.is_wrong, [one.condition for one in health.portals]) == (False, ["not read yet"])
    assert "1 not read completely yet, and not due (oslo)" in health.sentence


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that databases of this process execute in the block."""
    found: list[str] = []

    def note(*event: Any) -> None:
        found.append(event[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_questions_do_not_grow_with_portals(read_on_time: Installation) -> None:
    look(read_on_time)
    with statements() as of_three:
        look(read_on_time)
    for number, portal in enumerate(("bergen", "aarhus", "malmo"), 9001):
        read_on_time.connect_portal(portal, number)
    observe(read_on_time.installation, datetime.now(UTC))
    with statements() as of_six:
        look(read_on_time)
    assert len(of_six) == len(of_three) > 3


@pytest.mark.processes
def test_schedule_switched_off_in_dagster(read_on_time: Installation) -> None:
    """Switched off with Dagster's own command, which does what its UI does."""
    dagster = str(Path(sys.executable).with_name("dagster"))
    settings = environment(read_on_time) | {"DAGSTER_HOME": str(read_on_time.folder)}
    for what, states in (("stop", ("switched off", "ok")), ("start", ("ok", "ok"))):
        command = [dagster, "schedule", what, "nightly_oslo", "--location", "planday", "-w", "workspace.yaml"]
        subprocess.run(command, check=True, env=settings, cwd=read_on_time.folder, timeout=120, capture_output=True)
        done = planday_command(read_on_time, "status", "oslo", "london", "--json")
        found = summary(done)
        assert tuple(one["state"] for one in found["portals"]) == states
        assert done.returncode == 1, "no daemon ever ran here"
        checked = planday_command(read_on_time, "check", "oslo", "london")
        is_off = "schedules are switched off in Dagster: oslo nightly" in checked.stdout.splitlines()[0]
        assert (checked.returncode, is_off) == (1, what == "stop")


@pytest.mark.processes
def test_check_before_anything_ran(make: Make) -> None:
    """A newcomer has no daemon yet; once something was read, a missing daemon is wrong."""
    planday = make(resources="resources: {include: [hr.departments]}")
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    said = (
        "3 portals answered everything that was asked; the Dagster daemon has never run here, so schedules do nothing."
    )
    for expected in ((0, f"OK: {said}"), (1, f"Wrong: {said}")):
        checked = planday_command(planday, "check")
        assert (checked.returncode, checked.stdout.splitlines()[0]) == expected
        assert planday_command(planday, "sync", "oslo").returncode == 0
