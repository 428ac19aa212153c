"""Stores refresh requests: months whose tables have to be read again.

Not here: finding them (`planday_io.sync.changes`), launching runs (`pipelines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from planday_io.state.database import Database
from planday_io.state.rows import RefreshRequest
from planday_io.state.schema import LOST, REFRESH_REQUESTS
from planday_io.state.statements import put


class RefreshRequests:
    """The refresh requests of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, portal: str | None = None) -> list[RefreshRequest]:
        """All requests, or those for a portal, oldest month first. Raises StorageError."""
        return self._database.read(lambda connection: _all(connection, portal))

    def portals(self) -> list[str]:
        """Portals that have requests. Raises StorageError."""
        return sorted({one.portal for one in self.all()})

    def add(
        self, portal: str, months: Mapping[str, Iterable[str]], share_gone: Mapping[str, float], at: datetime
    ) -> None:
        """Request that months are read again. What was requested before stays requested. Raises StorageError.

        Args:
            portal: config key.
            months: month -> endpoints.
            share_gone: month -> share of its rows that are gone.
            at: UTC instant.
        """
        wanted = {month: [*endpoints] for month, endpoints in months.items()}

        def work(connection: Connection) -> None:
            known = {one.month: one for one in _all(connection, portal)}
            for month, endpoints in wanted.items():
                before = known.get(month)
                put(
                    connection,
                    REFRESH_REQUESTS,
                    portal=portal,
                    month=month,
                    endpoints=sorted({*(before.endpoints if before else ()), *endpoints}),
                    requested_at=at,
                    share_gone=max(before.share_gone if before else 0.0, share_gone.get(month, 0.0)),
                )

        if wanted:
            self._database.write(work)

    def settle(self, left: Iterable[tuple[RefreshRequest, tuple[str, ...]]]) -> None:
        """Keep only some endpoints of requests, or remove those without any. Raises StorageError.

        A request that was made again meanwhile stays as it is.
        """
        left = list(left)

        def work(connection: Connection) -> None:
            known = _all(connection, None)
            for one, endpoints in left:
                if one not in known:
                    continue
                where = (REFRESH_REQUESTS.c.portal == one.portal, REFRESH_REQUESTS.c.month == one.month)
                if endpoints:
                    connection.execute(update(REFRESH_REQUESTS).where(*where).values(endpoints=endpoints))
                else:
                    connection.execute(delete(REFRESH_REQUESTS).where(*where))

        if left:
            self._database.write(work)

    def share_gone(self, portal: str, month: str | None, read_at: datetime) -> float:
        """The share of a month's rows that were found gone since a read of it; 0 where nothing was. Raises StorageError."""
        found = [one for one in self.all(portal) if one.month == month and one.requested_at > read_at] if month else []
        return max([0.0, *(one.share_gone for one in found)])

    def lost_at(self) -> datetime | None:
        """When requests were last lost with a damaged database, or None. Raises StorageError."""
        statement = select(LOST.c.at).where(LOST.c.kind == REFRESH_REQUESTS.name)
        return self._database.read(lambda connection: connection.execute(statement).scalar())


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the requests for a portal to another key."""
    for one in _all(connection, old):
        where = (REFRESH_REQUESTS.c.portal == new, REFRESH_REQUESTS.c.month == one.month)
        connection.execute(delete(REFRESH_REQUESTS).where(*where))
    connection.execute(update(REFRESH_REQUESTS).where(REFRESH_REQUESTS.c.portal == old).values(portal=new))


def forget(connection: Connection, portal: str) -> None:
    """Remove all for a portal."""
    connection.execute(delete(REFRESH_REQUESTS).where(REFRESH_REQUESTS.c.portal == portal))


def _all(connection: Connection, portal: str | None) -> list[RefreshRequest]:
    statement = select(REFRESH_REQUESTS).order_by(REFRESH_REQUESTS.c.month, REFRESH_REQUESTS.c.portal)
    if portal is not None:
        statement = statement.where(REFRESH_REQUESTS.c.portal == portal)
    return [
        RefreshRequest(
            portal=row.portal,
            month=row.month,
            endpoints=row.endpoints,
            requested_at=row.requested_at,
            share_gone=row.share_gone,
        )
        for row in connection.execute(statement)
    ]
