"""How old each portal's newest complete read of a table is, and how old it may be.

A table may be as old as the time between two ticks of the schedule that reads it, and half as long again. A table that no
enabled schedule of a portal reads is never stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.config.model import Config
from planday_io.grid import window_months
from planday_io.lake.slices import Lake, SliceKey
from planday_io.selection import endpoints_of


@dataclass(frozen=True, slots=True)
class Freshness:
    """One table of one portal.

    Args:
        portal: config key.
        last: UTC instant of the oldest read among the slices that the schedules read again, or None where one never was.
        allowed_since: it is stale when it is older than this UTC instant; None where no schedule reads it.
    """

    portal: str
    last: datetime | None
    allowed_since: datetime | None

    @property
    def is_stale(self) -> bool:
        """Whether a schedule should have read it and did not."""
        return self.allowed_since is not None and (self.last is None or self.last < self.allowed_since)


def freshness(
    config: Config, catalogue: Catalogue, portal: str, endpoint: Endpoint, table: str, now: datetime
) -> Freshness:
    """The freshness of one table of one portal. Raises StorageError when the lake cannot be read."""
    lake = Lake(config.lake, config.state)
    months = window_months(config, portal, now) if endpoint.grid == "month" else [None]
    origins = [lake.origin(SliceKey.of(table, portal, month)) for month in months]
    reads = [origin.fetched.astimezone(UTC) for origin in origins if origin is not None]
    last = min(reads) if len(reads) == len(origins) else None
    return Freshness(portal, last, _allowed_since(config, catalogue, portal, endpoint, now))


def stale_portals(
    config: Config, catalogue: Catalogue, endpoint: Endpoint, table: str, now: datetime
) -> list[Freshness]:
    """The portals for which a table is stale."""
    found = [
        freshness(config, catalogue, portal, endpoint, table, now)
        for portal, settings in config.portals.items()
        if endpoint in endpoints_of(catalogue, settings)
    ]
    return [one for one in found if one.is_stale]


def _allowed_since(
    config: Config, catalogue: Catalogue, portal: str, endpoint: Endpoint, now: datetime
) -> datetime | None:
    settings = config.portals[portal]
    local = now.astimezone(ZoneInfo(settings.timezone))
    since = []
    for schedule in settings.schedules.values():
        if schedule.enabled and endpoint in endpoints_of(catalogue, settings, schedule.resources):
            ticks = croniter(schedule.cron, local)
            last = ticks.get_prev(datetime)
            before = ticks.get_prev(datetime)
            # The last tick may still be under way for half the time between two.
            late = (local - last) > (last - before) / 2
            since.append((last if late else before).astimezone(UTC))
    return max(since) if since else None
