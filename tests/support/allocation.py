"""What a salary or a supplement of the month costs each department on each day, in plain Python and whole numbers."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

Cell = tuple[date, int]
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, eq=False)
class Rule:
    """A row of `pay.salary_allocations`; `shares` are department, weight, and weights of weekdays if there are any."""

    valid_from: date | None
    valid_to: date | None
    ordinal: int
    mode: str | None
    shares: Sequence[tuple[int | None, Decimal | None, Mapping[str, Decimal] | None]]


@dataclass(frozen=True)
class Person:
    """What decides where somebody's pay goes."""

    rules: Sequence[Rule] = ()
    worked: Mapping[Cell, Decimal] = field(default_factory=dict)
    planned: Mapping[Cell, Decimal] = field(default_factory=dict)
    main: int | None = None


def salary(
    person: Person, month: str, start: date | None, end: date | None, amount: Decimal, payroll_date: date
) -> dict[tuple[date, int | None], tuple[Decimal, str | None]]:
    """Each day and department (None: not allocated) -> the part of a salary, and by what it is allocated."""
    days = _days(month, start, end)
    parts: dict[Rule | None, list[date]] = {}
    for day in days:
        parts.setdefault(_in_force(person.rules, day), []).append(day)
    found: dict[tuple[date, int | None], list[tuple[int, str | None]]] = {}
    in_order = sorted(parts.items(), key=lambda part: part[1][0])
    amounts = _split(_units(amount), [len(part) for _, part in in_order])
    for (rule, own_days), units in zip(in_order, amounts, strict=True):
        steps = [(_by_rule(person, rule, own_days), "allocation"), (_by_hours(person.worked, own_days), "worked hours"),
            (_by_main(person.main, own_days), "main department")]  # fmt: skip
        _put(found, steps, units, payroll_date)
    return _summed(found)


def supplement(person: Person, amount: Decimal, day: date) -> dict[tuple[date, int | None], tuple[Decimal, str | None]]:
    """The same of a supplement of the month."""
    found: dict[tuple[date, int | None], list[tuple[int, str | None]]] = {}
    steps = [(_by_hours(person.worked, [day]), "worked hours"), (_by_hours(person.planned, [day]), "planned hours"),
        (_by_main(person.main, [day]), "main department")]  # fmt: skip
    _put(found, steps, _units(amount), day)
    return _summed(found)


def _days(month: str, start: date | None, end: date | None) -> list[date]:
    year, number = int(month[:4]), int(month[5:])
    first, last = date(year, number, 1), date(year, number, monthrange(year, number)[1])
    start, end = start or first, end or last
    if start > end or start > last or end < first:
        start, end = first, last
    elif (end - start).days > 366:
        start, end = max(start, first), min(end, last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def _in_force(rules: Sequence[Rule], day: date) -> Rule | None:
    there = [rule for rule in rules if (rule.valid_from or date.min) <= day <= (rule.valid_to or date.max)]
    latest = max(there, key=lambda rule: (rule.valid_from or date.min, rule.ordinal), default=None)
    return None if latest is None or latest.mode == "NoAllocation" else latest


def _by_rule(person: Person, rule: Rule | None, days: Sequence[date]) -> dict[Cell, int] | None:
    if rule is None:
        return None
    if rule.mode == "ScheduledHours":
        return _by_hours(person.planned, days)
    shares = [(number, weight or Decimal(0), week or {}) for number, weight, week in rule.shares if number is not None]
    lacks_weights = all(weight == 0 for _, weight, _ in shares)
    has_weekdays = any(value > 0 for _, _, week in shares for value in week.values())
    cells: dict[Cell, int] = {}
    for department, weight, week in shares:
        for day in days:
            if any(week.values()):
                of_day = week.get(DAY_NAMES[day.weekday()], Decimal(0))
            else:
                of_day = Decimal(0) if rule.mode == "BusinessDays" and day.weekday() >= 5 else Decimal(1)
            of_department = Decimal(1) if lacks_weights and has_weekdays else weight
            if not (0 <= of_day <= 10_000 and 0 <= of_department <= 10_000):
                return None
            cells[day, department] = cells.get((day, department), 0) + _units(of_department) * _units(of_day)
    return cells


def _by_hours(hours: Mapping[Cell, Decimal], days: Sequence[date]) -> dict[Cell, int]:
    return {cell: _units(value) for cell, value in hours.items() if cell[0] in days and value > 0}


def _by_main(department: int | None, days: Sequence[date]) -> dict[Cell, int]:
    return {} if department is None else {(day, department): 1 for day in days}


def _put(
    found: dict[tuple[date, int | None], list[tuple[int, str | None]]],
    steps: Sequence[tuple[dict[Cell, int] | None, str]],
    units: int,
    payroll_date: date,
) -> None:
    for cells, by in steps:
        used = sorted((cell, weight) for cell, weight in (cells or {}).items() if weight)
        if used:
            for (cell, _), part in zip(used, _split(units, [weight for _, weight in used]), strict=True):
                found.setdefault(cell, []).append((part, by))
            return
    found.setdefault((payroll_date, None), []).append((units, None))


def _split(units: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of a number in proportion to weights; their sum is the number."""
    total, until, parts, given = sum(weights), 0, [], 0
    for weight in weights:
        until += weight
        part = abs(units) * until // total * (1 if units >= 0 else -1)
        parts.append(part - given)
        given = part
    return parts


def _units(value: Decimal) -> int:
    return int(value * 10_000)


def _summed(
    found: Mapping[tuple[date, int | None], Sequence[tuple[int, str | None]]],
) -> dict[tuple[date, int | None], tuple[Decimal, str | None]]:
    return {cell: (Decimal(sum(n for n, _ in parts)) / 10_000, parts[0][1]) for cell, parts in found.items()}
