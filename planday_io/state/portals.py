"""What is known of portals: which one a key stands for, copies of lists of forgotten people, ids that runs share.

Not here: what follows from it (`planday_io.lake.identity`, `planday_io.lake.forgotten`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.mapping import stored
from planday_io.state.rows import SHARED_FOR, ForgottenCopy, PortalId, SharedIdsOfTable
from planday_io.state.schema import FORGOTTEN, PORTALS, SHARED_IDS, rename_rows
from planday_io.state.state_database import Kind


class Portals(Kind):
    """The portal id of each key, as it was last read."""

    def ids(self) -> dict[str, int]:
        """The portal id of each key that has one. Raises StorageError."""
        return {one.portal: one.id for one in self._database.read(PORTALS.all)}

    def record(self, portal: str, portal_id: int) -> None:
        """Record which portal a key stands for. Raises StorageError."""
        self._database.write(PORTALS.put, PortalId(portal=portal, id=portal_id))

    def forget(self, portal: str) -> None:
        """Remove the id of a key. Raises StorageError."""
        self._database.write(PORTALS.delete, portal=portal)


class ForgottenCopies(Kind):
    """Copies of the lists of forgotten people, which show when a list in the lake became shorter."""

    def all(self) -> dict[str, ForgottenCopy]:
        """The copy of each portal's list. Raises StorageError."""
        return {one.portal: one for one in self._database.read(FORGOTTEN.all)}

    def keep(self, portal: str, salt: str, pseudonyms: Collection[int]) -> None:
        """Keep a copy of a list. Raises StorageError."""
        self._database.write(FORGOTTEN.put, ForgottenCopy(portal=portal, salt=salt, pseudonyms=frozenset(pseudonyms)))

    def forget(self, portal: str) -> None:
        """Remove the copy of a list. Raises StorageError."""
        self._database.write(FORGOTTEN.delete, portal=portal)

    def rename(self, old: str, new: str) -> None:
        """Give the copy of a portal's list to another key. Raises StorageError."""
        self._database.write(rename_rows, FORGOTTEN.table, old, new)


class SharedIds(Kind):
    """Ids that runs started together fan out over, for an hour; only of tables without people."""

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
