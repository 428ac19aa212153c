"""A SQLite file with tables: opened for each short transaction, and made again when it is damaged.

No connection outlives its transaction, so threads, forks and processes need no care. The database is made under another name
and then renamed, so a database without its tables is damaged. A damaged one is set aside and made again, whichever
statement finds the damage and however many processes find it at once: the first that holds the lock does it.

The rollback journal stays on: what is here is read again after a power cut. It is not a write-ahead log, whose side files
cannot be made on a disk that is mounted read-only. A database that is not durable flushes nothing, keeps its journal in
memory, and one connection open; a kill during a commit may damage it.

There are two: the state database (`state_database`) and the request budget (`budget`).
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, MetaData, select
from sqlalchemy.exc import DBAPIError

from planday_io.errors import StorageError
from planday_io.files import storage_errors, sync_folder, temporary
from planday_io.state.folder import set_aside
from planday_io.state.locks import Locks
from planday_io.state.mapping import DamagedValueError
from planday_io.state.sqlite import (
    DAMAGE,
    REMEDIES,
    blank_engine,
    code_of,
    engine,
    new_engine,
    reason_of,
    remedy_of,
)

_LOG = logging.getLogger(__name__)
_SIDE_FILES = ("-journal", "-wal", "-shm")

T = TypeVar("T")
P = ParamSpec("P")

_CHECKED: dict[Path, int] = {}
"""Databases that this process has checked: file -> inode."""


class DamagedDatabaseError(Exception):
    """The file is not a database of this program."""


_FAULTS = (DBAPIError, DamagedDatabaseError, DamagedValueError, UnicodeDecodeError)
"""What using the database may raise. The last is Python's, where SQLite's message quotes a damaged name."""


class Database:
    """A database of an installation. Nothing is opened or made before it is used.

    Args:
        file: the database; made with the first write.
        locks: of the installation. That of the file's name is held while the database is made or set aside.
        metadata: its tables.
        name: what it is, for messages: "the state database".
        is_durable: whether it has to survive a power cut.
    """

    def __init__(self, file: Path, locks: Locks, metadata: MetaData, *, name: str, is_durable: bool = True) -> None:
        self._file = file
        self.locks = locks
        self._metadata = metadata
        self._name = name
        self._is_durable = is_durable
        self._kept: tuple[int, Connection] | None = None
        """The open connection to a database that is not durable, and the inode of its file."""

    def close(self) -> None:
        """Close the connection that is kept open, if there is one."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Read in one transaction. Where nothing was ever written, all tables are empty, and nothing is made.

        Args:
            work: what to do; after damage it is done once more.
            args: positional arguments for `work`, after the connection.
            named: keyword arguments for `work`.

        Raises:
            StorageError: the database cannot be read.
        """
        if self.is_blank():
            with blank_engine().begin() as connection:
                self._metadata.create_all(connection, checkfirst=False)
                return work(connection, *args, **named)
        return self._healed(lambda connection: work(connection, *args, **named), locks=False)

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Like `read`, but in a transaction that no other process is inside. After a StorageError nothing was changed."""
        return self._healed(lambda connection: work(connection, *args, **named), locks=True)

    def copy_to(self, file: Path) -> None:
        """Write the database, as it is at one instant, to a new file, while others use it. Raises StorageError."""
        self.write(lambda _: None)  # It is there, whole and of this version.

        def work(connection: Connection) -> None:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)  # noqa: S101 - for the type checker
            with closing(sqlite3.connect(file)) as target:
                source.backup(target)

        with storage_errors(file, f"copy {self._name} to"):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                self.read(work)
            except sqlite3.Error as error:
                raise StorageError(f"{self._name} cannot be copied to {file} ({error}). {remedy_of(error)}") from None

    def adopt(self, copy: Path, settle: Callable[[Connection], None]) -> None:
        """Make a copy the database, where there is none, in one step.

        Args:
            copy: a file that `copy_to` wrote, perhaps in an older version.
            settle: what to change in it before.

        Raises:
            StorageError: there is a database, or the copy is damaged or of a newer version. Nothing was changed.
        """
        doing = f"restore {self._name} in"
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with storage_errors(self._file.parent, doing), self.locks.hold(self._file.stem):
            if os.path.lexists(self._file):
                raise StorageError(f"cannot {doing} {self._file.parent}: there is one. Nothing was changed")
            self._remove_side_files(self._file)
            with temporary(self._file) as name:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                shutil.copyfile(copy, name)
                try:
                    with new_engine(name, self._is_durable).connect() as connection:
                        self._check(connection)
                    finish = self._bring_up_to_date(name)
                    with new_engine(name, self._is_durable).connect() as opened:
                        connection = opened.execution_options(planday_locks=True)
                        with connection.begin():
                            settle(connection)
                except _FAULTS as error:
                    raise StorageError(
                        f"{copy} holds no database of this program ({reason_of(error)}): take another backup. Nothing was "
                        "changed"
                    ) from None
                self._remove_side_files(name)
                name.rename(self._file)
            sync_folder(self._file.parent)
            finish()

    def check_again(self) -> None:
        """Check the database once more at its next use."""
        _CHECKED.pop(self._file, None)

    def _transaction(self, work: Callable[[Connection], T], *, locks: bool) -> T:
        with storage_errors(self._file, f"use {self._name}"):
            self._prepare()
            with self._connected(locks=locks) as opened:
                connection = opened.execution_options(planday_locks=locks)
                with connection.begin():
                    return work(connection)

    @contextmanager
    def _connected(self, *, locks: bool) -> Iterator[Connection]:
        if self._is_durable:
            with self._engine(writes=locks).connect() as connection:
                yield connection
            return
        inode = _inode(self._file)
        if self._kept is None or self._kept[0] != inode:
            # Another process may have set the open database aside.
            self.close()
            self._kept = inode, self._engine(writes=True).connect()
        yield self._kept[1]

    def _engine(self, *, writes: bool = False) -> Engine:
        return engine(self._file, self._is_durable, writes=writes)

    def _healed(self, work: Callable[[Connection], T], *, locks: bool) -> T:
        """Run `work` in a transaction; if that finds damage, once more with a new database."""
        inode = _inode(self._file)
        try:
            return self._transaction(work, locks=locks)
        except _FAULTS as error:
            # Another process may have set a damaged one aside in between, and made a new one.
            is_another = inode and _inode(self._file) != inode
            if not is_another and not self._is_damage(error):
                raise self._refused(error) from None
            self._replace(inode, error)
        try:
            return self._transaction(work, locks=locks)
        except _FAULTS as error:
            raise self._refused(error) from None

    def _is_damage(self, error: Exception) -> bool:
        code = code_of(error)
        if not isinstance(error, DBAPIError) or code in DAMAGE:
            return True
        if code in REMEDIES:
            return False
        if not code and isinstance(error.orig, sqlite3.OperationalError):
            return True  # A text that is not UTF-8.
        # Statements never change, so a missing name means damage, or a fault of this program.
        _CHECKED.pop(self._file, None)
        try:
            with self._engine().connect() as connection:
                self._check(connection)
        except _FAULTS:
            return True
        raise error

    def _prepare(self) -> None:
        """Make the database, or bring it up to date."""
        inode = self._usable_inode()
        if inode and _CHECKED.get(self._file) == inode:
            return
        is_current = False
        if inode:
            with self._engine().connect() as connection:
                is_current = self._check(connection)
        if not is_current:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.locks.hold(self._file.stem):
                if os.path.lexists(self._file):
                    self._usable_inode()
                    self._bring_up_to_date(self._file)()
                else:
                    self._make()
                inode = _inode(self._file)
        _CHECKED[self._file] = inode

    def _make(self, *, is_lost: bool = False) -> None:
        """Create or update the database under a temporary name, then rename it. Call within the lock."""
        # A journal that was left beside the file would be applied to the new one.
        self._remove_side_files(self._file)
        with temporary(self._file) as name:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            finish = self._bring_up_to_date(name, is_lost=is_lost)
            self._remove_side_files(name)
            name.rename(self._file)
        sync_folder(self._file.parent)
        finish()

    @staticmethod
    def _remove_side_files(file: Path) -> None:
        for end in _SIDE_FILES:
            Path(f"{file}{end}").unlink(missing_ok=True)

    def _bring_up_to_date(self, file: Path, *, is_lost: bool = False) -> Callable[[], None]:
        """Make the tables that are lacking, in one transaction. Returns what to do afterwards."""
        with new_engine(file, self._is_durable).connect() as opened:
            connection = opened.execution_options(planday_locks=True)
            with connection.begin():
                self._metadata.create_all(connection)
                return self._fill(connection, is_lost=is_lost)

    def is_blank(self) -> bool:
        """Whether nothing was ever written."""
        return not os.path.lexists(self._file)

    def _check(self, connection: Connection) -> bool:
        """Whether the database is up to date. Raises an error of `_FAULTS` where it is damaged."""
        if (found := connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()) != "ok":
            raise DamagedDatabaseError(f"SQLite's check says: {found}")
        is_current = self._is_current(connection)
        for table in self._metadata.sorted_tables if is_current else ():
            connection.execute(select(table).limit(0))
        return is_current

    def _is_current(self, connection: Connection) -> bool:  # noqa: ARG002
        """Whether this version of the program has nothing to add."""
        return True

    def _fill(self, connection: Connection, *, is_lost: bool) -> Callable[[], None]:  # noqa: ARG002
        """What a database holds from the beginning. Returns what to do after the transaction."""
        return lambda: None

    def _usable_inode(self) -> int:
        """The inode of the file, or 0. A file that replaces a removed one may have the same inode."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return 0
        if stat.S_ISDIR(found.st_mode) or not found.st_size:
            raise DamagedDatabaseError("it is a folder, or empty")
        return found.st_ino

    def _replace(self, inode: int, error: Exception) -> None:
        """Set a damaged database aside and make another, unless another process did."""
        doing = f"set {self._name}, which is damaged, aside in"
        with storage_errors(self._file.parent, doing), self.locks.hold(self._file.stem):
            if _inode(self._file) != inode and inode:
                return
            _CHECKED.pop(self._file, None)
            self.close()
            aside = set_aside(self._file)
            for side in (Path(f"{self._file}{end}") for end in _SIDE_FILES):
                with suppress(FileNotFoundError):
                    if side.stat().st_size:
                        side.rename(f"{aside}{side.name.removeprefix(self._file.name)}")
            self._make(is_lost=True)
        _LOG.warning(
            "%s %s was damaged (%s): set aside as %s and made again",
            self._name,
            self._file,
            reason_of(error),
            aside.name,
        )

    def _refused(self, error: Exception) -> StorageError:
        return StorageError(
            f"{self._name} {self._file} cannot be used ({reason_of(error)}). {remedy_of(error)}. Nothing was changed"
        )


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0
