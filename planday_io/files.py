"""Files that are whole or not there: atomic writes and locks between processes.

filelock gives the locks: flock underneath, so a killed process leaves none behind. Not here: what is in the files.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from planday_io.errors import StorageError

_TEMPORARY = ".tmp-"


def keep_from_others() -> None:
    """Whatever this process creates is for its account and group: it holds names and pay. Nothing is made more open."""
    os.umask(os.umask(0o077) | 0o027)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which is created, and wait for it as long as it takes.

    Raises:
        StorageError: the folder of the lock cannot be written.
    """
    with storage_errors(path.parent, "create a lock in"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, thread_local=False)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def temporary_name(path: Path) -> Path:
    """A name beside `path` that tells whose it is; see `sweep`."""
    return path.with_name(f"{path.name}{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")


def is_temporary(path: Path) -> bool:
    """Whether a file is one that somebody is writing, or was when the process was killed."""
    return _TEMPORARY in path.name


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Write a file all or nothing.

    Yields the path of a temporary file beside `path`. When the block ends well it is flushed to disk and renamed to
    `path`; when the block raises it is removed and `path` is as it was.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file all or nothing."""
    with replacing(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, *, deep: bool = False) -> int:
    """Remove temporary files that killed processes left in `folder`; those of running ones stay.

    Args:
        folder: where to look.
        deep: in the folders inside it as well.

    Returns:
        How many were removed.
    """
    removed = 0
    for leftover in folder.glob(f"{'**/' if deep else ''}*{_TEMPORARY}*"):
        pid = leftover.name.rpartition(_TEMPORARY)[2].partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            leftover.unlink(missing_ok=True)
            removed += 1
    return removed


_MARKS: dict[tuple[int, Path], tuple[str, FileLock]] = {}


def mark_process(folder: Path) -> str:
    """Mark in `folder` that this process lives, and return the mark's name.

    The mark is a locked file, so it holds between containers that share a volume, whose host names and process ids say
    nothing about each other. Raises StorageError.
    """
    place = (os.getpid(), folder)
    if place not in _MARKS:
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        with storage_errors(folder, "mark a process in"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / name, thread_local=False)
            lock.acquire()
        _MARKS[place] = (name, lock)
    return _MARKS[place][0]


def sweep_marks(folder: Path) -> int:
    """Remove the marks of processes that ended. Returns how many. Raises StorageError."""
    return sum(not is_process_alive(folder, file.name) for file in folder.glob("*-*"))


def is_process_alive(folder: Path, mark: str) -> bool:
    """Whether the process of a mark lives; the mark of one that does not is removed. Raises StorageError."""
    if _MARKS.get((os.getpid(), folder), ("",))[0] == mark:
        return True
    file = folder / mark
    with storage_errors(folder, "look at the marks of processes in"):
        if not file.exists():
            return False
        try:
            with FileLock(file, blocking=False, thread_local=False):
                file.unlink(missing_ok=True)
        except Timeout:
            return True
    return False


@contextmanager
def storage_errors(place: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what to do. `doing` is a verb phrase: "write the slice in"."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot {doing} {place}: {error.strerror or error.__class__.__name__}. {_remedy(error)} "
            "What was there before is untouched"
        ) from None


def _remedy(error: OSError) -> str:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full: free some space and run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Give the account that runs this the right to write there."
    return "Check that the folder exists and the disk is mounted."
