"""Parses rate-limit headers and rejects impossible values.

A header may hold instants instead of seconds, absurd numbers, digits of another script, or several joined values. Two things
always hold: no answer makes us wait longer than the longest window of a plausible policy, and no policy is followed that is
too slow, too fast or too long.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from planday_io.state import RateWindow

LONGEST_SECONDS = 60.0
"""The longest window of a plausible policy. A reset further away than this is impossible."""
_SHORTEST_SECONDS = 1.0
_SLOWEST_RATE, _FASTEST_RATE = 10 / 60, 100_000.0
"""Plausible requests a second, from a 75th of what is documented for a portal to more than any network takes."""
_LARGEST_LIMIT = 1_000_000
_MOST_WINDOWS = 16
_COUNT = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))
"""(smallest value that is an instant, units per second) for nano-, micro-, milliseconds and seconds."""


def is_plausible(window: RateWindow) -> bool:
    """Whether an API could have such a limit."""
    return (
        _SHORTEST_SECONDS <= window.seconds <= LONGEST_SECONDS
        and 0 < window.limit <= _LARGEST_LIMIT
        and _SLOWEST_RATE <= window.limit / window.seconds <= _FASTEST_RATE
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """The content of `x-ratelimit-limit`: the limit closest to exhaustion, the plausible windows, and whether all are."""

    closest: int | None
    windows: tuple[RateWindow, ...]
    is_whole: bool


def parse_policy(header: str) -> Policy:
    """Read `x-ratelimit-limit`: `100, 20;w=1, 750;w=60`. Unreadable and implausible parts are left out."""
    closest: int | None = None
    found: list[RateWindow] = []
    left_out = False
    for part in header.split(","):
        amount, *details = (piece.strip() for piece in part.split(";"))
        limit = count_of(amount)
        if not details:
            closest = limit if closest is None and limit else closest
            continue
        pairs = {name.strip(): value.strip() for name, _, value in (detail.partition("=") for detail in details)}
        length = pairs.get("w", "")
        window = RateWindow(limit or 0, float(length) if _NUMBER.fullmatch(length) else 0.0)
        if is_plausible(window):
            found.append(window)
        else:
            left_out = True
    if len(found) > _MOST_WINDOWS:
        return Policy(closest, (), is_whole=False)
    return Policy(closest, tuple(found), is_whole=not left_out)


def split_policy(windows: Sequence[RateWindow]) -> tuple[tuple[RateWindow, ...], tuple[RateWindow, ...]]:
    """The portal's and the app's windows: of two of one length, the smaller limit is the portal's."""
    portal: dict[float, RateWindow] = {}
    client: dict[float, RateWindow] = {}
    for window in sorted(windows, key=lambda w: w.limit):
        (client if window.seconds in portal else portal)[window.seconds] = window
    return tuple(portal.values()), tuple(client.values())


def count_of(text: str) -> int | None:
    """A number of requests, or None if the text is not one."""
    return int(text) if _COUNT.fullmatch(text.strip()) else None


def wait_of(headers: Mapping[str, str], clock: float | None = None) -> float | None:
    """Seconds to wait: the longer of `x-ratelimit-reset` and `Retry-After`, at most `LONGEST_SECONDS`; None without either.

    The clock (now, in seconds since the epoch) is for instants where the answer has no `Date` of its own: clocks differ.
    """
    now = _instant(headers.get("date", "")) or (time.time() if clock is None else clock)
    known: list[float] = []
    for name in ("x-ratelimit-reset", "retry-after"):
        header = headers.get(name, "")
        instant = _instant(header)
        stated = [instant - now] if instant is not None else [_seconds(part, now) for part in header.split(",")]
        known += [seconds for seconds in stated if seconds is not None]
    # The server rounds to whole seconds, in an unknown direction.
    return min(max(*known, 1.0) + 0.1, LONGEST_SECONDS) if known else None


def _seconds(text: str, now: float) -> float | None:
    """A number as seconds to wait: it is a duration or an instant."""
    if not _NUMBER.fullmatch(text.strip()):
        return None
    number = float(text)
    for least, per_second in _UNITS:
        if number >= least:
            return number / per_second - now
    return number


def _instant(text: str) -> float | None:
    """An HTTP date as seconds since the epoch."""
    if len(text) > 60 or not text[:1].isalpha():
        return None
    try:
        stamp = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, OSError):
        return None
    return stamp if math.isfinite(stamp) else None
