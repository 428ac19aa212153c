"""Files of versions before there was a state database. They are taken in with the first use, in one transaction, and removed.

Importing them twice does no harm: what the database has already stays. So a kill between the transaction and the removal, or
in the middle of the removal, is healed by the next use, which comes before anything else is done with the database. A file
that is damaged is set aside and reported like any other; the others are taken in. A file with a name that this program
never gave stays where it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from sqlalchemy import Connection, Table, insert, select

from planday_io.errors import DamagedFileError
from planday_io.files import is_locked, storage_errors, sweep
from planday_io.state.legacy_slices import (
    files_of_slices,
    take_histories,
    take_lake,
    take_pending,
    take_published,
    take_warehouse,
)
from planday_io.state.records import read_or_set_aside, read_record
from planday_io.state.rows import Incident, Notice
from planday_io.state.schema import BASELINES, COMMANDS, FAILURES, FORGOTTEN, INCIDENTS, PORTALS, REFRESH_REQUESTS
from planday_io.state.statements import lose, put_notice

T = TypeVar("T")
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_KEY = re.compile(r"[a-z0-9_]+|-installation")


def legacy_files(folder: Path) -> list[Path]:
    """Files of older versions in a state folder, without those of another name. Raises StorageError."""
    with storage_errors(folder, "look for files of an older version in"):
        return [file for kind in _KINDS for file in kind.files(folder)]


Imported = dict[Path, tuple[int, int]]
"""Files that were taken in, as they were then: their inode and when they were changed."""


def import_files(folder: Path, connection: Connection) -> Imported:
    """Take the files of older versions into the database. Raises StorageError."""
    imported: Imported = {}
    with storage_errors(folder, "take in files of an older version from"):
        for kind in _KINDS:
            # As they are before they are read: what is written meanwhile stays.
            stamps = {file: stamp for file in kind.files(folder) if (stamp := _stamp(file))}
            kind.take([*stamps], connection)
            imported |= stamps
    return imported


def remove_files(folder: Path, imported: Imported) -> None:
    """Remove what was taken in, its locks, and the folders that are empty then. Raises StorageError.

    What a process of an older version wrote meanwhile stays, and is taken in by the next process.
    """
    with storage_errors(folder, "remove files of an older version from"):
        for file, stamp in imported.items():
            if _stamp(file) == stamp:
                # The lock first: as long as the file is there, the next use comes here again.
                if file.suffix == ".json":
                    file.with_suffix(".lock").unlink(missing_ok=True)
                file.unlink(missing_ok=True)
        for kind in _KINDS if imported else ():
            if kind.lock and not kind.files(folder):
                (folder / kind.lock).unlink(missing_ok=True)
            if kind.folder:
                sweep(folder / kind.folder)
            for one in (*(folder / kind.folder).glob("*"), folder / kind.folder) if kind.folder else ():
                # Something of another name may be in there.
                with suppress(OSError):
                    one.rmdir()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.lstat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


class _Kind(msgspec.Struct, frozen=True):
    """One kind of file: which ones there are, what to do with each, and what goes with them."""

    files: Callable[[Path], list[Path]]
    take: Callable[[Sequence[Path], Connection], None]
    folder: str = ""
    lock: str = ""


def _each(take: Callable[[Path, Connection], None]) -> Callable[[Sequence[Path], Connection], None]:
    """Takes files in one by one."""

    def take_all(files: Sequence[Path], connection: Connection) -> None:
        for file in files:
            take(file, connection)

    return take_all


def _read(file: Path, kind: type[T], what: str) -> T | None:
    """What is in a file, or None where it is gone, or damaged and set aside."""
    found = read_or_set_aside(file, kind, what)
    if found is None:
        file.with_suffix(".lock").unlink(missing_ok=True)
    return found


def _one(name: str) -> Callable[[Path], list[Path]]:
    """Finds a file."""
    return lambda folder: [file for file in (folder / name,) if os.path.lexists(file)]


def _add(connection: Connection, table: Table, row: dict[str, object]) -> None:
    """Add a row unless there is one with its key."""
    key = [column == row[column.name] for column in table.primary_key]
    if connection.execute(select(*table.primary_key).where(*key)).first() is None:
        connection.execute(insert(table).values(row))


class _Failure(msgspec.Struct):
    portal: str
    table: str
    month: str | None
    cause: str
    error: str
    run_id: str
    since: _Instant


def _failure_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("failures/*.json") if _KEY.fullmatch(file.stem))


def _take_failures(file: Path, connection: Connection) -> None:
    for one in _read(file, list[_Failure], "what failed") or ():
        row = {
            "portal": one.portal,
            "table_name": one.table,
            "month": one.month or "",
            "cause": one.cause,
            "error": one.error,
            "run_id": one.run_id,
            "since": one.since,
        }
        _add(connection, FAILURES, row)


def _take_baseline(file: Path, connection: Connection) -> None:
    found = _read(file, dict[str, dict[str, tuple[str, _Instant]]], "since when schedules read each table")
    if found is None:
        lose(connection, datetime.now(UTC), BASELINES)
    for portal, tables in (found or {}).items():
        for table, (reading, since) in tables.items():
            row = {"portal": portal, "table_name": table, "reading": reading, "since": since}
            _add(connection, BASELINES, row)


class _Incident(msgspec.Struct):
    portal: str
    cause: str
    tables: tuple[str, ...]
    since: _Instant
    error: str = ""
    run_id: str = ""

    @property
    def value(self) -> Incident:
        return Incident(**msgspec.structs.asdict(self))


class _Open(msgspec.Struct):
    incident: _Incident
    seen: _Instant
    told: dict[str, tuple[str, ...]] = {}
    all_tables: tuple[str, ...] = ()


class _Ended(msgspec.Struct):
    incident: _Incident
    at: _Instant
    channels: tuple[str, ...]


class _Alerts(msgspec.Struct):
    open: dict[str, _Open]
    ended: list[_Ended]


def _take_incidents(file: Path, connection: Connection) -> None:
    found = _read(file, _Alerts, "which incidents were reported")
    if found is None or connection.execute(select(INCIDENTS)).first():
        return
    notices = [
        Notice(incident=one.incident.value, noticed_at=one.seen, all_tables=one.all_tables, deliveries=one.told)
        for one in found.open.values()
    ]
    notices += [
        Notice(
            incident=one.incident.value,
            noticed_at=one.at,
            all_tables=one.incident.tables,
            ended_at=one.at,
            deliveries=dict.fromkeys(one.channels, ()),
        )
        for one in found.ended
    ]
    for number, notice in enumerate(notices, 1):
        put_notice(connection, number, notice)


class _Mark(msgspec.Struct):
    tables: tuple[str, ...]
    at: _Instant
    gone: float = 0.0


_MARK = re.compile(r"([a-z0-9_]+)\.([0-9]{4}-(?:0[1-9]|1[0-2]))\.json")


def _mark_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("changed/*.json") if _MARK.fullmatch(file.name))


def _take_mark(file: Path, connection: Connection) -> None:
    found, name = _read(file, _Mark, "a month to be read again"), _MARK.fullmatch(file.name)
    if found is None or name is None:
        # The next changes run asks for everything, and so finds it again.
        lose(connection, datetime.now(UTC), REFRESH_REQUESTS)
        return
    row = {
        "portal": name[1],
        "month": name[2],
        "endpoints": found.tables,
        "requested_at": found.at,
        "share_gone": min(1.0, max(0.0, found.gone)),
    }
    _add(connection, REFRESH_REQUESTS, row)


class _Command(msgspec.Struct):
    command: str
    portals: tuple[str, ...]
    since: _Instant
    step: str = ""


_COMMAND = re.compile(r"([0-9a-f]{16})\.json")


def _command_files(folder: Path) -> list[Path]:
    """Without those of commands that a process of an older version is running: it removes the file itself, or is killed."""
    found = sorted(file for file in folder.glob("unfinished/*.json") if _COMMAND.fullmatch(file.name))
    return [file for file in found if not is_locked(file.with_suffix(".lock"))]


def _take_command(file: Path, connection: Connection) -> None:
    found = _read(file, _Command, "a command that was begun")
    if found is None:
        # Some command is owed, and nobody can tell which.
        lose(connection, datetime.now(UTC), COMMANDS)
        return
    row = {
        "name": file.stem,
        "command": found.command,
        "portals": found.portals,
        "since": found.since,
        "step": found.step,
    }
    _add(connection, COMMANDS, row)


_SHARED = re.compile(r"[a-z0-9_]+\.[a-z0-9_.]+\.parquet")


def _shared_files(folder: Path) -> list[Path]:
    """Ids of departments that runs started together shared. Each run reads its own now."""
    return sorted(file for file in folder.glob("batches/*/*") if _SHARED.fullmatch(file.name))


def _leave_out(*_: object) -> None:
    """Nothing in it is needed."""


class _Forgotten(msgspec.Struct):
    salt: str
    people: tuple[int, ...]


def _forgotten_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("forgotten/*.json") if _KEY.fullmatch(file.stem))


def _take_forgotten(file: Path, connection: Connection) -> None:
    if found := _read(file, _Forgotten, "a copy of the list of forgotten people"):
        _add(connection, FORGOTTEN, {"portal": file.stem, "salt": found.salt, "pseudonyms": found.people})


class _Portal(msgspec.Struct):
    """Early versions wrote the id as it was received, perhaps as a text."""

    portal_id: int | str


def portal_files(folder: Path) -> list[Path]:
    """Files of a folder in the lake that say which portals keys stand for."""
    return sorted(file for file in folder.glob("*.json") if _KEY.fullmatch(file.stem))


def take_portals(folder: Path, connection: Connection) -> Imported:
    """Take in which portals keys stand for. What is damaged is left out: slices have the ids as well. Raises StorageError."""
    imported: Imported = {}
    with storage_errors(folder, "take in portal ids from"):
        for file in portal_files(folder):
            stamp = _stamp(file)
            with suppress(DamagedFileError, ValueError):
                if found := read_record(file, _Portal, "the portal id"):
                    _add(connection, PORTALS, {"portal": file.stem, "id": int(found.portal_id)})
            if stamp:
                imported[file] = stamp
    return imported


_KINDS = (
    _Kind(files=_failure_files, take=_each(_take_failures), folder="failures"),
    _Kind(files=_one("watched.json"), take=_each(_take_baseline)),
    _Kind(files=_one("alerts.json"), take=_each(_take_incidents)),
    _Kind(files=_mark_files, take=_each(_take_mark), folder="changed", lock="locks/changed.lock"),
    _Kind(files=_command_files, take=_each(_take_command), folder="unfinished", lock="locks/unfinished.lock"),
    _Kind(files=_forgotten_files, take=_each(_take_forgotten), folder="forgotten"),
    _Kind(files=_shared_files, take=_leave_out, folder="batches"),
    _Kind(files=files_of_slices("pending"), take=take_pending, folder="pending"),
    _Kind(files=files_of_slices("published"), take=take_published, folder="published"),
    _Kind(files=files_of_slices("history"), take=take_histories, folder="history"),
    _Kind(files=_one("lake.json"), take=take_lake),
    _Kind(files=_one("publication.json"), take=take_warehouse),
)
