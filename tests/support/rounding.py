"""Rounding as people and DuckDB do it: halves away from zero, where Python rounds them to the even digit."""

from __future__ import annotations

import math


def half_up(value: float, places: int) -> float:
    """A number rounded to so many decimal places."""
    scale = 10**places
    return math.copysign(math.floor(abs(value) * scale + 0.5) / scale, value)
