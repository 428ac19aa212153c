"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again
(`planday_io.config.ticks`). A table that no enabled schedule of a portal reads is never stale, and of months only those
count that were in the window at that tick.
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
from planday_io.monitoring.baseline import monitored_since


@dataclass(frozen=True, slots=True)
class Freshness:
    """One table of one portal.

    Args:
        portal: config key.
        last: UTC instant of the oldest read among the slices that the schedules read again, or None where one never was.
        allowed_since: it is stale when it is older than this UTC instant; None where no schedule reads it.
        monitored_since: UTC instant since when it is known to be read like this (`planday_io.monitoring.baseline`), or None.
        damage: what is wrong with a file of it, or empty.
    """

    portal: str
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
    """The freshness of the tables of one portal, by full name.

    Args:
        installation: whose lake and schedules.
        portal: config key.
        now: UTC instant.
        endpoints: whose tables; None is all that the portal has.

    Raises:
        StorageError: the lake cannot be read.
    """
    config, lake = installation.config, installation.lake
    zone = ZoneInfo(config.portals[portal].timezone)
    crons = installation.crons_by_endpoint(portal)
    months = window_months(config, portal, now)
    monitored = monitored_since(installation, portal)
    slices: dict[str, list[SliceKey]] = {}
    due_at: dict[str, datetime | None] = {}
    for endpoint in installation.endpoints_of(portal) if endpoints is None else endpoints:
        ticks = [due_since(cron, zone, now) for cron in crons.get(endpoint.name, ())]
        allowed = max((tick for tick in ticks if tick), default=None)
        was_there = months if allowed is None else window_months(config, portal, allowed)
        counted = [month for month in months if month in was_there]
        for table in endpoint.tables:
            due_at[table.full_name] = allowed
            slices[table.full_name] = [
                SliceKey.of(table.full_name, portal, month) for month in (counted if table.is_monthly else [None])
            ]
    there = lake.indexed(key for keys in slices.values() for key in keys)
    damaged = there.damaged()
    found = {}
    for name, keys in slices.items():
        reads = [there.entries[key].read_at for key in keys if key in there.entries]
        last = min(reads) if keys and len(reads) == len(keys) else None
        damage = next((str(damaged[key]) for key in keys if key in damaged), "")
        found[name] = Freshness(portal, last, due_at[name] if keys else None, monitored.get(name), damage)
    return found


def stale_portals(installation: Installation, endpoint: Endpoint, table: str, now: datetime) -> list[Freshness]:
    """The portals for which a table is stale."""
    found = [
        portal_freshness(installation, portal, now, [endpoint])[table]
        for portal in installation.config.portals
        if endpoint in installation.endpoints_of(portal)
    ]
    return [one for one in found if one.is_stale]
