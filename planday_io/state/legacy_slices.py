"""Files about slices of versions before the state database knew slices: one file per slice, in three folders, and two more.

There may be one per slice of each kind, so they are taken in many at once.

Not here: when that happens, and removing them (`legacy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from sqlalchemy import Connection

from planday_io.errors import DamagedFileError
from planday_io.state.records import decoded, read_or_set_aside, set_aside
from planday_io.state.rows import PendingSlice, PublishedSlice, SliceKey
from planday_io.state.schema import PENDING, PUBLISHED
from planday_io.state.slice_rows import all_rows, owe, put_rows
from planday_io.state.statements import LAKE, WAREHOUSE, marks_of, put_marks

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def files_of_slices(name: str) -> Callable[[Path], list[Path]]:
    """Finds the files in one of the folders; what has another name is none, such as an editor's backup."""

    def find(folder: Path) -> list[Path]:
        try:
            names = sorted(path.name for path in (folder / name).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [folder / name / one for one in names if SliceKey.parse(one)]

    return find


def take_pending(files: Sequence[Path], connection: Connection) -> None:
    """Slices that wait for a publication; a damaged file still says that its slice changed."""
    known = all_rows(connection, PENDING, PendingSlice)
    found = {}
    for key, content, file in _contents(files):
        if key not in known:
            found[key] = PendingSlice(
                slice_id="",
                writer=content.decode("ascii", errors="replace"),
                since=datetime.fromtimestamp(file.stat().st_mtime, UTC) if file.exists() else datetime.now(UTC),
            )
    put_rows(connection, PENDING, found)


class _Published(msgspec.Struct):
    slice_id: str
    read_at: _Instant
    kept: int


def take_published(files: Sequence[Path], connection: Connection) -> None:
    """What was published of slices; the latest counts. The files were not flushed, so one that is torn counts as none."""
    known = all_rows(connection, PUBLISHED, PublishedSlice)
    found = {}
    for key, content, file in _contents(files):
        with suppress(DamagedFileError):
            one = decoded(content, _Published, file, "what was published")
            if key not in known or known[key].read_at < one.read_at:
                found[key] = PublishedSlice(slice_id=one.slice_id, read_at=one.read_at, rows=max(0, one.kept))
    put_rows(connection, PUBLISHED, found)


def take_histories(files: Sequence[Path], connection: Connection) -> None:
    """Histories that have to follow; of one whose file is damaged it is not known when its slice was read before."""
    found: dict[SliceKey, datetime | None] = {}
    for key, content, _ in _contents(files):
        found[key] = None
        with suppress(ValueError):
            read_at = datetime.fromisoformat(content.decode("ascii"))
            found[key] = read_at if read_at.tzinfo else None
    owe(connection, found)


class _Lake(msgspec.Struct):
    lake: str


def take_lake(files: Sequence[Path], connection: Connection) -> None:
    """The name of the lake."""
    for file in files:
        found = read_or_set_aside(file, _Lake, "the name of the lake")
        if found and found.lake and not marks_of(connection, LAKE):
            put_marks(connection, LAKE, [found.lake])


class _Warehouse(msgspec.Struct):
    headers: tuple[str, ...]


def take_warehouse(files: Sequence[Path], connection: Connection) -> None:
    """The headers of the published file. A process of an older version may have published since the last were noted."""
    for file in files:
        found = read_or_set_aside(file, _Warehouse, "how the warehouse was published")
        if found:
            put_marks(
                connection, WAREHOUSE, [*dict.fromkeys([*(marks_of(connection, WAREHOUSE) or ()), *found.headers])]
            )


def _contents(files: Sequence[Path]) -> Iterator[tuple[SliceKey, bytes, Path]]:
    """What is in each file; a folder in its place holds nothing, and is set aside."""
    for file in files:
        key = SliceKey.parse(file.name)
        with suppress(FileNotFoundError):
            try:
                content = file.read_bytes()
            except IsADirectoryError:
                set_aside(file)
                content = b""
            if key:
                yield key, content, file
