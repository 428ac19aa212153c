"""The state database of an installation: what it remembers between runs, except the request budget.

Not here: what is stored (`schema`, and a module per kind of row), the files of versions before the database (`legacy`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from planday_io.errors import StorageError
from planday_io.files import storage_errors, write_text
from planday_io.state.database import DamagedDatabaseError, Database
from planday_io.state.folder import aside_name
from planday_io.state.legacy import import_files, legacy_files, remove_files, shut_out
from planday_io.state.locks import Locks
from planday_io.state.mapping import Rows
from planday_io.state.schema import ABOUT, FIRST_VERSION, FORMER, KNOWN_FILES, LOSABLE, LOST, METADATA, VERSION, lose


def database_file(folder: Path) -> Path:
    """Where the state database of a state folder is."""
    return folder / "state.sqlite"


class StateDatabase(Database):
    """The state database. It imports the files of versions before it.

    Args:
        folder: the state folder.
        locks: of the installation.
    """

    def __init__(self, folder: Path, locks: Locks) -> None:
        super().__init__(database_file(folder), locks, METADATA, name="the state database")
        self._folder = folder

    def look_again(self) -> None:
        """Make the next use import what a process of version 0.1 wrote meanwhile. Raises StorageError."""
        if legacy_files(self._folder):
            self.check_again()

    def shut_out_old_version(self) -> None:
        """Make processes of version 0.1 refuse to write from now on. Raises StorageError."""
        shut_out(self._folder)

    def leave_note(self, name: str, text: str) -> None:
        """Leave a file that is reported until somebody removes it, like what was set aside. Raises StorageError."""
        with storage_errors(self._folder, "leave a note in"):
            write_text(aside_name(self._file.with_name(f"{self._file.name}.{name}")), text, mode=0o600)

    def is_blank(self) -> bool:
        return super().is_blank() and not legacy_files(self._folder)

    def _is_current(self, connection: Connection) -> bool:
        """Raises StorageError where a newer version made it."""
        about: list[object] = [*connection.execute(select(ABOUT.c.version)).scalars()]
        version = about[0] if len(about) == 1 else None
        if not isinstance(version, int) or version < FIRST_VERSION:
            raise DamagedDatabaseError("it is of no version that was released")
        if version > VERSION:
            raise StorageError(
                f"the state database is of version {version}, and this program knows {VERSION}: install the newer version "
                "of this program again. Nothing was changed"
            )
        return version == VERSION and not legacy_files(self._folder)

    def _fill(self, connection: Connection, *, is_lost: bool) -> Callable[[], None]:
        for table in FORMER:
            table.drop(connection, checkfirst=True)
        connection.execute(ABOUT.delete())
        connection.execute(ABOUT.insert().values(version=VERSION))
        if is_lost:
            lose(connection, *LOSABLE, KNOWN_FILES)
        imported = import_files(self._folder, connection)
        return lambda: remove_files(self._folder, imported)


class Kind:
    """One kind of thing that an installation remembers.

    Args:
        database: of the installation.
    """

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def _lost_at(self, rows: Rows[Any]) -> datetime | None:
        """When rows were last lost with a damaged database, and this is not handled yet, or None. Raises StorageError."""
        lost = self._database.read(LOST.get, kind=rows.name)
        return lost.at if lost else None
