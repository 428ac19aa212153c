"""Locks and leases of an installation, by name. The system frees them when their holder dies, however it dies.

Locks of files (flock) underneath, in one folder. A session's advisory locks in a database would do the same, so callers know
names and nothing else. A lock's file is removed with its release: 64,000 slices do not leave 64,000 files. Process ids
are not used: they mean nothing in another container, and are reused.

Not here: locks beside files that are being written (`planday_io.files`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from planday_io.files import acquire, is_locked, release, remove_if_free, storage_errors

_END = ".lock"


class Lease(AbstractContextManager["Lease"]):
    """A lock that is held until it is released, or its process ends.

    Args:
        name: of the lock.
        lock: the lock.
    """

    def __init__(self, name: str, lock: FileLock) -> None:
        self.name = name
        self._lock = lock

    def release(self) -> None:
        """Give the lock back; it may have been given back already."""
        release(self._lock)

    def __exit__(self, *error: object) -> None:
        self.release()


class Locks:
    """The locks of one installation.

    Args:
        folder: of their files. It is made with the first lock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold a lock exclusively, waiting as long as necessary. Raises StorageError."""
        with storage_errors(self._folder, "create a lock in"):
            lock = acquire(self._file(name))
        try:
            yield
        finally:
            release(lock)

    def take(self, name: str) -> Lease | None:
        """Take a lock without waiting; None if somebody holds it or is just checking it. Raises StorageError."""
        with storage_errors(self._folder, "create a lock in"):
            try:
                return Lease(name, acquire(self._file(name), waits=False))
            except Timeout:
                return None

    def is_held(self, name: str) -> bool:
        """Whether somebody holds a lock, this process included. Raises StorageError."""
        with storage_errors(self._folder, "look at a lock in"):
            return is_locked(self._folder / f"{name}{_END}")

    def sweep(self) -> int:
        """Remove the files of locks that killed processes, or older versions, left. Returns how many. Raises StorageError."""
        if not self._folder.is_dir():
            return 0
        # One process at a time: of two that remove a file, the second might remove the next holder's.
        with self.hold("sweep"), storage_errors(self._folder, "remove locks from"):
            return sum(remove_if_free(file) for file in sorted(self._folder.glob(f"*{_END}")) if file.stem != "sweep")

    def _file(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder / f"{name}{_END}"
