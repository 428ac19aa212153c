"""Many runs that end one after the other: few publications, all data published, and no pause without need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from pipelines.resources import BATCH_TAG
from pipelines.schedule_names import PUBLISHER
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state import State
from planday_io.warehouse.pace import LOCK, next_due
from tests.support.commands import environment
from tests.support.installation import Installation, run

TICK = {BATCH_TAG: "nightly-202611270100"}
NOW = datetime(2026, 11, 27, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "took", "pause"),
    [
        (0, 5.0, 120),
        (119, 5.0, 1),
        (120, 5.0, 0),
        (30, 3600.0, 1770),
        (1799, 3600.0, 1),
        (1800, 3600.0, 0),
        (-60, 5.0, 0),
    ],
)
def test_pause_depends_on_what_a_publication_takes(tmp_path: Path, ago: int, took: float, pause: int) -> None:
    state = State(tmp_path)
    assert next_due(state, NOW) is None
    state.files.note_publication(NOW - timedelta(seconds=ago), took)
    assert next_due(state, NOW) == (NOW + timedelta(seconds=pause) if pause else None)


def shown(planday: Installation) -> set[str]:
    return {name for (name,) in planday.query("SELECT table_name FROM sync.slices")}


def just_published(planday: Installation) -> None:
    """The warehouse was published a moment ago, which took long enough for a pause of minutes."""
    planday.state.files.note_publication(datetime.now(UTC), 3600.0)


@contextmanager
def another_run(planday: Installation) -> Iterator[None]:
    """Another run has written a table and not ended."""
    with planday.state.runs.begin() as lease:
        lake = Lake(planday.config.lake, planday.state, lease.name)
        key = SliceKey.of("hr.employee_groups", "oslo")
        with lake.locked(key):
            lake.announce([key])
            yield


def starting(instance: DagsterInstance, planday: Installation) -> dg.DagsterRun:
    """A run of another job than those of the tests."""
    job = build_definitions(planday.config_path).resolve_job_def("nightly_snapshots")
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)


@pytest.mark.processes
def test_run_leaves_publication_to_those_that_follow(planday: Installation, instance: DagsterInstance) -> None:
    just_published(planday)
    with another_run(planday):
        assert run(planday, instance, "hr.departments", tags=TICK).success
        assert shown(planday) == set()
    assert run(planday, instance, "hr.skills", tags=TICK).success
    assert shown(planday) == {"hr.departments", "hr.skills"}, "the last one publishes everything, at once"


@pytest.mark.processes
def test_run_leaves_publication_to_one_that_starts(planday: Installation, instance: DagsterInstance) -> None:
    just_published(planday)
    one = starting(instance, planday)
    assert run(planday, instance, "hr.departments", tags=TICK).success
    assert shown(planday) == set()
    instance.report_run_canceled(one)
    assert run(planday, instance, "hr.departments", tags=TICK).success
    assert shown(planday) == {"hr.departments"}


@pytest.mark.processes
def test_run_leaves_nothing_without_the_sensor(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """If those that follow are killed, nobody else would publish what it wrote."""
    settings = environment(planday) | {"DAGSTER_HOME": str(planday.folder)}
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    monkeypatch.chdir(planday.folder)
    dagster = str(Path(sys.executable).with_name("dagster"))
    for what, table in (("stop", "hr.departments"), ("start", "hr.skills")):
        command = [dagster, "sensor", what, PUBLISHER, "--location", "planday", "-w", "workspace.yaml"]
        subprocess.run(command, check=True, env=settings, cwd=planday.folder, timeout=120, capture_output=True)
        just_published(planday)
        with DagsterInstance.get() as instance, another_run(planday):
            assert run(planday, instance, table, tags=TICK).success
            assert shown(planday) == {"hr.departments"}


def test_run_by_hand_always_publishes(planday: Installation, memory: DagsterInstance) -> None:
    just_published(planday)
    with another_run(planday):
        assert run(planday, memory, "hr.departments").success
        assert shown(planday) == {"hr.departments"}


def test_pause_that_is_over_keeps_nobody(planday: Installation, memory: DagsterInstance) -> None:
    planday.state.files.note_publication(datetime.now(UTC) - timedelta(minutes=30), 3600.0)
    with another_run(planday):
        assert run(planday, memory, "hr.departments", tags=TICK).success
        assert shown(planday) == {"hr.departments"}
    last = planday.state.files.last_publication()
    assert last is not None
    assert last.seconds < 3600


def ticked(planday: Installation, instance: DagsterInstance) -> str:
    """What the sensor says."""
    definitions = build_definitions(planday.config_path)
    (sensor,) = [one for one in definitions.sensors or [] if one.name == PUBLISHER]
    with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
        return str(sensor.evaluate_tick(context).skip_message)


def test_sensor_publishes_what_nobody_else_did(planday: Installation, instance: DagsterInstance) -> None:
    planday.refresh("hr.departments")
    just_published(planday)
    one = starting(instance, planday)
    assert ticked(planday, instance).startswith("runs publish when they end, or this sensor at ")
    assert shown(planday) == set()
    planday.state.files.note_publication(datetime.now(UTC) - timedelta(minutes=30), 3600.0)
    with planday.state.locks.hold(LOCK):
        assert ticked(planday, instance) == "a publication is in progress"
    assert ticked(planday, instance) == "published 2 slices", "the slice and its history, while a run starts"
    assert shown(planday) == {"hr.departments"}
    planday.refresh("hr.skills")
    just_published(planday)
    instance.report_run_canceled(one)
    assert ticked(planday, instance) == "published 2 slices", "nobody else will"


@pytest.mark.processes
def test_those_that_wait_publish_once(planday: Installation) -> None:
    for portal in ("oslo", "london", "copenhagen"):
        for table in ("hr.departments", "hr.skills"):
            planday.refresh(table, portal)
    with ThreadPoolExecutor(6) as pool:
        done = [one.result() for one in [pool.submit(planday.publish) for _ in range(6)]]
    assert sorted(one.slices for one in done) == [0, 0, 0, 0, 0, 12]
    assert planday.query("SELECT count(*) FROM sync.slices") == [(6,)]
