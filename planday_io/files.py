"""Files that are whole or not there: atomic writes and locks between processes.

filelock gives the locks: flock underneath, so a killed process leaves none behind. Not here: what is in the files.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Write a file all or nothing.

    Yields the path of a temporary file beside the file. When the block ends well it is flushed to disk and renamed; when
    the block raises it is removed and the file is as it was. Where `path` is a symbolic link, the file that it leads to is
    replaced, and the link stays.

    Args:
        path: the file, or a link to it.
        mode: permissions, whatever they were before; by default those of the file that is replaced, with its owner, group
            and access list, and 0644 under the umask where there is none.
    """
    file = link_target(path)
    temporary = temporary_name(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644 if mode is None else mode))
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        if mode is None and file.exists():
            copy_access(file, temporary)
        temporary.replace(file)
        sync_folder(file.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file all or nothing; see `replacing`."""
    with replacing(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def link_target(path: Path) -> Path:
    """The file that a path means: where it is a symbolic link, or a chain of them, the file at the end of it.

    Raises:
        OSError: the links form a circle, or lead into a folder that is not there, as where a disk is not mounted.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not target.parent.is_dir():
        raise OSError(errno.ENOENT, f"it is a link into {target.parent}, which is not there", str(path))
    return target


def copy_access(source: Path, target: Path) -> None:
    """Give a file the permissions, owner, group and access list of another, as far as this account may."""
    wanted, there = source.stat(), target.stat()
    if hasattr(os, "chown") and (there.st_uid, there.st_gid) != (wanted.st_uid, wanted.st_gid):
        try:
            os.chown(target, wanted.st_uid, wanted.st_gid)
        except PermissionError:
            # Only root may give a file away; its group may be any that the account is a member of.
            with suppress(PermissionError):
                os.chown(target, -1, wanted.st_gid)
    target.chmod(stat.S_IMODE(wanted.st_mode))
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(source):
                # An access list is one of these (system.posix_acl_access); a file system may refuse others.
                with suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))


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
    except MemoryError:
        raise StorageError(
            f"cannot {doing} {place}: {_remedy(OSError(errno.ENOMEM, ''), place)} What was there before is untouched"
        ) from None
    except OSError as error:
        raise StorageError(
            f"cannot {doing} {place}: {error.strerror or error.__class__.__name__}. {_remedy(error, place)} "
            "What was there before is untouched"
        ) from None


_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and run the same command again.",
    errno.EDQUOT: "The disk is full: free some space and run the same command again.",
    errno.EROFS: "The disk is mounted read-only: mount it for writing.",
    errno.EIO: "The disk reports a fault: look at the system's log and at the disk. The file need not be damaged.",
    errno.ESTALE: "The network drive was unmounted or exported again: mount it again. The file need not be damaged.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n`) and run the same command again.",
    errno.ENFILE: "Too many files are open on this machine: close some, and run the same command again.",
    errno.ENOMEM: "There is not enough memory: free some, and run the same command again.",
    errno.ELOOP: "Its symbolic links form a circle: correct them.",
    errno.EISDIR: "A folder is in the place of the file: move it away.",
}


def _remedy(error: OSError, place: Path) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        named = Path(error.filename) if isinstance(error.filename, str) else place
        return f"{_ownership(named)}The file need not be damaged."
    return _REMEDIES.get(error.errno or 0, "Check that the folder exists and the disk is mounted.")


def _ownership(place: Path) -> str:
    """Who may not do something, and who owns the nearest place that this account can see."""
    account = _account(os.geteuid()) if hasattr(os, "geteuid") else "this account"
    for path in (place, *place.parents):
        with suppress(OSError, ValueError):
            owner = _account(path.stat().st_uid)
            if owner == account:
                return f"The account that runs this ({account}) has no right to do so: `chmod u+rwX {path}`. "
            return (
                f"The account that runs this ({account}) has no right to do so, {path} belongs to {owner}. If a run as "
                f"another account left it, give it back: `chown -R {account} {path}`. "
            )
    return "Give the account that runs this the right to do so. "


def _account(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
