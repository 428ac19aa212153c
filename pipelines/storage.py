"""Dagster's SQLite storage with engines that are kept: same files, a fifth less processor time for a sync of ten portals.

Dagster makes an engine, compiles its statement, opens the database and closes it again for each event of a run; such a sync
stores 1,300. To be without this module, write `storage: {sqlite: {base_dir: .dagster/storage}}` into dagster.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import NullPool, QueuePool

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class EventLog(SqliteEventLogStorage):
    """The event log. Its engines are kept: that of the index of all runs, and that of the run which was used last.

    The index stays open, runs do not: who watches a run in the UI is woken when its file changes, and SQLite writes an
    event into the file itself only when the last connection closes.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
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
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(str(Path(self._event_log_storage.path_for_shard(INDEX_SHARD_NAME)).parent))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from dagster.yaml."""
        return cls.from_local(inst_data=inst_data, **config_value)
