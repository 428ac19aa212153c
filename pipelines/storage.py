"""Dagster's SQLite storage with the same files, created and opened with less work.

For each event of a run Dagster creates an engine, compiles the statement, and opens and closes the database. Each time it
creates a run's database or opens an instance (for every tick of a schedule, too), alembic reads forty migrations, only to
find that the database is up to date. Without that, a sync of ten portals takes a fifth less processor time, and a hundred
schedules due at once are queued in three fifths of the time. It is off unless dagster.yaml names it, because it derives
from private classes of Dagster; it can go when dagster-io/dagster#32217 (migrations looked up at each connection) is fixed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata  # dagster#32217
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (  # dagster#32217
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage  # dagster#32217
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage  # dagster#32217
from dagster._core.storage.sql import create_engine  # dagster#32217
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string  # dagster#32217
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage  # dagster#32217
from dagster._serdes import ConfigurableClassData  # dagster#32217
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, QueuePool

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


_STAMP_TABLE = """CREATE TABLE alembic_version
    (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""


class EventLog(SqliteEventLogStorage):
    """The event log. It keeps two engines: that of the index of all runs, and that of the run used last.

    The index stays open, runs do not: the UI notices new events of a run when its file changes, and SQLite writes them into
    the file itself only when the last connection closes.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._newest: str | None = None
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            for other in self._engines.keys() - {INDEX_SHARD_NAME}:
                self._engines.pop(other).dispose()
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard),
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
                poolclass=QueuePool if shard == INDEX_SHARD_NAME else NullPool,
            )
        if shard not in self._initialized_dbs:
            self._initdb(self._engines[shard])
            self._initialized_dbs.add(shard)
        return self._engines[shard]

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        file = Path(engine.url.database or "")
        if _stamp(file):
            return
        if for_index_shard or self._newest is None:
            super()._initdb(engine, for_index_shard)
            # The revision that Dagster gives a new database; the index may be older until `dagster instance migrate`.
            self._newest = None if for_index_shard else _stamp(file)
            return
        try:
            with engine.begin() as connection:
                connection.execute(text("PRAGMA journal_mode=WAL"))
                SqlEventLogStorageMetadata.create_all(connection)
                connection.execute(text(_STAMP_TABLE))
                connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": self._newest})
        except DatabaseError:
            # Another process is creating the database too; Dagster's own code waits for that.
            super()._initdb(engine, for_index_shard)

    def dispose(self) -> None:
        """Close the index."""
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class SqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules below one folder, for `storage: custom` of dagster.yaml.

    Args:
        base_dir: the folder, absolute or relative to the working directory.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        history, schedules = Path(base_dir, "history"), Path(base_dir, "schedules")
        if not (_stamp(history / "runs.db") and _stamp(schedules / "schedules.db")):
            DagsterSqliteStorage(base_dir).dispose()
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir, self._inst_data = base_dir, inst_data
        self._run_storage = SqliteRunStorage(create_db_conn_string(str(history), "runs"))
        self._event_log_storage = EventLog(str(history / "runs"))
        self._schedule_storage = SqliteScheduleStorage(create_db_conn_string(str(schedules), "schedules"))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """As Dagster creates it from dagster.yaml."""
        return cls.from_local(inst_data=inst_data, **config_value)


def _stamp(database: Path) -> str | None:
    """The migration revision of a Dagster database; None if it does not exist yet."""
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as db:
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return str(row[0]) if row else None
