"""Which histories have to follow: slices that are being replaced, or were, while their history was not updated yet.

Not here: updating them (`planday_io.lake.history`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, select

from planday_io.state.database import Database
from planday_io.state.rows import SliceKey
from planday_io.state.schema import LOST, OWED_HISTORIES
from planday_io.state.slice_rows import is_slice_of, key_of, owe

_IS_LOST = LOST.c.kind == OWED_HISTORIES.name


class OwedHistories:
    """The owed histories of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[SliceKey, datetime | None]:
        """Slices whose history has to follow, and when they were read before, if that is known. Raises StorageError."""
        return self._database.read(
            lambda connection: {key_of(row): row.last_read_at for row in connection.execute(select(OWED_HISTORIES))}
        )

    def are_lost(self) -> bool:
        """Whether it was lost with a damaged database which ones have to follow. Raises StorageError."""
        return bool(self._database.read(lambda connection: connection.execute(select(LOST).where(_IS_LOST)).first()))

    def find_again(self, keys: Iterable[SliceKey]) -> None:
        """Let every history follow, because it was lost which ones have to. Raises StorageError."""

        def work(connection: Connection) -> None:
            owe(connection, dict.fromkeys(keys))
            connection.execute(delete(LOST).where(_IS_LOST))

        self._database.write(work)

    def settle(self, keys: Collection[SliceKey]) -> None:
        """Note that histories have followed. Raises StorageError."""

        def work(connection: Connection) -> None:
            for key in keys:
                connection.execute(delete(OWED_HISTORIES).where(*is_slice_of(OWED_HISTORIES, key)))

        if keys:
            self._database.write(work)
