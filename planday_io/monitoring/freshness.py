"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again
(`planday_io.config.ticks`). A table that no enabled schedule of a portal reads is never stale, and only months that
were in the window at that tick count. A tick before the table had its present schedules is no fault: a portal or a
table may be new, a schedule switched on or moved, a window widened. So the first check that found the present schedules
is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from planday_io.catalogue import Endpoint
from planday_io.config.grid import window_months
from planday_io.config.ticks import due_since
from planday_io.errors import DamagedSliceError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Indexed, SliceKey
from planday_io.state import SliceEntry


@dataclass(frozen=True, slots=True)
class Freshness:
    """Freshness of one table of one portal.

    Args:
        last: UTC instant of the oldest read among the slices that the schedules read again, or None where one never was.
        allowed_since: the table is stale if `last` is older than this UTC instant; None where no schedule reads it.
        monitored_since: UTC instant since which its present schedules are known, or None.
        damage: what is wrong with one of its files, or empty.
    """

    last: datetime | None
    allowed_since: datetime | None
    monitored_since: datetime | None = None
    damage: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether a schedule should have read it and did not."""
        if self.allowed_since is None or self.monitored_since is None or self.allowed_since < self.monitored_since:
            return False
        return self.last is None or self.last < self.allowed_since


PortalFreshness = dict[str, Freshness]
"""Full name of a table -> its freshness."""

_Due = dict[str, tuple[datetime | None, list[SliceKey]]]
"""Full name of a table -> since when its schedules should have read it, and the slices that they read."""


def portal_freshness(
    installation: Installation, portal: str, now: datetime, endpoints: list[Endpoint] | None = None
) -> PortalFreshness:
    """The freshness of the tables of one portal, or of some of its endpoints, by full name.

    Raises:
        StorageError: the lake cannot be read.
    """
    found = freshness_of(installation, [portal], now, endpoints)[portal]
    if isinstance(found, StorageError):
        raise found
    return found


def freshness_of(
    installation: Installation, portals: Sequence[str], now: datetime, endpoints: list[Endpoint] | None = None
) -> dict[str, PortalFreshness | StorageError]:
    """The freshness of the tables of portals, or why the files of a portal cannot be read.

    The index of the lake and the state are asked once for all of them.

    Raises:
        StorageError: the state cannot be read.
    """
    reads: dict[object, _Reads] = {}
    due = {portal: _due(installation, portal, now, endpoints, reads) for portal in portals}
    there = installation.lake.indexed(key for tables in due.values() for _, keys in tables.values() for key in keys)
    unusable: dict[str, dict[SliceKey, StorageError]] = {}
    for key, error in there.unusable.items():
        unusable.setdefault(key.portal, {})[key] = error
    since = _monitored(installation, portals)
    found: dict[str, PortalFreshness | StorageError] = {}
    for portal, tables in due.items():
        own = Indexed(there.entries, unusable.get(portal, {}))
        try:
            found[portal] = _judged(tables, own.entries, own.damaged(), since[portal])
        except StorageError as error:
            found[portal] = error
    return found


_Reads = list[tuple[str, str, str, datetime | None, Sequence[str | None]]]
"""Full name, domain and name of a table, since when its schedules should have read it, and the months that they read."""


def _due(
    installation: Installation,
    portal: str,
    now: datetime,
    endpoints: list[Endpoint] | None,
    known: dict[object, _Reads],
) -> _Due:
    """What is due at a portal. Portals with the same settings share what is `known`."""
    settings = installation.config.portals[portal]
    same = _what_decides(installation, portal), settings.timezone
    if same not in known:
        known[same] = [*_reads(installation, portal, now, endpoints)]
    return {
        full_name: (allowed, [SliceKey(domain, name, portal, month) for month in months])
        for full_name, domain, name, allowed, months in known[same]
    }


def _reads(
    installation: Installation, portal: str, now: datetime, endpoints: list[Endpoint] | None
) -> Iterator[tuple[str, str, str, datetime | None, Sequence[str | None]]]:
    config = installation.config
    zone = ZoneInfo(config.portals[portal].timezone)
    crons = installation.crons_by_endpoint(portal)
    months = window_months(config, portal, now)
    for endpoint in installation.endpoints_of(portal) if endpoints is None else endpoints:
        ticks = [due_since(cron, zone, now) for cron in crons.get(endpoint.name, ())]
        allowed = max((tick for tick in ticks if tick), default=None)
        was_there = window_months(config, portal, allowed or now)
        counted = [month for month in months if month in was_there]
        for table in endpoint.tables:
            yield table.full_name, table.domain, table.name, allowed, counted if table.is_monthly else [None]


def _judged(
    due: _Due,
    entries: Mapping[SliceKey, SliceEntry],
    damaged: Mapping[SliceKey, DamagedSliceError],
    monitored: Mapping[str, datetime],
) -> PortalFreshness:
    found = {}
    for name, (allowed, keys) in due.items():
        reads = [entries[key].read_at for key in keys if key in entries]
        last = min(reads) if keys and len(reads) == len(keys) else None
        damage = next((str(damaged[key]) for key in keys if key in damaged), "")
        found[name] = Freshness(last, allowed if keys else None, monitored.get(name), damage)
    return found


def observe(installation: Installation, now: datetime) -> None:
    """Remember which tables have other schedules than at the last check. Raises StorageError."""
    installation.state.baselines.observe(_readings(installation, [*installation.config.portals]), now)


def monitored_since(installation: Installation, portal: str) -> dict[str, datetime]:
    """Table -> UTC instant since which its present schedules read it. Raises StorageError."""
    return _monitored(installation, [portal])[portal]


def _monitored(installation: Installation, portals: Sequence[str]) -> dict[str, dict[str, datetime]]:
    baselines = installation.state.baselines
    known = baselines.all() if len(portals) > 1 else {portal: baselines.of(portal) for portal in portals}
    return {
        portal: {
            table: since for table, (reading, since) in known.get(portal, {}).items() if readings.get(table) == reading
        }
        for portal, readings in _readings(installation, portals).items()
    }


def _readings(installation: Installation, portals: Sequence[str]) -> dict[str, dict[str, str]]:
    """When schedules read each table of each portal, and which months, as texts to compare; without those that none reads.

    Hundreds of portals have the same settings, so they share what was made of the first.
    """
    made: dict[object, dict[str, str]] = {}
    found = {}
    for portal in portals:
        same = _what_decides(installation, portal)
        if same not in made:
            made[same] = _readings_of(installation, portal)
        found[portal] = made[same]
    return found


def _what_decides(installation: Installation, portal: str) -> object:
    """Equal for portals whose schedules read the same tables and months."""
    settings = installation.config.portals[portal]
    schedules = tuple((one.cron, tuple(one.resources), one.enabled) for one in settings.schedules.values())
    resources, window = settings.resources, settings.window
    return (*resources.include, None, *resources.exclude), schedules, window.past_months, window.future_months


def _readings_of(installation: Installation, portal: str) -> dict[str, str]:
    crons, window = installation.crons_by_endpoint(portal), installation.config.portals[portal].window
    months = f" {window.past_months}/{window.future_months}"
    return {
        table.full_name: "; ".join(crons[endpoint.name]) + (months if table.is_monthly else "")
        for endpoint in installation.endpoints_of(portal)
        if endpoint.name in crons
        for table in endpoint.tables
    }
