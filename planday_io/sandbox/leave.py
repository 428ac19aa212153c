"""Absences of the demo portals: account types, accounts, requests, records, transactions. As raw API objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from planday_io.sandbox.people import Json, People, worked_between

TYPES = (
    {"id": 71, "name": "Vacation", "paid": True},
    {"id": 72, "name": "Time off in lieu", "paid": True},
    {"id": 73, "name": "Sickness", "paid": True},
)
VACATION, FLEX, SICKNESS = 31, 32, 33
_EARNED_MONTHLY = 2.08
_ENTITLED = 25.0
ACCOUNT_TYPES = (
    {
        "id": VACATION,
        "name": "Vacation, earned",
        "absenceType": "Vacation",
        "unit": {"type": "Days"},
        "accruingRate": {"value": _EARNED_MONTHLY, "unit": {"type": "Days"}},
    },
    {
        "id": FLEX,
        "name": "Flex",
        "absenceType": "Flextime",
        "unit": "Hours",
        "accruingRate": {"value": 0, "unit": {"type": "Percent"}},
    },
    {
        "id": SICKNESS,
        "name": "Sickness",
        "absenceType": "Absence",
        "unit": {"type": "Days"},
        "accruingRate": {"value": 0, "unit": {"type": "Percent"}},
    },
)
_BACK = timedelta(days=770)
_AHEAD = timedelta(days=60)


@dataclass(slots=True)
class Leave:
    """Absences of one portal.

    Args:
        sick_days: employee -> days on which they called in sick, however the portal registers it.
    """

    accounts: list[Json] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    transactions: dict[int, list[Json]] = field(default_factory=dict)
    adjustments: dict[int, list[Json]] = field(default_factory=dict)
    sick_days: dict[int, set[date]] = field(default_factory=dict)

    def balance(self, account_id: int, day: str | None) -> list[Json] | None:
        """What an account holds on a day, at its end where none is given; None where there is no balance."""
        account = next((row for row in self.accounts if row["id"] == account_id), None)
        if account is None or account["status"] == "Inactive":
            return None
        valid = account["validityPeriod"] or {}
        end = valid.get("end")
        at = day or end or "9999-12-31"
        if end and at > end:
            return None
        moved = sum(
            cost["value"] for row in self.transactions.get(account_id, []) if row["date"] <= at for cost in row["costs"]
        )
        unit = "Hours" if account["typeId"] == FLEX else "Days"
        earned = _earned(valid["start"], at) if account["typeId"] == VACATION else 0
        return [{"value": round(earned + moved, 2), "unit": {"type": unit}}]

    def days_off(self) -> dict[int, set[date]]:
        """Employee -> days of approved absence other than sickness."""
        kinds = {row["id"]: row["typeId"] for row in self.accounts}
        days: dict[int, set[date]] = {}
        for record in self.records:
            for entry in record["registrations"] or []:
                if record["status"] == "Approved" and kinds.get(entry["account"]["id"]) != SICKNESS:
                    days.setdefault(record["employeeId"], set()).add(date.fromisoformat(entry["date"]))
        return days

    def register(self, person: int, days: list[date], account: int, note: str | None = None) -> Json:
        """Record an approved absence and take it from an account."""
        used = {"value": -1, "unit": {"type": "Days"}}
        record: Json = {
            "id": max((row["id"] for row in self.records), default=4999) + 1,
            "employeeId": person,
            "status": "Approved",
            "note": note,
            "absencePeriod": {"start": days[0].isoformat(), "end": days[-1].isoformat()},
            "registrations": [
                {
                    "date": day.isoformat(),
                    # The last day of a week off is half a day for some.
                    "time": {"start": "00:00", "end": "12:00"} if len(days) == 5 and n == 4 else None,
                    "account": {"id": account, "costs": [used]},
                }
                for n, day in enumerate(days)
            ],
        }
        self.records.append(record)
        self.transactions.setdefault(account, []).extend(
            {"type": "Entry", "date": day.isoformat(), "costs": [used], "note": None} for day in days
        )
        return record

    def call_in_sick(self, person: int, days: list[date]) -> None:
        """Record sickness, on the person's account for it."""
        self.sick_days.setdefault(person, set()).update(days)
        self.register(person, days, self._sickness_account(person))

    def _sickness_account(self, person: int) -> int:
        for row in self.accounts:
            if row["employeeId"] == person and row["typeId"] == SICKNESS:
                number: int = row["id"]
                return number
        return self.open_account(person, SICKNESS, "Sickness", None)

    def open_account(self, person: int, kind: int, name: str, validity: Json | None) -> int:
        """Open an account and return its id."""
        number: int = max((row["id"] for row in self.accounts), default=2999) + 1
        self.accounts.append(
            {
                "id": number,
                "employeeId": person,
                "typeId": kind,
                "name": name,
                "status": "Active",
                "validityPeriod": validity,
            }
        )
        return number


def vacation_year(today: date) -> Json:
    """The holiday year whose days are used now, as accounts state it."""
    return {"start": f"{today.year - 1}-09-01", "end": f"{today.year}-12-31"}


def leave_of(people: People, today: date) -> Leave:
    """Make up the absences of a portal: vacations, and sickness where it is recorded as absence."""
    leave = Leave()
    for n, person in enumerate(sorted(people.employees, key=lambda row: int(row["id"]))):
        _vacations(leave, people, n, person, today)
    for row in people.everyone:
        spells = _sick_spells(people, row, today)
        for spell in spells:
            if people.sick_as == "records":
                leave.call_in_sick(row["id"], spell)
            else:
                leave.sick_days.setdefault(row["id"], set()).update(spell)
    return leave


def _vacations(leave: Leave, people: People, n: int, person: Json, today: date) -> None:
    number, year = person["id"], today.year
    account = leave.open_account(number, VACATION, f"Vacation {year}", vacation_year(today))
    if n == 2:
        leave.accounts[-1]["status"] = "Inactive"
    flex = leave.open_account(number, FLEX, "Flex", None) if n % 3 == 0 else None
    used = {"value": -1, "unit": {"type": "Days"}}
    chance = people.chance("vacation", number)
    last = (today - timedelta(days=60 + 20 * (n % 9))).replace(day=28)
    # The latest crosses the end of a month, the others are weeks in summer and winter.
    spells = [[last + timedelta(days=d) for d in range(5)]]
    for month, weeks in ((2, 1), (7, 2)):
        monday = date(year, month, 1) + timedelta(weeks=chance.randrange(3))
        monday -= timedelta(days=monday.weekday() - 7)
        spells.append([monday + timedelta(weeks=week, days=d) for week in range(weeks) for d in range(5)])
    if n % 4 == 1:
        ahead = today + timedelta(days=12 + n % 30)
        spells.append([ahead + timedelta(days=d) for d in range(3)])
    taken: set[date] = set()
    hired = worked_between(person)[0]
    for spell in spells:
        if spell[0] > max(hired, date(year - 1, 8, 31)) and spell[-1] <= today + _AHEAD and not taken & set(spell):
            taken.update(spell)
            leave.register(number, spell, account, "Wedding" if n % 4 == 0 else None)
    if n % 15 == 4:
        period = {"start": f"{today - timedelta(days=40)}", "end": f"{today - timedelta(days=36)}"}
        refused = {"status": "Declined", "note": None, "absencePeriod": period, "registrations": None}
        leave.records.append({"id": leave.records[-1]["id"] + 1, "employeeId": number, **refused})
    if flex is not None:
        # Two equal corrections on one day count twice.
        fix = {"type": "Adjustment", "date": f"{year}-01-01", "costs": [{"value": 1, "unit": {"type": "Hours"}}]}
        leave.transactions[flex] = [fix, {**fix}]
        leave.adjustments[flex] = [{"effectiveDate": f"{year}-01-01", "value": 1, "comment": "Carried over"}] * 2
        start = today + timedelta(days=30 + n)
        leave.requests.append(
            {
                "id": 6000 + n,
                "employeeId": number,
                "status": ("Submitted", "Approved", "Declined", "Cancelled")[n // 3 % 4],
                "note": None,
                "absencePeriod": {"start": start.isoformat(), "end": (start + timedelta(days=2)).isoformat()},
                "requestedAccounts": [{"id": account, "name": "Vacation", "cost": [{**used, "value": 3}]}],
            }
        )


def _sick_spells(people: People, row: Json, today: date) -> list[list[date]]:
    """About three days in a hundred: short spells, often for a few people, and now and then whole weeks."""
    chance = people.chance("sick", row["id"])
    daily = 0.03 if row["id"] % 13 == 3 else 0.008
    first, end = worked_between(row)
    day, spells = max(first, today - _BACK), []
    while day < min(end, today):
        if chance.random() < daily:
            length = 1 if daily > 0.02 else chance.choice((1, 1, 2, 3, 4, 6, 18))
            spell = [day + timedelta(days=n) for n in range(length) if day + timedelta(days=n) < min(end, today)]
            spells.append(spell)
            day += timedelta(days=length)
        day += timedelta(days=1)
    return spells


def _earned(start: str, at: str) -> float:
    """Days earned from the beginning of a holiday year to a day: so much a month, for twelve months."""
    first, last = date.fromisoformat(start), date.fromisoformat(at)
    months = (last.year - first.year) * 12 + last.month - first.month + (1 if last.day >= 28 else 0)
    return round(min(_ENTITLED, max(0, months) * _EARNED_MONTHLY), 2)
