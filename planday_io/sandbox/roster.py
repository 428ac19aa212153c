"""The roster of a portal: shifts, punches, what was deleted, and the ways in which they change. As raw API objects.

What follows from shifts (cost, payroll, revenue) is computed when it is asked for. `planner.py` makes rosters up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from planday_io.sandbox.people import Json

SICK_TYPE, ADDED_TYPE = 602, 605
SHIFT_TYPES: tuple[Json, ...] = (
    {
        "id": 601,
        "name": "Course",
        "salaryCode": "0601",
        "paymentType": "Percentage",
        "payPercentage": 100,
        "allowsBreaks": False,
    },
    {"id": SICK_TYPE, "name": "Sick", "salaryCode": "0602", "paymentType": "Percentage", "payPercentage": 100},
    {"id": 603, "name": "Standby", "salaryCode": "0603", "paymentType": "MonetaryReplacement", "payMonetary": 60.5},
    {"id": ADDED_TYPE, "name": "On short notice", "salaryCode": "0605", "paymentType": "Monetary", "payMonetary": 25},
    {"id": 604, "name": "Volunteering", "salaryCode": None, "paymentType": "Percentage", "payPercentage": 0},
)
UNPAID_TYPE = 604
"""Not counted in payroll: its shifts are in neither payroll nor time and cost, approved or not."""

UNCLOCKED_TYPES = frozenset({601, SICK_TYPE, 603})
"""Nobody punches for these."""

STATUSES = ("Open", "Assigned", "Approved", "ForSale", "Draft", "OnDuty", "PendingSwapAcceptance", "PendingApproval")

WINDOWS_ZONES = {
    "Europe/Oslo": "W. Europe Standard Time",
    "Europe/Copenhagen": "Romance Standard Time",
    "Europe/London": "GMT Standard Time",
}
"""Another way to name a zone, which nobody has ruled out."""

PUNCH_STATUSES = ("PunchclockStarted", "PunchclockFinished", "PunchclockApproved")
"""What a shift becomes once somebody punches; cannot be asked for."""


@dataclass(slots=True)
class Roster:
    """Everything about shifts of one portal. Members that are null are left out when a row is sent.

    Args:
        turnover: (revenue unit, day) -> amount, where somebody set it.
        takings: department -> what it turns over in an ordinary week.
    """

    portal: str

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
    takings: dict[int, float] = field(default_factory=dict)

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
        stamp = now or datetime.now(UTC)
        self.shifts[new]["dateTimeCreated"] = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.edit_shift(new, stamp, date=day.isoformat())
        return new

    def approve(self, shift_id: int, now: datetime | None = None) -> None:
        """Approve a shift for payroll, as punched where it was: ends are rounded down to a quarter of an hour."""
        shift = self.shifts[shift_id]
        punch = self.punches.get(shift["punchClockShiftId"] or 0)
        if punch is None:
            self.edit_shift(shift_id, now, status="Approved")
            return
        punch["endDateTime"] = punch["endDateTime"] or punch["shiftEndDateTime"]
        went = datetime.fromisoformat(punch["endDateTime"])
        rounded = max(went.replace(minute=went.minute // 15 * 15), datetime.fromisoformat(punch["shiftStartDateTime"]))
        punch.update(shiftEndDateTime=rounded.strftime("%Y-%m-%dT%H:%M"), isApproved=True)
        self.edit_shift(shift_id, now, status="PunchclockApproved")

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
