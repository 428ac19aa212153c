"""Scheduling, punch clock and revenue of the local Planday. Facts: sections 9.3, 9.4 and 9.8."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from starlette.requests import Request

from planday_io.sandbox.answers import Handler, RefusedError, day, number, paged, paging, sent, since
from planday_io.sandbox.labour import time_and_cost, turnover_of
from planday_io.sandbox.people import Json
from planday_io.sandbox.roster import STATUSES, Roster
from planday_io.sandbox.state import Sandbox
from planday_io.sandbox.world import Portal

_HOLIDAYS = {"12-24": "Christmas Eve", "12-25": "Christmas Day", "01-01": "New Year's Day"}


def _shuffled(rows: Iterable[Json]) -> list[Json]:
    """An order that nobody documented, the same for each request."""
    return sorted(rows, key=lambda row: (row["id"] * 7919 % 104_729, row["id"]))


def _shifts(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = since(_listed(portal.roster.shifts.values(), sandbox, request), request)
    return paged(sandbox, request, rows, largest=5000, as_sent=lambda row: _as_sent(row, sandbox))


def _listed(rows: Iterable[Json], sandbox: Sandbox, request: Request) -> list[Json]:
    wanted = request.query_params.get("shiftStatus")
    if wanted is not None and wanted not in STATUSES:
        raise RefusedError(400, "shiftStatus")
    first, last = day(request, "from", date.min).isoformat(), day(request, "to", date.max).isoformat()
    ends = "endDateTime" if sandbox.variants.shift_window == "overlap" else "date"
    found = [row for row in rows if first <= row[ends][:10] and row["date"] <= last]
    if wanted:
        return _shuffled(row for row in found if row["status"] == wanted)
    return _shuffled(row for row in found if sandbox.variants.lists_drafts or row["status"] != "Draft")


def _as_sent(row: Json, sandbox: Sandbox) -> Json:
    """A shift as it is sent; one without a person may say so."""
    told: Json = sent(row)
    if row["employeeId"] is None and sandbox.variants.open_shifts == "null":
        told["employeeId"] = None
    return told


def _deleted(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = portal.roster.deleted
    if earliest := request.query_params.get("deletedFrom"):
        rows = [row for row in rows if row["dateTimeDeleted"] >= earliest]
    return paged(sandbox, request, since(rows, request), largest=1000, as_sent=lambda row: _as_sent(row, sandbox))


def _shift(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return {"data": _as_sent(portal.roster.shifts[_shift_id(portal.roster, request)], sandbox)}


def _shift_history(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return paged(sandbox, request, portal.roster.history_of(_shift_id(portal.roster, request)))


def _shift_id(roster: Roster, request: Request) -> int:
    shift = int(request.path_params["shift_id"])
    if shift not in roster.shifts:
        raise RefusedError(404, "shift id")
    return shift


def _statuses(_: Sandbox, __: Portal, ___: Request) -> Json:
    rows = [{"id": n, "name": name} for n, name in enumerate(STATUSES, start=1)]
    return {"paging": {"offset": 0, "limit": 50, "total": len(rows)}, "data": rows}


def _department(portal: Portal, text: str | None) -> int:
    found = next((row["id"] for row in portal.departments if str(row["id"]) == text), None)
    if found is None:
        raise RefusedError(400, "departmentId")
    department: int = found
    return department


def _schedule_days(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    department = _department(portal, request.query_params.get("departmentId"))
    first, last = day(request, "from"), day(request, "to")
    rows = []
    for n in range((last - first).days + 1):
        at = first + timedelta(days=n)
        age = (portal.roster.today - at).days
        holiday = _HOLIDAYS.get(f"{at:%m-%d}")
        rows.append(
            {
                "id": at.toordinal() * 100 + department % 100,
                "date": at.isoformat(),
                "departmentId": department,
                "title": "Inventory" if at.day == 28 else None,
                "description": "Anna counts the cellar" if at.day == 28 else None,
                "isVisible": age > -60,
                "holiday": [{"title": holiday, "calendarName": portal.info["country"]}] if holiday else None,
                "lockState": "SalaryLocked" if age > 60 else "ManagerLocked" if age > 20 else "Unlocked",
            }
        )
    return paged(sandbox, request, rows)


def _time_and_cost(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    department = _department(portal, str(request.path_params["department_id"]))
    document = time_and_cost(portal.roster, portal.pay, department, day(request, "from"), day(request, "to"))
    if sandbox.variants.durations == "HH:MM:SS":
        for row in document["costs"]:
            days, hours, minutes = map(int, row["duration"].split(":"))
            row["duration"] = f"{24 * days + hours}:{minutes:02d}:00"
    return {"data": sent(document)}


def _skills(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    department = _department(portal, request.query_params.get("departmentId"))
    return paged(sandbox, request, portal.roster.skills.get(department, []))


def _of_roster(name: str) -> Handler:
    return lambda sandbox, portal, request: paged(sandbox, request, getattr(portal.roster, name))


def _punches(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    try:
        first, last = (datetime.fromisoformat(request.query_params[name]) for name in ("from", "to"))
    except (KeyError, ValueError):
        raise RefusedError(400, "from or to") from None
    if last - first > timedelta(days=31):
        raise RefusedError(400, "interval: 31 days at most")
    tested = ("startDateTime", "shiftStartDateTime")
    one, other = tested if sandbox.variants.punch_window == "punched" else reversed(tested)
    rows = [
        row
        for row in portal.roster.punches.values()
        if first <= datetime.fromisoformat(row.get(one) or row[other]) < last
    ]
    limit, offset = number(request, "limit", 0), number(request, "offset", 0)
    # A limit that is too large is lowered without a word.
    limit = min(limit or 50, 50, sandbox.page_size)
    page = [sent(row) for row in _shuffled(rows)[offset : offset + limit]]
    return {"paging": paging(sandbox, offset, limit, len(rows)), "data": page}


def _breaks(_: Sandbox, portal: Portal, request: Request) -> Json:
    punch = int(request.path_params["punch_id"])
    if punch not in portal.roster.punches:
        raise RefusedError(404, "punch id")
    rows = [sent(row) for row in portal.roster.breaks.get(punch, [])]
    return {"paging": {"total": len(rows)}, "data": rows}


def _revenue(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    wanted = request.query_params.get("departmentId")
    departments = [_department(portal, wanted)] if wanted else [row["id"] for row in portal.departments]
    today = portal.roster.today
    first, last = day(request, "from", today - timedelta(days=30)), min(day(request, "to", today), today)
    worked = sorted({(row["departmentId"], row["date"]) for row in portal.roster.on(first, last)})
    rows = [
        {
            "revenueUnitId": unit["id"],
            "date": at,
            "dayScheduleId": date.fromisoformat(at).toordinal() * 100 + department % 100,
            "turnover": turnover_of(portal.roster, unit, at),
            "description": None,
        }
        for unit in portal.roster.revenue_units
        for department, at in worked
        if unit["departmentId"] == department and department in departments
    ]
    return paged(sandbox, request, rows)


ENDPOINTS: tuple[tuple[str, str | None, Handler], ...] = (
    ("/scheduling/v1.0/shifts", "shift:read", _shifts),
    ("/scheduling/v1.0/shifts/deleted", "shift:read", _deleted),
    ("/scheduling/v1.0/shifts/shiftstatus/all", "shift:read", _statuses),
    ("/scheduling/v1.0/shifts/{shift_id:int}", "shift:read", _shift),
    ("/scheduling/v1.0/shifts/{shift_id:int}/history", "shift:read", _shift_history),
    ("/scheduling/v1.0/scheduleDay", "shift:read", _schedule_days),
    ("/scheduling/v1.0/positions", "shiftposition:read", _of_roster("positions")),
    ("/scheduling/v1.0/sections", "shiftposition:read", _of_roster("sections")),
    ("/scheduling/v1.0/shifttypes", "shifttype:read", _of_roster("shift_types")),
    ("/scheduling/v1.0/skills", "shifttype:read", _skills),
    ("/scheduling/v1.0/timeandcost/{department_id:int}", "timeandcost:read", _time_and_cost),
    ("/punchclock/v1.0/punchclockshifts", "punchclockshift:read", _punches),
    ("/punchclock/v1.0/punchclockshifts/{punch_id:int}/breaks", "punchclockshift:read", _breaks),
    ("/revenue/v1.0/revenueunits", "revenue:read", _of_roster("revenue_units")),
    ("/revenue/v1.0/revenue", "revenue:read", _revenue),
)
