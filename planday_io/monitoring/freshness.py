"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again
(`planday_io.config.ticks`). A table that no enabled schedule of a portal reads is never stale, and only months that
were in the window at that tick count. A tick before the table had its present schedules is no fault: a portal or a
table may be new, a schedule switched on or moved, a window widened. So the first check that found the present schedules
is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from planday_io.catalogue import Endpoint
from planday_io.config.grid import window_months
from planday_io.config.ticks import due_since
from planday_io.errors import DamagedSliceError, StorageError
from planday_io.lake.index import SlicesOf
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.state.monitoring import Known, Readings


class Freshness(NamedTuple):
    """Freshness of one table of one portal. Hundreds of portals have tens of thousands, so it is no dataclass.

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

Monitored = dict[str, dict[str, datetime]]
"""Portal -> full name of a table -> UTC instant since which its present schedules are known."""


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
    installation: Installation,
    portals: Sequence[str],
    now: datetime,
    endpoints: list[Endpoint] | None = None,
    monitored: Monitored | None = None,
    *,
    counts_refused: bool = False,
) -> dict[str, PortalFreshness | StorageError]:
    """The freshness of the tables of portals, or why the files of a portal cannot be read.

    The index of the lake and the state are asked once for all of them.

    Args:
        installation: the one to inspect.
        portals: config keys.
        now: UTC instant.
        endpoints: None for all of each portal.
        monitored: what `observe` found, or None to ask the state.
        counts_refused: files that the system refuses count as damage of their tables; otherwise nothing is known of a portal
            that has one.

    Raises:
        StorageError: the state cannot be read.
    """
    made: dict[object, tuple[_Due, tuple[SlicesOf, ...]]] = {}
    due = {portal: _due(installation, portal, now, endpoints, made) for portal in portals}
    there = installation.lake.oldest_reads({portal: wanted for portal, (_, wanted) in due.items()})
    unusable: dict[str, dict[SliceKey, StorageError]] = {}
    for key, error in there.unusable.items():
        unusable.setdefault(key.portal, {})[key] = error
    since = _monitored(installation, portals) if monitored is None else monitored
    found: dict[str, PortalFreshness | StorageError] = {}
    for portal, (own, _) in due.items():
        wrong = unusable.get(portal, {})
        refused = [problem for problem in wrong.values() if not isinstance(problem, DamagedSliceError)]
        if refused and not counts_refused:
            found[portal] = refused[0]
            continue
        damage: dict[str, str] = {}
        for key, problem in wrong.items():
            damage.setdefault(key.full_name, str(problem))
        of, reads = since.get(portal, {}), there.reads
        found[portal] = {
            name: Freshness(reads.get((portal, name)), allowed, of.get(name), damage.get(name, ""))
            for name, allowed in own.items()
        }
    return found


_Due = dict[str, datetime | None]
"""Full name of a table -> since when its schedules should have read it; None where none reads it."""


def _due(
    installation: Installation,
    portal: str,
    now: datetime,
    endpoints: list[Endpoint] | None,
    made: dict[object, tuple[_Due, tuple[SlicesOf, ...]]],
) -> tuple[_Due, tuple[SlicesOf, ...]]:
    """What is due at a portal, and the slices that schedules read. `made` is a cache for portals with equal settings."""
    settings = installation.config.portals[portal]
    same = _what_decides(installation, portal), settings.timezone
    if same not in made:
        made[same] = _reads(installation, portal, now, endpoints)
    return made[same]


def _reads(
    installation: Installation, portal: str, now: datetime, endpoints: list[Endpoint] | None
) -> tuple[_Due, tuple[SlicesOf, ...]]:
    config = installation.config
    zone = ZoneInfo(config.portals[portal].timezone)
    crons = installation.crons_by_endpoint(portal)
    months = window_months(config, portal, now)
    due: _Due = {}
    wanted = []
    for endpoint in installation.endpoints_of(portal) if endpoints is None else endpoints:
        ticks = [due_since(cron, zone, now) for cron in crons.get(endpoint.name, ())]
        allowed = max((tick for tick in ticks if tick), default=None)
        was_there = window_months(config, portal, allowed or now)
        counted = tuple(month for month in months if month in was_there)
        for table in endpoint.tables:
            own = counted if table.is_monthly else (None,)
            due[table.full_name] = allowed if own else None
            wanted.append(SlicesOf(table.domain, table.name, own))
    return due, tuple(wanted)


def observe(installation: Installation, now: datetime) -> Monitored:
    """Remember which tables have other schedules than at the last check. Raises StorageError."""
    readings = _readings(installation, [*installation.config.portals])
    return _current(installation.state.baselines.observe(readings, now), readings)


def monitored_since(installation: Installation, portal: str) -> dict[str, datetime]:
    """Table -> UTC instant since which its present schedules read it. Raises StorageError."""
    return _monitored(installation, [portal])[portal]


def _monitored(installation: Installation, portals: Sequence[str]) -> Monitored:
    baselines = installation.state.baselines
    known = baselines.all() if len(portals) > 1 else {portal: baselines.of(portal) for portal in portals}
    return _current(known, _readings(installation, portals))


def _current(known: Known, readings: Readings) -> Monitored:
    """The known instants of tables whose schedules have not changed since."""
    return {
        portal: {
            table: since for table, (reading, since) in known.get(portal, {}).items() if tables.get(table) == reading
        }
        for portal, tables in readings.items()
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
