"""The people and places of the demo portals, as raw API objects.

Three portals: `oslo` (a small restaurant), `copenhagen` (about 400 people in shops and restaurants), `london` (another
time zone and awkward data: apostrophes, emoji, zeros in front, dates without times, names that look like SQL).
Ids repeat across portals on purpose. People follow from the seed, rosters and absences from the seed and from today.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from planday_io.sandbox.labour import Pay, pay_of
from planday_io.sandbox.leave import Leave, leave_of
from planday_io.sandbox.people import Json, People
from planday_io.sandbox.roster import Roster, roster_of

ALL_SCOPES = frozenset(
    {
        "employee:read",
        "employee:history",
        "employeetype:read",
        "employeegroup:read",
        "department:read",
        "skill:read",
        "ssn:read",
        "bankaccount:read",
        "birthdate:read",
        "shift:read",
        "shifttype:read",
        "shiftposition:read",
        "timeandcost:read",
        "punchclockshift:read",
        "absence:read",
        "absencesettings:read",
        "payroll:read",
        "payrates:read",
        "salaries:read",
        "revenue:read",
        "contractrules:read",
    }
)
SENSITIVE_SCOPES = frozenset({"ssn:read", "bankaccount:read", "birthdate:read"})

_FIRST = (
    "Anna Bjørn Cecilie David Emma Frederik Grete Henrik Ida Jonas Katrine Lars Maja Niels Olivia Peter Rikke Søren Tilde "
    "Ulrik Viktor Wilma Åse Øyvind Zofia Ahmed Fatima Minh Priya Kwame"
).split()
_LAST = (
    "Andersen Berg Christensen Dahl Eriksen Friis Gundersen Hansen Iversen Jensen Kristiansen Lund Mortensen Nilsen Olsen "
    "Pedersen Rasmussen Sørensen Thomsen Vestergaard Winther Nguyen Kaur Mensah O'Brien"
).split()
_GROUPS = ("Waiter", "Cook", "Bartender", "Dishwasher", "Cashier", "Shift manager", "Cleaner", "Barista")
_TYPES = (("Full time", "37 hours a week"), ("Part time", None), ("Hourly", "Paid by the hour"), ("Trainee", None))
_ACTIVE_ONLY = frozenset({"primaryDepartmentId", "supervisorId", "securityGroups"})
_REASONS = ("Resigned", "End of contract", "Dismissed", "Moved to another portal")


@dataclass(slots=True)
class Portal:
    """One portal's data. Lists hold raw objects; a member that is null is left out when it is sent.

    Rosters, pay and absences are made up when they are first asked for.
    """

    key: str
    info: Json
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    shifts_each: float = 7.0
    punching: int = 3
    departments: list[Json] = field(default_factory=list)
    deleted_departments: list[Json] = field(default_factory=list)
    employee_groups: list[Json] = field(default_factory=list)
    employee_types: list[Json] = field(default_factory=list)
    termination_types: list[Json] = field(default_factory=list)
    skills: list[Json] = field(default_factory=list)
    supervisors: list[Json] = field(default_factory=list)
    employees: list[Json] = field(default_factory=list)
    deactivated: list[Json] = field(default_factory=list)
    details: dict[int, Json] = field(default_factory=dict)
    history: dict[int, list[Json]] = field(default_factory=dict)
    field_definitions: Json = field(default_factory=dict)
    _roster: Roster | None = None
    _pay: Pay | None = None
    _leave: Leave | None = None

    @property
    def _people(self) -> People:
        return People(self.key, self.info["timeZone"], self.departments, self.employees, self.deactivated)

    @property
    def everyone(self) -> list[Json]:
        """Rows of active people and of people who left."""
        return [*self.employees, *self.deactivated]

    @property
    def roster(self) -> Roster:
        """Shifts, punches and what belongs to them."""
        if self._roster is None:
            self._roster = roster_of(
                self._people, shifts_each=self.shifts_each, punching=self.punching, today=self.today
            )
        return self._roster

    @property
    def pay(self) -> Pay:
        """Rates and salaries."""
        if self._pay is None:
            self._pay = pay_of(self._people)
        return self._pay

    @property
    def leave(self) -> Leave:
        """Absences."""
        if self._leave is None:
            self._leave = leave_of(self._people, self.today)
        return self._leave

    def edit_employee(self, employee_id: int, now: datetime | None = None, **members: Any) -> None:  # noqa: ANN401
        """Change members of an active employee, as a manager would in the portal."""
        stamp = now or datetime.now(UTC)
        row = next(row for row in self.employees if row["id"] == employee_id)
        for target in (row, self.details[employee_id]):
            target.update(members)
            target["dateTimeModified"] = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        log = self.history.setdefault(employee_id, [])
        for name, value in members.items():
            # An entry holds one id, so a changed list becomes several entries.
            several = value if isinstance(value, list) else [value]
            log += [_entry(stamp, f"/{name}", one, "add" if isinstance(value, list) else "replace") for one in several]

    def deactivate(self, employee_id: int, now: datetime | None = None) -> None:
        """Let an employee leave."""
        stamp = now or datetime.now(UTC)
        row = next(row for row in self.employees if row["id"] == employee_id)
        self.employees.remove(row)
        gone = {key: value for key, value in row.items() if key not in _ACTIVE_ONLY}
        gone["deactivationDate"] = stamp.date().isoformat()
        gone["dateTimeDeleted"] = gone["dateTimeModified"] = stamp.strftime("%Y-%m-%dT%H:%M:%S.1066449Z")
        self.deactivated.append(gone)
        told = {name: gone[name] for name in ("deactivationDate", "dateTimeModified")}
        self.details[employee_id].update(told, isDeactivated=True)

    def hire(self, now: datetime | None = None) -> int:
        """Add an employee and return the id."""
        stamp = now or datetime.now(UTC)
        new: int = max(row["id"] for row in [*self.employees, *self.deactivated]) + 1
        _add_person(self, random.Random(new), new, stamp.date(), stamp)  # noqa: S311
        return new


def demo_portals(seed: int = 7, people: tuple[int, int, int] = (24, 400, 36)) -> dict[str, Portal]:
    """The three portals of the demo, by key. `people` are active employees of each."""
    oslo = _portal("oslo", 4711, "Fjord & Fisk", "Fjord & Fisk AS", "NO", "Europe/Oslo", people[0], seed)
    copenhagen = _portal(
        "copenhagen", 815, "Nordhavn Retail", "Nordhavn A/S", "DK", "Europe/Copenhagen", people[1], seed
    )
    london = _portal("london", 90210, "The Crooked Spoon", "Crooked Spoon Ltd", "GB", "Europe/London", people[2], seed)
    copenhagen.shifts_each, copenhagen.punching = 3.0, 1
    london.info["portals"] = [{"id": 90211, "name": "The Crooked Spoon Soho", "aliases": ["soho"]}]
    _make_awkward(london)
    return {portal.key: portal for portal in (oslo, copenhagen, london)}


def child_portal(key: str, parent: Portal, child: Json) -> Portal:
    """A portal of a chain, with a few people of its own.

    Args:
        key: of the child.
        parent: the portal that lists it.
        child: as the parent lists it.
    """
    info = parent.info
    return _portal(key, child["id"], child["name"], info["companyName"], info["country"], info["timeZone"], 6, 7)


def _portal(key: str, number: int, name: str, company: str, country: str, zone: str, people: int, seed: int) -> Portal:
    chance = random.Random(f"{seed} {key}")  # noqa: S311 - the same people every time is the point
    info: Json = {
        "id": number,
        "name": name,
        "companyName": company,
        "country": country,
        "timeZone": zone,
        "maxDepartments": 50,
        "aliases": [key],
    }
    portal = Portal(key=key, info=info)
    places = max(2, min(14, people // 12))
    portal.departments = [
        {"id": 100 + n, "name": f"{name.split(maxsplit=1)[0]} {place}", "number": f"{n:03d}" if n % 3 else ""}
        for n, place in enumerate(_places(chance, places))
    ]
    portal.deleted_departments = [{"id": 190, "name": f"{name.split(maxsplit=1)[0]} Pop-up", "number": ""}]
    portal.employee_groups = [{"id": 200 + n, "name": group} for n, group in enumerate(_GROUPS)]
    portal.employee_types = [{"id": 300 + n, "name": t, "description": d} for n, (t, d) in enumerate(_TYPES)]
    portal.termination_types = [{"id": 400 + n, "name": reason} for n, reason in enumerate(_REASONS)]
    portal.skills = [
        {"skillId": 500, "name": "Food hygiene", "description": "Certificate", "isTimeLimited": True},
        {"skillId": 501, "name": "First aid", "description": None, "isTimeLimited": True},
        {"skillId": 502, "name": "Forklift", "description": None, "isTimeLimited": False},
    ]
    portal.field_definitions = _field_definitions(number)
    if zone == "Europe/Copenhagen":
        # The API may leave out `required`.
        del portal.field_definitions["required"]
    created = datetime(2023, 1, 9, 8, 0, tzinfo=UTC)
    for n in range(people):
        hired = date(2023, 1, 9) + timedelta(days=chance.randrange(1200))
        _add_person(portal, chance, 1000 + n, hired, created + timedelta(days=n, minutes=chance.randrange(600)))
    for n in range(max(3, people // 8)):
        leaver = 1000 + people + n
        left = datetime(2026, 1, 5, 9, 30, tzinfo=UTC) + timedelta(days=chance.randrange(250))
        _add_person(portal, chance, leaver, date(2023, 6, 1), created)
        portal.deactivate(leaver, left)
        portal.deactivated[-1]["terminationTypeId"] = 400 + n % 4
        portal.deactivated[-1]["terminationTypeName"] = _REASONS[n % 4]
    for n, row in enumerate(portal.employees[: max(2, people // 15)]):
        portal.supervisors.append(
            {"id": 50 + n, "employeeId": row["id"], "name": f"{row['firstName']} {row['lastName']}"}
        )
    for row in portal.employees:
        supervisor = chance.choice(portal.supervisors)
        row["supervisorId"] = supervisor["id"]
        portal.details[row["id"]].update(supervisorId=supervisor["id"], supervisorEmployeeId=supervisor["employeeId"])
    for rows in (portal.employees, portal.deactivated, portal.departments, portal.employee_groups):
        chance.shuffle(rows)
    return portal


def _add_person(portal: Portal, chance: random.Random, number: int, hired: date, modified: datetime) -> None:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    address = f"{first}.{last}.{number}@{portal.key}.example".lower().replace("'", "")
    digits = f"{chance.randrange(20_000_000, 99_999_999)}"
    departments = sorted(chance.sample([row["id"] for row in portal.departments], chance.choice((1, 1, 1, 2))))
    groups = sorted(chance.sample([row["id"] for row in portal.employee_groups], chance.choice((1, 1, 2, 3))))
    stamp = modified.strftime(f"%Y-%m-%dT%H:%M:%S.{number % 1000:03d}Z" if number % 2 else "%Y-%m-%dT%H:%M:%SZ")
    shared: Json = {
        "id": number,
        "firstName": first,
        "lastName": last,
        "userName": address,
        "email": address,
        "cellPhoneCountryPrefix": "+45",
        "cellPhoneCountryCode": "DK",
        "phone": None if number % 4 == 3 else "",
        "street1": f"{chance.choice(('Havnegade', 'Storgata', 'Elm Street'))} {chance.randrange(1, 200)} #{number}",
        "zip": f"{chance.randrange(100, 9999):04d}",
        "city": chance.choice(("Oslo", "København", "Aarhus", "London")),
        "departments": departments,
        "employeeGroups": groups,
        "employeeTypeId": 300 + number % 4,
        "salaryIdentifier": f"{number % 7919:05d}" if number % 5 else None,
        "isPublic": number % 3 == 0,
        "primaryDepartmentId": departments[0],
        "dateTimeCreated": hired.isoformat(),
        "dateTimeModified": stamp,
        "ssn": f"{chance.randrange(10**9, 10**10)}",
        "bankAccount": {
            "registrationNumber": f"{chance.randrange(1000, 9999)}",
            "accountNumber": f"00{number}{digits}",
        },
        "birthDate": f"{chance.randrange(1960, 2008)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}",
    }
    portal.employees.append(
        {
            **shared,
            # People without a number have only the prefix.
            "cellPhone": "+45" if number % 9 == 5 else f"+45{digits}",
            "cellPhoneWithoutCountryPrefix": "" if number % 9 == 5 else digits,
            "hiredDate": hired.isoformat(),
            "securityGroups": [90 + n for n in range(1, 4) if number % (n + 1) == 0],
        }
    )
    detail: Json = {
        **shared,
        "cellPhone": "" if number % 9 == 5 else digits,
        "dateTimeCreated": f"{hired.isoformat()}T08:00:00Z",
        "isDeactivated": False,
        "gender": chance.choice(("Male", "Female", None)),
        "jobTitle": chance.choice(("Waiter", "Cook", "Shop assistant", None)),
        "hiredFrom": hired.isoformat(),
        "countryId": 45,
        "workHours": chance.choice((160.33, 86.665, 40, None)),
        "contractRulesRuleId": chance.choice((7, 8, None)),
        "skillIds": sorted(chance.sample([500, 501, 502], chance.randrange(3))),
    }
    if number % 2:
        detail["custom_101"] = {"name": "Shoe size", "type": "Numeric", "value": 36 + number % 10, "url": None}
    if number % 3 == 0:
        detail["custom_102"] = {"name": "Locker", "type": "Text", "value": f"L-{number}", "url": None}
    if number % 11 == 0:
        detail["custom_103"] = {"name": "Has key", "type": "Boolean", "value": True, "url": None}
    if number % 4 == 2:
        address = f"https://openapi.planday.example/hr/v1.0/employees/{number}/customfields/custom_104/value"
        detail["custom_104"] = {"name": "Photo", "type": "Image", "value": None, "url": address}
    portal.details[number] = detail
    portal.history[number] = [_entry(modified, "/firstName", first, "add"), _entry(modified, "/email", address, "add")]


def _entry(stamp: datetime, path: str, value: object, op: str = "replace") -> Json:
    return {
        "op": op,
        "path": path,
        "value": value if value is None or isinstance(value, str) else str(value),
        "modificationDateTime": stamp.strftime("%Y-%m-%dT%H:%M:%S"),
        "modifiedBy": 1000,
        "modifiedByUserGuid": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    }


def _places(chance: random.Random, count: int) -> list[str]:
    names = [
        "Harbour", "Central", "Airport", "Old Town", "Mall", "Station", "West", "East", "North", "South", "Beach", "Park",
        "Bridge", "Square",
    ]  # fmt: skip
    return chance.sample(names, count)


def _optional(kind: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
    return {"anyOf": [{"type": kind, **more}, {"type": "null"}]}


def _field_definitions(portal_id: int) -> Json:
    """The schema of employees as live portals have it: most properties refer to a definition that may be null."""
    reference = "#/definitions/"
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "portalId": portal_id,
        "required": ["firstName", "lastName", "userName", "departments"],
        "readOnly": ["id"],
        "unique": ["userName"],
        "properties": {
            "id": {"type": "integer"},
            "firstName": {"type": "string"},
            "lastName": {"type": "string"},
            "userName": {"type": "string", "format": "email"},
            "departments": {"type": "array", "items": {"type": "integer"}},
            "employeeGroups": {"$ref": f"{reference}optionalArray<System.Int64>"},
            "hiredFrom": {"$ref": f"{reference}optionalDate"},
            "gender": {"$ref": f"{reference}optionalGender"},
            "jobTitle": {"$ref": f"{reference}optionalString"},
            "cellPhoneCountryCode": {"$ref": f"{reference}optionalCountryCode"},
            "birthDate": {"type": ["string", "null"], "format": "date"},
            "custom_101": {"$ref": f"{reference}optionalNumeric", "description": "Shoe size"},
            "custom_102": {"$ref": f"{reference}optionalCustom102", "description": "Locker"},
            "custom_103": {"$ref": f"{reference}optionalBoolean", "description": "Has key"},
            "custom_104": {"$ref": f"{reference}optionalImage", "description": "Photo"},
        },
        "definitions": {
            "optionalString": _optional("string"),
            "optionalBoolean": _optional("boolean"),
            "optionalNumeric": _optional("number"),
            "optionalDate": _optional("string", format="date"),
            "optionalImage": _optional("string"),
            "optionalArray<System.Int64>": _optional("array", items={"type": "integer"}),
            "optionalGender": {"enum": ["Male", "Female", None]},
            "optionalCountryCode": _optional("string", enum=["DK", "GB", "NO"]),
            "optionalCustom102": {"anyOf": [{"type": "string", "values": ["L-1", "L-2"]}, {"type": "null"}]},
        },
    }


def _make_awkward(portal: Portal) -> None:
    """What real people and portals contain: quotes, emoji, right-to-left text, SQL-ish names, empty and odd members."""
    odd = ("O'Brien", 'Smith "Smithy"', "Renée 🦊", "'; DROP TABLE employees; --", "שלום", "", "NULL", "a\nb")
    for row, name in zip(portal.employees, odd, strict=False):
        row["lastName"] = portal.details[row["id"]]["lastName"] = name
    portal.departments[0]["name"] = "Bar, Grill; & 'Co' 100%"
    portal.departments[1]["name"] = None
    portal.employees[-1]["departments"] = []
    portal.employees[-1]["salaryIdentifier"] = "00123"
    portal.employees[-2]["deactivationDate"] = "2027-03-31"
    portal.employees[-2]["departments"] = [999_999]
    portal.employees[-3]["dateTimeModified"] = None
    portal.details[portal.employees[-3]["id"]]["dateTimeModified"] = None
