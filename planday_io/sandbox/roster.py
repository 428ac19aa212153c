"""The rosters of the demo portals: shifts, punches, what was deleted, what is known of each day. As raw API objects.

Two years back and four months ahead of `today`, from the seed: ordinary, evening and night shifts (both nights on which
clocks change among them), open, offered and draft shifts, people who left since, punches that differ from the plan,
forgotten and unscheduled ones. What follows from shifts (cost, payroll, revenue) is computed when it is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planday_io.sandbox.people import Json, People

_ADDED = 605
SHIFT_TYPES: tuple[Json, ...] = (
    {
        "id": 601,
        "name": "Course",
        "salaryCode": "0601",
        "paymentType": "Percentage",
        "payPercentage": 100,
        "allowsBreaks": False,
    },
    {"id": 602, "name": "Sick", "salaryCode": "0602", "paymentType": "Percentage", "payPercentage": 100},
    {"id": 603, "name": "Standby", "salaryCode": "0603", "paymentType": "MonetaryReplacement", "payMonetary": 210.5},
    {"id": _ADDED, "name": "On short notice", "salaryCode": "0605", "paymentType": "Monetary", "payMonetary": 25},
    {"id": 604, "name": "Volunteering", "salaryCode": None, "paymentType": "Percentage", "payPercentage": 0},
)
UNPAID_TYPE = 604
"""Not counted in payroll: its shifts are in neither payroll nor time and cost, approved or not."""

STATUSES = ("Open", "Assigned", "Approved", "ForSale", "Draft", "OnDuty", "PendingSwapAcceptance", "PendingApproval")

WINDOWS_ZONES = {
    "Europe/Oslo": "W. Europe Standard Time",
    "Europe/Copenhagen": "Romance Standard Time",
    "Europe/London": "GMT Standard Time",
}
"""Another way to name a zone, which nobody has ruled out."""

PUNCH_STATUSES = ("PunchclockStarted", "PunchclockFinished", "PunchclockApproved")
"""What a shift becomes once somebody punches; cannot be asked for."""

_HOURS = ((time(7), 8.0), (time(10), 8.0), (time(11, 30), 5.5), (time(16), 8.5), (time(17), 5.0), (time(22), 8.0))
BACK_MONTHS = 25
AHEAD_DAYS = 125


@dataclass(slots=True)
class Roster:
    """Everything about shifts of one portal. Members that are null are left out when a row is sent."""

    zone: str
    today: date
    shift_types: list[Json] = field(default_factory=list)
    positions: list[Json] = field(default_factory=list)
    sections: list[Json] = field(default_factory=list)
    skills: dict[int, list[Json]] = field(default_factory=dict)
    revenue_units: list[Json] = field(default_factory=list)
    shifts: dict[int, Json] = field(default_factory=dict)
    deleted: list[Json] = field(default_factory=list)
    history: dict[int, list[Json]] = field(default_factory=dict)
    punches: dict[int, Json] = field(default_factory=dict)
    breaks: dict[int, list[Json]] = field(default_factory=dict)
    turnover: dict[tuple[int, str], float] = field(default_factory=dict)

    def edit_shift(self, shift_id: int, now: datetime | None = None, **members: Any) -> None:  # noqa: ANN401
        """Change members of a shift, as a manager would. A new `date` moves its two times too."""
        stamp = now or datetime.now(UTC)
        shift = self.shifts[shift_id]
        if "date" in members:
            days = date.fromisoformat(members["date"]) - date.fromisoformat(shift["date"])
            for name in ("startDateTime", "endDateTime"):
                moved = datetime.fromisoformat(shift[name]) + days
                shift[name] = moved.strftime("%Y-%m-%dT%H:%M")
        shift.update(members)
        shift["dateTimeModified"] = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._log(shift_id, stamp, [f"{name} was changed by Anna Bjørn" for name in members])

    def delete_shift(self, shift_id: int, now: datetime | None = None) -> None:
        """Delete a shift and what was punched for it."""
        stamp = now or datetime.now(UTC)
        shift = self.shifts.pop(shift_id)
        gone = {name: value for name, value in shift.items() if name not in ("punchClockShiftId", "skillIds")}
        self.deleted.append({**gone, "dateTimeDeleted": stamp.strftime("%Y-%m-%dT%H:%M:%SZ"), "deletedBy": 1000})
        for punch in [punch for punch, row in self.punches.items() if row["shiftId"] == shift_id]:
            del self.punches[punch]
            self.breaks.pop(punch, None)

    def add_shift(self, like: int, day: date, now: datetime | None = None) -> int:
        """Copy a shift to another day, and return the id of the copy."""
        new: int = max([*self.shifts, *(row["id"] for row in self.deleted)]) + 1
        self.shifts[new] = {**self.shifts[like], "id": new, "punchClockShiftId": None}
        self.edit_shift(new, now, date=day.isoformat())
        return new

    def _log(self, shift_id: int, stamp: datetime, changes: list[str]) -> None:
        entry = {
            "modifiedAt": stamp.strftime("%Y-%m-%dT%H:%M:%S"),
            "modifiedBy": {"id": 1000, "name": "Anna Bjørn"},
            "changes": changes,
        }
        self.history.setdefault(shift_id, []).append(entry)

    def history_of(self, shift_id: int) -> list[Json]:
        """What happened to a shift, its creation first."""
        shift = self.shifts[shift_id]
        made = {
            "modifiedAt": shift["dateTimeCreated"].rstrip("Z"),
            "modifiedBy": {"id": 1000, "name": "Anna Bjørn"},
            "changes": ["Shift created by Anna Bjørn"],
        }
        return [made, *self.history.get(shift_id, [])]

    def on(self, first: date, last: date) -> Iterator[Json]:
        """Shifts that begin on the days from first to last, both included."""
        begin, end = first.isoformat(), last.isoformat()
        return (shift for shift in self.shifts.values() if begin <= shift["date"] <= end)


def roster_of(people: People, *, shifts_each: float, punching: int, today: date) -> Roster:
    """Make up the roster of a portal.

    Args:
        people: of the portal.
        shifts_each: shifts per person and month.
        punching: departments whose people punch in and out.
        today: rosters are approved before it and planned after it.
    """
    roster = Roster(zone=people.zone, today=today)
    chance = random.Random(f"roster {people.portal}")  # noqa: S311 - the same roster every time is the point
    _furnish(roster, people, chance)
    staff = _by_department(people)
    punchers = {row["id"] for row in sorted(people.departments, key=lambda row: row["id"])[:punching]}
    per_day = len(people.employees) * shifts_each / 30
    day = (today - timedelta(days=BACK_MONTHS * 31)).replace(day=1)
    numbers = iter(range(10_000, 10_000_000))
    while day <= today + timedelta(days=AHEAD_DAYS):
        count = int(per_day) + (chance.random() < per_day % 1)
        for _ in range(count):
            start, hours = chance.choice(_HOURS)
            _add(roster, chance, next(numbers), day, start, hours, staff, punchers)
        if _clocks_change(roster.zone, day + timedelta(days=1)):
            _add(roster, chance, next(numbers), day, time(22), 8.0, staff, punchers)
            _add(roster, chance, next(numbers), day, time(18, 30), 8.0, staff, punchers)
        day += timedelta(days=1)
    _misfits(roster, next(numbers))
    return roster


def _furnish(roster: Roster, people: People, chance: random.Random) -> None:
    common: Json = {"color": "#3366CC", "isActive": True, "allowsBreaks": True, "allowBooking": False}
    types = [{**common, "includeInSchedulePrint": True, **row} for row in SHIFT_TYPES]
    # Shuffling one row more would change the whole roster.
    roster.shift_types = [row for row in types if row["id"] != _ADDED]
    for n, department in enumerate(sorted(people.departments, key=lambda row: row["id"])):
        number = department["id"]
        roster.revenue_units.append({"id": 900 + n, "name": f"Till {n + 1}", "departmentId": number})
        roster.sections.append({"id": 700 + n, "name": "Floor", "departmentId": number})
        roster.skills[number] = [
            {"id": 520, "name": "Opens the till", "isRemoved": False, "isDeleted": False, "allEmployeeGroups": True},
            {"id": 521 + n, "name": "Closes", "isRemoved": n == 1, "isDeleted": False, "employeeGroupIds": [200, 201]},
        ]
        for m in range(2):
            roster.positions.append(
                {
                    "id": 800 + 2 * n + m,
                    "name": ("Floor", "Kitchen")[m],
                    "startDate": "2023-01-01",
                    "isActive": True,
                    "departmentId": number,
                    "sectionId": 700 + n if m == 0 else None,
                    "employeeGroupId": 200 + m,
                    "affectRevenue": m == 0,
                    "revenueUnitId": 900 + n,
                    "skillIds": [520],
                }
            )
    for rows in (roster.positions, roster.sections, roster.shift_types, roster.revenue_units):
        chance.shuffle(rows)
    roster.shift_types += [row for row in types if row["id"] == _ADDED]
    # Inactive rows are listed as well.
    roster.positions.insert(1, roster.positions[0] | {"id": 799, "name": "Terrace", "isActive": False})
    roster.shift_types.insert(1, roster.shift_types[0] | {"id": 609, "name": "Stocktaking", "isActive": False})


def _by_department(people: People) -> dict[int, list[Json]]:
    """People who may work in a department, including people who left, until their last day."""
    staff: dict[int, list[Json]] = {row["id"]: [] for row in people.departments}
    for row in people.everyone:
        for number in row.get("departments") or []:
            staff.get(number, []).append(row)
    return {number: rows for number, rows in staff.items() if rows}


def _add(
    roster: Roster,
    chance: random.Random,
    number: int,
    day: date,
    start: time,
    hours: float,
    staff: dict[int, list[Json]],
    punchers: set[int],
) -> None:
    department = chance.choice(sorted(staff))
    person = chance.choice(staff[department])
    left = person.get("deactivationDate")
    is_future = day >= roster.today
    luck = chance.random()
    status = _future_status(luck) if is_future else _past_status(luck)
    works = status not in ("Open", "Draft") and not (left and day.isoformat() >= left)
    if not works and status != "Draft":
        status = "Open"
    begin = datetime.combine(day, start)
    created = begin - timedelta(days=20)
    changed = min(begin + timedelta(days=2), datetime.combine(roster.today - timedelta(days=3), time(9, 15)))
    roster.shifts[number] = {
        "id": number,
        "departmentId": department,
        "employeeId": person["id"] if works else None,
        "employeeGroupId": (person.get("employeeGroups") or [200])[0],
        "positionId": 800 + 2 * (department - 100) + number % 2,
        "shiftTypeId": _type(chance, number) if works and luck > 0.93 else None,
        "date": day.isoformat(),
        "startDateTime": begin.strftime("%Y-%m-%dT%H:%M"),
        "endDateTime": (begin + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M"),
        "timeZone": roster.zone,
        "status": status,
        "comment": f"Ask {person['firstName']} for the key" if number % 17 == 0 else None,
        "dateTimeCreated": min(created, changed).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "dateTimeModified": changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "punchClockShiftId": None,
        "skillIds": [520] if number % 9 == 0 else [],
    }
    if works and not is_future and department in punchers and luck < 0.96:
        _punch(roster, chance, roster.shifts[number])


def _type(chance: random.Random, number: int) -> int:
    drawn = chance.choice((601, 602, 603, UNPAID_TYPE))
    return _ADDED if drawn == 602 and number % 3 == 0 else drawn


def _past_status(luck: float) -> str:
    if luck < 0.05:
        return "Open"
    if luck < 0.15:
        return "Assigned"
    return "PunchclockApproved" if luck < 0.4 else "Approved"


def _future_status(luck: float) -> str:
    if luck < 0.12:
        return "Open"
    if luck < 0.2:
        return "Draft"
    return "ForSale" if luck < 0.25 else "Assigned"


def _punch(roster: Roster, chance: random.Random, shift: Json) -> None:
    number = shift["id"] + 50_000
    begin, end = (datetime.fromisoformat(shift[name]) for name in ("startDateTime", "endDateTime"))
    came = begin + timedelta(minutes=chance.randrange(-9, 12))
    went = end + timedelta(minutes=chance.randrange(-6, 25))
    is_approved = shift["status"] in ("Approved", "PunchclockApproved")
    rounded = went.replace(minute=went.minute // 15 * 15) if is_approved else end
    shift["punchClockShiftId"] = number
    roster.punches[number] = {
        "id": number,
        "shiftId": shift["id"],
        "departmentId": shift["departmentId"],
        "employeeId": shift["employeeId"],
        "startDateTime": came.strftime("%Y-%m-%dT%H:%M"),
        "endDateTime": went.strftime("%Y-%m-%dT%H:%M"),
        "shiftStartDateTime": begin.strftime("%Y-%m-%dT%H:%M"),
        "shiftEndDateTime": rounded.strftime("%Y-%m-%dT%H:%M"),
        "description": None,
        "isApproved": is_approved,
    }
    if (end - begin) > timedelta(hours=6):
        pause = came + timedelta(hours=4)
        roster.breaks[number] = [
            {
                "id": number * 10 + n,
                "punchClocksShiftId": number,
                "startDateTime": (pause + timedelta(hours=n)).strftime("%Y-%m-%dT%H:%M"),
                "endDateTime": (pause + timedelta(hours=n, minutes=15)).strftime("%Y-%m-%dT%H:%M"),
                "duration": "00:15:00",
            }
            for n in range(1 + number % 2)
        ]


def _misfits(roster: Roster, number: int) -> None:
    """A punch without an end, a punch without a shift, and deleted shifts."""
    worked = [row for row in roster.punches.values() if row["startDateTime"][:10] < roster.today.isoformat()]
    if worked:
        latest = max(worked, key=lambda row: (row["startDateTime"], row["id"]))
        common = {"departmentId": latest["departmentId"], "employeeId": latest["employeeId"], "isApproved": False}
        yesterday = roster.today - timedelta(days=1)
        roster.punches[90_001] = {
            **common,
            "id": 90_001,
            "shiftId": None,
            "startDateTime": f"{yesterday}T08:58",
            "endDateTime": None,
            "description": "Forgot to punch out",
        }
        roster.punches[90_002] = {
            **common,
            "id": 90_002,
            "shiftId": None,
            "startDateTime": f"{yesterday - timedelta(days=1)}T18:02",
            "endDateTime": f"{yesterday - timedelta(days=1)}T21:30",
            "description": None,
        }
    model = next(iter(roster.shifts))
    long_ago = datetime.combine(roster.today - timedelta(days=40), time(11), tzinfo=UTC)
    for n in range(3):
        roster.shifts[number + n] = {**roster.shifts[model], "id": number + n, "status": "Open", "employeeId": None}
        roster.edit_shift(number + n, long_ago, date=(roster.today - timedelta(days=35 + n)).isoformat())
        roster.delete_shift(number + n, long_ago + timedelta(hours=n))


def _clocks_change(zone: str, day: date) -> bool:
    noon = [datetime.combine(day + timedelta(days=n), time(12), ZoneInfo(zone)).utcoffset() for n in (-1, 0)]
    return noon[0] != noon[1]
