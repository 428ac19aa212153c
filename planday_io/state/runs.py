"""Runs in progress, and the processes they are in: each holds a lock with a name of its own, and lives while that is held.

So nothing has to be unregistered, and it works across containers. All that one run writes is published
together when its lease is released; a killed run counts as ended, because each slice that it wrote is complete.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from planday_io.files import is_locked, storage_errors
from planday_io.state.locks import Lease, Locks

_NAME = re.compile(r"run-[0-9a-f]{16}")
_OLD_PROCESS = re.compile(r"[0-9]+-[0-9a-f]{16}")

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
        """Whether a lease is held; False for anything that is not the name of a lease. Raises StorageError."""
        if _NAME.fullmatch(name):
            return self._locks.is_held(name)
        # The name is of a run that version 0.1 began.
        with storage_errors(self._folder, "look at a run in"):
            return bool(_OLD_PROCESS.fullmatch(name)) and is_locked(self._folder / "processes" / name)

    def is_old_version_running(self) -> bool:
        """Whether a run of version 0.1 is in progress. Raises StorageError."""
        folder = self._folder / "processes"
        with storage_errors(folder, "look at the runs in"):
            names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        return any(_OLD_PROCESS.fullmatch(name) and self.is_alive(name) for name in names)
