"""Cutting work at any of its changes to the disk: by an error, as a full disk does, or by SIGKILL.

Python reports each rename and removal to audit hooks before it does it, and SQLAlchemy the begin of each transaction, so no
name of the program is replaced. Locks are no changes: that one stays behind hurts nobody, and is no failure.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

_CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir"})
# A failed link is none: a file system may have none, and the file is copied.
_LOCKS = (".held", ".lock")


class Changes:
    """Changes to files below a folder, counted; the one with the number `at` fails."""

    def __init__(self) -> None:
        self.folder = ""
        self.count = 0
        self.at = 0
        self.kills = False
        self.error: Exception = OSError()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder and event in _CHANGES and not str(arguments[0]).endswith(_LOCKS):
            self.change(str(arguments[0]))

    def change(self, place: str) -> None:
        """Count a change to a file; it may fail."""
        if self.folder and place.startswith(self.folder):
            self.count += 1
            if self.count == self.at or self.at < 0:
                if self.kills:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise self.error


_HOOK = Changes()
_INSTALLED: list[Changes] = []


def written_by(connection: Connection) -> str:
    """The database that a transaction is to change, or an empty text: it reads, or what it writes need not last."""
    database = connection.connection.dbapi_connection
    if database is None or not connection.get_execution_options().get("planday_locks"):
        return ""
    if not database.execute("PRAGMA synchronous").fetchone()[0]:
        return ""
    return str(database.execute("PRAGMA database_list").fetchone()[2])


@contextmanager
def counting(folder: Path, *, at: int = 0, error: Exception | None = None) -> Iterator[Changes]:
    """Counts changes below a folder; the one with number `at` fails with the error, or as on a full disk."""
    if not _INSTALLED:
        sys.addaudithook(_HOOK)  # never goes again, so it is one for all tests
        event.listen(Engine, "begin", lambda connection: _HOOK.change(written_by(connection)))
        _INSTALLED.append(_HOOK)
    _HOOK.folder, _HOOK.count, _HOOK.at = str(folder), 0, at
    _HOOK.error = error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        yield _HOOK
    finally:
        _HOOK.folder = ""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing(file: Path) -> Iterator[None]:
    """No change to a file succeeds, as on a full disk, while the block lasts."""
    with counting(file, at=-1):
        yield


def killed(code: str, folder: Path, at: int, *arguments: str) -> int:
    """Run Python code in a process of its own that is killed before its change number `at`. Returns the exit code."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.support.cutting import counting
with counting({str(folder)!r}, at={at}) as changes:
    changes.kills = True
    exec({code!r}, {{"__name__": "__main__", "sys": sys}})
"""
    return subprocess.run([sys.executable, "-c", script, *arguments], check=False, timeout=120).returncode


KILLED = -signal.SIGKILL
