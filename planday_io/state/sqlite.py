"""Connections to SQLite files through SQLAlchemy, and what SQLite's codes say about the disk.

Not here: transactions, and what becomes of a damaged file (`database`).
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

_WAIT_SECONDS = 60
_BUSY = (
    "Another process has held it for a minute: see whether one hangs, and run the same command again when it has ended"
)
_RIGHTS = (
    "Give the account that runs this the right to write the file and its folder, and check that the disk is mounted "
    "for writing"
)
REMEDIES = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and run the same command again",
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_NOMEM: "There is not enough memory: free some, and run the same command again",
    sqlite3.SQLITE_IOERR: "The disk is full or reports a fault: free some space, and look at the system's log",
    sqlite3.SQLITE_INTERRUPT: "Run the same command again",
    **dict.fromkeys(
        (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH), _RIGHTS
    ),
    sqlite3.SQLITE_NOLFS: _RIGHTS,
}
"""Codes that say something about the disk or the rights."""
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def new_engine(file: Path, is_durable: bool, *, writes: bool = True) -> Engine:
    """An engine for a database that exists; `writes` sets up its connections for writing."""
    address = f"{file.absolute().as_uri()}?mode=rw"

    def connected() -> sqlite3.Connection:
        # Never creates the file: a file with this name is a complete database, or damaged.
        return sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)

    made = create_engine("sqlite://", creator=connected, poolclass=NullPool)

    @event.listens_for(made, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        if not writes:
            # What follows says how to write, and takes a quarter of the time of a short read.
            return
        if is_durable:
            # Removed rows must leave no bytes: a command may name an employee.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA synchronous = FULL")
            # Takes a third of the time of removing the journal at each commit, which flushes the folder.
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            return
        connection.execute("PRAGMA synchronous = OFF")
        with suppress(sqlite3.OperationalError):
            # SQLite refuses this while a process of an older version has the file open with a write-ahead log.
            connection.execute("PRAGMA journal_mode = MEMORY")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        locks = connection.get_execution_options().get("planday_locks", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if locks else "BEGIN")

    return made


engine = lru_cache(maxsize=16)(new_engine)


@lru_cache(maxsize=1)
def blank_engine() -> Engine:
    """Gives a new database in memory to each connection."""
    return create_engine("sqlite://", poolclass=NullPool)


def code_of(error: Exception) -> int:
    """The primary SQLite code of an error, SQLAlchemy's or the driver's, or 0."""
    return int(getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0) or 0) & 0xFF


def remedy_of(error: Exception) -> str:
    """What to do about an error."""
    return REMEDIES.get(code_of(error), _RIGHTS)


def reason_of(error: Exception) -> str:
    """Without SQLAlchemy's text, which quotes the statement and its values."""
    return str(getattr(error, "orig", None) or error)
