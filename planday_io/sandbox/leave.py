"""Absences of the demo portals: account types, accounts, requests, records, transactions. As raw API objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from planday_io.sandbox.people import Json, People

TYPES = (
    {"id": 71, "name": "Vacation", "paid": True},
    {"id": 72, "name": "Time off in lieu", "paid": True},
)
ACCOUNT_TYPES = (
    {
        "id": 31,
        "name": "Vacation, earned",
        "absenceType": "Vacation",
        "unit": {"type": "Days"},
        "accruingRate": {"value": 2.08, "unit": {"type": "Days"}},
    },
    {
        "id": 32,
        "name": "Flex",
        "absenceType": "Flextime",
        "unit": "Hours",
        "accruingRate": {"value": 0, "unit": {"type": "Percent"}},
    },
)


@dataclass(slots=True)
class Leave:
    """Absences of one portal."""

    accounts: list[Json] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    transactions: dict[int, list[Json]] = field(default_factory=dict)
    adjustments: dict[int, list[Json]] = field(default_factory=dict)

    def balance(self, account_id: int, day: str | None) -> list[Json] | None:
        """What an account holds on a day, at its end where none is given; None where there is no balance."""
        account = next((row for row in self.accounts if row["id"] == account_id), None)
        if account is None or account["status"] == "Inactive":
            return None
        end = (account["validityPeriod"] or {}).get("end")
        at = day or end or "9999-12-31"
        if end and at > end:
            return None
        moved = sum(
            cost["value"] for row in self.transactions.get(account_id, []) if row["date"] <= at for cost in row["costs"]
        )
        unit = "Hours" if account["typeId"] == 32 else "Days"
        earned = 25 if day is None else 12.5
        return [{"value": earned + moved, "unit": {"type": unit}}]


def leave_of(people: People, today: date) -> Leave:
    """Make up the absences of a portal: about a third of the people have some, one of them across a month end."""
    leave = Leave()
    for n, person in enumerate(sorted(people.employees, key=lambda row: int(row["id"]))[::3]):
        account = 3000 + 2 * n
        year = today.year
        leave.accounts += [
            {
                "id": account,
                "employeeId": person["id"],
                "typeId": 31,
                "name": f"Vacation {year}",
                "status": "Inactive" if n == 2 else "Active",
                "validityPeriod": {"start": f"{year - 1}-09-01", "end": f"{year}-12-31"},
            },
            {
                "id": account + 1,
                "employeeId": person["id"],
                "typeId": 32,
                "name": "Flex",
                "status": "Active",
                "validityPeriod": None,
            },
        ]
        first = (today - timedelta(days=60 + 20 * (n % 9))).replace(day=28)
        days = [first + timedelta(days=d) for d in range(5)]
        used = {"value": -1, "unit": {"type": "Days"}}
        leave.records.append(
            {
                "id": 5000 + n,
                "employeeId": person["id"],
                "status": "Declined" if n % 5 == 4 else "Approved",
                "note": "Wedding" if n % 4 == 0 else None,
                "absencePeriod": {"start": days[0].isoformat(), "end": days[-1].isoformat()},
                "registrations": [
                    {
                        "date": day.isoformat(),
                        "time": {"start": "00:00", "end": "12:00"} if d == 4 else None,
                        "account": {"id": account, "costs": [used]},
                    }
                    for d, day in enumerate(days)
                ]
                if n % 5 != 4
                else None,
            }
        )
        leave.transactions[account] = [
            {"type": "Entry", "date": day.isoformat(), "costs": [used], "note": None} for day in days
        ]
        # Two equal corrections on one day count twice.
        fix = {"type": "Adjustment", "date": f"{year}-01-01", "costs": [{"value": 1, "unit": {"type": "Hours"}}]}
        leave.transactions[account + 1] = [fix, {**fix}]
        leave.adjustments[account + 1] = [{"effectiveDate": f"{year}-01-01", "value": 1, "comment": "Carried over"}] * 2
        ahead = today + timedelta(days=30 + n)
        leave.requests.append(
            {
                "id": 6000 + n,
                "employeeId": person["id"],
                "status": ("Submitted", "Approved", "Declined", "Cancelled")[n % 4],
                "note": None,
                "absencePeriod": {"start": ahead.isoformat(), "end": (ahead + timedelta(days=2)).isoformat()},
                "requestedAccounts": [{"id": account, "name": "Vacation", "cost": [{**used, "value": 3}]}],
            }
        )
    return leave
