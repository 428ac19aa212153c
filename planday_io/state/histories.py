"""Which histories have to follow: slices that are being replaced, or were, while their history was not updated yet.

Not here: updating them (`planday_io.lake.history`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.rows import OwedHistory, SliceKey
from planday_io.state.schema import LOST, OWED_HISTORIES
from planday_io.state.state_database import Kind


class OwedHistories(Kind):
    """The owed histories of one installation."""

    def all(self) -> dict[SliceKey, datetime | None]:
        """Slices whose history has to follow, and when they were read before, if that is known. Raises StorageError."""
        return {key: one.last_read_at for key, one in self._database.read(OWED_HISTORIES.all)}

    def are_lost(self) -> bool:
        """Whether it was lost with a damaged database which ones have to follow. Raises StorageError."""
        return self._lost_at(OWED_HISTORIES) is not None

    def find_again(self, keys: Iterable[SliceKey]) -> None:
        """Let every history follow, because it was lost which ones have to. Raises StorageError."""
        owed = [(key, OwedHistory(last_read_at=None)) for key in keys]

        def work(connection: Connection) -> None:
            OWED_HISTORIES.add(connection, *owed)
            LOST.delete(connection, kind=OWED_HISTORIES.name)

        self._database.write(work)

    def settle(self, keys: Collection[SliceKey]) -> None:
        """Note that histories have followed. Raises StorageError."""
        if keys:
            self._database.write(OWED_HISTORIES.remove, keys)
