"""Stores copies of the lists of forgotten people, which tell when a list in the lake became shorter.

Not here: the lists, and what they mean (`planday_io.lake.forgotten`).
"""

from __future__ import annotations

from collections.abc import Collection

from planday_io.state.rows import ForgottenCopy
from planday_io.state.schema import FORGOTTEN, rename_rows
from planday_io.state.state_database import Kind


class ForgottenCopies(Kind):
    """The copies of one installation."""

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
