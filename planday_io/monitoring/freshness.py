"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again
(`planday_io.config.ticks`). A table that no
enabled schedule of a portal reads is never stale, and of months only those count that were in the window at that tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from planday_io.catalogue import Endpoint
from planday_io.config.grid import window_months
from planday_io.config.ticks import due_since
from planday_io.errors import DamagedSliceError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.baseline import watched_since


@dataclass(frozen=True, slots=True)
class Freshness:
    """One table of one portal.

    Args:
        portal: config key.
        last: UTC instant of the oldest read among the slices that the schedules read again, or None where one never was.
        allowed_since: it is stale when it is older than this UTC instant; None where no schedule reads it.
        damage: what is wrong with a file of it, or empty.
        watched_since: UTC instant since when it is known to be read like this (`planday_io.monitoring.baseline`), or None.
    """

    portal: str
    last: datetime | None
    allowed_since: datetime | None
    watched_since: datetime | None = None
    damage: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether a schedule should have read it and did not."""
        if self.allowed_since is None or self.watched_since is None or self.allowed_since < self.watched_since:
            return False
        return self.last is None or self.last < self.allowed_since


def portal_freshness(
    installation: Installation, portal: str, now: datetime, endpoints: list[Endpoint] | None = None
) -> dict[str, Freshness]:
    """The freshness of the tables of one portal, by full name.

    Args:
        installation: the installation.
        catalogue: the tables there are.
        portal: config key.
        now: UTC instant.
        endpoints: whose tables; None is all that the portal has.

    Raises:
        StorageError: the lake cannot be read.
    """
    config = installation.config
    lake = installation.lake
    settings = config.portals[portal]
    zone = ZoneInfo(settings.timezone)
    due: dict[str, datetime] = {}
    for schedule in settings.schedules.values():
        if schedule.enabled:
            since = due_since(schedule.cron, zone, now)
            if since is None:
                continue
            for endpoint in installation.endpoints_of(portal, schedule.resources):
                due[endpoint.name] = max(since, due.get(endpoint.name, since))
    months = window_months(config, portal, now)
    watched = watched_since(installation, portal)
    found = {}
    for endpoint in installation.endpoints_of(portal) if endpoints is None else endpoints:
        allowed = due.get(endpoint.name)
        was_there = months if allowed is None else window_months(config, portal, allowed)
        counted = [month for month in months if month in was_there]
        for table in endpoint.tables:
            keys = [SliceKey.of(table.full_name, portal, month) for month in (counted if table.is_monthly else [None])]
            reads, damage = [], ""
            for key in keys:
                try:
                    reads.append(lake.fetched_at(key))
                except DamagedSliceError as error:
                    reads.append(None)
                    damage = damage or str(error)
            known = [read for read in reads if read is not None]
            last = min(known) if keys and len(known) == len(keys) else None
            watched_from = watched.get(table.full_name)
            found[table.full_name] = Freshness(portal, last, allowed if keys else None, watched_from, damage)
    return found


def stale_portals(installation: Installation, endpoint: Endpoint, table: str, now: datetime) -> list[Freshness]:
    """The portals for which a table is stale."""
    found = [
        portal_freshness(installation, portal, now, [endpoint])[table]
        for portal in installation.config.portals
        if endpoint in installation.endpoints_of(portal)
    ]
    return [one for one in found if one.is_stale]
