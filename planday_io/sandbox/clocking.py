"""How people punch in and out: nearly on time most days, late or early on some; not at all, or without an end, on a few."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

from planday_io.sandbox.people import Json
from planday_io.sandbox.roster import Roster

_OFFSET = 2_000_000
_APPROVED = ("Approved", "PunchclockApproved")


def punch(roster: Roster, chance: random.Random, shift: Json, *, is_recent: bool) -> None:
    """Let somebody punch for a shift that is over.

    Args:
        roster: of the shift.
        chance: luck.
        shift: that was worked, or was not.
        is_recent: nobody has corrected it yet.
    """
    if chance.random() < 0.012:
        # Nobody came.
        shift["status"] = "Assigned"
        return
    number = shift["id"] + _OFFSET
    begin, end = (datetime.fromisoformat(shift[name]) for name in ("startDateTime", "endDateTime"))
    came, went = begin + _minutes_late(chance), end + _minutes_longer(chance)
    forgot = chance.random() < (0.015 if is_recent else 0.001)
    is_approved = shift["status"] in _APPROVED and not forgot
    rounded = went.replace(minute=went.minute // 15 * 15) if is_approved else end
    if forgot:
        shift["status"] = "PunchclockStarted"
    shift["punchClockShiftId"] = number
    roster.punches[number] = {
        "id": number,
        "shiftId": shift["id"],
        "departmentId": shift["departmentId"],
        "employeeId": shift["employeeId"],
        "startDateTime": _text(came),
        "endDateTime": None if forgot else _text(went),
        "shiftStartDateTime": _text(begin),
        "shiftEndDateTime": _text(rounded),
        "description": None,
        "isApproved": is_approved,
    }
    if (end - begin) > timedelta(hours=6):
        pauses = _pauses(chance)
        begins = [came + timedelta(hours=3 + 1.5 * n) for n in range(len(pauses))]
        roster.breaks[number] = [
            {
                "id": number * 10 + n,
                "punchClocksShiftId": number,
                "startDateTime": _text(pause),
                "endDateTime": _text(pause + timedelta(minutes=minutes)),
                "duration": f"00:{minutes:02d}:00" if minutes < 60 else f"01:{minutes - 60:02d}:00",
            }
            for n, (pause, minutes) in enumerate(zip(begins, pauses, strict=True))
        ]


def _minutes_late(chance: random.Random) -> timedelta:
    luck = chance.random()
    late = (
        chance.randrange(-9, 4) if luck < 0.88 else chance.randrange(4, 9) if luck < 0.95 else chance.randrange(9, 36)
    )
    return timedelta(minutes=late)


def _minutes_longer(chance: random.Random) -> timedelta:
    luck = chance.random()
    if luck < 0.04:
        return timedelta(minutes=-chance.randrange(15, 75))
    return timedelta(minutes=chance.randrange(-5, 20) if luck < 0.95 else chance.randrange(25, 80))


def _pauses(chance: random.Random) -> tuple[int, ...]:
    """Minutes of each break: one of half an hour or two of a quarter; now and then a far longer one."""
    luck = chance.random()
    return (30,) if luck < 0.5 else (15, 15) if luck < 0.96 else (chance.randrange(45, 70),)


def misfits(roster: Roster, number: int) -> None:
    """A punch without an end, one that belongs to no shift, and shifts that were deleted."""
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
    if not roster.shifts:
        return
    model = next(iter(roster.shifts))
    long_ago = datetime.combine(roster.today - timedelta(days=40), time(11), tzinfo=UTC)
    for n in range(3):
        roster.shifts[number + n] = {**roster.shifts[model], "id": number + n, "status": "Open", "employeeId": None}
        day: date = roster.today - timedelta(days=35 + n)
        roster.edit_shift(number + n, long_ago, date=day.isoformat())
        roster.delete_shift(number + n, long_ago + timedelta(hours=n))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
