"""The state database of an installation: what it remembers between runs, except the request budget.

Not here: what is stored (`schema`, and a module per kind of row), the files of versions before the database (`legacy`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from planday_io.errors import StorageError
from planday_io.state.database import DamagedDatabaseError, Database
from planday_io.state.legacy import import_files, legacy_files, lose, remove_files
from planday_io.state.locks import Locks
from planday_io.state.schema import ABOUT, BASELINES, COMMANDS, METADATA, REFRESH_REQUESTS, VERSION


def database_file(folder: Path) -> Path:
    """Where the state database of a state folder is."""
    return folder / "state.sqlite"


class StateDatabase(Database):
    """The state database. It takes in the files of versions before it.

    Args:
        folder: the state folder.
        locks: of the installation.
    """

    def __init__(self, folder: Path, locks: Locks) -> None:
        super().__init__(database_file(folder), locks, METADATA, name="the state database")
        self._folder = folder

    def _is_blank(self) -> bool:
        return super()._is_blank() and not legacy_files(self._folder)

    def _is_current(self, connection: Connection) -> bool:
        """Raises StorageError where a newer version made it."""
        about: list[object] = [*connection.execute(select(ABOUT.c.version)).scalars()]
        version = about[0] if len(about) == 1 else None
        if not isinstance(version, int) or version < 1:
            raise DamagedDatabaseError("it does not say its version")
        if version > VERSION:
            raise StorageError(
                f"the state database is of version {version}, and this program knows {VERSION}: install the newer version "
                "of this program again. Nothing was changed"
            )
        return version == VERSION and not legacy_files(self._folder)

    def _fill(self, connection: Connection, *, is_new: bool, is_lost: bool) -> Callable[[], None]:
        connection.execute((insert(ABOUT) if is_new else update(ABOUT)).values(version=VERSION))
        if is_lost:
            lose(connection, datetime.now(UTC), BASELINES, REFRESH_REQUESTS, COMMANDS)
        imported = import_files(self._folder, connection)
        return lambda: remove_files(self._folder, imported)
