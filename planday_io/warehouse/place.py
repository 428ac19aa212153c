"""The place of the warehouse file: where its links lead, the logs of other programs beside it, and who holds it open.

DuckDB replays a write-ahead log on whatever file has its name without `.wal`. This package never leaves a log, so any
log is another program's, with edits that every reader would see. It is kept under a name that DuckDB does not read.
DuckDB 2.0 puts the log beside the file that a link leads to, earlier versions beside the link, so both are checked.

`standing` inspects the file's content, `publish` renews it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from planday_io.errors import PublicationError
from planday_io.files import keep_copy, link_target, storage_errors, unique_end

_LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")
_ASIDE = ".set-aside-"
_MAGIC = b"DUCK"
_HEADERS = 3 * 4096
"""Size of the main header and two database headers; each checkpoint writes one of those with a higher iteration."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that has the file open for writing; process id 0 is unknown, for instance in another container."""

    pid: int
    name: str

    def __str__(self) -> str:
        if not self.pid:
            return "a program on another machine or in another container"
        return f"{self.name or 'a program'} (process {self.pid})"


class Place:
    """The place of one warehouse: its path as configured, perhaps a link."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def file(self) -> Path:
        """The file that all links lead to, existing or not. Raises StorageError."""
        with storage_errors(self.path, "find the warehouse behind the link"):
            return link_target(self.path)

    def logs(self) -> list[Path]:
        """Write-ahead logs that DuckDB would replay on the file, under any of its names."""
        return [log for _, log in self._logs()]

    def set_aside_logs(self) -> list[Path]:
        """Rename every log, so that no DuckDB reads it. Returns the new names; an empty one is removed.

        Raises:
            PublicationError: a log cannot be renamed.
        """
        moved = []
        for name, log in self._logs():
            try:
                if log.is_file() and log.stat().st_size == 0:
                    log.unlink()
                    continue
                moved.append(log.rename(_aside_name(name, f"{log.name.rpartition('.')[2]}-log")))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PublicationError(
                    f"{log} is the log of another program's edits, which every reader of {self.path} would see. It cannot be "
                    f"set aside ({error.strerror}): move it away. The previous warehouse is untouched"
                ) from None
        return moved

    def keep_copy(self) -> Path:
        """Keep a copy of the present file under another name, because it holds another program's work. Raises OSError."""
        file = self.file
        name = _aside_name(file, "duckdb")
        keep_copy(file, name)
        return name

    def set_aside(self) -> list[Path]:
        """Files that were set aside and still exist, oldest first."""
        beginnings = tuple(f"{name.name}{_ASIDE}" for name in self._names())
        folders = {name.parent for name in self._names() if name.parent.is_dir()}
        return sorted(path for folder in folders for path in folder.iterdir() if path.name.startswith(beginnings))

    def is_duckdb(self) -> bool:
        """Whether the file begins like a DuckDB file. Raises StorageError."""
        with storage_errors(self.file, "read"), self.file.open("rb") as file:
            return file.read(12)[8:] == _MAGIC

    def holder(self) -> Holder | None:
        """The program that has the file open for writing; None if there is none or the system cannot tell."""
        with suppress(OSError):
            return _lock_holder(self.file)
        return None

    def _logs(self) -> list[tuple[Path, Path]]:
        """Each log with the file it would be replayed on."""
        both = [(name, Path(f"{name}{ending}")) for name in self._names() for ending in _LOGS]
        return [(name, log) for name, log in both if os.path.lexists(log)]

    def _names(self) -> list[Path]:
        """The path, each link on the way, and the file."""
        names, seen = [self.path], {self.path}
        while (last := names[-1]).is_symlink():
            following = last.parent / last.readlink()
            if following in seen:
                break
            seen.add(following)
            names.append(following)
        return list(dict.fromkeys([*names, Path(os.path.realpath(self.path))]))


def headers_of(file: Path) -> str:
    """Fingerprint of a file's headers; it changes with every edit that reaches the file. Raises StorageError."""
    with storage_errors(file, "read"), file.open("rb") as opened:
        return sha256(opened.read(_HEADERS)).hexdigest()[:16]


def set_aside_leftovers(path: Path) -> list[Path]:
    """Set aside logs of a killed program, or of one that still writes to a replaced file. Returns their new names.

    The log of a program that has the present file open stays: nobody can read that file until it is renewed.

    Raises:
        PublicationError: a log cannot be renamed.
    """
    place = Place(path)
    return place.set_aside_logs() if place.logs() and place.holder() is None else []


def _aside_name(file: Path, ending: str) -> Path:
    return file.with_name(f"{file.name}{_ASIDE}{unique_end()}.{ending}")


_FLOCK = {"linux": ("hhqqi4x", (0, 1, 4)), "darwin": ("qqihh", (3, 4, 2))}
"""Layout of `struct flock`, and the positions of type, whence and process id."""


def _lock_holder(file: Path) -> Holder | None:
    """The holder of a write lock on the file: DuckDB locks files with fcntl."""
    layout = _FLOCK.get(sys.platform)
    if layout is None:
        return None
    import fcntl

    form, (kind_at, whence_at, pid_at) = layout
    values = [0] * 5
    values[kind_at], values[whence_at] = fcntl.F_RDLCK, os.SEEK_SET
    # Closing releases this process's locks on the file, which are only readers' locks.
    handle = os.open(file, os.O_RDONLY)
    try:
        answer = struct.unpack(form, fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(form, *values)))
    finally:
        os.close(handle)
    if answer[kind_at] == fcntl.F_UNLCK:
        return None
    pid = max(0, answer[pid_at])
    return Holder(pid, _program(pid) if pid else "")


def _program(pid: int) -> str:
    """The name of a process, or empty if the system does not show it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    try:
        done = subprocess.run(
            ["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return Path(done.stdout.strip()).name
