"""What the roster costs and pays, computed from the shifts as they are: time and cost, payroll, rates and salaries.

The same shift has the same hours and rate everywhere, as in a real portal.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planday_io.sandbox.people import Json, People
from planday_io.sandbox.roster import SHIFT_TYPES, UNPAID_TYPE, Roster

SALARY_TYPES = ("Monthly", "Fortnightly", "Weekly", "Annual", "FourWeekly")
_MODES = ("BusinessDays", "NoAllocation", "ScheduledHours", "MonthlySalary")
_PAUSE_HOURS = 0.5
_BARE_TYPES = frozenset(row["id"] for row in SHIFT_TYPES if row.get("allowsBreaks") is False)
"""Their shifts have neither breaks nor supplements."""

_TYPES = {row["id"]: row for row in SHIFT_TYPES}
_SYMBOLS = {"Europe/Copenhagen": "kr.", "Europe/London": "GBP"}


def currency(roster: Roster) -> Json:
    """How a portal shows money: a symbol, with or without a dot, or letters. Not a reliable currency."""
    symbol = _SYMBOLS.get(roster.zone, "kr")
    return {"currencySymbol": symbol, "currencyFormatString": f"{{0:N2}} {symbol}"}


@dataclass(slots=True)
class Pay:
    """Rates and salaries of one portal.

    Args:
        rates: (employee, group) -> rates, the current one last.
        salaries: employee -> salary, for the salaried.
        allocations: employee -> how the salary is spread over departments.
    """

    rates: dict[tuple[int, int], list[Json]] = field(default_factory=dict)
    salaries: dict[int, Json] = field(default_factory=dict)
    allocations: dict[int, list[Json]] = field(default_factory=dict)

    def rate(self, employee: int, group: int) -> float | None:
        """The current rate, or None where there is no pay data."""
        rows = self.rates.get((employee, group))
        rate: float | None = rows[-1]["rate"] if rows else None
        return rate


def pay_of(people: People) -> Pay:
    """Make up the pay of a portal. Every seventh person has no pay data, full-time people have a salary."""
    chance = random.Random(f"pay {people.portal}")  # noqa: S311 - the same pay every time is the point
    pay = Pay()
    for row in people.everyone:
        number = row["id"]
        if row.get("employeeTypeId") == 300:
            pay.salaries[number] = {
                "salaryTypeId": 1001,
                "hours": 160.33,
                "salary": 28_000 + number % 9 * 500,
                "salaryCode": "0100",
                "validFrom": "2024-01-01",
            }
            share: Json = {"departmentWeight": 1, "weekDaysWeight": {"monday": 1, "sunday": 0}}
            department = (row.get("departments") or [100])[0]
            common: Json = {"departmentDistributions": [{"department": {"id": department}, **share}]}
            pay.allocations[number] = [
                {"validFrom": "2023-01-01", "validTo": "2023-12-31", "costAllocation": "NoAllocation", **common},
                {"validFrom": "2024-01-01", "validTo": None, "costAllocation": _MODES[number % 4], **common},
            ]
            continue
        for group in row.get("employeeGroups") or []:
            if number % 7 == 0:
                continue
            base = 140 + chance.randrange(80)
            kind = "ShiftRate" if number % 13 == 0 else "HourlyRate"
            pay.rates[number, group] = [
                {"validFrom": "2023-01-01", "rate": base * 1.0, "wageType": kind, "salaryCode": "0010"},
                {"validFrom": "2025-03-01", "rate": base * 1.04, "wageType": kind, "salaryCode": "0010"},
            ]
    return pay


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
        if wage is not None and shift["startDateTime"][11:] >= "22:00":
            # Two equal rows stand for two supplements.
            rows += [{**common, "duration": "0:00:00", "cost": 35.5}] * 2
    return {"costs": rows, **currency(roster)}


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
        "supplementsPayroll": [row for shift in shifts for row in _meals(shift)],
        "salariedPayroll": salaried,
        **currency(roster),
    }


def leavers(rows: Iterable[Json]) -> dict[int, str]:
    """Employee -> the day after the last day, for people who left or will leave."""
    return {row["id"]: row["deactivationDate"] for row in rows if row.get("deactivationDate")}


def _rate(base: float, kind: int | None) -> float:
    """What a shift type makes of a rate: it replaces the rate, is added to it, or is a percentage of it."""
    told = _TYPES.get(kind or 0, {})
    if told.get("paymentType") == "MonetaryReplacement":
        return float(told["payMonetary"])
    if told.get("paymentType") == "Monetary":
        return base + float(told["payMonetary"])
    return base * float(told.get("payPercentage", 100)) / 100


def _paid(pay: Pay, shift: Json) -> tuple[float | None, float]:
    base = pay.rate(shift["employeeId"], shift["employeeGroupId"])
    rows = pay.rates.get((shift["employeeId"], shift["employeeGroupId"]))
    if base is None or not rows:
        return None, 0
    rate = round(_rate(base, shift["shiftTypeId"]), 4)
    return rate, round(rate if rows[-1]["wageType"] == "ShiftRate" else rate * paid_hours(shift), 2)


def _payroll_shift(pay: Pay, shift: Json) -> Json:
    wage, salary = _paid(pay, shift)
    rows = pay.rates.get((shift["employeeId"], shift["employeeGroupId"])) or [{"wageType": "HourlyRate"}]
    begin = datetime.fromisoformat(shift["startDateTime"])
    evening = begin.replace(hour=18, minute=0)
    end = datetime.fromisoformat(shift["endDateTime"])
    supplements: list[Json] = []
    is_bare = shift["shiftTypeId"] in _BARE_TYPES
    if end > evening and not is_bare:
        late = (end - max(begin, evening)) / timedelta(hours=1)
        entry = {"name": "Evening", "duration": late, "salaryCode": "0020", "modification": 22.5}
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
        "wage": {"rate": wage or 0, "type": rows[-1]["wageType"].removesuffix("Rate")},
        "supplements": supplements,
        "breaks": breaks,
    }


def _meals(shift: Json) -> list[Json]:
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
        "wage": -25,
        "salary": -25,
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
    """The turnover of a unit on a day, unless another was set."""
    known: Any = roster.turnover.get((unit["id"], day))
    chance = random.Random(f"turnover {unit['id']} {day}")  # noqa: S311 - the same figure every time is the point
    made: float = known if known is not None else round(4000 + chance.random() * 9000, 2)
    return made
