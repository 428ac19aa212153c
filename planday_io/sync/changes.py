"""Finds months to read again: rows were edited, deleted or moved there, or the month was never read.

A changes run asks what was modified and deleted since the last one, compares it with the lake, and requests a refresh of
months. Requests are state, so they outlive a kill. Whoever can launch runs (the sensor, `planday sync`) reads the months, and
a request is removed when everything it names was read after it was made.

Not here: asking (`planday_io.sync.reader`), the requests (`planday_io.state`), launching (`pipelines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from planday_io.catalogue import Endpoint, Table
from planday_io.config.grid import grid_months
from planday_io.errors import DamagedSliceError
from planday_io.lake.installation import Installation
from planday_io.lake.policies import aligned
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import month_of
from planday_io.state import RefreshRequest
from planday_io.sync.reader import CompleteRead

_TRIED_AGAIN = timedelta(hours=6)
"""What is still requested after this long, because its run failed, is requested and launched again."""


def request_refreshes(installation: Installation, read: CompleteRead) -> tuple[str, ...]:
    """Request a refresh of months whose rows changed in Planday, and of months that were never read. Raises StorageError.

    Args:
        installation: whose months are requested.
        read: of any endpoint; only one that detects changes of another table says what changed.

    Returns:
        The months.
    """
    detection, portal, now = read.endpoint.change_detection, read.context.portal, read.context.fetched_at
    if detection is None:
        return ()
    touched: dict[str, float] = {}
    if read.modified is not None:
        deleted = read.result.tables[read.endpoint.name].table.column(detection.deleted_by).to_pylist()
        table = installation.catalogue.table(detection.table)
        touched = touched_months(installation.lake, portal, table, read.modified, deleted)
    due = installation.endpoints_of(portal, installation.catalogue.domains())
    months = [one for one in due if one.grid == "month"]
    left, grid = settle(installation, portal), grid_months(installation.config, portal, now)
    found = months_to_read(installation.lake, portal, grid, months, touched, left, now)
    installation.state.refresh_requests.add(portal, found, touched, now)
    return tuple(sorted(found))


def settle(installation: Installation, portal: str | None = None) -> list[RefreshRequest]:
    """Remove refresh requests for what was read since, or is no longer among a portal's resources. Raises StorageError.

    Returns:
        The requests that stay, oldest month first, with the endpoints that are still to be read.
    """
    requests = installation.state.refresh_requests
    left, changed = [], []
    made = requests.all(portal)
    there = installation.lake.indexed(
        SliceKey.of(name, one.portal, one.month) for one in made for name in one.endpoints
    )
    for one in made:
        is_known = one.portal in installation.config.portals
        has = {endpoint.name for endpoint in installation.endpoints_of(one.portal)} if is_known else set()
        keys = {name: SliceKey.of(name, one.portal, one.month) for name in one.endpoints if name in has}
        entries = {name: there.entries.get(key) for name, key in keys.items()}
        endpoints = tuple(name for name, entry in entries.items() if not entry or entry.read_at < one.requested_at)
        if endpoints:
            left.append(replace(one, endpoints=endpoints))
        if endpoints != one.endpoints:
            changed.append((one, endpoints))
    requests.settle(changed)
    return sorted(left, key=lambda one: (one.month, one.portal))


def touched_months(
    lake: Lake, portal: str, table: Table, changed: pa.Table, deleted: Iterable[int]
) -> dict[str, float]:
    """Months of a table whose slices differ from what the API has now.

    Args:
        lake: of the slices.
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
            # Reading the month again replaces the damaged slice.
            touched.setdefault(month, 0.0)
            continue
        for row in _comparable(aligned(found, changed.schema)):
            seen.add((month, row[key]))
            current = now.get(row[key])
            # A row without a date is in the month that was requested, so only its content can show a change.
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
    requests: Sequence[RefreshRequest],
    now: datetime,
) -> dict[str, list[str]]:
    """Month -> endpoints to request: months that were touched, or never read, or whose run seems to have failed.

    An endpoint that never gave a slice, while others did, is refused by the API (a missing scope): it is left to the
    schedules.

    Args:
        lake: of the slices.
        portal: config key.
        grid: months of the portal.
        endpoints: those with a slice per month that the portal has.
        touched: months whose slices differ from what the API has.
        requests: made before.
        now: UTC instant.
    """
    have = {one.name: {key.month for key in lake.slices(one.name, portal)} for one in endpoints}
    fresh = not any(have.values())
    able = [one.name for one in endpoints if fresh or have[one.name]]
    requested = {one.month for one in requests}
    found = {month: [name for name in able if month not in have[name]] for month in grid if month not in requested}
    found |= {
        one.month: [n for n in one.endpoints if n in able] for one in requests if now - one.requested_at > _TRIED_AGAIN
    }
    found |= dict.fromkeys(touched, able)
    return {month: names for month, names in found.items() if names and month in grid}


def _comparable(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows without what depends on when and for which month they were read."""
    left = [name for name in ("month", "_fetched_at") if name in rows.schema.names]
    plain: list[dict[str, Any]] = rows.drop_columns(left).to_pylist()
    return plain
