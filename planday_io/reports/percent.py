"""Labour cost as a percentage of revenue, of one department and of several, with the reasons where it is not known.

As recipe 1 of docs/recipes.md: where the cost of worked hours is not known, the percentage is a lower bound. That of several
departments is of those whose cost is known and whose revenue is above 0; the others are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planday_io.reports.figures import Sums, added

UNKNOWN = "\u2013"
"""What stands for a number that is not known."""
_GAPS = {"no pay data": "no rate or salary in Planday"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """A percentage; None where it is not known.

    Args:
        number: of revenue.
        is_bound: whether it is at least so much.
        reasons: why it is not known, or what has to be known about it.
        figures: the same with figures.
    """

    number: float | None = None
    is_bound: bool = False
    reasons: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if self.number is None:
            return UNKNOWN
        return f"\u2265{self.number:.1f}" if self.is_bound else f"{self.number:.1f}"


def percent_of(sums: Sums) -> Percent:
    """Of one department, or of several; not known where revenue is not above 0."""
    reasons = []
    why = f" ({', '.join(_GAPS.get(gap, gap) for gap in sums.gaps)})" if sums.gaps else ""
    if sums.revenue is None:
        reasons.append("no revenue is recorded")
    elif sums.revenue <= 0:
        reasons.append("revenue is 0" if sums.revenue == 0 else "revenue is below 0")
    if sums.labour_cost is None:
        reasons.append(f"no labour cost is known{why}")
    if sums.revenue is None or sums.revenue <= 0 or sums.labour_cost is None:
        return Percent(reasons=tuple(reasons), figures=tuple(reasons))
    figures, unknown = [], sums.cost_unknown_hours
    if unknown is not None:
        reasons.append(f"at least so much, because the cost of some hours is not known{why}")
        worked = unknown + (sums.cost_known_hours or 0)
        figures.append(
            f"the cost of {unknown:.0f} of {worked:.0f} hours of work, courses and standby is not known{why}"
        )
    if sums.days_without_revenue:
        reasons.append("days of work without revenue: too high if it is only not recorded yet")
        figures.append(f"no revenue on {sums.days_without_revenue} of {sums.days_worked} days of work")
        if unknown is not None:
            # Too low by the one and perhaps too high by the other.
            reasons = ["the cost of some hours and the revenue of some days of work are not known"]
            return Percent(reasons=tuple(reasons), figures=tuple(figures))
    number = 100 * float(sums.labour_cost) / float(sums.revenue)
    return Percent(number=number, is_bound=unknown is not None, reasons=tuple(reasons), figures=tuple(figures))


def percent_of_all(departments: Sequence[tuple[str, Sums]]) -> Percent:
    """Of several departments, each with its name."""
    rows = [(name, sums) for name, sums in departments if sums.labour_cost is not None or sums.revenue is not None]
    both = [(name, sums) for name, sums in rows if sums.labour_cost is not None and (sums.revenue or 0) > 0]
    if not both:
        parts = dict.fromkeys(reason for _, sums in departments for reason in percent_of(sums).reasons)
        reasons = tuple(parts)[:2] or ("nothing is recorded",)
        return Percent(reasons=reasons, figures=reasons)
    found = percent_of(added(sums for _, sums in both))
    if len(both) == len(rows):
        return found
    names = [name for name, sums in rows if (name, sums) not in both]
    these = ", ".join(names) if len(names) <= 3 else f"{len(names)} departments"
    said = f"without {these}: no cost is known, or revenue is not above 0"
    return replace(found, reasons=(*found.reasons, said), figures=(*found.figures, said))
