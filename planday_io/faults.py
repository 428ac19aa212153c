"""Exceptions that are not in `planday_io.errors`, at every edge: a step, a tick, a publication, a command.

Their text may quote a cell or a secret ("could not convert string 'Anders' to INT32"), so it is never shown. The type and the
place are enough to find the fault, and hold no data.
"""

from __future__ import annotations

import errno
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from planday_io.errors import FaultError, PlandayError, StorageError

_OURS = ("planday_io", "pipelines")
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

StorageTrouble = Literal["full", "failing", "read-only", "no access", "locked", "damaged", "no server", "unknown"]
_SIGNS: dict[StorageTrouble, tuple[str, ...]] = {
    "full": ("disk is full", "no space left", "quota exceeded"),
    "failing": ("disk i/o error",),
    "read-only": ("readonly", "read-only"),
    "no access": ("unable to open", "permission denied"),
    "locked": ("is locked",),
    "damaged": ("malformed", "not a database", "no such table", "no such column", "corrupt", "database schema"),
    "no server": ("connection refused", "could not connect", "could not translate", "server closed"),
}
"""What SQLite, Postgres and the operating system say, in lower case."""


def as_planday_error(error: Exception) -> PlandayError:
    """The error itself if it is a PlandayError, else a PlandayError that says what is known about it.

    Raises:
        KeyboardInterrupt: it stands for one. DuckDB raises an error of its own where a signal interrupts a query.
    """
    if any(isinstance(one, RuntimeError) and str(one) == "Query interrupted" for one in chain(error)):
        raise KeyboardInterrupt
    if isinstance(error, PlandayError):
        return error
    for one in chain(error):
        is_full = isinstance(one, OSError) and one.errno in DISK_FULL
        if is_full or (isinstance(one, sqlite3.OperationalError) and "disk is full" in str(one)):
            return StorageError("The disk is full: free some space and run the same command again")
        if isinstance(one, MemoryError):
            return FaultError(f"this machine has too little memory for it (at {place_of(error)})")
    return FaultError(
        f"a fault of this program: {type(error).__name__} at {place_of(error)}. The text of the error is left out, because "
        "it may quote data"
    )


def storage_trouble(error: BaseException) -> tuple[StorageTrouble, str] | None:
    """What is wrong with the database or the disk that an error came from, and its own words for it.

    Returns:
        None where neither the error nor its cause came from a database or a file system.
    """
    from sqlalchemy.exc import SQLAlchemyError

    for one in chain(error):
        if isinstance(one, (SQLAlchemyError, sqlite3.Error, OSError)):
            # Only the driver's own words: SQLAlchemy adds the statement with its values.
            origin = getattr(one, "orig", None) or one
            is_full = isinstance(origin, OSError) and origin.errno in DISK_FULL
            said = "no space left on the disk" if is_full else first_line(origin)
            return trouble_in(said), f"{type(origin).__name__}: {said}"
    return None


def trouble_in(said: str) -> StorageTrouble:
    """The kind of trouble that a message of a database or an operating system reports."""
    said = said.lower()
    return next((trouble for trouble, signs in _SIGNS.items() if any(sign in said for sign in signs)), "unknown")


def first_line(error: BaseException) -> str:
    """The first line of an error's text that is not blank, at most 300 characters."""
    return next((line for line in str(error).splitlines() if line.strip()), "no text")[:300]


def place_of(error: BaseException) -> str:
    """File, line and function of this program where an error was raised, or passed through last."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(part in _OURS for part in Path(frame.filename).parts)]
    return _named((ours or frames)[-1]) if frames else "an unknown place"


def trace_of(error: BaseException) -> str:
    """The traceback of an error, innermost last: types and places, without texts and values."""
    lines = []
    for one in chain(error):
        lines.append(type(one).__name__)
        lines += [f"  {_named(frame)}" for frame in traceback.extract_tb(one.__traceback__)]
    return "\n".join(lines)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, outermost first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _named(frame: traceback.FrameSummary) -> str:
    parts = Path(frame.filename).parts
    start = next((i for i, part in enumerate(parts) if part in (*_OURS, "site-packages")), len(parts) - 1)
    return f"{'/'.join(parts[start:])}:{frame.lineno} in {frame.name}"
