"""Stores the ids that runs started together fan out over, for an hour.

Only ids of tables without people are shared, so that forgetting a person is nothing that has to be done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.mapping import stored
from planday_io.state.rows import SHARED_FOR, SharedIdsOfTable
from planday_io.state.schema import SHARED_IDS
from planday_io.state.state_database import Kind


class SharedIds(Kind):
    """The shared ids of one installation."""

    def find(self, batch: str, portal: str, table: str, now: datetime) -> tuple[int, ...] | None:
        """The ids of a table's rows, as a run of the same batch read them in the last hour. Raises StorageError."""
        found = self._database.read(SHARED_IDS.get, batch=batch, portal=portal, table=table)
        return found.ids if found and found.at > now - SHARED_FOR else None

    def share(self, batch: str, portal: str, table: str, ids: Iterable[int], at: datetime) -> None:
        """Share ids read at a UTC instant with runs of the same batch; what is too old is removed. Raises StorageError."""
        new = SharedIdsOfTable(batch=batch, portal=portal, table=table, ids=tuple(ids), at=at)

        def work(connection: Connection) -> None:
            SHARED_IDS.delete(connection, SHARED_IDS.c.at <= stored(at - SHARED_FOR))
            SHARED_IDS.put(connection, new)

        self._database.write(work)
