"""What the roster costs and pays, computed from the shifts as they are: time and cost, payroll, turnover.

The same shift has the same hours and rate everywhere, as in a real portal.
"""

from __future__ import annotations

import calendar
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from planday_io.sandbox.pay import Pay, currency, money
from planday_io.sandbox.people import Json, People
from planday_io.sandbox.roster import SHIFT_TYPES, UNPAID_TYPE, Roster
from planday_io.sandbox.trade import trade_of

_PAUSE_HOURS = 0.5
_WEEKS = 12
_BARE_TYPES = frozenset(row["id"] for row in SHIFT_TYPES if row.get("allowsBreaks") is False)
"""Their shifts have neither breaks nor supplements."""

_TYPES = {row["id"]: row for row in SHIFT_TYPES}


def hours(shift: Json) -> float:
    """Hours between begin and end, on the clock of the zone: 7 or 9 on the nights when clocks change."""
    zone = ZoneInfo(shift["timeZone"])
    begin, end = (datetime.fromisoformat(shift[name]).replace(tzinfo=zone) for name in ("startDateTime", "endDateTime"))
    return (end.astimezone(UTC) - begin.astimezone(UTC)) / timedelta(hours=1)


def paid_hours(shift: Json) -> float:
    """The hours of a shift, without the unpaid break of long shifts."""
    length = hours(shift)
    return length - _PAUSE_HOURS if length > 6 and shift["shiftTypeId"] not in _BARE_TYPES else length


def counts(shift: Json) -> bool:
    """Whether a shift is in payroll at all."""
    return bool(shift["employeeId"]) and shift["shiftTypeId"] != UNPAID_TYPE and shift["status"] != "Draft"


def span(length: float) -> str:
    """Hours as Planday writes them: `0:07:30`."""
    minutes = round(length * 60)
    return f"{minutes // 1440}:{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def time_and_cost(roster: Roster, pay: Pay, department: int, first: date, last: date) -> Json:
    """The document of one department."""
    rows: list[Json] = []
    for shift in roster.on(first, last):
        if shift["departmentId"] != department or not counts(shift):
            continue
        wage, cost = _paid(pay, shift)
        common = {"employeeId": shift["employeeId"], "date": shift["date"]}
        rows.append(
            {
                **common,
                "shiftId": shift["id"],
                "duration": span(paid_hours(shift)),
                "cost": cost,
                "shiftTypeId": shift["shiftTypeId"],
                "positionId": shift["positionId"],
            }
        )
        if wage is not None and shift["endDateTime"][:10] > shift["date"]:
            # Who works past midnight; two equal rows are two supplements.
            rows += [{**common, "duration": "0:00:00", "cost": money(35.5, roster.zone)}] * 2
    return {"costs": rows, **currency(roster.zone)}


def payroll(
    roster: Roster,
    pay: Pay,
    departments: set[int],
    first: date,
    last: date,
    status: str | None,
    *,
    full: bool,
    left: Mapping[int, str],
) -> Json:
    """The document of a range of days.

    Args:
        roster: of the portal.
        pay: of the portal.
        departments: that are asked for.
        first: first day.
        last: last day, included.
        status: Approved, Nonapproved or both.
        full: whole salaries for people who worked the whole range.
        left: employee -> the day after the last day; salaries are paid for the days before it only.
    """
    shifts = [
        _payroll_shift(pay, shift)
        for shift in roster.on(first, last)
        if shift["departmentId"] in departments and counts(shift) and shift["date"] <= roster.today.isoformat()
        and (status is None or (shift["status"] in ("Approved", "PunchclockApproved")) == (status == "Approved"))
    ]  # fmt: skip
    salaried = [
        {
            "employeeId": employee,
            "date": end.isoformat(),
            "start": begin.isoformat(),
            "end": end.isoformat(),
            "salaryCode": row["salaryCode"],
            "units": row["hours"],
            "wage": round(row["salary"] / row["hours"], 2),
            "salary": row["salary"] if full and (begin, end) == (first, last) else _prorated(row["salary"], begin, end),
        }
        for employee, row in sorted(pay.salaries.items())
        for begin, end in [(first, min(last, date.fromisoformat(left.get(employee, "9999-12-31")) - timedelta(days=1)))]
        if begin <= end
    ]
    return {
        "shiftsPayroll": shifts,
        "supplementsPayroll": [row for shift in shifts for row in _meals(shift, money(-25, roster.zone))],
        "salariedPayroll": salaried,
        **currency(roster.zone),
    }


def leavers(rows: Iterable[Json]) -> dict[int, str]:
    """Employee -> the day after the last day, for people who left or will leave."""
    return {row["id"]: row["deactivationDate"] for row in rows if row.get("deactivationDate")}


def _rate(base: float, kind: int | None, zone: str) -> float:
    """What a shift type makes of a rate: it replaces the rate, is added to it, or is a percentage of it."""
    told = _TYPES.get(kind or 0, {})
    if told.get("paymentType") == "MonetaryReplacement":
        return money(told["payMonetary"], zone)
    if told.get("paymentType") == "Monetary":
        return base + money(told["payMonetary"], zone)
    return base * float(told.get("payPercentage", 100)) / 100


def _paid(pay: Pay, shift: Json) -> tuple[float | None, float]:
    valid = pay.valid(shift["employeeId"], shift["employeeGroupId"], shift["date"])
    if valid is None:
        return None, 0
    rate = round(_rate(valid["rate"], shift["shiftTypeId"], pay.zone), 4)
    return rate, round(rate if valid["wageType"] == "ShiftRate" else rate * paid_hours(shift), 2)


def _payroll_shift(pay: Pay, shift: Json) -> Json:
    wage, salary = _paid(pay, shift)
    valid = pay.valid(shift["employeeId"], shift["employeeGroupId"], shift["date"]) or {"wageType": "HourlyRate"}
    begin = datetime.fromisoformat(shift["startDateTime"])
    evening = begin.replace(hour=18, minute=0)
    end = datetime.fromisoformat(shift["endDateTime"])
    supplements: list[Json] = []
    is_bare = shift["shiftTypeId"] in _BARE_TYPES
    if end > evening and not is_bare:
        late = (end - max(begin, evening)) / timedelta(hours=1)
        entry = {"name": "Evening", "duration": late, "salaryCode": "0020", "modification": money(15 * late, pay.zone)}
        supplements = [{**entry, "id": 41, "start": _text(max(begin, evening)), "end": _text(end)}]
        if end.date() != begin.date():
            # The same supplement twice on one shift, once for either day.
            supplements.append({**supplements[0]})
    pause = begin + timedelta(hours=4)
    breaks: list[Json] = []
    if hours(shift) > 6 and not is_bare:
        breaks = [
            {
                "id": shift["id"] + 70_000,
                "start": _text(pause),
                "end": _text(pause + timedelta(hours=_PAUSE_HOURS)),
                "duration": _PAUSE_HOURS,
                "title": "Lunch",
                "amount": 0,
                "modification": 0,
                "isPaid": False,
            }
        ]
    return {
        "id": shift["id"],
        "employeeId": shift["employeeId"],
        "departmentId": shift["departmentId"],
        "employeeGroupId": shift["employeeGroupId"],
        "positionId": shift["positionId"],
        "shiftTypeId": shift["shiftTypeId"],
        "date": shift["date"],
        "start": _text(begin),
        "end": _text(end),
        "shiftDuration": span(hours(shift)),
        "salaryCode": "0010",
        "salary": salary,
        "wage": {"rate": wage or 0, "type": valid["wageType"].removesuffix("Rate")},
        "supplements": supplements,
        "breaks": breaks,
    }


def _meals(shift: Json, price: float) -> list[Json]:
    if shift["id"] % 5:
        return []
    day = date.fromisoformat(shift["date"])
    row = {
        "employeeId": shift["employeeId"],
        "date": shift["date"],
        "start": f"{day}T00:00:00",
        "end": f"{day + timedelta(days=1)}T00:00:00",
        "salaryCode": "0900",
        "units": 1,
        "wage": price,
        "salary": price,
        "name": "Meal",
    }
    return [row, {**row}] if shift["id"] % 10 == 0 else [row]


def _prorated(salary: float, first: date, last: date) -> float:
    """Prorated by the calendar days of the month the range begins in, so a range across a month end has another sum."""
    days = calendar.monthrange(first.year, first.month)[1]
    return round(salary * ((last - first).days + 1) / days, 2)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def turnover_of(roster: Roster, unit: Json, day: str) -> float:
    """What a unit turned over on a day, unless it was set: by demand, and a little luck."""
    known = roster.turnover.get((unit["id"], day))
    if known is not None:
        return known
    chance = random.Random(f"turnover {roster.portal} {unit['id']} {day}")  # noqa: S311 - the same figure every time is the point
    trade = trade_of(roster.portal, unit["departmentId"])
    week = roster.takings.get(unit["departmentId"], 45_000.0)
    return round(week * trade.share(date.fromisoformat(day).weekday()) * chance.uniform(0.9, 1.1), 2)


def takings_of(roster: Roster, pay: Pay, people: People) -> dict[int, float]:
    """What each department turns over in an ordinary week: of that, labour costs between a quarter and a third."""
    first = roster.today - timedelta(days=roster.today.weekday() + 7 * _WEEKS)
    cost: dict[int, float] = defaultdict(float)
    hours_of: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for shift in roster.on(first, first + timedelta(days=7 * _WEEKS - 1)):
        if counts(shift):
            cost[shift["departmentId"]] += _paid(pay, shift)[1]
            hours_of[shift["employeeId"]][shift["departmentId"]] += paid_hours(shift)
    for person, worked in hours_of.items():
        if salary := pay.salaries.get(person):
            for department, spent in worked.items():
                cost[department] += salary["salary"] * 12 / 52 * _WEEKS * spent / sum(worked.values())
    chance = people.chance("takings")
    return {
        number: round(cost[number] / _WEEKS / chance.uniform(0.26, 0.32), 2)
        for number in sorted(row["id"] for row in people.departments)
        if cost[number]
    }
