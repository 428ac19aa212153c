"""Which tick of a schedule a delivery follows, and how long the runs of that tick are waited for.

Portals may have the same schedule at different times, and in different zones. So a round is the newest tick of each portal
of a delivery, and it is new when every one of them is newer than the last round. Portals that do not have the schedule, or
have it switched off, are not waited for: they are delivered as they are.

Not here: whether runs have ended (`pipelines.deliveries`), what was delivered (`planday_io.state`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from planday_io.config import Config
from planday_io.config.delivery import Delivery
from planday_io.config.ticks import newest_tick, next_tick
from planday_io.state import DeliveryState

_GRACE = timedelta(hours=1)
"""How long runs are waited for where no daemon was running at the tick: they begin only when it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The newest tick of each portal's schedule. Instants are UTC.

    Args:
        ticks: portal -> instant of its tick; runs of the tick begin later.
        at: the latest of them, which identifies the round.
        until: when it is delivered with what is there, although runs have not ended.
    """

    ticks: Mapping[str, datetime]
    at: datetime
    until: datetime

    def is_new(self, state: DeliveryState) -> bool:
        """Whether every portal's tick came after the last round."""
        return min(self.ticks.values()) > state.settled

    def waits_until(self, seen_at: datetime) -> datetime:
        """`until`, or later where the daemon first saw the round late (`seen_at`): missed runs begin only then."""
        return max(self.until, seen_at + min(self.until - self.at, _GRACE))


def zone_of(config: Config, name: str) -> ZoneInfo:
    """The zone of a delivery's days and clock."""
    zone = config.deliver[name].zone({key: portal.timezone for key, portal in config.portals.items()})
    assert zone is not None  # noqa: S101 - refused when the file is read
    return zone


def portals_of(config: Config, name: str) -> list[str]:
    """The portals of a delivery."""
    return [*(config.deliver[name].portals or config.portals)]


def waited_for(config: Config, name: str) -> list[str]:
    """The portals of a delivery that have its schedule switched on."""
    after = config.deliver[name].after
    schedules = {key: config.portals[key].schedules.get(after or "") for key in portals_of(config, name)}
    return [key for key, schedule in schedules.items() if schedule and schedule.enabled]


def schedule_text(config: Config, name: str) -> str:
    """When a delivery is due, as a text to compare. A delivery whose text changes begins again with its next tick."""
    one = config.deliver[name]
    ticks = [f"{key} {_cron(config, one, key)} {config.portals[key].timezone}" for key in waited_for(config, name)]
    return "; ".join([one.after or "", *ticks])


def newest_round(config: Config, name: str, now: datetime) -> Round | None:
    """The newest ticks until now; None if a portal had none yet, or none has the schedule."""
    one, found = config.deliver[name], {}
    for key in waited_for(config, name):
        tick = newest_tick(_cron(config, one, key), ZoneInfo(config.portals[key].timezone), now)
        if tick is None:
            return None
        found[key] = tick
    if not found:
        return None
    at = max(tick.latest for tick, _ in found.values())
    until = max(limit for _, limit in found.values())
    if one.latest_time:
        zone = zone_of(config, name)
        local = at.astimezone(zone)
        latest = datetime.combine(local.date(), one.latest_time, zone)
        until = min(until, latest if latest > local else latest + timedelta(days=1))
    return Round(ticks={key: tick.earliest for key, (tick, _) in found.items()}, at=at, until=until)


def next_round(config: Config, name: str, now: datetime) -> datetime | None:
    """The latest of the portals' next ticks, in the delivery's time zone; None where none has the schedule."""
    one = config.deliver[name]
    ticks = [
        next_tick(_cron(config, one, key), ZoneInfo(config.portals[key].timezone), now)
        for key in waited_for(config, name)
    ]
    return max(ticks).astimezone(zone_of(config, name)) if ticks else None


def _cron(config: Config, one: Delivery, portal: str) -> str:
    return config.portals[portal].schedules[one.after or ""].cron
