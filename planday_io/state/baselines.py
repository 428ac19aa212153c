"""Since when schedules have been reading each table as they do now.

Not here: how schedules read a table, and why that matters (`planday_io.monitoring.baseline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select, update

from planday_io.state.database import Database
from planday_io.state.schema import BASELINES, LOST
from planday_io.state.statements import put

Readings = Mapping[str, Mapping[str, str]]
"""Portal -> table -> how schedules read it."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_IS_LOST = LOST.c.kind == BASELINES.name


class Baselines:
    """The baselines of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(self, readings: Readings, now: datetime) -> None:
        """Note what is new, or is read in another way than before. Raises StorageError.

        Where the baselines were lost with a damaged database, all tables count as read for long: an alert that comes too
        early is better than none.
        """
        wanted = {(portal, table): text for portal, tables in readings.items() for table, text in tables.items()}

        def work(connection: Connection) -> None:
            known = _all(connection)
            since = _LONG_AGO if connection.execute(select(LOST).where(_IS_LOST)).first() else now
            for portal, table in known.keys() - wanted.keys():
                gone = (BASELINES.c.portal == portal, BASELINES.c.table_name == table)
                connection.execute(delete(BASELINES).where(*gone))
            for (portal, table), text in wanted.items() - known.items():
                put(connection, BASELINES, portal=portal, table_name=table, reading=text, since=since)
            connection.execute(delete(LOST).where(_IS_LOST))

        # Mostly nothing changed, and reading keeps nobody waiting.
        if self._database.read(_all) != wanted:
            self._database.write(work)

    def of(self, portal: str) -> dict[str, tuple[str, datetime]]:
        """Table -> how schedules read it, and the UTC instant since when. Raises StorageError."""
        statement = select(BASELINES).where(BASELINES.c.portal == portal)
        return self._database.read(
            lambda connection: {row.table_name: (row.reading, row.since) for row in connection.execute(statement)}
        )


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the baselines of a portal to another key, whose own are gone then."""
    if connection.execute(select(BASELINES).where(BASELINES.c.portal == old)).first():
        forget(connection, new)
        connection.execute(update(BASELINES).where(BASELINES.c.portal == old).values(portal=new))


def forget(connection: Connection, portal: str) -> None:
    """Remove all of a portal."""
    connection.execute(delete(BASELINES).where(BASELINES.c.portal == portal))


def _all(connection: Connection) -> dict[tuple[str, str], str]:
    return {(row.portal, row.table_name): row.reading for row in connection.execute(select(BASELINES))}
