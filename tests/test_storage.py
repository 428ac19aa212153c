"""Dagster's SQLite storage with kept engines: the same files as Dagster's own, and whoever watches a run is woken."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml
from dagster import DagsterInstance, EventLogEntry

from pipelines.storage import EventLog, SqliteEventLogStorage
from tests.support.installation import Installation, run


def opted_in(home: Path) -> dict[str, Any]:
    """The storage that a comment in the project's dagster.yaml offers, somewhere else."""
    (line,) = re.findall(r"# (custom: .*)", (Path(__file__).parents[1] / "dagster.yaml").read_text())
    storage: dict[str, Any] = yaml.safe_load(line)
    storage["custom"]["config"]["base_dir"] = str(home / "storage")
    return {"storage": storage}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    home = tmp_path / "fast"
    home.mkdir()
    with DagsterInstance.local_temp(str(home), overrides=opted_in(home)) as made:
        yield made


DEPARTMENTS = dg.AssetKey(["hr", "departments"])


@pytest.mark.processes
def test_stock_storage_continues_our_files(planday: Installation, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with DagsterInstance.local_temp(str(home), overrides=opted_in(home)) as ours:
        assert isinstance(ours.event_log_storage, EventLog)
        assert run(planday, ours, "hr.departments").success
        (done,) = ours.get_runs()
        events = ours.all_logs(done.run_id)
        assert len(events) > 20
    own = {"storage": {"sqlite": {"base_dir": str(home / "storage")}}}
    with DagsterInstance.local_temp(str(home), overrides=own) as stock:
        assert [one.run_id for one in stock.get_runs()] == [done.run_id]
        assert stock.all_logs(done.run_id) == events
        materialized = stock.get_latest_materialization_event(DEPARTMENTS)
        assert materialized
        assert materialized.run_id == done.run_id
        assert run(planday, stock, "hr.departments").success
    with DagsterInstance.local_temp(str(home), overrides=opted_in(home)) as ours:
        assert len(ours.fetch_materializations(DEPARTMENTS, limit=10).records) == 2


@pytest.mark.processes
def test_only_the_index_stays_open(planday: Installation, instance: DagsterInstance) -> None:
    def is_open() -> set[str]:
        names = {Path(file.path).name for file in psutil.Process().open_files()}
        return {name for name in names if name.endswith(".db")} - {"runs.db", "schedules.db"}

    ids = [run(planday, instance, "hr.departments").run_id for _ in range(3)]
    assert is_open() == {"index.db"}
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(lambda one: len(instance.all_logs(one)), ids * 20))
    assert set(counts) == {len(instance.all_logs(ids[0]))}
    instance.event_log_storage.dispose()
    assert is_open() == set()
    assert len(instance.fetch_materializations(DEPARTMENTS, limit=10).records) == 3, "and it opens again"


def test_watcher_of_run_sees_new_events(planday: Installation, instance: DagsterInstance) -> None:
    done = run(planday, instance, "hr.departments")
    told = threading.Event()
    with DagsterInstance.from_ref(instance.get_ref()) as watching:

        def look(entry: EventLogEntry, _: str) -> None:
            if entry.dagster_event and entry.dagster_event.message == "still here":
                told.set()

        watching.watch_event_logs(done.run_id, None, look)
        instance.report_engine_event("still here", done.dagster_run)
        assert told.wait(30)
        watching.end_watch_event_logs(done.run_id, look)


def test_run_s_database_is_what_dagster_would_make(tmp_path: Path) -> None:
    def made_by(log: type[SqliteEventLogStorage]) -> tuple[list[str], ...]:
        storage = log(str(tmp_path / log.__name__))
        # Ours makes the first of a process as Dagster does, and the others by what it learned from that.
        for run_id in ("the-first", "a-run"):
            with storage.run_connection(run_id):
                pass
        storage.dispose()
        with closing(sqlite3.connect(storage.path_for_shard("a-run"))) as db:
            return tuple(
                sorted("".join(" ".join(map(str, row)).split()) for row in db.execute(sql))
                for sql in (
                    "SELECT type, name, sql FROM sqlite_master",
                    "PRAGMA journal_mode",
                    "SELECT version_num FROM alembic_version",
                )
            )

    ours, stock = made_by(EventLog), made_by(SqliteEventLogStorage)
    assert ours == stock
    assert len(ours[0]) > 20
    assert ours[1] == ["wal"]


def test_new_databases_have_newest_revision(tmp_path: Path) -> None:
    EventLog(str(tmp_path)).dispose()
    with closing(sqlite3.connect(tmp_path / "index.db")) as db:
        (newest,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
        db.execute("UPDATE alembic_version SET version_num = '5771160a95ad'")
        db.commit()
    log = EventLog(str(tmp_path))
    for run_id in ("one", "two"):
        with log.run_connection(run_id) as connection:
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == newest
    log.dispose()


@pytest.mark.processes
def test_concurrent_instances_create_one_database(tmp_path: Path) -> None:
    logs = [EventLog(str(tmp_path)) for _ in range(4)]

    def look(log: EventLog, run_id: str) -> int:
        return len(log.get_logs_for_run(run_id))

    with ThreadPoolExecutor(4) as threads:
        for number in range(20):
            assert list(threads.map(look, logs, [f"run-{number}"] * 4)) == [0] * 4
    for log in logs:
        log.dispose()
