"""The days of a delivery, in words: `last month`, `last 7 days`. Which they are follows from the day of the delivery."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import NamedTuple

from planday_io.config.values import refuse
from planday_io.months import first_day, last_day, month_of, shifted

ALL = "all"
WORDS = ("yesterday", "last N days", "next N days", "last week", "this week", "last month", "this month", ALL)
_COUNTED = re.compile(r"(last|next) ([1-9][0-9]{0,2}) days?")
_MOST = 366


class Span(NamedTuple):
    """Local days, both included; both None where all are meant.

    Args:
        first: the first one.
        last: the last one.
        name: as files are named: a month, a day, or two days; empty for all.
    """

    first: date | None
    last: date | None
    name: str


def days(value: str) -> str:
    """A text that `span_of` understands."""
    found = _COUNTED.fullmatch(value)
    if not (found and int(found[2]) <= _MOST) and (value not in WORDS or "N" in value):
        raise refuse(f"one of {', '.join(WORDS)} (N is a number up to {_MOST})")
    return value


def span_of(words: str, today: date) -> Span:
    """The days that are meant on a day.

    `last 7 days` ends yesterday, `next 7 days` begins today. Weeks go from Monday to Sunday. `this week` and `this month`
    are whole, the days to come included.
    """
    if words == ALL:
        return Span(None, None, "")
    if found := _COUNTED.fullmatch(words):
        count = timedelta(days=int(found[2]))
        begin = today - count if found[1] == "last" else today
        return _span(begin, begin + count - timedelta(days=1))
    if words == "yesterday":
        return _span(today - timedelta(days=1), today - timedelta(days=1))
    back = 1 if words.startswith("last") else 0
    if words.endswith("week"):
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return _span(monday, monday + timedelta(days=6))
    month = shifted(month_of(today), -back)
    return Span(first_day(month), last_day(month), month)


def _span(first: date, last: date) -> Span:
    return Span(first, last, first.isoformat() if first == last else f"{first} to {last}")
