"""A portal at one instant: who is free, which shifts come next, and changes that are stamped with the instant."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from planday_io.sandbox.living import Living
from planday_io.sandbox.people import Json

_SOON = 21


@dataclass(frozen=True, slots=True)
class Moment:
    """A portal at one instant."""

    portal: Living
    chance: random.Random
    at: datetime

    @property
    def local(self) -> datetime:
        """The wall clock of the portal."""
        return self.at.astimezone(ZoneInfo(self.portal.info["timeZone"])).replace(tzinfo=None)

    def shifts(self, *statuses: str, ahead: int = _SOON, back: int = 0) -> list[Json]:
        """Shifts that begin later, or that are over where `back` is given, with one of some statuses; the next first."""
        roster, now = self.portal.roster, self.local.isoformat(timespec="minutes")
        if back:
            there = roster.on(self.local.date() - timedelta(days=back), self.local.date())
            return [row for row in there if row["endDateTime"] < now and row["status"] in statuses]
        there = roster.on(self.local.date(), self.local.date() + timedelta(days=ahead))
        rows = [row for row in there if row["startDateTime"] > now and row["status"] in statuses]
        return sorted(rows, key=lambda row: (row["startDateTime"], row["id"]))

    def soon(self, *statuses: str, ahead: int = _SOON) -> Json | None:
        """One of them, the sooner the likelier: rosters change at the last moment."""
        rows = self.shifts(*statuses, ahead=ahead)
        return rows[int(len(rows) * self.chance.random() ** 2.5)] if rows else None

    def edit(self, shift: Json, **members: object) -> int:
        """Change a shift now."""
        number: int = shift["id"]
        self.portal.roster.edit_shift(number, self.at, **members)
        return number

    def colleague(self, shift: Json) -> Json | None:
        """Somebody of the department who is free on the day of a shift."""
        day = date.fromisoformat(shift["date"])
        busy = {row["employeeId"] for row in self.portal.roster.on(day, day)}
        away = self.portal.leave.days_off()
        free = [
            row
            for row in self.people()
            if shift["departmentId"] in row["departments"]
            and row["id"] not in busy
            and day not in away.get(row["id"], ())
            and (row.get("deactivationDate") or "9999") > shift["date"]
        ]
        return self.chance.choice(free) if free else None

    def people(self) -> list[Json]:
        """Those who work in a department."""
        known = {row["id"] for row in self.portal.departments}
        return [row for row in self.portal.employees if known & set(row.get("departments") or [])]

    def give(self, shift: Json | None, **members: object) -> int | None:
        """Give a shift to somebody who is free."""
        person = self.colleague(shift) if shift else None
        if shift is None or person is None:
            return None
        group = (person.get("employeeGroups") or [shift["employeeGroupId"]])[0]
        return self.edit(shift, employeeId=person["id"], employeeGroupId=group, status="Assigned", **members)
