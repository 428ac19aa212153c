"""The SQLite file of the request budget, which repairs itself.

Its content matters for an hour at most. So a damaged file is renamed and created again, whichever statement finds the damage
and however many processes find it at once: the first to get the lock does it, and the others continue with the new file.

The rollback journal is kept in memory. A journal or write-ahead log on disk belongs to a *name*: after a rename it
would be applied to the new file, or the new file's log would be removed with the old one. Damage by a kill during a commit is
handled like any other damage.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from planday_io.errors import StorageError
from planday_io.files import locked, storage_errors
from planday_io.state.records import set_aside

_LOG = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS send (bucket TEXT NOT NULL, sent_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS send_by_time ON send (bucket, sent_at);
CREATE TABLE IF NOT EXISTS policy (bucket TEXT PRIMARY KEY, windows TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gate (bucket TEXT PRIMARY KEY, closed_until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS refusal (bucket TEXT NOT NULL, refused_at REAL NOT NULL);
"""
_PROBE = "SELECT (SELECT max(sent_at) FROM send), (SELECT max(refused_at) FROM refusal)"
_SIDE_FILES = ("-wal", "-shm", "-journal")
_WAIT_SECONDS = 60
_REMEDIES = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and run the same command again",
    sqlite3.SQLITE_BUSY: "Another process has held it for a minute: see whether one hangs",
    sqlite3.SQLITE_LOCKED: "Another process has held it for a minute: see whether one hangs",
}
_RIGHTS = (
    "Give the account that runs this the right to write the file and its folder, and check that the disk is mounted"
)
_OF_THE_PLACE = {
    *_REMEDIES,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOLFS,
}
"""Error codes about the disk or permissions. Any other code means damage, because the statements never change."""

T = TypeVar("T")


class DamagedError(Exception):
    """A value in the file that this program cannot have written."""


class Ledger:
    """One process's handle on the file.

    Args:
        file: created.

    Raises:
        StorageError: the file cannot be created or written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        with locked(self._lock):
            try:
                self._open()
            except (sqlite3.Error, DamagedError) as error:
                if not _is_damage(error):
                    raise self._refused(error) from None
                self._start_again(error)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in one exclusive transaction; after damage, once more in a new file.

        Raises:
            StorageError: the file cannot be written or read.
        """
        try:
            return self._transaction(work)
        except (sqlite3.Error, DamagedError) as error:
            if not _is_damage(error):
                raise self._refused(error) from None
            self._heal(error)
        try:
            return self._transaction(work)
        except (sqlite3.Error, DamagedError) as error:
            raise self._refused(error) from None

    @property
    def _lock(self) -> Path:
        return self._file.with_suffix(".lock")

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._current()
        # Takes the write lock first, so that two processes never see the same free place.
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        return result

    def _current(self) -> sqlite3.Connection:
        """The connection to the current file: another process may have set the old one aside."""
        if self._db is None or _inode(self._file) != self._inode:
            with locked(self._lock):
                self._open()
        assert self._db is not None  # noqa: S101 - it was opened
        return self._db

    def _open(self) -> None:
        self.close()
        db = sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            with suppress(sqlite3.OperationalError):
                # Refused while a process of an older version has the file open with a write-ahead log.
                db.execute("PRAGMA journal_mode=MEMORY")
            db.executescript(f"PRAGMA synchronous=OFF; {_SCHEMA}")
            newest = db.execute(_PROBE).fetchone()
        except BaseException:
            db.close()
            raise
        if any(not isinstance(value, float | None) for value in newest):
            db.close()
            raise DamagedError("a text stands where a time should be")
        self._db, self._inode = db, _inode(self._file)

    def _heal(self, error: Exception) -> None:
        with locked(self._lock):
            if self._inode and _inode(self._file) != self._inode:
                # Another process did it first.
                try:
                    self._open()
                except (sqlite3.Error, DamagedError) as other:
                    error = other
                else:
                    return
            self._start_again(error)

    def _start_again(self, error: Exception) -> None:
        """Set the file aside and create a new one. Call it within the lock."""
        if not _is_damage(error):
            raise self._refused(error)
        self.close()
        with storage_errors(self._file.parent, "set the damaged request budget aside in"):
            aside = set_aside(self._file)
            for end in _SIDE_FILES:
                with suppress(FileNotFoundError):
                    Path(f"{self._file}{end}").rename(f"{aside}{end}")
        _LOG.warning(
            "the request budget %s was damaged (%s): set aside as %s and made again", self._file, error, aside.name
        )
        try:
            self._open()
        except (sqlite3.Error, DamagedError) as again:
            raise self._refused(again) from None

    def _refused(self, error: Exception) -> StorageError:
        remedy = _REMEDIES.get(_code(error), _RIGHTS)
        return StorageError(f"the request budget {self._file} cannot be used ({error}). {remedy}. Nothing was written")


def read_only(file: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """Look into the file without changing it. Raises StorageError where that is not possible, damage included."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            return work(db)
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise StorageError(
            f"the request budget {file} cannot be read ({error}): the next run sets it aside where it is damaged"
        ) from None


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _code(error: Exception) -> int:
    """The primary SQLite code of an error, or 0."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _is_damage(error: Exception) -> bool:
    return _code(error) not in _OF_THE_PLACE
