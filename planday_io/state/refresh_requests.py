"""Stores refresh requests: months whose tables have to be read again.

Not here: finding them (`planday_io.sync.changes`), launching runs (`pipelines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.rows import RefreshRequest
from planday_io.state.schema import REFRESH_REQUESTS
from planday_io.state.state_database import Kind


class RefreshRequests(Kind):
    """The refresh requests of one installation."""

    def all(self, portal: str | None = None) -> list[RefreshRequest]:
        """All requests, or those for a portal, oldest month first. Raises StorageError."""
        found = self._database.read(REFRESH_REQUESTS.all, **({} if portal is None else {"portal": portal}))
        return sorted(found, key=lambda one: (one.month, one.portal))

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
            for month, endpoints in wanted.items():
                before = REFRESH_REQUESTS.get(connection, portal=portal, month=month)
                new = RefreshRequest(
                    portal=portal,
                    month=month,
                    endpoints=tuple(sorted({*(before.endpoints if before else ()), *endpoints})),
                    requested_at=at,
                    share_gone=max(before.share_gone if before else 0.0, share_gone.get(month, 0.0)),
                )
                REFRESH_REQUESTS.put(connection, new)

        if wanted:
            self._database.write(work)

    def settle(self, left: Iterable[tuple[RefreshRequest, tuple[str, ...]]]) -> None:
        """Keep only some endpoints of requests, or remove those without any. Raises StorageError.

        A request that was made again meanwhile stays as it is.
        """
        left = list(left)

        def work(connection: Connection) -> None:
            for one, endpoints in left:
                if one != REFRESH_REQUESTS.get(connection, portal=one.portal, month=one.month):
                    continue
                if endpoints:
                    REFRESH_REQUESTS.put(connection, replace(one, endpoints=endpoints))
                else:
                    REFRESH_REQUESTS.delete(connection, portal=one.portal, month=one.month)

        if left:
            self._database.write(work)

    def share_gone(self, portal: str, month: str | None, read_at: datetime) -> float:
        """The share of a month's rows that were found gone since a read of it; 0 where nothing was. Raises StorageError."""
        found = [one for one in self.all(portal) if one.month == month and one.requested_at > read_at] if month else []
        return max([0.0, *(one.share_gone for one in found)])

    def lost_at(self) -> datetime | None:
        """When requests were last lost with a damaged database, or None. Raises StorageError."""
        return self._lost_at(REFRESH_REQUESTS)
