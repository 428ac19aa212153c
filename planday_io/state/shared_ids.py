"""Stores the ids that runs started together fan out over, for an hour.

Only ids of tables without people are shared, so that forgetting a person is nothing that has to be done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from planday_io.state.database import Database
from planday_io.state.rows import SHARED_FOR
from planday_io.state.schema import SHARED_IDS


class SharedIds:
    """The shared ids of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, batch: str, portal: str, table: str, now: datetime) -> tuple[int, ...] | None:
        """The ids of a table's rows, as a run of the same batch read them in the last hour. Raises StorageError."""
        where = (SHARED_IDS.c.batch == batch, SHARED_IDS.c.portal == portal, SHARED_IDS.c.table_name == table)
        statement = select(SHARED_IDS.c.ids).where(*where, SHARED_IDS.c.at > now - SHARED_FOR)
        return self._database.read(lambda connection: connection.execute(statement).scalar())

    def share(self, batch: str, portal: str, table: str, ids: Iterable[int], at: datetime) -> None:
        """Share ids read at a UTC instant with runs of the same batch; what is too old is removed. Raises StorageError."""
        row = {"batch": batch, "portal": portal, "table_name": table, "ids": [*ids], "at": at}

        def work(connection: Connection) -> None:
            key = [column == row[column.name] for column in SHARED_IDS.primary_key]
            connection.execute(delete(SHARED_IDS).where(*key))
            connection.execute(delete(SHARED_IDS).where(SHARED_IDS.c.at <= at - SHARED_FOR))
            connection.execute(insert(SHARED_IDS).values(row))

        self._database.write(work)


def rename(connection: Connection, old: str, new: str) -> None:
    """Remove all for both keys: runs that know a portal by another key are over."""
    connection.execute(delete(SHARED_IDS).where(SHARED_IDS.c.portal.in_((old, new))))


def forget(connection: Connection, portal: str) -> None:
    """Remove all for a portal."""
    connection.execute(delete(SHARED_IDS).where(SHARED_IDS.c.portal == portal))
