"""Scheduling, punch clock and revenue of the local Planday.

Facts: docs/api-facts.md#scheduling, docs/api-facts.md#punch-clock, docs/api-facts.md#revenue.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from planday_io.sandbox.answers import by_id, document, found, listing, sent, shuffled, unpaged
from planday_io.sandbox.endpoint import Asked, Endpoint, Pages, Param, RefusedError
from planday_io.sandbox.labour import time_and_cost, turnover_of
from planday_io.sandbox.params import (
    CREATED,
    FROM_AND_TO,
    MODIFIED,
    SHIFT_IDS,
    day,
    is_true,
    local,
    one_id,
    stamps,
    status,
    whole,
)
from planday_io.sandbox.people import Json
from planday_io.sandbox.roster import PUNCH_STATUSES, STATUSES, WINDOWS_ZONES

_HOLIDAYS = {"12-24": "Christmas Eve", "12-25": "Christmas Day", "01-01": "New Year's Day"}
_LONGEST_PUNCHES = timedelta(days=31)


def _begins(row: Json, wanted: str, asked: Asked) -> bool:
    last: str = row["endDateTime"] if asked.sandbox.variants.shift_window == "overlap" else row["date"]
    return last[:10] >= wanted


SHIFTS = (
    *SHIFT_IDS,
    status("shiftStatus", STATUSES),
    Param(name="from", read=day, keeps=_begins),
    Param(name="to", read=day, keeps=lambda row, wanted, _: row["date"] <= wanted),
    *CREATED,
    *MODIFIED,
)


def _as_sent(row: Json, asked: Asked) -> Json:
    """A shift as it is sent; one without a person may say so."""
    told: Json = sent(row)
    if row["employeeId"] is None and asked.sandbox.variants.open_shifts == "null":
        told["employeeId"] = None
    if asked.sandbox.variants.zone_names == "Windows" and "timeZone" in told:
        told["timeZone"] = WINDOWS_ZONES.get(told["timeZone"], told["timeZone"])
    return told


def _shifts(asked: Asked) -> list[Json]:
    rows = asked.portal.roster.shifts.values()
    is_whole = asked.sandbox.variants.lists_drafts or "shiftStatus" in asked.values
    return [row for row in rows if is_whole or row["status"] != "Draft"]


def _shift(asked: Asked) -> Json:
    return _as_sent(_shift_of(asked), asked)


def _shift_of(asked: Asked) -> Json:
    shift = asked.portal.roster.shifts.get(asked.ids["shiftId"])
    if shift is None:
        raise RefusedError(404, "shift id")
    return shift


def _statuses(_: Asked) -> Json:
    rows = [{"id": n, "name": name} for n, name in enumerate((*STATUSES, *PUNCH_STATUSES), start=1)]
    return {"paging": {"offset": 0, "limit": 50, "total": len(rows)}, "data": rows}


def _department(asked: Asked, number: int) -> int:
    if all(row["id"] != number for row in asked.portal.departments):
        raise RefusedError(400, "departmentId")
    return number


def _schedule_days(asked: Asked) -> list[Json]:
    department = _department(asked, asked.values["departmentId"])
    first, last = (date.fromisoformat(asked.values[name]) for name in ("from", "to"))
    rows = []
    for n in range((last - first).days + 1):
        at = first + timedelta(days=n)
        age = (asked.portal.roster.today - at).days
        holiday = _HOLIDAYS.get(f"{at:%m-%d}")
        rows.append(
            {
                "id": at.toordinal() * 100 + department % 100,
                "date": at.isoformat(),
                "departmentId": department,
                "title": "Inventory" if at.day == 28 else None,
                "description": "Anna counts the cellar" if at.day == 28 else None,
                "isVisible": age > -60,
                "holiday": [{"title": holiday, "calendarName": asked.portal.info["country"]}] if holiday else None,
                "lockState": "SalaryLocked" if age > 60 else "ManagerLocked" if age > 20 else "Unlocked",
            }
        )
    return rows


def _time_and_cost(asked: Asked) -> Json:
    department = _department(asked, asked.ids["departmentId"])
    first, last = (date.fromisoformat(asked.values[name]) for name in ("from", "to"))
    document = time_and_cost(asked.portal.roster, asked.portal.pay, department, first, last)
    if asked.sandbox.variants.durations == "HH:MM:SS":
        for row in document["costs"]:
            days, hours, minutes = map(int, row["duration"].split(":"))
            row["duration"] = f"{24 * days + hours}:{minutes:02d}:00"
    return {"data": sent(document)}


def _skills(asked: Asked) -> list[Json]:
    return asked.portal.roster.skills.get(_department(asked, asked.values["departmentId"]), [])


def _of_roster(name: str) -> Callable[[Asked], list[Json]]:
    def rows(asked: Asked) -> list[Json]:
        found: list[Json] = getattr(asked.portal.roster, name)
        return found

    return rows


def _punches(asked: Asked) -> list[Json]:
    if asked.values["to"] - asked.values["from"] > _LONGEST_PUNCHES:
        raise RefusedError(400, "interval: 31 days at most")
    return list(asked.portal.roster.punches.values())


def _tested(row: Json, asked: Asked) -> datetime:
    """The time of a punch that a window tests; the other one where it is missing."""
    times = [row.get("startDateTime"), row.get("shiftStartDateTime")]
    one, other = times if asked.sandbox.variants.punch_window == "punched" else reversed(times)
    return datetime.fromisoformat(one or other or "")


def _punch_of_shift(asked: Asked) -> Any:  # noqa: ANN401 - the envelope is not known, so both are answered
    for row in asked.portal.roster.punches.values():
        if row["shiftId"] == asked.ids["shiftId"]:
            return sent(row) if asked.portal.key == "london" else {"data": sent(row)}
    raise RefusedError(404, "punch of that shift")


def _breaks(asked: Asked) -> list[Json]:
    punch = asked.ids["punchClockShiftId"]
    if punch not in asked.portal.roster.punches:
        raise RefusedError(404, "punch id")
    return asked.portal.roster.breaks.get(punch, [])


def _today(asked: Asked) -> list[Json]:
    roster = asked.portal.roster
    members = ("id", "departmentId", "employeeId", "employeeGroupId", "positionId", "shiftTypeId", "date")
    return [
        {**{name: row[name] for name in (*members, "startDateTime", "endDateTime")}, "description": row["comment"]}
        for row in roster.on(roster.today, roster.today)
        if row["employeeId"]
    ]


def _revenue(asked: Asked) -> list[Json]:
    wanted = asked.values.get("departmentId")
    departments = [row["id"] for row in asked.portal.departments] if wanted is None else [_department(asked, wanted)]
    roster = asked.portal.roster
    first = date.fromisoformat(asked.values.get("from", f"{roster.today - timedelta(days=30)}"))
    last = min(date.fromisoformat(asked.values.get("to", f"{roster.today}")), roster.today)
    worked = sorted({(row["departmentId"], row["date"]) for row in roster.on(first, last)})
    return [
        {
            "revenueUnitId": unit["id"],
            "date": at,
            "dayScheduleId": date.fromisoformat(at).toordinal() * 100 + department % 100,
            "turnover": turnover_of(roster, unit, at),
            "description": None,
        }
        for unit in roster.revenue_units
        for department, at in worked
        if unit["departmentId"] == department and department in departments
    ]


def _units(asked: Asked) -> list[Json]:
    number = found(asked.portal.departments, asked.ids["departmentId"])["id"]
    return [row for row in asked.portal.roster.revenue_units if row["departmentId"] == number]


_IN_DEPARTMENT = Param(name="departmentId", read=whole, is_required=True)
_PUNCHED = (
    Param(name="from", read=local, is_required=True, keeps=lambda row, at, asked: _tested(row, asked) >= at),
    Param(name="to", read=local, is_required=True, keeps=lambda row, at, asked: _tested(row, asked) < at),
    one_id("employeeId"),
    one_id("shiftId"),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    listing(
        "/scheduling/v1.0/shifts",
        "shift:read",
        _shifts,
        *SHIFTS,
        pages=Pages(largest=5000),
        as_sent=_as_sent,
        in_order=shuffled,
    ),
    listing(
        "/scheduling/v1.0/shifts/deleted",
        "shift:read",
        lambda asked: asked.portal.roster.deleted,
        *SHIFTS,
        *stamps("deleted", "dateTimeDeleted", is_from_inclusive=True),
        pages=Pages(largest=1000),
        as_sent=_as_sent,
    ),
    document("/scheduling/v1.0/shifts/shiftstatus/all", "shift:read", _statuses),
    document("/scheduling/v1.0/shifts/{shiftId}", "shift:read", lambda asked: {"data": _shift(asked)}),
    listing(
        "/scheduling/v1.0/shifts/{shiftId}/history",
        "shift:read",
        lambda asked: asked.portal.roster.history_of(_shift_of(asked)["id"]),
    ),
    listing("/scheduling/v1.0/scheduleDay", "shift:read", _schedule_days, _IN_DEPARTMENT, *FROM_AND_TO),
    listing("/scheduling/v1.0/positions", "shiftposition:read", _of_roster("positions"), is_true("isActive")),
    by_id(
        "/scheduling/v1.0/positions/{positionId}",
        "shiftposition:read",
        _of_roster("positions"),
        path_param="positionId",
    ),
    listing("/scheduling/v1.0/sections", "shiftposition:read", _of_roster("sections"), one_id("departmentId")),
    listing("/scheduling/v1.0/shifttypes", "shifttype:read", _of_roster("shift_types"), is_true("isActive")),
    listing(
        "/scheduling/v1.0/skills",
        "shifttype:read",
        _skills,
        _IN_DEPARTMENT,
        Param(
            name="employeeGroupId",
            read=whole,
            keeps=lambda row, group, _: (
                bool(row.get("allEmployeeGroups")) or group in (row.get("employeeGroupIds") or [])
            ),
        ),
    ),
    document("/scheduling/v1.0/timeandcost/{departmentId}", "timeandcost:read", _time_and_cost, *FROM_AND_TO),
    listing(
        "/punchclock/v1.0/punchclockshifts",
        "punchclockshift:read",
        _punches,
        *_PUNCHED,
        pages=Pages(over="lowered"),
        in_order=shuffled,
    ),
    document("/punchclock/v1.0/punchclockshifts/byShift/{shiftId}", "punchclockshift:read", _punch_of_shift),
    unpaged(
        "/punchclock/v1.0/punchclockshifts/{punchClockShiftId}/breaks", "punchclockshift:read", _breaks, has_total=True
    ),
    # Needs the right to make punches, which no app here has.
    document(
        "/punchclock/v1.0/punchclockshifts/{punchClockShiftId}/breakaccess", "punchclockshift:create", lambda _: {}
    ),
    unpaged("/punchclock/v1.0/employeeshifts/today", "shift:read", _today, one_id("employeeId"), has_total=True),
    listing("/revenue/v1.0/revenueunits", "revenue:read", _of_roster("revenue_units")),
    unpaged("/revenue/v1.0/departments/{departmentId}/revenueunits", "revenue:read", _units),
    listing(
        "/revenue/v1.0/revenue",
        "revenue:read",
        _revenue,
        Param(name="departmentId", read=whole),
        Param(name="from", read=day),
        Param(name="to", read=day),
    ),
)
