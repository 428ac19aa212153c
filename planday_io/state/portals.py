"""Stores which Planday portal each key stood for when it was last read.

Not here: what follows from it (`planday_io.lake.identity`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select, update

from planday_io.state.database import Database
from planday_io.state.legacy import portal_files, remove_files, take_portals
from planday_io.state.schema import PORTALS


class Portals:
    """The portal ids of one installation.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self) -> dict[str, int]:
        """The portal id of each key that has one. Raises StorageError."""
        return self._database.read(
            lambda connection: {row.portal: row.id for row in connection.execute(select(PORTALS))}
        )

    def record(self, portal: str, portal_id: int) -> None:
        """Record which portal a key stands for. Raises StorageError."""

        def work(connection: Connection) -> None:
            forget(connection, portal)
            connection.execute(insert(PORTALS).values(portal=portal, id=portal_id))

        self._database.write(work)

    def forget(self, portal: str) -> None:
        """Remove the id of a key. Raises StorageError."""
        self._database.write(lambda connection: forget(connection, portal))

    def take_in(self, folder: Path) -> None:
        """Take in what version 0.1 kept in a folder of the lake. Raises StorageError."""
        if portal_files(folder):
            remove_files(folder, self._database.write(lambda connection: take_portals(folder, connection)))
            with suppress(OSError):  # Something of another name may be in there.
                folder.rmdir()


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the id of a key to another key."""
    if connection.execute(select(PORTALS).where(PORTALS.c.portal == old)).first():
        forget(connection, new)
        connection.execute(update(PORTALS).where(PORTALS.c.portal == old).values(portal=new))


def forget(connection: Connection, portal: str) -> None:
    """Remove the id of a key."""
    connection.execute(delete(PORTALS).where(PORTALS.c.portal == portal))
