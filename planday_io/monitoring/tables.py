"""Every table of every portal, from what the slices say of themselves: `planday status --tables`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from planday_io.config.grid import window_months
from planday_io.config.ticks import next_tick
from planday_io.errors import DamagedSliceError
from planday_io.lake.installation import Installation
from planday_io.monitoring.health import Health, PortalHealth
from planday_io.state import SliceEntry, SliceKey


@dataclass(frozen=True, slots=True)
class TableState:
    """One table of one portal. Instants are ISO texts: past ones in UTC, due ones in the portal's zone. For a table
    with a slice per month: the rows of all slices, and the oldest read of those in the portal's window, or None if one
    of these was never read. `failing` is the cause of an open failure, see
    `planday_io.monitoring.failures.CAUSES`.
    """

    portal: str
    table: str
    rows: int | None = None
    last_complete: str | None = None
    verdict: str | None = None
    next_due: str | None = None
    stale: bool = False
    failing: str | None = None
    published: bool = False


def table_states(installation: Installation, health: Health) -> list[TableState]:
    """The state of every table of the portals of a `Health`; none of portals whose files cannot be read.

    Every file of the lake is looked at, but only those that changed are opened. Raises StorageError.
    """
    lake = installation.lake
    there = lake.indexed(lake.slices())
    waiting = installation.state.slices.pending().keys()
    entries: dict[tuple[str, str], dict[SliceKey, SliceEntry]] = {}
    for key, entry in there.entries.items():
        entries.setdefault((key.portal, key.full_name), {})[key] = entry
    damaged = {(key.portal, key.full_name) for key, one in there.unusable.items() if isinstance(one, DamagedSliceError)}
    failing = {
        (portal, one.table): one.cause for portal, notes in installation.state.failures.all().items() for one in notes
    }
    states = []
    for portal in health.portals:
        if portal.unreadable:
            continue
        due = dict(_next_due(installation, portal, health))
        window = window_months(installation.config, portal.portal, health.at)
        for endpoint in installation.endpoints_of(portal.portal):
            for table in endpoint.tables:
                of = portal.portal, table.full_name
                own = entries.get(of, {})
                keys = [SliceKey.of(of[1], of[0], month) for month in (window if table.is_monthly else [None])]
                known = [own[key] for key in keys if key in own]
                oldest = min(known, key=lambda entry: entry.read_at) if len(known) == len(keys) else None
                fresh = portal.freshness.get(table.full_name)
                states.append(
                    TableState(
                        portal=of[0],
                        table=of[1],
                        rows=sum(entry.rows for entry in own.values()) if own or of in damaged else None,
                        last_complete=oldest.read_at.isoformat(timespec="seconds") if oldest else None,
                        verdict=oldest.verdict if oldest else None,
                        next_due=due.get(endpoint.name),
                        stale=fresh is not None and fresh.is_stale,
                        failing=failing.get(of) or ("damaged" if of in damaged else None),
                        published=oldest is not None and waiting.isdisjoint(keys),
                    )
                )
    return states


def _next_due(installation: Installation, portal: PortalHealth, health: Health) -> Iterator[tuple[str, str]]:
    """Name of each endpoint, and when it is due next; without those that nothing will read."""
    if health.scheduler.is_running(health.at) is False:
        return
    settings = installation.config.portals[portal.portal]
    zone = ZoneInfo(settings.timezone)
    crons: dict[str, list[str]] = {}
    for name, schedule in settings.schedules.items():
        if schedule.enabled:
            for endpoint in installation.endpoints_of(portal.portal, schedule.resources):
                if (portal.portal, name, endpoint.grid) not in health.scheduler.off:
                    crons.setdefault(endpoint.name, []).append(schedule.cron)
    ticks = {cron: next_tick(cron, zone, health.at) for cron in {one for found in crons.values() for one in found}}
    for name, found in crons.items():
        yield name, min(ticks[cron] for cron in found).isoformat(timespec="minutes")
