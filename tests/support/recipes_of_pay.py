"""What the recipes about hours and money have to answer, worked out from the planted truth in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from tests.support.weeks import COOKS, NAMES, SALARY, WAITERS, Shift, World

Rows = list[tuple[Any, ...]]
Row = TypeVar("Row")


def total(values: Iterable[Decimal | None]) -> Decimal | None:
    """A sum as SQL has it: NULLs are left out, and nothing adds up to NULL."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None


def share(part: Decimal | None, whole: Decimal | None, digits: int = 1) -> Decimal | None:
    """In percent, rounded."""
    return rounded(100 * part / whole, digits) if part is not None and whole else None


def rounded(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def grouped(rows: Iterable[Row], key: Callable[[Row], tuple[Any, ...]]) -> list[tuple[Any, list[Row]]]:
    """By key, in its order; NULL comes last."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return sorted(groups.items(), key=lambda one: [(part is None, part) for part in one[0]])


def by_department(shifts: Iterable[Shift]) -> list[tuple[tuple[str, int], list[Shift]]]:
    return grouped(shifts, lambda shift: (shift.portal, shift.department))


def cost_percent(world: World) -> Rows:
    rows: Rows = []
    shifts = world.of_last_month()
    salaried = [shift for shift in shifts if shift.person and shift.person.is_salaried]
    first, last = world.last_month
    for (portal, department), own in by_department(shifts):
        parts = [shift.cost for shift in own]
        spent = total(shift.worked for shift in salaried if shift in own)
        if spent:
            parts.append(SALARY * spent / (total(shift.worked for shift in salaried) or 1))
        cost = total(parts)
        revenue = total(
            amount for (where, unit, day), amount in world.revenue.items()
            if (where, unit) == (portal, department) and first <= day <= last
        )  # fmt: skip
        known = total(s.worked for s in own if s.worked and (s.cost is not None or s in salaried))
        unknown = total(s.worked for s in own if s.worked and s.cost is None and s not in salaried)
        percent = share(cost, revenue)
        of_all = share(known or Decimal(0), (known or Decimal(0)) + (unknown or Decimal(0)))
        rows.append((portal, department, NAMES[department], cost and rounded(cost, 2), revenue, "NOK",
            percent if unknown is None else None, percent, of_all))  # fmt: skip
    return rows


def planned_worked_paid(world: World) -> Rows:
    rows: Rows = []
    for (portal, department), own in by_department(
        s for s in world.of_last_month() if s.is_assigned and not s.is_sickness
    ):
        planned, worked = total(s.planned for s in own), total(s.worked for s in own)
        rows.append((portal, department, NAMES[department], planned, worked, total(s.paid for s in own),
            total(s.worked for s in own if not s.is_measured), share(worked, planned)))  # fmt: skip
    return rows


def cost_of_an_hour(world: World) -> Rows:
    rows: Rows = []
    names = {COOKS: "Cooks", WAITERS: "Waiters"}  # A punch without a shift has no group.
    shifts = [s for s in world.of_last_month() if not s.is_sickness]
    for (portal, group), own in grouped(shifts, lambda shift: (shift.portal, shift.group)):
        costed = [s for s in own if s.cost is not None]
        hours = total(s.paid for s in costed)
        cost = total(s.cost for s in costed)
        each = rounded(cost / hours, 2) if cost and hours else None
        rows.append((portal, group, group and f"{names[group]} of {portal}", "NOK", each, hours,
            total(s.worked for s in own if s.person and s.person.is_salaried),
            total(s.worked for s in own if s.person and s.person.rate is None and not s.person.is_salaried)))  # fmt: skip
    return rows


def sales_per_hour(world: World) -> Rows:
    hours: dict[tuple[str, int, date], Decimal] = defaultdict(Decimal)
    for shift in world.of_last_month():
        hours[shift.portal, shift.department, shift.day] += shift.worked or 0
    sums: dict[tuple[str, int, int], list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for (portal, department, day), worked in hours.items():
        revenue = world.revenue.get((portal, department, day))
        if worked and revenue is not None:
            sums[portal, department, day.isoweekday()].append((revenue, worked))
    rows: Rows = []
    for (portal, department, weekday), days in sorted(sums.items()):
        revenue, worked = (sum((one[n] for one in days), Decimal(0)) for n in (0, 1))
        each = rounded(revenue / worked, 2)
        rows.append((portal, department, NAMES[department], weekday, len(days), revenue, "NOK", worked, each))
    return rows


def without_a_rate(world: World) -> Rows:
    rows: Rows = []
    own = [s for s in world.of_last_month() if s.is_paid and s.person and s.person.first in ("Dag", "Hans")]
    for (number, name), theirs in grouped(own, lambda s: (s.person.number, s.person.name) if s.person else ()):
        rows.append(("oslo", number, name, len(theirs), total(s.worked for s in theirs), max(s.day for s in theirs)))
    return sorted(rows, key=lambda row: -row[4])


def next_two_weeks(world: World) -> Rows:
    until = world.today + timedelta(days=14)
    rows: Rows = []
    for (portal, department), own in by_department(s for s in world.shifts if world.today < s.day <= until):
        assigned = [s for s in own if s.is_assigned]
        planned = total(s.planned for s in assigned if not s.is_sickness)
        open_hours = total(s.planned for s in own if s.status == "Open")
        cost = total(s.planned * s.person.rate for s in assigned if s.person and s.person.rate)
        if any((planned, open_hours, cost)):
            rows.append((portal, department, NAMES[department], planned, open_hours, cost, "NOK"))
    return rows
