"""Files of version 0.1, which had no state database. They are imported at first use, in one transaction, and then
removed.

Importing them twice does no harm: what the database has already stays. So a kill between the transaction and the removal, or
in the middle of the removal, is healed by the next use, which comes before anything else is done with the database. A file
that is damaged is set aside and reported like any other; the others are imported. A file with a name that this program
never gave stays where it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from planday_io.errors import DamagedFileError
from planday_io.files import is_locked, remove_if_free, storage_errors, sweep
from planday_io.state import rows, schema
from planday_io.state.folder import set_aside
from planday_io.state.locks import Locks
from planday_io.state.mapping import Rows
from planday_io.state.records import decoded, write_record


def _failures(file: Path, content: bytes) -> list[rows.Failure]:
    return decoded(content, list[rows.Failure], file, "what failed")


def _baselines(file: Path, content: bytes) -> Iterator[rows.Baseline]:
    kind = dict[str, dict[str, tuple[str, rows.Instant]]]
    for portal, tables in decoded(content, kind, file, "since when schedules read each table").items():
        for table, (reading, since) in tables.items():
            yield rows.Baseline(portal=portal, table=table, reading=reading, since=since)


class _Open(msgspec.Struct):
    incident: rows.Incident
    seen: rows.Instant
    told: dict[str, tuple[str, ...]] = {}
    all_tables: tuple[str, ...] = ()


class _Ended(msgspec.Struct):
    incident: rows.Incident
    at: rows.Instant
    channels: tuple[str, ...]


class _Alerts(msgspec.Struct):
    open: dict[str, _Open]
    ended: list[_Ended]


def _notices(file: Path, content: bytes) -> Iterator[rows.Notice]:
    found = decoded(content, _Alerts, file, "which incidents were reported")
    for one in found.open.values():
        yield rows.Notice(
            incident=_renamed(one.incident), noticed_at=one.seen, all_tables=one.all_tables, deliveries=one.told
        )
    for end in found.ended:
        yield rows.Notice(
            incident=_renamed(end.incident),
            noticed_at=end.at,
            all_tables=end.incident.tables,
            ended_at=end.at,
            deliveries=dict.fromkeys(end.channels, ()),
        )


def _renamed(incident: rows.Incident) -> rows.Incident:
    return replace(incident, cause="unreadable") if incident.cause == "unseen" else incident


class _Mark(msgspec.Struct):
    tables: tuple[str, ...]
    at: rows.Instant
    gone: float = 0.0


def _marks(file: Path, content: bytes) -> Iterator[rows.RefreshRequest]:
    found = decoded(content, _Mark, file, "a month to be read again")
    portal, month = file.stem.split(".")
    share = min(1.0, max(0.0, found.gone))
    yield rows.RefreshRequest(
        portal=portal, month=month, endpoints=found.tables, requested_at=found.at, share_gone=share
    )


def _commands(file: Path, content: bytes) -> Iterator[rows.UnfinishedCommand]:
    yield replace(decoded(content, rows.UnfinishedCommand, file, "a command that was begun"), name=file.stem)


class _Forgotten(msgspec.Struct):
    salt: str
    people: tuple[int, ...]


def _forgotten(file: Path, content: bytes) -> Iterator[rows.ForgottenCopy]:
    found = decoded(content, _Forgotten, file, "a copy of the list of forgotten people")
    yield rows.ForgottenCopy(portal=file.stem, salt=found.salt, pseudonyms=frozenset(found.people))


def _key(file: Path) -> rows.SliceKey:
    return rows.SliceKey(*file.name.split("."))


def _pending(file: Path, _: bytes) -> Iterator[tuple[rows.SliceKey, rows.PendingSlice]]:
    """Whatever is in the file, its slice changed. Runs of that version are not waited for."""
    since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    yield _key(file), rows.PendingSlice(slice_id="", writer="", since=since)


class _Published(msgspec.Struct):
    slice_id: str
    read_at: rows.Instant
    kept: int


def _published(file: Path, content: bytes) -> Iterator[tuple[rows.SliceKey, rows.PublishedSlice]]:
    """The files were not flushed to disk, so an incomplete one counts as missing."""
    with suppress(DamagedFileError):
        found = decoded(content, _Published, file, "what was published")
        yield _key(file), rows.PublishedSlice(slice_id=found.slice_id, read_at=found.read_at, rows=max(0, found.kept))


def _owed_histories(file: Path, content: bytes) -> Iterator[tuple[rows.SliceKey, rows.OwedHistory]]:
    """Where a file is damaged it is not known when its slice was read before."""
    read_at = None
    with suppress(ValueError):
        found = datetime.fromisoformat(content.decode("ascii"))
        read_at = found if found.tzinfo else None
    yield _key(file), rows.OwedHistory(last_read_at=read_at)


class _Lake(msgspec.Struct):
    lake: str


def shut_out(folder: Path) -> None:
    """Make version 0.1 refuse to write to the lake: it finds another name here than in the lake. Raises StorageError."""
    file = folder / "lake.json"
    if not _is_shut_out(file):
        write_record(file, _Lake(_SHUT_OUT))


def _is_shut_out(file: Path) -> bool:
    with suppress(OSError, DamagedFileError):
        return decoded(file.read_bytes(), _Lake, file, "the name of the lake").lake == _SHUT_OUT
    return False


_SHUT_OUT = "written by a later version"


def _lake(file: Path, content: bytes) -> Iterator[rows.KnownFile]:
    if name := decoded(content, _Lake, file, "the name of the lake").lake:
        yield rows.KnownFile(name=schema.LAKE, marks=(name,))


class _Warehouse(msgspec.Struct):
    headers: tuple[str, ...]


def _warehouse(file: Path, content: bytes) -> Iterator[rows.KnownFile]:
    headers = decoded(content, _Warehouse, file, "how the warehouse was published").headers
    yield rows.KnownFile(name=schema.WAREHOUSE, marks=headers)


def _add_notices(connection: Connection, /, *notices: rows.Notice) -> None:
    if not schema.INCIDENTS.has(connection):
        schema.put_notices(connection, notices)


def _put_published(connection: Connection, /, *found: tuple[rows.SliceKey, rows.PublishedSlice]) -> None:
    """The latest record counts: a process of that version may have published before this one did, or after."""
    known = dict(schema.PUBLISHED.all(connection))
    newer = ((key, one) for key, one in found if key not in known or known[key].read_at < one.read_at)
    schema.PUBLISHED.put(connection, *newer)


def _put_warehouse(connection: Connection, /, *found: rows.KnownFile) -> None:
    """A process of that version may have published since the last headers were noted."""
    for one in found:
        known = schema.KNOWN_FILES.get(connection, name=schema.WAREHOUSE)
        marks = dict.fromkeys([*(known.marks if known else ()), *one.marks])
        schema.KNOWN_FILES.put(connection, replace(one, marks=tuple(marks)))


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of file.

    Args:
        folder: that they are in; with a star, each in one of its folders.
        name: what names of such files match.
        make: makes rows of a file's content. Raises DamagedFileError.
        store: writes rows into the database.
        lost: the rows that are lost with a damaged file, if that matters.
        lock_of: names a lock; while that is held, a file is left to its process, which removes it or is killed.
        is_ours: whether today's program wrote a file, so that it stays.
    """

    folder: str
    name: str
    make: Callable[[Path, bytes], Iterable[Any]] = lambda *_: ()
    store: Callable[..., None] = lambda *_: None
    lost: Rows[Any] | None = None
    lock_of: Callable[[Path], Path] | None = None
    is_ours: Callable[[Path], bool] = lambda _: False


def _beside(file: Path) -> Path:
    return file.with_suffix(".lock")


_PORTAL = r"(?:[a-z0-9_]+|-installation)\.json"
_MONTH = r"[0-9]{4}-(?:0[1-9]|1[0-2])"
_SLICE = rf"[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+(?:\.{_MONTH})?"
_KINDS = (
    _Kind("failures", _PORTAL, _failures, schema.FAILURES.add),
    _Kind("", r"watched\.json", _baselines, schema.BASELINES.add, schema.BASELINES),
    _Kind("", r"alerts\.json", _notices, _add_notices),
    # The next changes run asks for everything, and so finds the months of damaged files again.
    _Kind("changed", rf"[a-z0-9_]+\.{_MONTH}\.json", _marks, schema.REFRESH_REQUESTS.add, schema.REFRESH_REQUESTS),
    # If a file is damaged, a command is owed, and nobody can tell which.
    _Kind("unfinished", r"[0-9a-f]{16}\.json", _commands, schema.COMMANDS.add, schema.COMMANDS, _beside),
    _Kind("forgotten", _PORTAL, _forgotten, schema.FORGOTTEN.add),
    _Kind("pending", _SLICE, _pending, schema.PENDING.add),
    _Kind("published", _SLICE, _published, _put_published),
    _Kind("history", _SLICE, _owed_histories, schema.OWED_HISTORIES.add),
    _Kind("", r"lake\.json", _lake, schema.KNOWN_FILES.add, is_ours=_is_shut_out),
    _Kind("", r"publication\.json", _warehouse, _put_warehouse),
    # Ids that runs shared, runs in progress, and their processes: nothing to import.
    _Kind("batches/*", r"[a-z0-9_]+\.[a-z0-9_.]+\.parquet"),
    _Kind("writers", r"[0-9a-f]{16}"),
    _Kind("processes", r"[0-9]+-[0-9a-f]{16}", lock_of=lambda mark: mark),
)


def legacy_files(folder: Path) -> list[Path]:
    """Files of version 0.1 in a state folder, and their empty folders. Raises StorageError."""
    with storage_errors(folder, "look for files of an older version in"):
        empty = [one for one in _folders(folder) if not any(files for _, _, files in os.walk(one))]
        return [*empty, *(file for kind in _KINDS for file in _files(kind, folder))]


Imported = dict[Path, tuple[int, int]]
"""Imported files, with the inode and the time of change that they had then."""


def import_files(folder: Path, connection: Connection) -> Imported:
    """Import the files of version 0.1 into the database. Raises StorageError."""
    imported: Imported = {}
    with storage_errors(folder, "import files of an older version from"):
        for kind in _KINDS:
            # Stamps are taken before reading, so that files written meanwhile stay.
            stamps = {file: stamp for file in _files(kind, folder) if (stamp := _stamp(file))}
            kind.store(connection, *(row for file in stamps for row in _rows(kind, file, connection)))
            imported |= stamps
    return imported


def _rows(kind: _Kind, file: Path, connection: Connection) -> list[Any]:
    found, is_damaged = [], file.is_dir()
    try:
        found = [*kind.make(file, b"" if is_damaged else file.read_bytes())]
    except FileNotFoundError:
        pass
    except DamagedFileError:
        is_damaged = True
        if kind.lost:
            schema.lose(connection, kind.lost)
    if is_damaged:
        set_aside(file)
    return found


def remove_files(folder: Path, imported: Imported) -> None:
    """Remove imported files, their locks, and the folders that are empty then. Raises StorageError.

    What a process of version 0.1 wrote meanwhile stays, and is imported by the next process.
    """
    with storage_errors(folder, "remove files of an older version from"):
        # The locks go first: as long as a file remains, the next use repeats this.
        for place in {*_folders(folder), *(file.parent for file in imported)}:
            sweep(place)
            Locks(place).sweep()
        for file, stamp in imported.items():
            if _stamp(file) == stamp:
                # A process of that version may have locked its mark since.
                remove_if_free(file)
        for place in _folders(folder):
            for one in (*place.glob("*"), place):
                # The folder may hold a file that is not ours.
                with suppress(OSError):
                    one.rmdir()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.lstat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _folders(folder: Path) -> list[Path]:
    places = {folder / kind.folder.removesuffix("/*") for kind in _KINDS if kind.folder}
    return sorted(place for place in places if place.is_dir())


def _files(kind: _Kind, folder: Path) -> list[Path]:
    found: list[Path] = []
    # Another process may be removing the folders just now.
    with suppress(FileNotFoundError, NotADirectoryError):
        for place in folder.glob(kind.folder) if kind.folder else [folder]:
            found += (file for file in place.iterdir() if re.fullmatch(kind.name, file.name))
    return sorted(
        file for file in found if not (kind.is_ours(file) or (kind.lock_of and is_locked(kind.lock_of(file))))
    )
