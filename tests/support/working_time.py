"""Working time in plain Python: periods of work, days, and breaches of rules, by trying every stretch of rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.rosters import KINDS, ZONES, Punch, Shift, Span, hours, instants, monday

DAY = timedelta(days=1)
Person = tuple[str, int, str]
"""Portal, id, and planned or worked."""


@dataclass(frozen=True)
class Period:
    """A stretch of work: wall clock times, instants, hours, and its longest part without a break if that is known."""

    shift: int | None
    punch: int | None
    by: str | None
    local: Span
    span: Span
    hours: Decimal
    stretch: Decimal | None = None

    day: date | None = None
    """That of the shift that the punch belongs to; None is that of its start."""

    @property
    def date(self) -> date:
        return self.day or self.local[0].date()


def periods_of(shifts: Sequence[Shift]) -> dict[Person, list[Period]]:
    breakers = {(s.portal, s.department, f"{p.came:%Y-%m}") for s in shifts for p in s.punches if p.breaks}
    found: dict[Person, list[Period]] = defaultdict(list)
    for shift in shifts:
        local = (shift.begin, shift.end)
        span = instants(*local, shift.zone)
        kind = KINDS[shift.type] if shift.status else "work"
        number = shift.number if shift.status else None
        is_work = shift.is_assigned and kind in ("work", "course")
        if is_work and shift.person:
            found[shift.portal, shift.person, "planned"].append(
                Period(number, None, None, local, span, hours(span[1] - span[0]))
            )
        punched = [one for p in shift.punches for one in _punched(shift, p, number, breakers)]
        if kind != "sickness":
            found[shift.portal, shift.person or 1, "worked"] += punched
        if is_work and shift.person and shift.status == "Approved" and not punched:
            found[shift.portal, shift.person, "worked"].append(
                Period(number, None, "approved", local, span, hours(span[1] - span[0]))
            )
    return {key: sorted(periods, key=lambda one: one.span) for key, periods in found.items() if periods}


def _punched(shift: Shift, punch: Punch, number: int | None, breakers: Any) -> Iterator[Period]:
    span = instants(punch.came, punch.left, shift.zone) if punch.left else None
    if span and punch.left and (span[1] - span[0] <= timedelta(hours=16) or not punch.is_approved):
        breaks = [instants(*one, shift.zone) for one in punch.breaks]
        size = hours(span[1] - span[0]) - sum(hours(b - a) for a, b in breaks)
        stretch = hours(max(_free(breaks, *span), default=timedelta(0)))
        knows = (shift.portal, shift.department, f"{punch.came:%Y-%m}") in breakers
        local = (punch.came, punch.left)
        day = shift.begin.date() if number else None
        yield Period(number, punch.number, "punched", local, span, size, stretch if knows else None, day)
    elif punch.is_approved:
        approved = instants(punch.begin, punch.end, shift.zone)
        local = (punch.begin, punch.end)
        yield Period(number, punch.number, "approved", local, approved, hours(approved[1] - approved[0]))


def _free(busy: Iterable[Span], begin: datetime, end: datetime) -> Iterator[timedelta]:
    """The lengths of time between two instants that nothing takes."""
    at = begin
    for first, last in sorted(busy):
        if first >= end:
            break
        if first > at:
            yield first - at
        at = max(at, last)
    if end > at:
        yield end - at


def _week(day: date, zone: str) -> Span:
    first = datetime.combine(monday(day), datetime.min.time(), ZoneInfo(zone))
    last = datetime.combine(monday(day) + 7 * DAY, datetime.min.time(), ZoneInfo(zone))
    return first.astimezone(UTC), last.astimezone(UTC)


def firsts_of(shifts: Sequence[Shift]) -> dict[Person, date]:
    """The first day with a shift of whatever kind, and the first with a punch or an approved one."""
    found: dict[Person, list[date]] = defaultdict(list)
    for shift in shifts:
        if shift.is_assigned and shift.person:
            found[shift.portal, shift.person, "planned"].append(shift.begin.date())
            if shift.status == "Approved":
                found[shift.portal, shift.person, "worked"].append(shift.begin.date())
        found[shift.portal, shift.person or 1, "worked"] += [min(p.came, p.begin).date() for p in shift.punches]
    return {person: min(days) for person, days in found.items() if days}


def days_of(periods: Sequence[Period], zone: str, over_weeks: int, first: date) -> dict[date, dict[str, Any]]:
    """What `marts.working_time` has to show of one side of a person, by day, with the first day known of them."""
    spans = [one.span for one in periods]
    dates = {one.date for one in periods}
    rows: dict[date, dict[str, Any]] = {}
    for day in dates:
        own = [one for one in periods if one.date == day]
        start = min(one.span[0] for one in own)
        earlier = [one.span[1] for one in periods if one.date < day and one.span[0] <= start]
        run = 1
        while day - run * DAY in dates:
            run += 1
        week = monday(day)
        of_week = [one for one in periods if monday(one.date) == week]
        since = max(monday(first), week - 7 * (over_weeks - 1) * DAY)
        weeks = (week - since).days // 7 + 1
        reference = sum((one.hours for one in periods if since <= monday(one.date) <= week), Decimal(0))
        rows[day] = {
            "hours": sum((one.hours for one in own), Decimal(0)),
            "start": start,
            "end": max(one.span[1] for one in own),
            "rest": hours(max(start - max(earlier), timedelta(0))) if earlier else None,
            "in_row": run,
            "week": sum((one.hours for one in of_week), Decimal(0)),
            "week_rest": hours(max(_free(spans, *_week(day, zone)), default=timedelta(0))),
            "average": round(float(reference) / weeks, 4),
            "weeks": weeks,
        }
    return rows


Finding = tuple[str, int, str, str, date, date, Decimal, tuple[int, ...], tuple[int, ...]]


def findings_of(
    by_person: Mapping[Person, Sequence[Period]], limits: Mapping[str, Any], firsts: Mapping[Person, date]
) -> list[Finding]:
    """Portal, person, side, rule, first and last day, value, and the ids of shifts and punches."""
    found: list[Finding] = []
    for (portal, person, basis), periods in by_person.items():
        days = days_of(periods, ZONES[portal], limits["over_weeks"], firsts[portal, person, basis])

        def add(
            rule: str, first: date, last: date, value: Any, proof: Iterable[Period], key: Any = (portal, person, basis)
        ) -> None:
            shifts = tuple(sorted({one.shift for one in proof if one.shift}))
            punches = tuple(sorted({one.punch for one in proof if one.punch}))
            found.append((*key, rule, first, last, round(Decimal(value), 4), shifts, punches))

        _daily(periods, limits["daily_rest"], add)
        for one in periods:
            if one.stretch is not None and one.stretch > limits["break_after"]:
                same = [other for other in periods if other.span[0] == one.span[0]]
                if one is max(same, key=lambda other: other.stretch or 0):
                    add(
                        "break_after",
                        one.date,
                        one.date,
                        one.stretch,
                        [p for p in same if (p.stretch or 0) > limits["break_after"]],
                    )
        for day, row in days.items():
            if row["in_row"] > limits["days_in_row"] and day + DAY not in days:
                first = day - (row["in_row"] - 1) * DAY
                add("days_in_row", first, day, row["in_row"], [p for p in periods if first <= p.date <= day])
        for week in {monday(day): day for day in days}.items():
            row, last = days[week[1]], week[0] + 6 * DAY
            if row["week_rest"] < limits["weekly_rest"]:
                add("weekly_rest", week[0], last, row["week_rest"], [p for p in periods if week[0] <= p.date <= last])
            if row["weeks"] == limits["over_weeks"] and row["average"] > limits["weekly_hours"]:
                first = week[0] - 7 * (limits["over_weeks"] - 1) * DAY
                add("weekly_hours", first, last, str(row["average"]), [p for p in periods if first <= p.date <= last])
    return sorted(found)


def _daily(periods: Sequence[Period], limit: int, add: Any) -> None:
    least: dict[date, tuple[timedelta, Period]] = {}
    for one in periods:
        start = one.span[0]
        rest = max(_free((other.span for other in periods), start, start + DAY), default=timedelta(0))
        if rest < timedelta(hours=limit) and (one.date not in least or rest < least[one.date][0]):
            least[one.date] = (rest, one)
    for day, (rest, one) in least.items():
        inside = [other for other in periods if one.span[0] <= other.span[0] <= one.span[0] + DAY]
        add("daily_rest", day, max(other.date for other in inside), hours(rest), inside)
