"""Months that have to be read again, because rows of theirs were edited, deleted or moved, or because they never were read.

A changes run asks what was modified and deleted since the last one, compares it with the lake, and marks months. The
marks are files, so that they outlive a kill; whoever can launch runs (the sensor, `planday sync`) reads the marked months,
and a mark goes when everything it names was read after it was made.

Not here: asking (`planday_io.refresh`), launching (`pipelines`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.config.model import Config
from planday_io.files import locked, storage_errors, write_text
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import month_of
from planday_io.plan import aligned
from planday_io.selection import endpoints_of

_TRIED_AGAIN = timedelta(days=1)
"""A month that never was read, because its run failed, is marked again after so long."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A month to be read again.

    Args:
        portal: config key.
        month: `YYYY-MM`.
        tables: endpoints by name.
        at: UTC instant; what was read later is up to date.
    """

    portal: str
    month: str
    tables: tuple[str, ...]
    at: datetime


class ChangedMonths:
    """The marks of one installation.

    Args:
        state: folder they are kept in.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "changed"
        self._lock = state / "locks" / "changed.lock"

    def marks(self, portal: str | None = None) -> list[Mark]:
        """All marks, or those of a portal, oldest month first."""
        with storage_errors(self._folder, "read"):
            paths = sorted(self._folder.glob(f"{portal or '*'}.*.json"))
            texts = [(path.name, path.read_text(encoding="utf-8")) for path in paths if path.exists()]
        found = []
        for name, text in texts:
            key, month, _ = name.split(".")
            stored = json.loads(text)
            found.append(Mark(key, month, tuple(stored["tables"]), datetime.fromisoformat(stored["at"])))
        return found

    def mark(self, portal: str, months: Mapping[str, Iterable[str]], at: datetime) -> None:
        """Mark months: month -> endpoints. What is marked already stays marked."""
        with locked(self._lock), storage_errors(self._folder, "mark months in"):
            for month, tables in months.items():
                old = {name for mark in self.marks(portal) if mark.month == month for name in mark.tables}
                text = json.dumps({"tables": sorted(old | set(tables)), "at": at.isoformat()})
                write_text(self._path(portal, month), text)

    def is_due(self, portal: str, month: str | None, endpoint: str, read_at: datetime) -> bool:
        """Whether an endpoint of a month, last read at an instant, was marked since."""
        if month is None or not self._path(portal, month).exists():
            return False
        marks = [mark for mark in self.marks(portal) if mark.month == month]
        return any(endpoint in mark.tables and mark.at > read_at for mark in marks)

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
                else:
                    self._path(mark.portal, mark.month).unlink(missing_ok=True)
            return sorted(left, key=lambda mark: (mark.month, mark.portal))

    def _path(self, portal: str, month: str) -> Path:
        return self._folder / f"{portal}.{month}.json"


def _is_read(lake: Lake, mark: Mark, endpoint: str) -> bool:
    origin = lake.origin(SliceKey.of(endpoint, mark.portal, mark.month))
    return origin is not None and origin.fetched >= mark.at


def touched_months(lake: Lake, portal: str, table: Table, changed: pa.Table, deleted: Iterable[int]) -> set[str]:
    """Months of a table whose slices are not as the API has them now.

    Args:
        lake: the slices.
        portal: config key.
        table: with a slice per month, `id` first in its key.
        changed: rows as they are now, typed.
        deleted: ids that are gone.
    """
    (key,) = table.key
    dates = zip(*(changed.column(name).to_pylist() for name in table.month_by or ()), strict=True)
    days = [next((day for day in row if day is not None), None) for row in dates]
    now = {row[key]: (month_of(day) if day else None, row) for row, day in zip(_comparable(changed), days, strict=True)}
    gone = set(deleted) - now.keys()
    if not now and not gone:
        return set()
    touched: set[str] = set()
    ids = pa.array(sorted({*now, *gone}), pa.int64())
    slices = {slice_key.month: slice_key for slice_key in lake.slices(table.full_name, portal) if slice_key.month}
    seen: set[tuple[str, int]] = set()
    for month, slice_key in slices.items():
        for row in _comparable(aligned(lake.rows_with(slice_key, key, ids), changed.schema)):
            seen.add((month, row[key]))
            expected = now.get(row[key])
            # A row without a date stands in the month it was asked for, so only its content can tell.
            if expected is None or expected[0] not in (None, month) or expected[1] != row:
                touched.add(month)
    touched |= {month for number, (month, _) in now.items() if month in slices and (month, number) not in seen}
    return touched


def never_read(
    lake: Lake, portal: str, months: Sequence[str], endpoints: Sequence[Endpoint], marks: Sequence[Mark], now: datetime
) -> dict[str, list[str]]:
    """Months of the grid without a slice, and the endpoints that lack it.

    An endpoint that never gave a slice, while others did, is refused by the API (a missing scope): its months are left
    to the schedules. A month that is marked already is marked again only after a day.
    """
    have = {e.name: {key.month for key in lake.slices(e.name, portal)} for e in endpoints}
    fresh = not any(have.values())
    recent = {mark.month for mark in marks if now - mark.at < _TRIED_AGAIN}
    missing = {
        month: [e.name for e in endpoints if month not in have[e.name] and (fresh or have[e.name])]
        for month in months
        if month not in recent
    }
    return {month: names for month, names in missing.items() if names}


def _comparable(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows without what depends on when and for which month they were read."""
    left = [name for name in ("month", "_fetched_at") if name in rows.schema.names]
    plain: list[dict[str, Any]] = rows.drop_columns(left).to_pylist()
    return plain
