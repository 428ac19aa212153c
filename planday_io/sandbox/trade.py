"""When the places of the demo are open: demand by weekday and hour, and the shifts that meet it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Slot:
    """A shift as it is usually planned.

    Args:
        start: wall clock.
        hours: on the clock, breaks included.
    """

    start: time
    hours: float


@dataclass(frozen=True, slots=True, eq=False)
class Trade:
    """What a department does for a living.

    Args:
        weekdays: demand from Monday to Sunday.
        day: demand by hour of day.
        slots: shifts.
        late: further shifts of Friday and Saturday, when it closes after midnight.
    """

    weekdays: tuple[float, ...]
    day: tuple[float, ...]
    slots: tuple[Slot, ...]
    late: tuple[Slot, ...] = ()

    def choices(self, weekday: int) -> tuple[tuple[Slot, ...], tuple[float, ...]]:
        """The slots of a weekday, and how often each is planned: by the demand of its hours."""
        return _choices(self, weekday)

    def share(self, weekday: int) -> float:
        """The part of a week's demand that falls on a weekday."""
        return self.weekdays[weekday] / sum(self.weekdays)


@lru_cache(maxsize=64)
def _choices(trade: Trade, weekday: int) -> tuple[tuple[Slot, ...], tuple[float, ...]]:
    slots = trade.slots + (trade.late if weekday in (4, 5) else ())
    return slots, tuple(_demand(trade, slot) for slot in slots)


def _demand(trade: Trade, slot: Slot) -> float:
    hours = [trade.day[(slot.start.hour + n) % 24] for n in range(round(slot.hours))]
    return sum(hours) / len(hours)


_NIGHT = Slot(time(22), 8.0)
"""Somebody cleans or bakes; rare, because there is no demand at night."""

RESTAURANT = Trade(
    weekdays=(0.8, 0.85, 0.95, 1.1, 1.4, 1.5, 0.9),
    day=(.2, .05, .02, .02, .02, .02, .05, .3, .4, .5, .6, 1.2, 1.6, 1.2, .6, .6, .9, 1.4, 2.0, 2.2, 2.0, 1.4, .8, .4),
    slots=(
        Slot(time(8), 7.0),
        Slot(time(10), 8.0),
        Slot(time(11, 30), 5.5),
        Slot(time(15, 30), 8.0),
        Slot(time(16), 7.5),
        Slot(time(17), 5.0),
        _NIGHT,
    ),
    late=(Slot(time(17, 30), 8.0), Slot(time(18, 30), 7.0)),
)  # fmt: skip

SHOP = Trade(
    weekdays=(0.9, 0.9, 0.9, 1.0, 1.2, 1.3, 0.7),
    day=(0, 0, 0, 0, .1, .1, .1, .2, .5, .9, 1.1, 1.2, 1.2, 1.1, 1.1, 1.4, 1.7, 1.7, 1.3, .9, .3, .1, .05, .05),
    slots=(
        Slot(time(8, 30), 8.0),
        Slot(time(10), 8.0),
        Slot(time(10), 5.0),
        Slot(time(12), 8.0),
        Slot(time(15, 30), 4.75),
        Slot(time(16), 4.5),
        _NIGHT,
    ),
)  # fmt: skip


def trade_of(portal: str, department: int) -> Trade:
    """What a department does: the large portal has shops, of which every third is a restaurant."""
    return SHOP if portal == "copenhagen" and department % 3 else RESTAURANT
