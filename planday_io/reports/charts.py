"""Where bars of the managers' report stand: coordinates for the template, which draws them as SVG.

Bars begin at 0, and what is not known has no bar. A value that is not final is drawn open, so that it can be told apart
without colour.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 360
_TOP, _BOTTOM, _NUMBERS = 18, 20, 40
_GAP = 0.24
"""Share of a week's width that stays free beside its bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One bar.

    Args:
        number: None where it is not known.
        text: above the bar.
        title: the tooltip.
        is_open: whether it is not final.
    """

    number: float | None
    text: str = ""
    title: str = ""
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A rectangle; `is_cut` where the value is beyond the scale."""

    x: float
    y: float
    width: float
    height: float
    series: int
    value: Value
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The bars of a week.

    Args:
        label: below them.
        center: of it.
        bars: one of each series.
        top: of the text above, where there is one bar.
    """

    label: str
    center: float
    bars: tuple[Bar, ...]
    top: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture. Bars stand between `left` and `width`; lines are (y, number at it), with the numbers left of `left`."""

    width: int
    height: int
    left: int
    base: float
    groups: tuple[Group, ...]
    lines: tuple[tuple[float, float], ...]

    @property
    def is_empty(self) -> bool:
        return not any(bar.value.number is not None for group in self.groups for bar in group.bars)


def scale_of(numbers: Sequence[float | None], *, is_cut: bool = False) -> float:
    """The number at the top: a round one. With `is_cut`, one far beyond the others does not flatten them."""
    known = [number for number in numbers if number is not None and number > 0]
    if not known:
        return 1.0
    most = max(known)
    if is_cut:
        most = min(most, 2.5 * statistics.median(known))
    step = 10.0 ** math.floor(math.log10(most)) / 2
    return math.ceil(most / step) * step


def chart(
    labels: Sequence[str], series: Sequence[Sequence[Value]], *, scale: float, height: int = 150, lines: int = 0
) -> Chart:
    """Bars per week, side by side.

    Args:
        labels: of the weeks.
        series: each with a value per week.
        scale: the number at the top.
        height: of the picture.
        lines: how many lines across, with their numbers at the left; those need room.
    """
    left = _NUMBERS if lines else 0
    base, room = height - _BOTTOM, (_WIDTH - left) / max(1, len(labels))
    width = room * (1 - _GAP) / len(series)
    groups = []
    for n, label in enumerate(labels):
        start, bars = left + n * room + room * _GAP / 2, []
        for k, values in enumerate(series):
            value = values[n]
            share = min(1.0, max(0.0, (value.number or 0) / scale))
            tall = share * (base - _TOP)
            bars.append(
                Bar(
                    x=round(start + k * width, 1),
                    y=round(base - tall, 1),
                    width=round(width - (1.5 if len(series) > 1 else 0), 1),
                    height=round(tall, 1),
                    series=k,
                    value=value,
                    is_cut=value.number is not None and value.number > scale,
                )
            )
        top = min(bar.y for bar in bars) - 4
        groups.append(Group(label=label, center=round(left + (n + 0.5) * room, 1), bars=tuple(bars), top=round(top, 1)))
    across = tuple((round(base - k / lines * (base - _TOP), 1), scale * k / lines) for k in range(1, lines + 1))
    return Chart(width=_WIDTH, height=height, left=left, base=base, groups=tuple(groups), lines=across)
