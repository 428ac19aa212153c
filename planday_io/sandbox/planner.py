"""Makes rosters up: week by week, who works when, from contracts, opening hours and demand.

Two years back and four months ahead: people work mostly where they belong, about as much as agreed upon, seldom with less
than 11 hours of rest or seven days in a row; a few work more. Open, offered and draft shifts, people who left since, both
nights on which clocks change. `clocking.py` lets people punch.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planday_io.sandbox.clocking import misfits, punch
from planday_io.sandbox.furnishing import furnish
from planday_io.sandbox.leave import Leave
from planday_io.sandbox.people import Json, People, weekly_hours, worked_between
from planday_io.sandbox.roster import ADDED_TYPE, SICK_TYPE, UNCLOCKED_TYPES, UNPAID_TYPE, Roster
from planday_io.sandbox.trade import Slot, trade_of

BACK_MONTHS = 25
AHEAD_DAYS = 125
PUBLISHED_DAYS = 28
"""How far ahead rosters are published; behind that, drafts are usual."""

_REST = timedelta(hours=11)
_MEAN_HOURS = 6.5
_EXTRA_TYPES = ((601, 0.012), (603, 0.01), (ADDED_TYPE, 0.015), (UNPAID_TYPE, 0.004))
_CLOCK_NIGHTS = Slot(time(22), 8.0), Slot(time(18, 30), 8.0)


@dataclass(slots=True)
class Worker:
    """Somebody who can be planned, and where the plan stands with them.

    Args:
        number: employee id.
        places: departments, the one they belong to first.
        weekly: hours to plan a week.
        carry: hours that earlier weeks owe them.
        free_at: end of their last shift.
        streak: the day they last worked, and how many in a row.
    """

    number: int
    row: Json
    places: list[int]
    weekly: float
    first: date
    end: date
    carry: float = 0.0
    free_at: datetime = datetime(2000, 1, 1)  # noqa: DTZ001 - wall clock
    streak: tuple[date, int] = (date(2000, 1, 1), 0)


@dataclass(slots=True)
class Planned:
    """A shift before it has a number."""

    begin: datetime
    hours: float
    department: int
    worker: Worker | None
    is_replacement: bool = False


@dataclass(slots=True)
class Planner:
    """Plans the weeks of one portal, in order.

    Args:
        roster: that is filled.
        people, leave: of the portal.
        clocks: departments with a punch clock.
        planned: Monday of the next week to plan.
    """

    roster: Roster
    people: People
    leave: Leave
    clocks: frozenset[int]
    planned: date
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000))
    workers: dict[int, Worker] = field(default_factory=dict)
    away: dict[int, set[date]] = field(default_factory=dict)

    def plan_until(self, day: date) -> None:
        """Plan all weeks up to that of a day."""
        self.away = self.leave.days_off()
        gone = (row["id"] for row in self.roster.deleted)
        self.numbers = itertools.count(max([9_999, *self.roster.shifts, *gone]) + 1)
        self._hire()
        while self.planned <= day:
            self._plan_week(self.planned)
            self.planned += timedelta(weeks=1)

    def _hire(self) -> None:
        known = {row["id"] for row in self.people.departments}
        for row in self.people.everyone:
            first, end = worked_between(row)
            if row["id"] in self.workers:
                self.workers[row["id"]].end = end
                continue
            home = row.get("primaryDepartmentId")
            departments = [number for number in row.get("departments") or [] if number in known]
            places = sorted(departments, key=lambda number, home=home: (number != home, number))  # type: ignore[misc]
            if places:
                overtime = 1.22 if row["id"] % 11 == 6 else 1.0
                weekly = weekly_hours(row["id"]) * overtime
                self.workers[row["id"]] = Worker(row["id"], row, places, weekly, first, end)

    def _plan_week(self, monday: date) -> None:
        chance = self.people.chance("roster", monday)
        week = [shift for worker in self.workers.values() for shift in self._of_worker(chance, worker, monday)]
        for day in (monday + timedelta(days=n) for n in range(7)):
            if self.workers and _clocks_change(self.people.zone, day + timedelta(days=1)):
                week += self._clock_night(chance, week, day)
        if self.people.sick_as == "records":
            self._replace(chance, week)
        # There is always something that nobody has taken.
        week += [
            Planned(shift.begin, shift.hours, shift.department, None)
            for n, shift in enumerate(week)
            if n == 0 or chance.random() < 0.03
        ]
        week.sort(key=lambda one: (one.begin, one.department, one.worker.number if one.worker else 0))
        for shift in week:
            self._add(chance, shift)

    def _of_worker(self, chance: random.Random, worker: Worker, monday: date) -> Iterator[Planned]:
        off = self.away.get(worker.number, set())
        week = [monday + timedelta(days=n) for n in range(7)]
        there = [day for day in week if worker.first <= day < worker.end and day not in off]
        if not there:
            return
        lost = len(off.intersection(week))
        target = worker.weekly * max(0.0, 1 - lost / 5) * chance.uniform(0.92, 1.08) + worker.carry
        is_long = len(there) == 7 and chance.random() < 0.012
        count = 7 if is_long else min(len(there), 6 if worker.weekly > 40 else 5, round(target / _MEAN_HOURS + 0.15))
        planned = 0.0
        for day in _days(chance, trade_of(self.people.portal, worker.places[0]).weekdays, there, count):
            if planned >= target - 2.5 and not is_long:
                break
            last, days = worker.streak
            in_a_row = days + 1 if day - last == timedelta(days=1) else 1
            if in_a_row > 6 and not is_long:
                continue
            place = worker.places[0] if chance.random() < 0.93 else chance.choice(worker.places)
            slots, weights = trade_of(self.people.portal, place).choices(day.weekday())
            tired = chance.random() < 0.03
            fits = [
                (slot, weight)
                for slot, weight in zip(slots, weights, strict=True)
                if datetime.combine(day, slot.start) - (timedelta(hours=8.5) if tired else _REST) >= worker.free_at
            ]
            if not fits:
                continue
            slot = chance.choices([one for one, _ in fits], [weight for _, weight in fits])[0]
            begin = datetime.combine(day, slot.start)
            worker.free_at, worker.streak = begin + timedelta(hours=slot.hours), (day, in_a_row)
            planned += slot.hours
            yield Planned(begin, slot.hours, place, worker)
        worker.carry = max(-8.0, min(8.0, target - planned))

    def _clock_night(self, chance: random.Random, week: list[Planned], day: date) -> Iterator[Planned]:
        """Two work while the clock changes, whoever is free."""
        busy = {one.worker.number for one in week if one.worker and one.begin.date() == day}
        there = [one for one in self.workers.values() if one.first <= day < one.end]
        free = [one for one in there if one.number not in busy] or there
        for slot in _CLOCK_NIGHTS:
            worker = chance.choice(free) if free else None
            place = worker.places[0] if worker else next(iter(self.workers.values())).places[0]
            yield Planned(datetime.combine(day, slot.start), slot.hours, place, worker)

    def _replace(self, chance: random.Random, week: list[Planned]) -> None:
        """A colleague covers for whoever called in sick, or nobody does."""
        busy = defaultdict(set)
        for shift in week:
            if shift.worker:
                busy[shift.begin.date()].add(shift.worker.number)
        for shift in week:
            day = shift.begin.date()
            if shift.worker is None or day not in self.leave.sick_days.get(shift.worker.number, ()):
                continue
            free = [
                one
                for one in self.workers.values()
                if one.places[0] == shift.department
                and one.first <= day < one.end
                and one.number not in busy[day]
                and day not in self.leave.sick_days.get(one.number, ())
                and day not in self.away.get(one.number, ())
            ]
            shift.worker = chance.choice(free) if free and chance.random() < 0.8 else None
            shift.is_replacement = shift.worker is not None
            if shift.worker:
                busy[day].add(shift.worker.number)

    def _add(self, chance: random.Random, planned: Planned) -> None:
        roster, worker = self.roster, planned.worker
        number, day = next(self.numbers), planned.begin.date()
        ahead = (day - roster.today).days
        luck = chance.random()
        status = _past_status(luck, -ahead, has_clock=planned.department in self.clocks) if ahead < 0 else ""
        status = status or _future_status(luck, ahead)
        if worker is None and status != "Draft":
            status = "Open"
        works = worker is not None and status != "Open"
        created = datetime.combine(day - timedelta(days=35 - number % 20), time(8 + number % 9, number % 60))
        changed = created + timedelta(days=4)
        if works and ahead < 0:
            changed = planned.begin + timedelta(days=2)
        changed = min(changed, datetime.combine(roster.today - timedelta(days=3), time(9, 15)))
        row = worker.row if worker else {}
        kind = self._type(chance, planned, number) if worker and works else None
        roster.shifts[number] = shift = {
            "id": number,
            "departmentId": planned.department,
            "employeeId": worker.number if worker and works else None,
            "employeeGroupId": (row.get("employeeGroups") or [200 + number % 8])[0],
            "positionId": 800 + 2 * (planned.department - 100) + number % 2,
            "shiftTypeId": kind,
            "date": day.isoformat(),
            "startDateTime": planned.begin.isoformat(timespec="minutes"),
            "endDateTime": (planned.begin + timedelta(hours=planned.hours)).isoformat(timespec="minutes"),
            "timeZone": roster.zone,
            "status": status,
            "comment": f"Ask {row['firstName']} for the key" if worker and number % 17 == 0 else None,
            "dateTimeCreated": min(created, changed).isoformat() + "Z",
            "dateTimeModified": changed.isoformat() + "Z",
            "punchClockShiftId": None,
            "skillIds": [520] if number % 9 == 0 else [],
        }
        if works and ahead < 0 and planned.department in self.clocks and kind not in UNCLOCKED_TYPES:
            punch(roster, chance, shift, is_recent=ahead > -14)

    def _type(self, chance: random.Random, planned: Planned, number: int) -> int | None:
        worker, day = planned.worker, planned.begin.date()
        if worker and self.people.sick_as == "shifts" and day in self.leave.sick_days.get(worker.number, ()):
            return SICK_TYPE
        if planned.is_replacement and number % 2:
            return ADDED_TYPE
        luck = chance.random()
        for kind, share in _EXTRA_TYPES:
            if luck < share:
                return kind
            luck -= share
        return None


def planner_of(people: People, leave: Leave, *, punching: int, today: date, back_months: int = BACK_MONTHS) -> Planner:
    """Make up the roster of a portal.

    Args:
        people: of the portal.
        leave: of the portal.
        punching: departments whose people punch in and out.
        today: rosters are approved before it and planned after it.
        back_months: how far back rosters go.
    """
    roster = Roster(portal=people.portal, zone=people.zone, today=today)
    furnish(roster, people, people.chance("furniture"))
    clocks = frozenset(row["id"] for row in sorted(people.departments, key=lambda row: int(row["id"]))[:punching])
    first = (today - timedelta(days=back_months * 31)).replace(day=1)
    planner = Planner(roster, people, leave, clocks, first - timedelta(days=first.weekday()))
    planner.plan_until(today + timedelta(days=AHEAD_DAYS))
    misfits(roster, next(planner.numbers))
    return planner


def _days(chance: random.Random, weekdays: tuple[float, ...], there: list[date], count: int) -> list[date]:
    """Days to work, mostly those on which there is much to do, in order."""
    left, chosen = list(there), []
    for _ in range(min(count, len(left))):
        day = chance.choices(left, [weekdays[one.weekday()] for one in left])[0]
        left.remove(day)
        chosen.append(day)
    return sorted(chosen)


def _past_status(luck: float, age: int, *, has_clock: bool) -> str:
    if luck < (0.3 if age < 8 else 0.04):
        return "Assigned"
    return "PunchclockApproved" if has_clock and luck < 0.55 else "Approved"


def _future_status(luck: float, ahead: int) -> str:
    """What is far ahead is a draft, or open until somebody takes it."""
    is_published = ahead <= PUBLISHED_DAYS
    for status, share in (
        ("Open", 0.05 if is_published else 0.15),
        ("Draft", 0.02 if is_published else 0.45),
        ("ForSale", 0.04 if is_published else 0.01),
        ("PendingSwapAcceptance", 0.01 if is_published else 0.0),
    ):
        if luck < share:
            return status
        luck -= share
    return "Assigned"


def _clocks_change(zone: str, day: date) -> bool:
    noon = [datetime.combine(day + timedelta(days=n), time(12), ZoneInfo(zone)).utcoffset() for n in (-1, 0)]
    return noon[0] != noon[1]
