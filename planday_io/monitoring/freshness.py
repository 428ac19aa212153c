"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again
(`planday_io.config.ticks`). A table that no enabled schedule of a portal reads is never stale, and only months that
were in the window at that tick count. A tick before the table had its present schedules is no fault: a portal or a
table may be new, a schedule switched on or moved, a window widened. So the first check that found the present schedules
is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from planday_io.catalogue import Endpoint
from planday_io.config.grid import window_months
from planday_io.config.ticks import due_since
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey


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


def portal_freshness(
    installation: Installation, portal: str, now: datetime, endpoints: list[Endpoint] | None = None
) -> dict[str, Freshness]:
    """The freshness of the tables of one portal, or of some of its endpoints, by full name.

    Raises:
        StorageError: the lake cannot be read.
    """
    config = installation.config
    zone = ZoneInfo(config.portals[portal].timezone)
    crons = installation.crons_by_endpoint(portal)
    months = window_months(config, portal, now)
    due: dict[str, tuple[datetime | None, list[SliceKey]]] = {}
    for endpoint in installation.endpoints_of(portal) if endpoints is None else endpoints:
        ticks = [due_since(cron, zone, now) for cron in crons.get(endpoint.name, ())]
        allowed = max((tick for tick in ticks if tick), default=None)
        was_there = window_months(config, portal, allowed or now)
        for table in endpoint.tables:
            counted = [month for month in months if month in was_there] if table.is_monthly else [None]
            due[table.full_name] = allowed, [SliceKey.of(table.full_name, portal, month) for month in counted]
    there = installation.lake.indexed(key for _, keys in due.values() for key in keys)
    damaged, monitored = there.damaged(), monitored_since(installation, portal)
    found = {}
    for name, (allowed, keys) in due.items():
        reads = [there.entries[key].read_at for key in keys if key in there.entries]
        last = min(reads) if keys and len(reads) == len(keys) else None
        damage = next((str(damaged[key]) for key in keys if key in damaged), "")
        found[name] = Freshness(last, allowed if keys else None, monitored.get(name), damage)
    return found


def observe(installation: Installation, now: datetime) -> None:
    """Remember which tables have other schedules than at the last check. Raises StorageError."""
    readings = {portal: _readings(installation, portal) for portal in installation.config.portals}
    installation.state.baselines.observe(readings, now)


def monitored_since(installation: Installation, portal: str) -> dict[str, datetime]:
    """Table -> UTC instant since which its present schedules read it. Raises StorageError."""
    known, readings = installation.state.baselines.of(portal), _readings(installation, portal)
    return {table: since for table, (reading, since) in known.items() if readings.get(table) == reading}


def _readings(installation: Installation, portal: str) -> dict[str, str]:
    """When schedules read each table of a portal, and which months, as texts to compare; without those that none reads."""
    crons, window = installation.crons_by_endpoint(portal), installation.config.portals[portal].window
    months = f" {window.past_months}/{window.future_months}"
    return {
        table.full_name: "; ".join(crons[endpoint.name]) + (months if table.is_monthly else "")
        for endpoint in installation.endpoints_of(portal)
        if endpoint.name in crons
        for table in endpoint.tables
    }
