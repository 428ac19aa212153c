"""Months as the texts `YYYY-MM` that partitions, folders and commands use."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

_MONTH = re.compile(r"^[0-9]{4}-(0[1-9]|1[0-2])$")


def is_month(text: str) -> bool:
    """Whether a text is a month such as 2025-01."""
    return _MONTH.match(text) is not None


def month_of(day: date) -> str:
    """The month a day is in."""
    return f"{day.year:04d}-{day.month:02d}"


def first_day(month: str) -> date:
    """The first day of a month."""
    return date.fromisoformat(f"{month}-01")


def last_day(month: str) -> date:
    """The last day of a month."""
    return first_day(shifted(month, 1)) - timedelta(days=1)


def shifted(month: str, by: int) -> str:
    """The month so many months later; earlier if the number is negative."""
    year, index = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 + by, 12)
    return f"{year:04d}-{index + 1:02d}"


def months_between(first: str, last: str) -> list[str]:
    """All months from one to another, both included; none if the first is later than the last."""
    return [*_months_between(first, last)]


@lru_cache(maxsize=100)
def _months_between(first: str, last: str) -> tuple[str, ...]:
    count = (int(last[:4]) - int(first[:4])) * 12 + int(last[5:]) - int(first[5:])
    return tuple(shifted(first, n) for n in range(count + 1))
