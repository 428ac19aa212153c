"""Incidents that were noticed, and what each channel reported of them.

Not here: what is an incident, and who has to hear of it (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, select, update

from planday_io.state.database import Database
from planday_io.state.rows import Incident, Notice
from planday_io.state.schema import DELIVERIES, INCIDENTS
from planday_io.state.statements import put_notice

_RENAMED_CAUSES = {"unseen": "unreadable"}
"""How earlier versions named causes -> their names now."""


class Incidents:
    """The incidents of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Notice]:
        """Those that are open, and those whose end is not reported everywhere. Raises StorageError."""
        return self._database.read(_all)

    def replace(self, notices: Iterable[Notice]) -> None:
        """Make these the incidents that are known. Raises StorageError; then those before are."""
        notices = list(notices)

        def work(connection: Connection) -> None:
            connection.execute(delete(DELIVERIES))
            connection.execute(delete(INCIDENTS))
            for number, one in enumerate(notices, 1):
                put_notice(connection, number, one)

        self._database.write(work)


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the incidents of a portal to another key."""
    connection.execute(update(INCIDENTS).where(INCIDENTS.c.portal == old).values(portal=new))


def forget(connection: Connection, portal: str) -> None:
    """Remove all of a portal."""
    numbers = select(INCIDENTS.c.number).where(INCIDENTS.c.portal == portal)
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.incident.in_(numbers)))
    connection.execute(delete(INCIDENTS).where(INCIDENTS.c.portal == portal))


def _all(connection: Connection) -> list[Notice]:
    deliveries: dict[int, dict[str, tuple[str, ...]]] = {}
    for row in connection.execute(select(DELIVERIES)):
        deliveries.setdefault(row.incident, {})[row.channel] = row.tables
    return [
        Notice(
            incident=Incident(
                portal=row.portal,
                cause=_RENAMED_CAUSES.get(row.cause, row.cause),
                tables=row.tables,
                since=row.since,
                error=row.error,
                run_id=row.run_id,
            ),
            noticed_at=row.noticed_at,
            all_tables=row.all_tables,
            ended_at=row.ended_at,
            deliveries=deliveries.get(row.number, {}),
        )
        for row in connection.execute(select(INCIDENTS).order_by(INCIDENTS.c.number))
    ]
