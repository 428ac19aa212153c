"""Stores copies of the lists of forgotten people, which tell when a list in the lake became shorter.

Not here: the lists, and what they mean (`planday_io.lake.forgotten`).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select, update

from planday_io.state.database import Database
from planday_io.state.rows import ForgottenCopy
from planday_io.state.schema import FORGOTTEN


class ForgottenCopies:
    """The copies of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, ForgottenCopy]:
        """The copy of each portal's list. Raises StorageError."""

        def work(connection: Connection) -> dict[str, ForgottenCopy]:
            rows = connection.execute(select(FORGOTTEN))
            return {row.portal: ForgottenCopy(row.salt, frozenset(row.pseudonyms)) for row in rows}

        return self._database.read(work)

    def keep(self, portal: str, salt: str, pseudonyms: Collection[int]) -> None:
        """Keep a copy of a list. Raises StorageError."""

        def work(connection: Connection) -> None:
            forget(connection, portal)
            connection.execute(insert(FORGOTTEN).values(portal=portal, salt=salt, pseudonyms=sorted(pseudonyms)))

        self._database.write(work)

    def forget(self, portal: str) -> None:
        """Remove the copy of a list. Raises StorageError."""
        self._database.write(lambda connection: forget(connection, portal))

    def rename(self, old: str, new: str) -> None:
        """Give the copy of a portal's list to another key. Raises StorageError."""
        self._database.write(lambda connection: rename(connection, old, new))


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the copy of a portal's list to another key."""
    if connection.execute(select(FORGOTTEN.c.portal).where(FORGOTTEN.c.portal == old)).first():
        forget(connection, new)
        connection.execute(update(FORGOTTEN).where(FORGOTTEN.c.portal == old).values(portal=new))


def forget(connection: Connection, portal: str) -> None:
    """Remove the copy of a portal's list."""
    connection.execute(delete(FORGOTTEN).where(FORGOTTEN.c.portal == portal))
