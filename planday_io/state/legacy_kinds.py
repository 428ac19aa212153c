"""What files of versions before the state database hold, and which rows become of it.

What the database has already stays, except where a file is newer.

Not here: when that happens, and removing them (`legacy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from planday_io.errors import DamagedFileError
from planday_io.state.mapping import Rows
from planday_io.state.records import decoded
from planday_io.state.rows import (
    Baseline,
    Failure,
    ForgottenCopy,
    Incident,
    Instant,
    KnownFile,
    Notice,
    OwedHistory,
    PendingSlice,
    PublishedSlice,
    RefreshRequest,
    SliceKey,
    UnfinishedCommand,
)
from planday_io.state.schema import (
    BASELINES,
    COMMANDS,
    FAILURES,
    FORGOTTEN,
    INCIDENTS,
    KNOWN_FILES,
    LAKE,
    OWED_HISTORIES,
    PENDING,
    PUBLISHED,
    REFRESH_REQUESTS,
    WAREHOUSE,
    put_notices,
)

KEY = r"(?:[a-z0-9_]+|-installation)"
_MONTH = r"[0-9]{4}-(?:0[1-9]|1[0-2])"
_SLICE = rf"[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+(?:\.{_MONTH})?"

Contents = Sequence[tuple[Path, Any]]
"""Files, and what they hold."""


class LegacyKind(msgspec.Struct, frozen=True):
    """One kind of file.

    Args:
        name: what names of such files match. Other files stay where they are.
        take: takes what files hold into the database.
        folder: that they are in; with a star, each in one of its folders.
        holds: their type, if they are JSON, or `bytes`.
        what: they hold, for errors.
        lost: the rows that are lost with a damaged file, if that matters.
        lock: what goes when there are no more files.
        is_locked: a file whose own lock is held is left to its process, which removes it or is killed.
    """

    name: str
    take: Callable[[Connection, Contents], None] = lambda *_: None
    folder: str = ""
    holds: Any = None
    what: str = ""
    lost: Rows[Any] | None = None
    lock: str = ""
    is_locked: bool = False


def _failures(connection: Connection, contents: Contents) -> None:
    FAILURES.add(connection, *(one for _, found in contents for one in found))


def _baselines(connection: Connection, contents: Contents) -> None:
    for _, found in contents:
        readings = [(portal, *one) for portal, tables in found.items() for one in tables.items()]
        made = (Baseline(portal=of, table=table, reading=one, since=since) for of, table, (one, since) in readings)
        BASELINES.add(connection, *made)


class _Open(msgspec.Struct):
    incident: Incident
    seen: Instant
    told: dict[str, tuple[str, ...]] = {}
    all_tables: tuple[str, ...] = ()


class _Ended(msgspec.Struct):
    incident: Incident
    at: Instant
    channels: tuple[str, ...]


class _Alerts(msgspec.Struct):
    open: dict[str, _Open]
    ended: list[_Ended]


def _incidents(connection: Connection, contents: Contents) -> None:
    notices = [
        Notice(incident=one.incident, noticed_at=one.seen, all_tables=one.all_tables, deliveries=one.told)
        for _, found in contents
        for one in found.open.values()
    ]
    notices += [
        Notice(
            incident=one.incident,
            noticed_at=one.at,
            all_tables=one.incident.tables,
            ended_at=one.at,
            deliveries=dict.fromkeys(one.channels, ()),
        )
        for _, found in contents
        for one in found.ended
    ]
    if not INCIDENTS.has(connection):
        put_notices(connection, notices)


class _Mark(msgspec.Struct):
    tables: tuple[str, ...]
    at: Instant
    gone: float = 0.0


def _marks(connection: Connection, contents: Contents) -> None:
    for file, found in contents:
        portal, month = file.stem.split(".")
        share = min(1.0, max(0.0, found.gone))
        new = RefreshRequest(
            portal=portal, month=month, endpoints=found.tables, requested_at=found.at, share_gone=share
        )
        REFRESH_REQUESTS.add(connection, new)


def _commands(connection: Connection, contents: Contents) -> None:
    COMMANDS.add(connection, *(replace(found, name=file.stem) for file, found in contents))


class _Forgotten(msgspec.Struct):
    salt: str
    people: tuple[int, ...]


def _forgotten(connection: Connection, contents: Contents) -> None:
    for file, found in contents:
        copy = ForgottenCopy(portal=file.stem, salt=found.salt, pseudonyms=frozenset(found.people))
        FORGOTTEN.add(connection, copy)


def _slices(contents: Contents) -> Iterator[tuple[SliceKey, Path, bytes]]:
    for file, content in contents:
        if key := SliceKey.parse(file.name):
            yield key, file, content


def _pending(connection: Connection, contents: Contents) -> None:
    """A damaged file still says that its slice changed."""
    found = []
    for key, file, content in _slices(contents):
        since = datetime.fromtimestamp(file.stat().st_mtime, UTC) if file.exists() else datetime.now(UTC)
        found.append((key, PendingSlice(slice_id="", writer=content.decode("ascii", errors="replace"), since=since)))
    PENDING.add(connection, *found)


class _Published(msgspec.Struct):
    slice_id: str
    read_at: Instant
    kept: int


def _published(connection: Connection, contents: Contents) -> None:
    """The latest counts. The files were not flushed, so one that is torn counts as none."""
    known, found = dict(PUBLISHED.all(connection)), []
    for key, file, content in _slices(contents):
        with suppress(DamagedFileError):
            one = decoded(content, _Published, file, "what was published")
            if key not in known or known[key].read_at < one.read_at:
                found.append((key, PublishedSlice(slice_id=one.slice_id, read_at=one.read_at, rows=max(0, one.kept))))
    PUBLISHED.put(connection, *found)


def _histories(connection: Connection, contents: Contents) -> None:
    """Of one whose file is damaged it is not known when its slice was read before."""
    found: dict[SliceKey, datetime | None] = {}
    for key, _, content in _slices(contents):
        found[key] = None
        with suppress(ValueError):
            read_at = datetime.fromisoformat(content.decode("ascii"))
            found[key] = read_at if read_at.tzinfo else None
    OWED_HISTORIES.add(connection, *((key, OwedHistory(last_read_at=at)) for key, at in found.items()))


class _Lake(msgspec.Struct):
    lake: str


def _lake(connection: Connection, contents: Contents) -> None:
    KNOWN_FILES.add(connection, *(KnownFile(name=LAKE, marks=(found.lake,)) for _, found in contents if found.lake))


class _Warehouse(msgspec.Struct):
    headers: tuple[str, ...]


def _warehouse(connection: Connection, contents: Contents) -> None:
    """A process of an older version may have published since the last headers were noted."""
    for _, found in contents:
        known = KNOWN_FILES.get(connection, name=WAREHOUSE)
        marks = dict.fromkeys([*(known.marks if known else ()), *found.headers])
        KNOWN_FILES.put(connection, KnownFile(name=WAREHOUSE, marks=tuple(marks)))


KINDS = (
    LegacyKind(rf"{KEY}\.json", _failures, "failures", list[Failure], "what failed"),
    LegacyKind(
        r"watched\.json",
        _baselines,
        holds=dict[str, dict[str, tuple[str, Instant]]],
        what="since when schedules read each table",
        lost=BASELINES,
    ),
    LegacyKind(r"alerts\.json", _incidents, holds=_Alerts, what="which incidents were reported"),
    # The next changes run asks for everything, and so finds a month again whose mark is damaged.
    LegacyKind(
        rf"[a-z0-9_]+\.{_MONTH}\.json",
        _marks,
        "changed",
        _Mark,
        "a month to be read again",
        lost=REFRESH_REQUESTS,
        lock="locks/changed.lock",
    ),
    # Some command is owed where a file is damaged, and nobody can tell which.
    LegacyKind(
        r"[0-9a-f]{16}\.json",
        _commands,
        "unfinished",
        UnfinishedCommand,
        "a command that was begun",
        lost=COMMANDS,
        lock="locks/unfinished.lock",
        is_locked=True,
    ),
    LegacyKind(rf"{KEY}\.json", _forgotten, "forgotten", _Forgotten, "a copy of the list of forgotten people"),
    # Ids of departments that runs started together shared. Each run reads its own now.
    LegacyKind(r"[a-z0-9_]+\.[a-z0-9_.]+\.parquet", folder="batches/*"),
    LegacyKind(_SLICE, _pending, "pending", bytes),
    LegacyKind(_SLICE, _published, "published", bytes),
    LegacyKind(_SLICE, _histories, "history", bytes),
    LegacyKind(r"lake\.json", _lake, holds=_Lake, what="the name of the lake"),
    LegacyKind(r"publication\.json", _warehouse, holds=_Warehouse, what="how the warehouse was published"),
)
