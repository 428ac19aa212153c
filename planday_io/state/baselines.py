"""Since when schedules have been reading each table as they do now.

Not here: how schedules read a table, and why that matters (`planday_io.monitoring.freshness`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection

from planday_io.state.rows import Baseline
from planday_io.state.schema import BASELINES, LOST
from planday_io.state.state_database import Kind

Readings = Mapping[str, Mapping[str, str]]
"""Portal -> table -> how schedules read it."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Baselines(Kind):
    """The baselines of one installation."""

    def observe(self, readings: Readings, now: datetime) -> None:
        """Note what is new, or is read in another way than before. Raises StorageError.

        Where the baselines were lost with a damaged database, all tables count as read for long: an alert that comes too
        early is better than none.
        """
        wanted = {(portal, table): text for portal, tables in readings.items() for table, text in tables.items()}

        def work(connection: Connection) -> None:
            known = _all(connection)
            since = _LONG_AGO if LOST.delete(connection, kind=BASELINES.name) else now
            for portal, table in known.keys() - wanted.keys():
                BASELINES.delete(connection, portal=portal, table=table)
            new = wanted.items() - known.items()
            BASELINES.put(
                connection, *(Baseline(portal=of, table=one, reading=text, since=since) for (of, one), text in new)
            )

        # Mostly nothing changed, and reading keeps nobody waiting.
        if self._database.read(_all) != wanted:
            self._database.write(work)

    def of(self, portal: str) -> dict[str, tuple[str, datetime]]:
        """Table -> how schedules read it, and the UTC instant since when. Raises StorageError."""
        return {one.table: (one.reading, one.since) for one in self._database.read(BASELINES.all, portal=portal)}


def _all(connection: Connection) -> dict[tuple[str, str], str]:
    return {(one.portal, one.table): one.reading for one in BASELINES.all(connection)}
