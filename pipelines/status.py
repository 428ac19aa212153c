"""How fresh every table of every portal is, from the lake's own metadata."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from planday_io.catalogue import Catalogue
from planday_io.config import Config
from planday_io.grid import window_months
from planday_io.lake.slices import Lake, SliceKey
from planday_io.selection import endpoints_of


@dataclass(frozen=True, slots=True)
class TableState:
    """One table of one portal. Instants are ISO texts, UTC for what was, the portal's zone for what is due.

    Where a table has a slice per month: the rows of all of them, and the oldest read of those in the portal's window, or
    None where one of these was never read.
    """

    portal: str
    table: str
    rows: int | None
    last_complete: str | None
    verdict: str | None
    next_due: str | None
    published: bool


def table_states(config: Config, catalogue: Catalogue, portals: list[str]) -> list[TableState]:
    """The state of every table that the portals have."""
    lake = Lake(config.lake, config.state)
    pending = set(lake.pending())
    states = []
    for portal in portals:
        settings = config.portals[portal]
        now = datetime.now(UTC).astimezone(ZoneInfo(settings.timezone))
        due: dict[str, datetime] = {}
        for schedule in settings.schedules.values():
            if not schedule.enabled:
                continue
            tick = croniter(schedule.cron, now).get_next(datetime)
            for endpoint in endpoints_of(catalogue, settings, schedule.resources):
                due[endpoint.name] = min(tick, due.get(endpoint.name, tick))
        for endpoint in endpoints_of(catalogue, settings):
            for table in endpoint.tables:
                months = window_months(config, portal, now) if table.is_monthly else [None]
                keys = [SliceKey.of(table.full_name, portal, month) for month in months]
                origins = {key: lake.origin(key) for key in lake.slices(table.full_name, portal)}
                current = [origins.get(key) for key in keys]
                known = [origin for origin in current if origin is not None]
                oldest = min(known, key=lambda origin: origin.fetched) if len(known) == len(keys) else None
                next_tick = due.get(endpoint.name)
                states.append(
                    TableState(
                        portal=portal,
                        table=table.full_name,
                        rows=sum(origin.kept for origin in origins.values() if origin) if origins else None,
                        last_complete=oldest.fetched.isoformat(timespec="seconds") if oldest else None,
                        verdict=oldest.verdict if oldest else None,
                        next_due=next_tick.isoformat(timespec="minutes") if next_tick else None,
                        published=oldest is not None and pending.isdisjoint(keys),
                    )
                )
    return states
