"""Atomic file writes, and locks between processes.

filelock gives the locks: flock underneath, so a killed process leaves none behind. Not here: what is in the files.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import pwd
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from planday_io.errors import StorageError

_TEMPORARY = ".tmp-"
_HELD = ".held"
_BEGUN = re.compile(rf"(.+{re.escape(_TEMPORARY)}[0-9a-f]{{16}})(.*)")
"""A temporary name, and what a library made of it (`.wal`)."""
_PRIVATE = 0o600


def keep_from_others() -> None:
    """Let this process create files for its account and group only, because they hold names and pay; never widen access."""
    os.umask(os.umask(0o077) | 0o027)


def acquire(path: Path, *, waits: bool = True) -> FileLock:
    """Hold a lock on a file, which is created, until `release`. Raises filelock.Timeout if it does not wait and the
    lock is held.

    The holder removes the file before it releases the lock. filelock (since 3.24) notices that a file which it has
    locked no longer has a name, and tries again, so nobody holds a lock that others cannot see.
    """
    lock = FileLock(path, mode=_PRIVATE, thread_local=False, blocking=waits, fallback_to_soft=False)
    lock.acquire()
    return lock


def release(lock: FileLock) -> None:
    """Remove a lock's file and release the lock, unless that was done before."""
    if lock.is_locked:
        with suppress(OSError):  # A lock file that remains is not locked, and is swept later.
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether somebody, this process included, holds a lock on a file. Creates no file; several may check at once."""
    return _is_free(path, removes=False) is False


def remove_if_free(path: Path) -> bool:
    """Remove the file of a lock that nobody holds. One process at a time may do so. Returns whether it was removed."""
    return bool(_is_free(path, removes=True))


def _is_free(path: Path, *, removes: bool) -> bool | None:
    """Whether nobody holds a lock; None where it has no file. The check keeps others from taking the lock for an instant."""
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # A file without a name was released meanwhile, and the next holder created another one.
            if os.fstat(file.fileno()).st_nlink:
                if removes:
                    path.unlink()
                return True


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which nobody sweeps until the block ends. A file that has the name then is
    removed. Only a lock on a file beside it shows whether somebody still writes it: a process id means nothing in
    another container, and is reused. The lock is not on the file itself, because libraries open that by its name, and
    lock or replace it on their own.
    """
    name = path.with_name(f"{path.name}{_TEMPORARY}{secrets.token_hex(8)}")
    held = name.with_name(name.name + _HELD)
    # filelock would go on trying for ever in a folder that lets nothing be created, such as /proc.
    os.close(os.open(held, os.O_CREAT | os.O_RDWR, _PRIVATE))
    lock = acquire(held)
    try:
        yield name
    finally:
        try:
            _remove(name)
        finally:
            release(lock)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that somebody is writing, or was when the process was killed."""
    return _TEMPORARY in path.name


@contextmanager
def replacing(path: Path, mode: int | None = None, *, via: Path | None = None) -> Iterator[Path]:
    """Write a file all or nothing; where `path` is a symbolic link, the file that it leads to.

    Yields the path of a temporary file beside the file. When the block ends well it is flushed to disk and renamed; when
    the block raises it is removed and the file is as it was. Without `mode` it gets the permissions, owner, group and access
    list of the file that it replaces, and 0644 under the umask where there is none. `via` is the name
    beside which the temporary file is written, if that is not to be beside the file.
    """
    file = link_target(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    if via is not None:
        make_folder(via.parent, like=via.parent.parent)
    with temporary(via or file) as name:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644 if mode is None else mode))
        yield name
        with name.open("rb") as written:
            os.fsync(written.fileno())
        if mode is None and file.exists():
            copy_access(file, name)
        move(name, file)
        sync_folder(file.parent)


def move(source: Path, file: Path) -> None:
    """Give a file another name, also on another disk; the file that has the name is replaced. Raises OSError.

    At each instant the name leads to a whole file, or to none if there was none.
    """
    try:
        source.replace(file)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with temporary(file) as name:
            shutil.copy2(source, name)
            with name.open("rb") as written:
                os.fsync(written.fileno())
            copy_access(source, name)
            name.replace(file)
        source.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Write a folder, and folders in it, all or nothing; where `path` is a symbolic link, the folder that it leads to.

    Yields an empty folder beside it, which has the access of the folder that it replaces, so that what is created in it
    belongs to the same group where that is inherited. When the block ends well everything in it is flushed to disk, and it
    takes the place of the folder, which is removed; when the block raises it is removed. Where the system cannot exchange
    two names (network drives, for instance), there is no folder for the instant between two renames.
    """
    folder = link_target(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary(folder) as name, temporary(folder) as previous:
        name.mkdir()
        if folder.exists():
            copy_access(folder, name)
            name.chmod(stat.S_IMODE(name.stat().st_mode) | stat.S_IRWXU)  # for the writer, until it is written
        yield name
        for inner, _, files in os.walk(name):
            for file in files:
                with Path(inner, file).open("rb") as written:
                    os.fsync(written.fileno())
            sync_folder(Path(inner))
        if folder.exists():
            copy_access(folder, name)
        if folder.exists() and _exchange(folder, name):
            sync_folder(folder.parent)
            return
        if folder.exists():
            folder.rename(previous)
        try:
            name.rename(folder)
        except OSError:
            if previous.exists():
                previous.rename(folder)
            raise
        sync_folder(folder.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what two names mean in one step. Python has no function for it. Returns False where the system has none.

    https://man7.org/linux/man-pages/man2/rename.2.html (RENAME_EXCHANGE); macOS: renamex_np with RENAME_SWAP.
    """
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_EXCHANGE))
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, ctypes.c_uint(_RENAME_SWAP))
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        raise OSError(code, os.strerror(code), str(one))
    return not failed


_AT_FDCWD = -100
_RENAME_EXCHANGE = _RENAME_SWAP = 2


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file all or nothing; see `replacing`."""
    with replacing(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def unique_end() -> str:
    """The end of a name that nothing else has: the UTC instant, so that names sort by age, and a random part."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(2)}"


def keep_copy(file: Path, copy: Path) -> None:
    """Keep a file under a second name (a hard link, else a copy), even if the first is replaced. Raises OSError.

    Where it is a symbolic link, that is the file which it leads to: a relative link leads nowhere from another folder.
    """
    try:
        # A link to a symbolic link would be another symbolic link. Asking costs less than resolving every folder of the path.
        os.link(os.path.realpath(file) if file.is_symlink() else file, copy)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError:  # a file system without hard links, a target on another one, or a file of another account
        shutil.copy2(file, copy)


def copy_content(file: Path, copy: Path) -> None:
    """Copy the content of a file. Raises OSError.

    Where the file system can share blocks between files (XFS, Btrfs, NFS 4.2 on them), no data is copied until one of the two
    files changes a block (https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html).
    """
    with file.open("rb") as read, copy.open("wb") as written:
        if sys.platform == "linux":
            with suppress(OSError):
                fcntl.ioctl(written, _FICLONE, read.fileno())
                return
    shutil.copyfile(file, copy)


_FICLONE = 0x40049409


def link_target(path: Path) -> Path:
    """The file that a path means: where it is a symbolic link, or a chain of them, the file at the end of it.

    Raises:
        OSError: the links form a circle, or lead into a folder that does not exist, for instance because a disk is not
        mounted.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not target.parent.is_dir():
        raise OSError(errno.ENOENT, f"it is a link into {target.parent}, which does not exist", str(path))
    return target


def copy_access(source: Path, target: Path) -> None:
    """Give a file the permissions, owner, group and access list of another, as far as this account may."""
    wanted, there = source.stat(), target.stat()
    if (there.st_uid, there.st_gid) != (wanted.st_uid, wanted.st_gid):
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


def make_folder(folder: Path, *, like: Path) -> None:
    """Create a folder, unless it is there, with the access of another one: a run as root must not shut others out."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        copy_access(like, folder)


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, *, deep: bool = False, of: str = "") -> int:
    """Remove temporary files that killed processes left in a folder, and below it if `deep`. Returns how many.

    `of` is the name of the file or folder whose temporary ones are meant, where the folder is not ours alone.
    """
    removed = 0
    for leftover in sorted(folder.glob(f"{'**/' if deep else ''}{glob.escape(of) if of else '*'}{_TEMPORARY}*")):
        if of and not _BEGUN.fullmatch(leftover.name):
            continue
        found = _BEGUN.fullmatch(leftover.name)
        held = leftover.with_name(found.group(1) + _HELD) if found else None
        if held is None or not held.exists():
            # A version without locks wrote the file, or its writer has just ended.
            removed += _remove(leftover)
            continue
        try:
            lock = acquire(held, waits=False)
        except Timeout:
            continue
        if leftover != held:
            removed += _remove(leftover)
        release(lock)
    return removed


def _remove(path: Path) -> bool:
    """Remove a file or a folder. Returns whether there was one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return True
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def storage_errors(place: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what to do. `doing` is a verb phrase: "write the slice in"."""
    try:
        yield
    except (MemoryError, OSError) as error:
        cause = error if isinstance(error, OSError) else OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        raise StorageError(
            f"cannot {doing} {place}: {cause.strerror or type(cause).__name__}. {_remedy(cause, place)} "
            "What was there before is untouched"
        ) from None


_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and run the same command again.",
    errno.EDQUOT: "The disk is full: free some space and run the same command again.",
    errno.EFBIG: "The file system, or `ulimit -f`, allows no file of that size: use another one, or raise the limit.",
    errno.EROFS: "The disk is mounted read-only: mount it for writing.",
    errno.EIO: "The disk reports a fault: look at the system's log and at the disk. The file need not be damaged.",
    errno.ESTALE: "The network drive was unmounted or exported again: mount it again. The file need not be damaged.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n`) and run the same command again.",
    errno.ENFILE: "Too many files are open on this machine: close some, and run the same command again.",
    errno.ENOMEM: "There is not enough memory: free some, and run the same command again.",
    errno.ELOOP: "Its symbolic links form a circle: correct them.",
    errno.ENOSYS: "This file system has no locks (flock), without which processes damage each other's files: use another.",
    errno.EISDIR: "A folder is in the place of the file: move it away.",
}


def _remedy(error: OSError, place: Path) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        named = Path(error.filename) if isinstance(error.filename, str) else place
        return f"{_ownership(named)}The file need not be damaged."
    return _REMEDIES.get(error.errno or 0, "Check that the folder exists and the disk is mounted.")


def _ownership(place: Path) -> str:
    """Which account lacks the right, and who owns the nearest place that it can see."""
    account = _account(os.geteuid())
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
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
