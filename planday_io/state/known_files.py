"""By what the lake and the warehouse file of an installation are recognised.

Not here: what to do where they are not recognised (`planday_io.lake.presence`, `planday_io.warehouse.standing`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete

from planday_io.state.schema import KNOWN_FILES, LOST
from planday_io.state.state_database import LOSABLE, StateDatabase
from planday_io.state.statements import LAKE, WAREHOUSE, lose, marks_of, put_marks

_LOG = logging.getLogger(__name__)
_MISSING = (
    "The state database was not there, although the lake was written before: it was deleted, or not restored with the lake. "
    "Another one was made, and what it held was found out again as far as possible."
)


class KnownFiles:
    """What one installation recognises its files by.

    Args:
        database: of the installation.
    """

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def lake(self) -> str:
        """The name of the lake, or empty. Raises StorageError."""
        marks = self._database.read(lambda connection: marks_of(connection, LAKE))
        return marks[0] if marks else ""

    def adopt_lake(self, name: str, *, is_new: bool) -> None:
        """Know the lake by a name from now on. Raises StorageError.

        Args:
            name: that its folder holds.
            is_new: the folder was given the name just now. Otherwise an installation that knows no lake has lost its state.
        """

        def work(connection: Connection) -> bool:
            is_missing = not is_new and marks_of(connection, LAKE) is None
            put_marks(connection, LAKE, [name])
            if not is_missing:
                return False
            # Lost with a damaged database, and reported with it.
            if connection.execute(delete(LOST).where(LOST.c.kind == KNOWN_FILES.name)).rowcount:
                return False
            lose(connection, datetime.now(UTC), *LOSABLE)
            return True

        if self._database.write(work):
            _LOG.warning("%s", _MISSING)
            self._database.leave_note("missing", _MISSING)

    def warehouse(self) -> tuple[str, ...] | None:
        """Headers of the published file, and of one in progress; None where they are not known. Raises StorageError."""
        # A process of an older version, which publishes during the night of an upgrade, keeps them in a file.
        self._database.look_again()
        return self._database.read(lambda connection: marks_of(connection, WAREHOUSE))

    def note_warehouse(self, headers: Sequence[str]) -> None:
        """Know the warehouse file by headers from now on. Raises StorageError."""
        self._database.write(lambda connection: put_marks(connection, WAREHOUSE, headers))
