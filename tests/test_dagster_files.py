"""What Dagster's SQLite files say, read without Dagster, is what Dagster says; or nothing, and Dagster is asked."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
)
from dagster._daemon.types import DaemonHeartbeat

from pipelines.dagster_files import state_in_files
from pipelines.scheduler import state_of, switched_off
from planday_io.files import write_text

OURS = "custom: {module: pipelines.storage, class: SqliteStorage, config: {base_dir: files}}"


@pytest.fixture(params=["sqlite: {base_dir: files}", OURS], ids=["stock", "ours"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "dagster.yaml", f"storage:\n  {request.param}\ntelemetry: {{enabled: false}}\n")
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as made:
        assert made.event_log_storage.get_maximum_record_id() is None
        yield made


def add(instance: dg.DagsterInstance, name: str, status: InstigatorStatus, location: str = "planday") -> None:
    """As Dagster does when a schedule is switched, and a sensor runs for the first time."""
    place = GrpcServerCodeLocationOrigin("localhost", port=4266, location_name=location)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), name)
    is_schedule = name.startswith("nightly")
    data = ScheduleInstigatorData("0 2 * * *", 1.0) if is_schedule else SensorInstigatorData(min_interval=30)
    kind = InstigatorType.SCHEDULE if is_schedule else InstigatorType.SENSOR
    instance.add_instigator_state(InstigatorState(origin, kind, status, data))


def fill(instance: dg.DagsterInstance) -> None:
    for seconds, kind in ((1_795_789_169.25, "SENSOR"), (1_795_789_200.5, "SCHEDULER")):
        instance.add_daemon_heartbeat(DaemonHeartbeat(seconds, kind, "id", errors=[]))
    add(instance, "nightly_oslo", InstigatorStatus.STOPPED)
    add(instance, "nightly_london", InstigatorStatus.RUNNING)
    add(instance, "alerts", InstigatorStatus.DECLARED_IN_CODE)
    for location, status in (("planday", InstigatorStatus.RUNNING), ("before", InstigatorStatus.STOPPED)):
        add(instance, "nightly_moved", status, location)


def test_files_say_what_dagster_says(home: Path, instance: dg.DagsterInstance) -> None:
    empty = state_in_files(home)
    assert empty is not None
    assert (empty.heartbeats, empty.instigators) == ([], [])
    fill(instance)
    files, asked = state_in_files(home), state_of(instance)
    assert files is not None
    assert sorted(files.heartbeats) == sorted(asked.heartbeats) == [1_795_789_169.25, 1_795_789_200.5]
    assert sorted(files.instigators) == sorted(asked.instigators)
    assert len(files.instigators) == 5
    assert switched_off(instance) == {"nightly_oslo"}


def statement(home: Path, file: str, text: str) -> None:
    with closing(sqlite3.connect(home / "files" / file)) as db, db:
        db.execute(text)


RUNS, INDEX, SCHEDULES = "history/runs.db", "history/runs/index.db", "schedules/schedules.db"
NOT_AS_EXPECTED: dict[str, Callable[[Path], object]] = {
    "a later migration": lambda home: statement(home, RUNS, "UPDATE alembic_version SET version_num = '0123456789ab'"),
    "an earlier migration": lambda home: statement(home, SCHEDULES, "DELETE FROM alembic_version"),
    "no table": lambda home: statement(home, SCHEDULES, "DROP TABLE instigators"),
    "another column": lambda home: statement(home, RUNS, "ALTER TABLE daemon_heartbeats RENAME body TO content"),
    "no JSON": lambda home: statement(home, SCHEDULES, "UPDATE instigators SET instigator_body = 'x'"),
    "NULL": lambda home: statement(home, SCHEDULES, "UPDATE instigators SET instigator_body = NULL"),
    "another form": lambda home: statement(
        home, SCHEDULES, f"UPDATE instigators SET instigator_body = '{json.dumps({'origin': {'name': 'x'}})}'"
    ),
    "a list": lambda home: statement(home, RUNS, "UPDATE daemon_heartbeats SET body = '[1]'"),
    "no instant": lambda home: statement(home, RUNS, """UPDATE daemon_heartbeats SET body = '{"timestamp": "x"}'"""),
    "no index": lambda home: (home / "files" / INDEX).unlink(),
    "damaged": lambda home: (home / "files" / INDEX).write_bytes(os.urandom(8192)),
    "nothing there": lambda home: (home / "files").rename(home / "elsewhere"),
    "no settings": lambda home: (home / "dagster.yaml").unlink(),
    "settings that are no YAML": lambda home: write_text(home / "dagster.yaml", "storage: ["),
    "settings that are a text": lambda home: write_text(home / "dagster.yaml", "storage"),
    "storage of its own": lambda home: write_text(
        home / "dagster.yaml",
        yaml.safe_dump(
            {"storage": {"custom": {"module": "others", "class": "SqliteStorage", "config": {"base_dir": "files"}}}}
        ),
    ),
    "Postgres": lambda home: write_text(home / "dagster.yaml", "storage: {postgres: {postgres_url: 'postgresql://x'}}"),
    "a folder from the environment": lambda home: write_text(
        home / "dagster.yaml", "storage: {sqlite: {base_dir: {env: FOLDER}}}"
    ),
}


@pytest.mark.parametrize("change", NOT_AS_EXPECTED.values(), ids=[*NOT_AS_EXPECTED])
def test_what_is_not_as_expected_says_nothing(
    home: Path, instance: dg.DagsterInstance, change: Callable[[Path], object]
) -> None:
    fill(instance)
    assert state_in_files(home) is not None
    change(home)
    databases = sorted(home.rglob("*.db"))
    assert state_in_files(home) is None
    assert sorted(home.rglob("*.db")) == databases, "none is made"
