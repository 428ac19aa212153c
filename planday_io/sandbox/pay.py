"""Rates and salaries of the demo portals, and how salaries are spread over departments. As raw API objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from planday_io.sandbox.people import FULL_TIME, Json, People, worked_between

SALARY_TYPES = ("Monthly", "Fortnightly", "Weekly", "Annual", "FourWeekly")
MONTHLY_HOURS = 160.33
_MODES = ("BusinessDays", "ScheduledHours", "MonthlySalary", "NoAllocation")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SYMBOLS = {"Europe/Copenhagen": "kr.", "Europe/London": "GBP"}
_LEVELS = {"Europe/London": 0.085}
"""Pounds to the crown."""


def currency(zone: str) -> Json:
    """How a portal shows money: a symbol, with or without a dot, or letters. A setting, no reliable currency."""
    symbol = _SYMBOLS.get(zone, "kr")
    return {"currencySymbol": symbol, "currencyFormatString": f"{{0:N2}} {symbol}"}


def money(crowns: float, zone: str) -> float:
    """An amount in the currency of a zone."""
    return round(crowns * _LEVELS.get(zone, 1.0), 2)


@dataclass(slots=True)
class Pay:
    """Rates and salaries of one portal.

    Args:
        zone: of the portal, whose currency amounts are in.
        rates: (employee, group) -> rates, the current one last.
        salaries: employee -> salary, for the salaried.
        allocations: employee -> how the salary is spread over departments.
    """

    zone: str = "Europe/Oslo"
    rates: dict[tuple[int, int], list[Json]] = field(default_factory=dict)
    salaries: dict[int, Json] = field(default_factory=dict)
    allocations: dict[int, list[Json]] = field(default_factory=dict)

    def valid(self, employee: int, group: int, day: str | None = None) -> Json | None:
        """What is paid on a day, now where none is given; None where there is no pay data."""
        rows = self.rates.get((employee, group), ())
        there = [row for row in rows if day is None or row["validFrom"] <= day]
        return (there or rows)[-1] if rows else None

    def rate(self, employee: int, group: int, day: str | None = None) -> float | None:
        """The rate on a day, now where none is given; None where there is no pay data."""
        row = self.valid(employee, group, day)
        return None if row is None else row["rate"]

    def raise_rate(self, employee: int, factor: float, valid_from: date) -> None:
        """Pay an employee more from a day on: in all groups, or as a salary."""
        for (person, _), rows in self.rates.items():
            if person == employee:
                latest = rows[-1]
                rows[:] = [row for row in rows if row["validFrom"] < valid_from.isoformat()] or rows[:1]
                rows.append({**latest, "validFrom": valid_from.isoformat(), "rate": round(latest["rate"] * factor, 2)})
        if salary := self.salaries.get(employee):
            salary.update(salary=round(salary["salary"] * factor), validFrom=valid_from.isoformat())

    def begin(self, people: People, row: Json) -> None:
        """Agree on the pay of somebody new."""
        number = row["id"]
        if row.get("employeeTypeId") == FULL_TIME:
            self.salaries[number] = {
                "salaryTypeId": 1001,
                "hours": MONTHLY_HOURS,
                "salary": round(money(28_000 + number % 9 * 500, self.zone)),
                "salaryCode": "0100",
                "validFrom": "2024-01-01",
            }
            self.allocations[number] = _allocations(row)
            return
        if number % 93 == 71:
            # Nobody entered a rate.
            return
        chance = people.chance("pay", number)
        # One per person: in another group they get a little more.
        base = 145 + chance.randrange(45)
        first = min(worked_between(row)[0], date(2023, 1, 1)).isoformat()
        for n, group in enumerate(row.get("employeeGroups") or []):
            is_per_shift = number % 13 == 0
            rate = money((base + 8 * n) * (6.5 if is_per_shift else 1), self.zone)
            kind = "ShiftRate" if is_per_shift else "HourlyRate"
            self.rates[number, group] = [
                {"validFrom": first, "rate": rate, "wageType": kind, "salaryCode": "0010"},
                {"validFrom": "2025-03-01", "rate": round(rate * 1.04, 2), "wageType": kind, "salaryCode": "0010"},
            ]


def pay_of(people: People) -> Pay:
    """Make up the pay of a portal. A few people have no pay data, full-time people have a salary."""
    pay = Pay(zone=people.zone)
    for row in people.everyone:
        pay.begin(people, row)
    return pay


def _allocations(row: Json) -> list[Json]:
    """How a salary is spread: each mode, weights by weekday or none, two departments, one that ended, two that overlap."""
    n = row["id"] // 4
    mode = _MODES[n % 4]
    departments = row.get("departments") or [100]
    weights = {
        "BusinessDays": None,
        "ScheduledHours": None,
        "MonthlySalary": dict.fromkeys(_WEEKDAYS, 1) | {"friday": 1.5, "saturday": 1.5, "sunday": 0},
        "NoAllocation": None,
    }[mode]
    home = row.get("primaryDepartmentId") or departments[0]
    places = [home, *(one for one in departments if one != home)]
    shares = (0.6, 0.4) if len(places) > 1 else (1,)
    distributions = [
        {"department": {"id": department}, "departmentWeight": share, "weekDaysWeight": weights}
        for department, share in zip(places[:2], shares, strict=True)
    ]
    ended = n % 13 == 5
    rows: list[Json] = [
        {"validFrom": "2023-01-01", "validTo": "2023-12-31", "costAllocation": "NoAllocation"},
        {"validFrom": "2024-01-01", "validTo": "2026-06-30" if ended else None, "costAllocation": mode},
    ]
    if n % 11 == 8:
        # Somebody forgot to end the one before.
        rows.append({"validFrom": "2025-09-01", "validTo": None, "costAllocation": "MonthlySalary"})
    return [{**one, "departmentDistributions": distributions} for one in rows]
