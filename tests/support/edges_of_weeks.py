"""Edges of what the recipes ask for, added to the planted weeks: exactly the limit, a day too far, one kind too many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from tests.support.weeks import (
    BAR,
    CELLAR,
    FINN,
    FRIDA,
    GERD,
    GRO,
    HANS,
    NAMELESS,
    PEOPLE,
    VACATION,
    WAITERS,
    Person,
    Shift,
    World,
    put_shift,
)

BO, CAI, EVA = PEOPLE[1], PEOPLE[2], PEOPLE[4]


@dataclass(frozen=True, slots=True)
class Account:
    """An account of vacation; `ends` is days from today."""

    person: Person
    balance: Decimal | None
    unit: str = "Days"
    ends: int | None = None
    is_active: bool = True


ACCOUNTS = (
    Account(BO, Decimal(40), is_active=False),
    Account(BO, Decimal(50), ends=-1),
    Account(CAI, Decimal(2), ends=0),
    Account(EVA, Decimal("10.5"), unit="Hours"),
    Account(GRO, None),
)


def put_edges(world: World) -> None:
    """All of them."""
    numbers = count(9000)
    _put_tired(world, numbers)
    _put_weeks_before(world, numbers)
    _put_nobody(world, numbers)
    _put_far(world, numbers)
    _put_accounts(world)
    _put_vacation(world)


def _put_tired(world: World, numbers: count[int]) -> None:
    """Frida works seven days in a row and stays away on the eighth, Hans works six; rests are 7 and exactly 11 hours.

    Hans comes five minutes late, once.
    """
    first, _ = world.last_month
    begins = {
        FRIDA: dict.fromkeys(range(2, 10), 10),
        GERD: {16: 15, 17: 6, 18: 1},
        HANS: {2: 15} | dict.fromkeys(range(3, 8), 10),
    }
    for person, hours in begins.items():
        for n, hour in hours.items():
            status, more = "PunchclockApproved", {"punch": (0, 0), "is_punch_approved": True, "is_paid": True}
            if (person, n) == (HANS, 5):
                more["punch"] = (5, 0)
            elif (person, n) == (FRIDA, 9):
                status, more = "Assigned", {}
            _put_work(world, next(numbers), person, person.department, first + timedelta(days=n), hour, status, **more)


def _put_weeks_before(world: World, numbers: count[int]) -> None:
    """Of the first of twelve weeks, one of exactly 37 hours and one of 48; and 48 in the week before it."""
    monday = world.today - timedelta(days=world.today.weekday() + 84)
    for person, start, days, planned in ((BO, 0, 5, "7.4"), (CAI, 0, 6, "8"), (CAI, -7, 6, "8")):
        for n in range(days):
            day = monday + timedelta(days=start + n)
            planned_hours = {"planned": Decimal(planned)}
            _put_work(world, next(numbers), person, person.department, day, 9, "Approved", **planned_hours)


def _put_nobody(world: World, numbers: count[int]) -> None:
    """A shift of the last month that remained open, a punch without a shift, and places with one shift ahead."""
    first, _ = world.last_month
    _put_work(world, next(numbers), None, BAR, first + timedelta(days=12), 12, "Open")
    for department, person, status in ((BAR, None, "Open"), (NAMELESS, GRO, "Assigned"), (CELLAR, None, "Draft")):
        ahead, more = world.today + timedelta(days=3), {"portal": "bergen", "is_sickness": status == "Assigned"}
        _put_work(world, next(numbers), person, department, ahead, 12, status, **more)
    begin = datetime.combine(first + timedelta(days=20), time(12))
    end = begin + timedelta(hours=4)
    nothing = Decimal(0)
    loose = Shift(
        "oslo", next(numbers), BAR, FRIDA, None, begin, end, "", planned=nothing, punch=(0, 0), is_rostered=False
    )
    put_shift(world, loose)


def _put_far(world: World, numbers: count[int]) -> None:
    """Shifts on the first and last day of those whose changes are asked for, and on the days beyond."""
    for n in (-29, -28, 14, 15):
        _put_work(world, next(numbers), HANS, BAR, world.today + timedelta(days=n), 12, "Assigned")


def _put_work(
    world: World, number: int, person: Person | None, department: int, day: date, hour: int, status: str, **more: Any
) -> None:
    begin = datetime.combine(day, time(hour))
    group = person.group if person else WAITERS
    end = begin + timedelta(hours=8)
    more = {"portal": "oslo", "planned": Decimal("7.5") if person and person.rate else Decimal(8)} | more
    shift = Shift(
        number=number, department=department, person=person, group=group, begin=begin, end=end, status=status, **more
    )
    put_shift(world, shift)


def _put_accounts(world: World) -> None:
    for number, account in enumerate(ACCOUNTS, 570):
        portal = account.person.portal
        end = None if account.ends is None else world.today + timedelta(days=account.ends)
        world.put("absence.accounts", portal=portal, id=number, employee_id=account.person.number, type_id=VACATION,
            name="More vacation", status="Active" if account.is_active else "Inactive", validity_period_end=end)  # fmt: skip
        if account.balance is not None:
            world.put("absence.account_balances", portal=portal, account_id=number, unit_type=account.unit,
                value=account.balance, balance_date=world.today)  # fmt: skip


def _put_vacation(world: World) -> None:
    """Two days of somebody who was ill as well, and two of somebody who was not, on days without a shift."""
    first, _ = world.last_month
    for number, (person, account, days) in enumerate(((FINN, 501, (9, 10)), (GRO, 574, (6, 7))), 900):
        key = (person.portal, person.number)
        world.on_leave[key] = [first + timedelta(days=n) for n in days]
        begin, end = world.on_leave[key]
        world.put("absence.absence_records", portal=person.portal, id=number, employee_id=person.number, status="Approved",
            absence_period_start=begin, absence_period_end=end)  # fmt: skip
        for ordinal, day in enumerate((begin, end), 1):
            costs = [{"value": -1, "unit_type": "Days"}]
            world.put("absence.absence_record_registrations", portal=person.portal, absence_record_id=number,
                ordinal=ordinal, date=day, account_id=account, account_costs=costs)  # fmt: skip
