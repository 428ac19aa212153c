"""Stores which Planday portal each key stood for when it was last read.

Not here: what follows from it (`planday_io.lake.identity`).
"""

from __future__ import annotations

from planday_io.state.rows import PortalId
from planday_io.state.schema import PORTALS
from planday_io.state.state_database import Kind


class Portals(Kind):
    """The portal ids of one installation."""

    def ids(self) -> dict[str, int]:
        """The portal id of each key that has one. Raises StorageError."""
        return {one.portal: one.id for one in self._database.read(PORTALS.all)}

    def record(self, portal: str, portal_id: int) -> None:
        """Record which portal a key stands for. Raises StorageError."""
        self._database.write(PORTALS.put, PortalId(portal=portal, id=portal_id))

    def forget(self, portal: str) -> None:
        """Remove the id of a key. Raises StorageError."""
        self._database.write(PORTALS.delete, portal=portal)
