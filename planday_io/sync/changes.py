"""Months that have to be read again, because rows of theirs were edited, deleted or moved, or because they never were read.

A changes run asks what was modified and deleted since the last one, compares it with the lake, and marks months. The
marks are files, so that they outlive a kill; whoever can launch runs (the sensor, `planday sync`) reads the marked months,
and a mark goes when everything it names was read after it was made.

Not here: asking (`planday_io.sync.refresh`), launching (`pipelines`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from planday_io.catalogue import CATALOGUE, Catalogue, Endpoint, Table
from planday_io.config.model import Config
from planday_io.config.selection import endpoints_of
from planday_io.errors import DamagedFileError, DamagedSliceError
from planday_io.files import locked, storage_errors
from planday_io.lake.policies import aligned
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import month_of
from planday_io.state.records import read_record, remove_record, set_aside, write_record

_TRIED_AGAIN = timedelta(hours=6)
"""What is still marked after so long, because its run failed, is marked anew and so launched again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A month to be read again.

    Args:
        portal: config key.
        month: `YYYY-MM`.
        tables: endpoints by name.
        at: UTC instant; what was read later is up to date.
        gone: share of the month's rows that were found deleted or moved to another month.
    """

    portal: str
    month: str
    tables: tuple[str, ...]
    at: datetime
    gone: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What is in the file of a mark; see `Mark`."""

    tables: tuple[str, ...]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    gone: float = 0.0


_NAME = re.compile(r"([a-z0-9_]+)\.([0-9]{4}-(?:0[1-9]|1[0-2]))\.json")


class ChangedMonths:
    """The marks of one installation.

    Args:
        state: folder they are kept in.
        catalogue: the endpoints there are; a damaged mark is for all of those with a slice per month.
    """

    def __init__(self, state: Path, catalogue: Catalogue = CATALOGUE) -> None:
        self._monthly = tuple(one.name for one in catalogue.endpoints if one.grid == "month")
        self._folder = state / "changed"
        self._lock = state / "locks" / "changed.lock"

    def marks(self, portal: str | None = None) -> list[Mark]:
        """All marks, or those of a portal, oldest month first. Raises StorageError."""
        with storage_errors(self._folder, "read"):
            names = sorted(path.name for path in self._folder.glob(f"{portal or '*'}.*.json"))
        # What has another name is no mark: an editor's backup, a copy.
        found = [_NAME.fullmatch(name) for name in names]
        return [mark for one in found if one and (mark := self._read(*one.groups())) is not None]

    def portals(self) -> list[str]:
        """Portals that have marks. Raises StorageError."""
        with storage_errors(self._folder, "read"):
            found = [_NAME.fullmatch(path.name) for path in self._folder.glob("*.*.json")]
        return sorted({one.group(1) for one in found if one})

    def _read(self, portal: str, month: str) -> Mark | None:
        """A mark, or None where it is gone. A damaged one is set aside and made again: its name says what to read."""
        path = self._path(portal, month)
        try:
            stored = read_record(path, _Stored, "a month to be read again")
        except DamagedFileError:
            set_aside(path)
            stored = None if path.exists() else _Stored(tables=self._monthly, at=datetime.now(UTC))
            if stored is not None:
                self._write(Mark(portal, month, stored.tables, stored.at))
        return Mark(portal, month, stored.tables, stored.at, stored.gone) if stored else None

    def mark(self, portal: str, months: Mapping[str, Iterable[str]], gone: Mapping[str, float], at: datetime) -> None:
        """Mark months. What is marked already stays marked.

        Args:
            portal: config key.
            months: month -> endpoints.
            gone: month -> share of its rows that are gone.
            at: UTC instant.
        """
        with locked(self._lock), storage_errors(self._folder, "mark months in"):
            old = {mark.month: mark for mark in self.marks(portal)}
            for month, tables in months.items():
                before = old.get(month, Mark(portal, month, (), at))
                everything = tuple(sorted({*before.tables, *tables}))
                self._write(Mark(portal, month, everything, at, max(before.gone, gone.get(month, 0.0))))

    def rename(self, old: str, new: str) -> None:
        """Give the marks of a portal's key to another one. Raises StorageError."""
        with locked(self._lock), storage_errors(self._folder, "move marks in"):
            for path in sorted(self._folder.glob(f"{old}.*.json")):
                path.replace(path.with_name(f"{new}{path.name.removeprefix(old)}"))

    def share_gone(self, portal: str, month: str | None, read_at: datetime) -> float:
        """The share of a month's rows that were found gone since a read of it; 0 where nothing was."""
        if month is None or not self._path(portal, month).exists():
            return 0.0
        marks = [mark for mark in self.marks(portal) if mark.month == month and mark.at > read_at]
        return max([0.0, *(mark.gone for mark in marks)])

    def settle(self, lake: Lake, catalogue: Catalogue, config: Config, portal: str | None = None) -> list[Mark]:
        """Take away the marks of what was read since, or is no longer among a portal's resources.

        Returns:
            The marks that stay, oldest month first, with the endpoints that are still to be read.
        """
        with locked(self._lock), storage_errors(self._folder, "read"):
            left = []
            for mark in self.marks(portal):
                settings = config.portals.get(mark.portal)
                has = {one.name for one in endpoints_of(catalogue, settings)} if settings else set()
                tables = tuple(name for name in mark.tables if name in has and not _is_read(lake, mark, name))
                if tables:
                    left.append(replace(mark, tables=tables))
                    if tables != mark.tables:
                        self._write(left[-1])
                else:
                    remove_record(self._path(mark.portal, mark.month))
            return sorted(left, key=lambda mark: (mark.month, mark.portal))

    def _write(self, mark: Mark) -> None:
        write_record(self._path(mark.portal, mark.month), _Stored(tables=mark.tables, at=mark.at, gone=mark.gone))

    def _path(self, portal: str, month: str) -> Path:
        return self._folder / f"{portal}.{month}.json"


def _is_read(lake: Lake, mark: Mark, endpoint: str) -> bool:
    provenance = lake.usable_provenance(SliceKey.of(endpoint, mark.portal, mark.month))
    return provenance is not None and provenance.fetched >= mark.at


def touched_months(
    lake: Lake, portal: str, table: Table, changed: pa.Table, deleted: Iterable[int]
) -> dict[str, float]:
    """Months of a table whose slices are not as the API has them now.

    Args:
        lake: the slices.
        portal: config key.
        table: with a slice per month, its id the only key.
        changed: rows as they are now, typed.
        deleted: ids that are gone.

    Returns:
        Month -> share of its rows that are gone from it.
    """
    (key,) = table.key
    dates = zip(*(changed.column(name).to_pylist() for name in table.month_by or ()), strict=True)
    days = [next((day for day in row if day is not None), None) for row in dates]
    now = {row[key]: (month_of(day) if day else None, row) for row, day in zip(_comparable(changed), days, strict=True)}
    ids = {*deleted, *now}
    if not ids:
        return {}
    touched: dict[str, float] = {}
    seen: set[tuple[str, int]] = set()
    slices = {slice_key.month: slice_key for slice_key in lake.slices(table.full_name, portal) if slice_key.month}
    for month, slice_key in slices.items():
        gone = 0
        try:
            found = lake.rows_with(slice_key, key, pa.array(sorted(ids), pa.int64()))
        except DamagedSliceError:
            # Reading the month again heals it.
            touched.setdefault(month, 0.0)
            continue
        for row in _comparable(aligned(found, changed.schema)):
            seen.add((month, row[key]))
            current = now.get(row[key])
            # A row without a date stands in the month it was asked for, so only its content can tell.
            is_gone = current is None or current[0] not in (None, month)
            gone += is_gone
            if is_gone or (current and current[1] != row):
                touched.setdefault(month, 0.0)
        provenance = lake.provenance(slice_key)
        if gone and provenance:
            touched[month] = min(1.0, gone / max(1, provenance.kept))
    for number, (at, _) in now.items():
        if at in slices and (at, number) not in seen:
            touched.setdefault(at, 0.0)
    return touched


def months_to_read(
    lake: Lake,
    portal: str,
    grid: Sequence[str],
    endpoints: Sequence[Endpoint],
    touched: Iterable[str],
    marks: Sequence[Mark],
    now: datetime,
) -> dict[str, list[str]]:
    """What has to be marked: months that were touched, or never read, or whose run seems to have failed.

    An endpoint that never gave a slice, while others did, is refused by the API (a missing scope): it is left to the
    schedules.

    Args:
        lake: the slices.
        portal: config key.
        grid: months of the portal.
        endpoints: those with a slice per month that the portal has.
        touched: months whose slices are not as the API has them.
        marks: what is marked already.
        now: UTC instant.

    Returns:
        Month -> endpoints.
    """
    have = {one.name: {key.month for key in lake.slices(one.name, portal)} for one in endpoints}
    fresh = not any(have.values())
    able = [one.name for one in endpoints if fresh or have[one.name]]
    marked = {mark.month for mark in marks}
    found = {month: [name for name in able if month not in have[name]] for month in grid if month not in marked}
    found |= {mark.month: [n for n in mark.tables if n in able] for mark in marks if now - mark.at > _TRIED_AGAIN}
    found |= dict.fromkeys(touched, able)
    return {month: names for month, names in found.items() if names and month in grid}


def _comparable(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows without what depends on when and for which month they were read."""
    left = [name for name in ("month", "_fetched_at") if name in rows.schema.names]
    plain: list[dict[str, Any]] = rows.drop_columns(left).to_pylist()
    return plain
