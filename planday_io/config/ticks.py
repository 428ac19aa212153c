"""Ticks of cron schedules as UTC instants, also when clocks change.

A wall clock shows some times twice and skips others. Schedulers differ in what they do then, so a tick at such a time is a
range of instants, and a run at either end is on time. Differences are computed between instants: between wall-clock times
they would be off by the change.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

_LARGEST_SHIFT = timedelta(hours=3)
"""More than any zone sets its clocks back."""
_LONGEST_READ = timedelta(hours=12)
"""How long the read of a schedule's first tick may take: there is no interval before it."""
_MOST = 4096
"""The most ticks that are checked: three days of a schedule that runs every minute."""
_WEEK_OF_HOURS = 169
"""Ticks of an hourly schedule in a week, and one more, so that no interval of the week is missed."""


class Tick(NamedTuple):
    """One tick. Both ends are equal, unless the clock shows its time twice or not at all."""

    earliest: datetime
    latest: datetime
    is_left_out: bool = False


def due_since(cron: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The UTC instant of the newest tick whose read must be complete by now; None if there was no tick.

    A read may take half the interval since the previous tick. The cron expression has five fields, on the zone's wall clock.
    """
    return _due_since(cron, zone.key, now.astimezone(UTC).replace(second=0, microsecond=0))


@functools.lru_cache(maxsize=1024)
def _due_since(cron: str, zone: str, now: datetime) -> datetime | None:
    newer: Tick | None = None
    for tick in _ticks_before(cron, ZoneInfo(zone), now):
        if newer and now - newer.latest > (newer.latest - tick.earliest) / 2:
            return newer.earliest
        newer = tick
    return newer.earliest if newer else None


def newest_tick(cron: str, zone: ZoneInfo, now: datetime) -> tuple[Tick, datetime] | None:
    """The newest tick, and the UTC instant by which its read must be complete (`due_since`); None if there was no tick."""
    newer: Tick | None = None
    for tick in _ticks_before(cron, zone, now.astimezone(UTC).replace(second=0, microsecond=0)):
        if newer:
            return newer, newer.latest + (newer.latest - tick.earliest) / 2
        newer = tick
    return (newer, newer.latest + _LONGEST_READ) if newer else None


def longest_interval(cron: str) -> timedelta:
    """The longest time between two of a schedule's next ticks, on a clock that never changes."""
    times = croniter(cron, datetime(2026, 1, 1))  # noqa: DTZ001 - a wall clock
    ticks = [times.get_next(datetime) for _ in range(_WEEK_OF_HOURS)]
    return max(later - earlier for earlier, later in pairwise(ticks))


def next_tick(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The next tick on the zone's wall clock: the second of a time that comes twice, the end of a skipped one.

    Dagster's schedules with a fixed hour do the same.
    """
    local = now.astimezone(zone)
    wall = (local - _LARGEST_SHIFT).replace(tzinfo=None)
    times = croniter(cron, wall)
    while True:
        tick = _tick(times.get_next(datetime), zone)
        at = _end_of_gap(tick, zone) if tick.is_left_out else tick.latest
        if at > now:
            return at.astimezone(zone)


def _ticks_before(cron: str, zone: ZoneInfo, now: datetime) -> Iterator[Tick]:
    """Ticks until now, newest first; at most those that are checked."""
    wall = now.astimezone(zone).replace(tzinfo=None)
    shifts = {(now + way).astimezone(zone).utcoffset() for way in (-_LARGEST_SHIFT, timedelta(), _LARGEST_SHIFT)}
    # Just after clocks were set back, times that look later than now may already have passed.
    start = wall + (_LARGEST_SHIFT if len(shifts) > 1 else timedelta()) + timedelta(seconds=1)
    times = croniter(cron, start)
    is_hourly = cron.split()[1] == "*"
    found: list[Tick] = []
    with suppress(CroniterBadDateError):  # there is no earlier tick, for instance of 29 February
        for _ in range(_MOST):
            tick = _tick(times.get_prev(datetime), zone)
            if tick.earliest == tick.latest or not is_hourly:
                found.append(tick)
            elif not tick.is_left_out:
                # An hourly schedule ticks at both instants.
                found += [Tick(one, one) for one in (tick.latest, tick.earliest)]
            found = sorted((one for one in found if one.earliest <= now), reverse=True)
            # A clock change cannot make a tick found later newer than these.
            while found and found[0].earliest - tick.earliest >= _LARGEST_SHIFT:
                yield found.pop(0)
    yield from found


def _tick(wall: datetime, zone: ZoneInfo) -> Tick:
    one, other = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    is_left_out = one.astimezone(zone).replace(tzinfo=None) != wall
    return Tick(min(one, other), max(one, other), is_left_out)


def _end_of_gap(tick: Tick, zone: ZoneInfo) -> datetime:
    """The instant at which the clock skipped a time, between the two readings of that time."""
    early, late = tick.earliest, tick.latest
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(minutes=1):
        middle = early + (late - early) / 2
        early, late = (middle, late) if middle.astimezone(zone).utcoffset() == before else (early, middle)
    return late.replace(second=0, microsecond=0)
