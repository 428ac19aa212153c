"""The grid of months from `history_start` to the months read ahead, and the window that schedules read again.

A portal's current month is that of its own time zone.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from planday_io.config.model import Config
from planday_io.months import month_of, months_between, shifted


def grid_months(config: Config, portal: str, now: datetime) -> list[str]:
    """All months of a portal, oldest first. `now` is any instant with a zone."""
    current = _current(config, portal, now)
    return months_between(config.history_start, shifted(current, config.portals[portal].window.future_months))


def window_months(config: Config, portal: str, now: datetime) -> list[str]:
    """The months that the portal's schedules read again, oldest first; a part of the grid."""
    current = _current(config, portal, now)
    window = config.portals[portal].window
    first = max(shifted(current, -window.past_months), config.history_start)
    return months_between(first, shifted(current, window.future_months))


def _current(config: Config, portal: str, now: datetime) -> str:
    return month_of(now.astimezone(ZoneInfo(config.portals[portal].timezone)).date())
