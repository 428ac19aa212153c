"""The state database: one SQLite file, opened for each short transaction.

No connection outlives its transaction, so threads, forks and processes need no care. Writes take SQLite's lock at once (BEGIN
IMMEDIATE); who waits for it, waits a minute. The database is made under another name and then renamed, so whoever finds it
without its tables found damage. A damaged one is set aside and made again, whichever statement finds the damage and however
many processes find it at once: the first that holds the lock does it, the others go on with the new one.

The rollback journal stays on: what is here is read again after a power cut. It is not a write-ahead log, whose side files
cannot be made on a disk that is mounted read-only.

Not here: what is stored (`schema`, and a module per kind of row), the files of versions before the database (`legacy`).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from planday_io.errors import StorageError
from planday_io.files import storage_errors, sync_folder, temporary
from planday_io.state.legacy import Imported, import_files, legacy_files, lose, remove_files
from planday_io.state.locks import Locks
from planday_io.state.records import set_aside
from planday_io.state.schema import ABOUT, BASELINES, COMMANDS, METADATA, REFRESH_REQUESTS, VERSION, DamagedValueError

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 60
_SIDE_FILES = ("-journal", "-wal", "-shm")
_BUSY = (
    "Another process has held it for a minute: see whether one hangs, and run the same command again when it has ended"
)
_REMEDIES = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and run the same command again",
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_NOMEM: "There is not enough memory: free some, and run the same command again",
    sqlite3.SQLITE_IOERR: "The disk is full or reports a fault: free some space, and look at the system's log",
    sqlite3.SQLITE_PERM: "",
    sqlite3.SQLITE_READONLY: "",
    sqlite3.SQLITE_CANTOPEN: "",
    sqlite3.SQLITE_AUTH: "",
    sqlite3.SQLITE_INTERRUPT: "Run the same command again",
    sqlite3.SQLITE_NOLFS: "",
}
"""Codes that say something about the disk or the rights; the empty ones take `_RIGHTS`."""
_RIGHTS = (
    "Give the account that runs this the right to write the file and its folder, and check that the disk is mounted "
    "for writing"
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

T = TypeVar("T")

_CHECKED: dict[Path, int] = {}
"""Databases that this process has checked: file -> inode."""


class _DamagedDatabaseError(Exception):
    """The file is no database of this program."""


_FAULTS = (DBAPIError, _DamagedDatabaseError, DamagedValueError, UnicodeDecodeError)
"""What using the database may raise. The last is Python's, where SQLite's message quotes a damaged name."""


def database_file(folder: Path) -> Path:
    """Where the database of a state folder is."""
    return folder / "state.sqlite"


class Database:
    """The state database of an installation. Nothing is opened or made before it is used.

    Args:
        folder: the state folder. It is made with the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = database_file(folder)
        self._locks = Locks(folder / "locks")

    def read(self, work: Callable[[Connection], T]) -> T:
        """Read in one transaction. Where nothing was ever written, all tables are empty, and nothing is made.

        Args:
            work: what to do; after damage it is done once more.

        Raises:
            StorageError: the database cannot be read.
        """
        if not os.path.lexists(self._file) and not legacy_files(self._folder):
            with _blank().begin() as connection:
                METADATA.create_all(connection, checkfirst=False)
                return work(connection)
        return self._healed(lambda: self._transaction(work, writes=False))

    def write(self, work: Callable[[Connection], T]) -> T:
        """Read and write in one transaction that no other process is inside.

        Args:
            work: what to do; after damage it is done once more.

        Raises:
            StorageError: the database cannot be written. Nothing was changed.
        """
        return self._healed(lambda: self._transaction(work, writes=True))

    def _transaction(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        self._prepare()
        with _engine(self._file).connect() as opened:
            connection = opened.execution_options(planday_writes=writes)
            with connection.begin():
                return work(connection)

    def _healed(self, do: Callable[[], T]) -> T:
        """Do something with the database; where it finds damage, once more with a new one."""
        inode = _inode(self._file)
        try:
            with storage_errors(self._file, "use the state database"):
                return do()
        except _FAULTS as error:
            if not self._is_damage(error):
                raise self._refused(error) from None
            self._replace(inode, error)
        try:
            with storage_errors(self._file, "use the state database"):
                return do()
        except _FAULTS as error:
            raise self._refused(error) from None

    def _is_damage(self, error: Exception) -> bool:
        code = _code(error)
        if not isinstance(error, DBAPIError) or code in _DAMAGE:
            return True
        if code in _REMEDIES:
            return False
        if not code and isinstance(error.orig, sqlite3.OperationalError):
            return True  # A text that is no UTF-8.
        # Statements never change, so a name that is not there is damage, or a fault of this program.
        _CHECKED.pop(self._file, None)
        try:
            with _engine(self._file).connect() as connection:
                _check(connection)
        except _FAULTS:
            return True
        raise error

    def _prepare(self) -> None:
        """Make the database, bring an older one up to date, and take in the files of versions before it."""
        inode = _inode(self._file)
        if inode and _CHECKED.get(self._file) == inode:
            return
        if inode:
            self._check_file()
            with _engine(self._file).connect() as connection:
                is_current = _check(connection) == VERSION
            if is_current and not legacy_files(self._folder):
                _CHECKED[self._file] = inode
                return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locks.hold("state"):
            if not os.path.lexists(self._file):
                self._make()
            else:
                self._check_file()
                remove_files(self._folder, self._bring_up_to_date(self._file))
            _CHECKED[self._file] = _inode(self._file)

    def _make(self, *, lost_at: datetime | None = None) -> None:
        """Make the database whole, with what older versions kept in files. Within the lock."""
        # A journal that was left beside the name would be applied to the new file.
        for end in _SIDE_FILES:
            Path(f"{self._file}{end}").unlink(missing_ok=True)
        with temporary(self._file) as name:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            imported = self._bring_up_to_date(name, lost_at=lost_at, is_new=True)
            name.rename(self._file)
        sync_folder(self._folder)
        remove_files(self._folder, imported)

    def _bring_up_to_date(self, file: Path, *, lost_at: datetime | None = None, is_new: bool = False) -> Imported:
        engine = _new_engine(file)
        with engine.connect() as opened:
            connection = opened.execution_options(planday_writes=True)
            with connection.begin():
                METADATA.create_all(connection)
                if is_new:
                    connection.execute(insert(ABOUT).values(version=VERSION))
                else:
                    connection.execute(update(ABOUT).values(version=VERSION))
                if lost_at is not None:
                    lose(connection, lost_at, BASELINES, REFRESH_REQUESTS, COMMANDS)
                return import_files(self._folder, connection)

    def _check_file(self) -> None:
        if self._file.is_dir() or self._file.stat().st_size == 0:
            raise _DamagedDatabaseError("it is a folder, or empty")

    def _replace(self, inode: int, error: Exception) -> None:
        """Set a damaged database aside and make another, unless another process did."""
        with storage_errors(self._folder, "set the damaged state database aside in"), self._locks.hold("state"):
            if _inode(self._file) != inode and inode:
                return
            _CHECKED.pop(self._file, None)
            aside = set_aside(self._file)
            for end in _SIDE_FILES:
                with suppress(FileNotFoundError):
                    Path(f"{self._file}{end}").rename(f"{aside}{end}")
            self._make(lost_at=datetime.now(UTC))
        _LOG.warning(
            "the state database %s was damaged (%s): set aside as %s and made again",
            self._file,
            _reason(error),
            aside.name,
        )

    def _refused(self, error: Exception) -> StorageError:
        remedy = _REMEDIES.get(_code(error)) or _RIGHTS
        return StorageError(
            f"the state database {self._file} cannot be used ({_reason(error)}). {remedy}. Nothing was changed"
        )


def _check(connection: Connection) -> int:
    """The version of a database. Raises an error of SQLAlchemy or `_DamagedDatabaseError` where it is damaged."""
    if (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
        raise _DamagedDatabaseError(f"SQLite's check says: {found}")
    about: list[object] = [*connection.execute(select(ABOUT.c.version)).scalars()]
    version = about[0] if len(about) == 1 else None
    if not isinstance(version, int) or version < 1:
        raise _DamagedDatabaseError("it does not say its version")
    if version > VERSION:
        raise StorageError(
            f"the state database is of version {version}, and this program knows {VERSION}: install the newer version of "
            "this program again. Nothing was changed"
        )
    for table in METADATA.sorted_tables if version == VERSION else ():
        connection.execute(select(table).limit(0))
    return version


def _new_engine(file: Path) -> Engine:
    address = f"{file.absolute().as_uri()}?mode=rw"

    def connected() -> sqlite3.Connection:
        # Never makes the file: what has the name is a whole database, or was damaged.
        return sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connected, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        # What was removed leaves no bytes: a command may name an employee.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("planday_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_engine = lru_cache(maxsize=8)(_new_engine)


@lru_cache(maxsize=1)
def _blank() -> Engine:
    """Gives a new database in memory to each connection."""
    return create_engine("sqlite://", poolclass=NullPool)


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _code(error: Exception) -> int:
    """The primary SQLite code of an error, or 0."""
    return int(getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) or 0) & 0xFF


def _reason(error: Exception) -> str:
    """Without SQLAlchemy's text, which quotes the statement and its values."""
    return str(getattr(error, "orig", None) or error)
