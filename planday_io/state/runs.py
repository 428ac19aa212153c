"""Runs in progress, and the processes they are in: each holds a lock with a name of its own, and lives while that is held.

So nothing has to be unregistered, and nobody is asked who may be in another container. All that one run writes is published
together when its lease is released; a killed run counts as ended, because each slice that it wrote is complete.

Versions before kept locked marks of processes, and a note for each run that was writing. Those of runs that are still in
progress count until they end; the others are swept.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from planday_io.files import is_locked, remove_if_free, storage_errors
from planday_io.state.locks import Lease, Locks

_NAME = re.compile(r"run-[0-9a-f]{16}")
_OLD_PROCESS = re.compile(r"[0-9]+-[0-9a-f]{16}")
_OLD_RUN = re.compile(r"[0-9a-f]{16}")

_OF_PROCESS: dict[tuple[int, Path], Lease] = {}
"""Held until the process ends. A process that was forked has one of its own."""


class Runs:
    """The runs of one installation.

    Args:
        folder: of the state.
        locks: of the installation.
    """

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._folder = folder
        self._locks = locks

    def begin(self) -> Lease:
        """A lease for a run that begins in this process. Raises StorageError."""
        while (lease := self._locks.take(f"run-{secrets.token_hex(8)}")) is None:
            pass
        return lease

    def process(self) -> str:
        """The name of the lease that this process holds until it ends. Raises StorageError."""
        place = (os.getpid(), self._folder)
        if place not in _OF_PROCESS:
            _OF_PROCESS[place] = self.begin()
        return _OF_PROCESS[place].name

    def is_alive(self, name: str) -> bool:
        """Whether a lease is held; False for a name that is none. Raises StorageError."""
        if _NAME.fullmatch(name):
            return self._locks.is_held(name)
        with storage_errors(self._folder, "look at runs of an older version in"):
            if _OLD_RUN.fullmatch(name):
                with suppress(FileNotFoundError, IsADirectoryError):
                    name = (self._folder / "writers" / name).read_bytes().decode("ascii", errors="replace")
            return bool(_OLD_PROCESS.fullmatch(name)) and is_locked(self._folder / "processes" / name)

    def sweep(self) -> int:
        """Remove what processes and runs of older versions left. Returns how many. Raises StorageError."""
        removed = 0
        with self._locks.hold("sweep"), storage_errors(self._folder, "remove marks of ended processes from"):
            for mark in self._folder.glob("processes/*"):
                removed += bool(_OLD_PROCESS.fullmatch(mark.name)) and remove_if_free(mark)
            for note in self._folder.glob("writers/*"):
                if _OLD_RUN.fullmatch(note.name) and note.is_file() and not self.is_alive(note.name):
                    note.unlink(missing_ok=True)
                    removed += 1
            for name in ("processes", "writers"):
                with suppress(OSError):  # Something else is in there, or there is none.
                    (self._folder / name).rmdir()
        return removed
