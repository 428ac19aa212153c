"""How complete the tables are that an export is computed from, per portal and month, from what the published file says of
itself (`sync.slices`, `sync.runs`) and from when schedules should have read it (`planday_io.monitoring.freshness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb

from planday_io.catalogue.history import lake_name
from planday_io.config.grid import grid_months, window_months
from planday_io.errors import PlandayError
from planday_io.export.request import Filter
from planday_io.lake.installation import Installation
from planday_io.monitoring.freshness import portal_freshness
from planday_io.monitoring.messages import some
from planday_io.months import month_of

_NAMES = 4
_Key = tuple[str, str | None]
"""A table and a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthState:
    """One portal and month; None for lists, which have no month.

    Args:
        portal: key.
        month: such as 2026-10.
        read: how many of the tables have been read.
        needed: how many there should be.
        oldest: UTC instant of the oldest read, or None.
        newest: of the newest.
        problems: what is missing, stale or failed, or cannot be known.
        notes: what is left out on purpose.
    """

    portal: str
    month: str | None
    read: int
    needed: int
    oldest: datetime | None
    newest: datetime | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return not self.problems

    @property
    def words(self) -> str:
        said = [*(self.problems or ("complete",)), *self.notes]
        return "; ".join(said)


def completeness(
    installation: Installation,
    db: duckdb.DuckDBPyConnection,
    tables: frozenset[str] | None,
    chosen: Filter,
    now: datetime,
) -> list[MonthState]:
    """The states of the portals that are exported: lists first, then the months, the oldest first.

    Args:
        installation: its schedules say what should be there.
        db: connected to the published file.
        tables: that are read; histories count as their tables; None for all.
        chosen: only its months and portals count.
        now: UTC.
    """
    slices: dict[str, dict[_Key, datetime]] = {}
    for portal, table, month, at in db.execute(
        "SELECT portal, table_name, month, fetched_at FROM sync.slices ORDER BY ALL"
    ).fetchall():
        slices.setdefault(portal, {})[table, month] = at.astimezone(UTC)
    failed: dict[str, dict[_Key, datetime]] = {}
    for portal, table, month, at in db.execute(
        "SELECT portal, table_name, of_month, max(started_at) FROM "
        "(SELECT portal, of_month, started_at, unnest(failed) AS table_name FROM sync.runs WHERE NOT is_complete) "
        "GROUP BY ALL"
    ).fetchall():
        failed.setdefault(portal, {})[table, month] = at.astimezone(UTC)
    histories = {history.full_name: name for name, history in installation.catalogue.histories.items()}
    known = {table.full_name for table in installation.catalogue.tables()}
    read = known if tables is None else {histories.get(lake_name(name), name) for name in tables} & known
    portals = chosen.portals or sorted({*installation.config.portals, *slices})
    return [
        state
        for portal in portals
        for state in _of_portal(installation, portal, read, slices.get(portal, {}), failed.get(portal, {}), chosen, now)
    ]


def _of_portal(
    installation: Installation,
    portal: str,
    tables: set[str],
    slices: dict[_Key, datetime],
    failed: dict[_Key, datetime],
    chosen: Filter,
    now: datetime,
) -> Iterator[MonthState]:
    config, catalogue = installation.config, installation.catalogue
    is_configured = portal in config.portals
    own = {
        table.full_name
        for endpoint in (installation.endpoints_of(portal) if is_configured else ())
        for table in endpoint.tables
    }
    there = {table for table, _ in slices}
    due = {name for name in tables & own if not catalogue.table(name).on_request or name in there}
    notes = [] if is_configured else ["portals.yaml no longer has this portal, so nothing is read any more"]
    if is_configured and (left_out := sorted(tables - own)):
        notes.append(f"left out by `resources` of portals.yaml: {some(left_out, _NAMES)}")
    if never := sorted((tables & own) - due):
        notes.append(f"on request only, and never read: {some(never, _NAMES)}")
    wanted = due if is_configured else tables & there
    ages = _ages(installation, portal, slices, now) if is_configured else _Ages()
    if unscheduled := sorted(wanted & ages.unscheduled):
        notes.append(f"read by no schedule, so never called stale: {some(unscheduled, _NAMES)}")
    lists = {name for name in wanted if not catalogue.table(name).is_monthly}
    yield _state(portal, None, lists, slices, failed, ages, notes)
    monthly = wanted - lists
    if not monthly:
        return
    months = {month for table, month in slices if month and table in monthly}
    if is_configured:
        months.update(grid_months(config, portal, now))
    for month in sorted(months):
        is_early = chosen.first is not None and month < month_of(chosen.first)
        is_late = chosen.last is not None and month > month_of(chosen.last)
        if not is_early and not is_late:
            asked_for = {one for one in (*slices, *failed) if one[1] == month}
            wanted = {name for name in monthly if not catalogue.table(name).on_request or (name, month) in asked_for}
            yield _state(portal, month, wanted, slices, failed, ages, [])


@dataclass(frozen=True, slots=True)
class _Ages:
    """What a schedule should have read again, since when (UTC); tables that none reads; why neither is known, or empty."""

    stale: Mapping[_Key, datetime] = field(default_factory=dict)
    unscheduled: frozenset[str] = frozenset()
    unknown: str = ""


def _ages(installation: Installation, portal: str, slices: dict[_Key, datetime], now: datetime) -> _Ages:
    try:
        states = portal_freshness(installation, portal, now)
    except PlandayError:
        return _Ages(unknown="whether it is stale cannot be known, because the lake or the state cannot be read")
    window: list[str | None] = [*window_months(installation.config, portal, now)]
    stale: dict[_Key, datetime] = {}
    for name, state in states.items():
        if state.is_stale and state.allowed_since is not None:
            for month in window if installation.catalogue.table(name).is_monthly else [None]:
                at = slices.get((name, month))
                if at is not None and at < state.allowed_since:
                    stale[name, month] = state.allowed_since
    return _Ages(stale, frozenset(name for name, state in states.items() if state.allowed_since is None))


def _state(
    portal: str,
    month: str | None,
    tables: set[str],
    slices: dict[_Key, datetime],
    failed: dict[_Key, datetime],
    ages: _Ages,
    notes: Sequence[str],
) -> MonthState:
    reads = {name: slices[name, month] for name in sorted(tables) if (name, month) in slices}
    problems = []
    missing = [name for name in sorted(tables) if name not in reads]
    broken = {
        name: failed[name, month]
        for name in sorted(tables)
        if (name, month) in failed and (name not in reads or failed[name, month] > reads[name])
    }
    if only := [name for name in missing if name not in broken]:
        problems.append(f"missing, never read: {some(only, _NAMES)}")
    if lost := [name for name in missing if name in broken]:
        problems.append(
            f"missing, every read failed, last {_at(max(broken[name] for name in lost))}: {some(lost, _NAMES)}"
        )
    if kept := [name for name in broken if name in reads]:
        problems.append(
            f"failed {_at(max(broken[name] for name in kept))}, so what was read before is shown: {some(kept, _NAMES)}"
        )
    if old := [name for name in reads if (name, month) in ages.stale and name not in broken]:
        since = max(ages.stale[name, month] for name in old)
        problems.append(f"stale, should have been read again since {_at(since)}: {some(old, _NAMES)}")
    if ages.unknown:
        problems.append(ages.unknown)
    return MonthState(
        portal=portal,
        month=month,
        read=len(reads),
        needed=len(tables),
        oldest=min(reads.values(), default=None),
        newest=max(reads.values(), default=None),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
