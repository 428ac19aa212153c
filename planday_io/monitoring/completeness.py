"""How complete the tables are that figures are computed from, per portal and month, from what the published file says of
itself (`sync.slices`, `sync.failures`) and from when schedules should have read it (`planday_io.monitoring.freshness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import duckdb

from planday_io.catalogue.history import lake_name
from planday_io.config.grid import grid_months, window_months
from planday_io.errors import PlandayError
from planday_io.lake.installation import Installation
from planday_io.monitoring.freshness import PortalFreshness, portal_freshness
from planday_io.monitoring.health import Health, PortalHealth
from planday_io.monitoring.messages import some
from planday_io.months import month_of, shifted

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


@dataclass(frozen=True, slots=True)
class _Ages:
    """What a schedule should have read again, since when (UTC); tables that none reads; why neither is known, or empty."""

    stale: Mapping[_Key, datetime] = field(default_factory=dict)
    unscheduled: frozenset[str] = frozenset()
    unknown: str = ""


class Completeness:
    """What the published file and the schedules say, read once, so that several sets of tables can be judged by it."""

    def __init__(
        self, installation: Installation, db: duckdb.DuckDBPyConnection, now: datetime, health: Health | None = None
    ) -> None:
        """Read the ledger.

        Args:
            installation: its schedules say what should be there.
            db: connected to the published file.
            now: UTC; staleness is judged at this instant.
            health: how everything is then, where the caller knows; otherwise the lake is asked, portal by portal.
        """
        self._installation, self._now = installation, now
        self._slices: dict[str, dict[_Key, datetime]] = {}
        for portal, table, month, at in db.execute(
            "SELECT portal, table_name, month, fetched_at FROM sync.slices ORDER BY ALL"
        ).fetchall():
            self._slices.setdefault(portal, {})[table, month] = at.astimezone(UTC)
        self._failed: dict[str, dict[_Key, datetime]] = {}
        for portal, table, month, at in db.execute(
            "SELECT portal, table_name, month, max(started_at) FROM sync.failures WHERE NOT is_over GROUP BY ALL"
        ).fetchall():
            self._failed.setdefault(portal, {})[table, month] = at.astimezone(UTC)
        self._ages: dict[str, _Ages] = {}
        self._known = {one.portal: one for one in health.portals} if health else {}

    def states(
        self,
        tables: AbstractSet[str] | None,
        *,
        portals: Sequence[str] = (),
        first: date | None = None,
        last: date | None = None,
        with_gaps: bool = False,
    ) -> list[MonthState]:
        """The states of portals: lists first, then the months, the oldest first.

        Args:
            tables: that are read; histories count as their tables; None for all.
            portals: keys; none for all that are configured or published.
            first: local day; months before it are left out.
            last: local day; months after it are left out.
            with_gaps: whether somebody asked for these days, so that those before all months that are read, and those after,
                have a state each, at their first month: nothing of them can be there.
        """
        catalogue = self._installation.catalogue
        histories = {history.full_name: name for name, history in catalogue.histories.items()}
        known = {table.full_name for table in catalogue.tables()}
        read = known if tables is None else {histories.get(lake_name(name), name) for name in tables} & known
        keys = portals or sorted({*self._installation.config.portals, *self._slices})
        return [state for portal in keys for state in self._of_portal(portal, read, first, last, with_gaps)]

    def _of_portal(
        self, portal: str, tables: set[str], first: date | None, last: date | None, with_gaps: bool
    ) -> Iterator[MonthState]:
        config, catalogue = self._installation.config, self._installation.catalogue
        slices, failed = self._slices.get(portal, {}), self._failed.get(portal, {})
        is_configured = portal in config.portals
        own = {
            table.full_name
            for endpoint in (self._installation.endpoints_of(portal) if is_configured else ())
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
        ages = self._ages_of(portal) if is_configured else _Ages()
        if unscheduled := sorted(wanted & ages.unscheduled):
            notes.append(f"read by no schedule, so never called stale: {some(unscheduled, _NAMES)}")
        lists = {name for name in wanted if not catalogue.table(name).is_monthly}
        yield _state(portal, None, lists, slices, failed, ages, notes)
        monthly = wanted - lists
        if not monthly:
            return
        months = {month for table, month in slices if month and table in monthly}
        if is_configured:
            months.update(grid_months(config, portal, self._now))
        gaps = _gaps(months, first, last) if with_gaps and months else (None, None)
        expected = len([name for name in monthly if not catalogue.table(name).on_request])
        if gaps[0] and expected:
            yield _gap(portal, gaps[0], expected, f"nothing before {min(months)} is read (`history_start`)")
        for month in sorted(months):
            is_early = first is not None and month < month_of(first)
            is_late = last is not None and month > month_of(last)
            if not is_early and not is_late:
                asked_for = {one for one in (*slices, *failed) if one[1] == month}
                wanted = {
                    name for name in monthly if not catalogue.table(name).on_request or (name, month) in asked_for
                }
                yield _state(portal, month, wanted, slices, failed, ages, [])
        if gaps[1] and expected:
            yield _gap(portal, gaps[1], expected, f"nothing after {max(months)} is read yet (`window.future_months`)")

    def _ages_of(self, portal: str) -> _Ages:
        if portal not in self._ages:
            self._ages[portal] = _ages(
                self._installation, portal, self._slices.get(portal, {}), self._now, self._known.get(portal)
            )
        return self._ages[portal]


def _ages(
    installation: Installation,
    portal: str,
    slices: dict[_Key, datetime],
    now: datetime,
    known: PortalHealth | None,
) -> _Ages:
    states: PortalFreshness | None = None
    if known is None:
        with suppress(PlandayError):
            states = portal_freshness(installation, portal, now)
    elif not known.unreadable:
        states = known.freshness
    if states is None:
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


_Gap = tuple[str, str] | None
"""First and last month."""


def _gaps(months: AbstractSet[str], first: date | None, last: date | None) -> tuple[_Gap, _Gap]:
    """What is asked for before and after some months. An open end asks for no more than there is."""
    asked = [month_of(day) for day in (first, last) if day]
    if not asked:
        return None, None
    before = (asked[0], min(asked[-1] if last else min(months), shifted(min(months), -1)))
    after = (max(asked[0] if first else max(months), shifted(max(months), 1)), asked[-1])
    return (before if asked[0] < min(months) else None), (after if asked[-1] > max(months) else None)


def _gap(portal: str, gap: tuple[str, str], needed: int, why: str) -> MonthState:
    said = f"never read: {' to '.join(dict.fromkeys(gap))}, because {why}"
    return MonthState(
        portal=portal,
        month=gap[0],
        read=0,
        needed=needed,
        oldest=None,
        newest=None,
        problems=(said,),
        notes=(),
    )


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
    broken = {name: failed[name, month] for name in sorted(tables) if (name, month) in failed}
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
