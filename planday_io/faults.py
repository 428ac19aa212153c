"""What becomes of an exception that is none of `planday_io.errors`, at every edge: a step, a tick, a publication, a command.

Its text may quote a cell or a secret ("could not convert string 'Anders' to INT32"), so the text goes nowhere. The type and
the place are enough to find the fault, and hold nothing of anybody.

Not here: who hears of it (`planday_io.monitoring.failures`).
"""

from __future__ import annotations

import errno
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path

from planday_io.errors import FaultError, PlandayError, StorageError

_OURS = ("planday_io", "pipelines")
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def known(error: Exception) -> PlandayError:
    """The error itself where it is a PlandayError, else one that says what is known about it."""
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


def place_of(error: BaseException) -> str:
    """File, line and function of this program where an error was raised, or passed through last."""
    frames = _frames(error)
    ours = [frame for frame in frames if _is_ours(frame)]
    return _named((ours or frames)[-1]) if frames else "an unknown place"


def trace_of(error: BaseException) -> str:
    """The way an error took, innermost last: types and places, without texts and values."""
    lines = []
    for one in chain(error):
        lines.append(type(one).__name__)
        lines += [f"  {_named(frame)}" for frame in _frames(one)]
    return "\n".join(lines)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, outermost first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__)) if error.__traceback__ else []


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return any(part in _OURS for part in Path(frame.filename).parts)


def _named(frame: traceback.FrameSummary) -> str:
    parts = Path(frame.filename).parts
    start = next((i for i, part in enumerate(parts) if part in (*_OURS, "site-packages")), len(parts) - 1)
    return f"{'/'.join(parts[start:])}:{frame.lineno} in {frame.name}"
