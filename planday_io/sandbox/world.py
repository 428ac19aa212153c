"""The people and places of the demo portals, as raw API objects.

Three portals: `oslo` (a small restaurant), `copenhagen` (about 160 people in shops and restaurants), `london` (another
time zone and awkward data: apostrophes, emoji, zeros in front, dates without times, names that look like SQL).
Ids repeat across portals on purpose. People follow from the seed, rosters and absences from the seed and from today.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from planday_io.sandbox.labour import takings_of
from planday_io.sandbox.leave import Leave, leave_of
from planday_io.sandbox.life import Happening, advance
from planday_io.sandbox.pay import Pay, pay_of
from planday_io.sandbox.people import Json, People, SickAs
from planday_io.sandbox.persons import Place, field_definitions, log_entry, person_of
from planday_io.sandbox.planner import BACK_MONTHS, Planner, planner_of
from planday_io.sandbox.roster import Roster

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

_GROUPS = ("Waiter", "Cook", "Bartender", "Dishwasher", "Cashier", "Shift manager", "Cleaner", "Barista")
_TYPES = (("Full time", "37 hours a week"), ("Part time", None), ("Hourly", "Paid by the hour"), ("Trainee", None))
_ACTIVE_ONLY = frozenset({"primaryDepartmentId", "supervisorId", "securityGroups"})
_PEOPLE_REST = datetime(2026, 6, 30, 12, tzinfo=UTC)
"""Nobody is edited later, unless the portal lives."""

_REASONS = ("Resigned", "End of contract", "Dismissed", "Moved to another portal")


@dataclass(slots=True)
class Portal:
    """One portal's data. Lists hold raw objects; a member that is null is left out when it is sent.

    Rosters, pay and absences are made up when they are first asked for.
    """

    key: str
    info: Json
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    punching: int = 1
    back_months: int = BACK_MONTHS
    sick_as: SickAs = "records"
    seed: int = 7
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
    lived_until: datetime | None = None
    _planner: Planner | None = field(default=None, compare=False)
    _pay: Pay | None = None
    _leave: Leave | None = None

    @property
    def people(self) -> People:
        """Who works where."""
        return People(
            portal=self.key,
            zone=self.info["timeZone"],
            departments=self.departments,
            employees=self.employees,
            deactivated=self.deactivated,
            seed=self.seed,
            sick_as=self.sick_as,
        )

    @property
    def everyone(self) -> list[Json]:
        """Rows of active people and of people who left."""
        return [*self.employees, *self.deactivated]

    @property
    def planner(self) -> Planner:
        """Who makes the roster."""
        if self._planner is None:
            self._planner = planner_of(
                self.people, self.leave, punching=self.punching, today=self.today, back_months=self.back_months
            )
            self._planner.roster.takings = takings_of(self._planner.roster, self.pay, self.people)
        return self._planner

    @property
    def roster(self) -> Roster:
        """Shifts, punches and what belongs to them."""
        return self.planner.roster

    @property
    def pay(self) -> Pay:
        """Rates and salaries."""
        if self._pay is None:
            self._pay = pay_of(self.people)
        return self._pay

    @property
    def leave(self) -> Leave:
        """Absences."""
        if self._leave is None:
            self._leave = leave_of(self.people, self.today)
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
            log += [
                log_entry(stamp, f"/{name}", one, "add" if isinstance(value, list) else "replace") for one in several
            ]

    def deactivate(self, employee_id: int, now: datetime | None = None, reason: int | None = None) -> None:
        """Let an employee leave, for one of the termination types."""
        stamp = now or datetime.now(UTC)
        row = next(row for row in self.employees if row["id"] == employee_id)
        self.employees.remove(row)
        gone = {key: value for key, value in row.items() if key not in _ACTIVE_ONLY}
        gone["deactivationDate"] = stamp.date().isoformat()
        gone["dateTimeDeleted"] = gone["dateTimeModified"] = stamp.strftime("%Y-%m-%dT%H:%M:%S.1066449Z")
        if reason is not None:
            why = self.termination_types[reason]
            gone.update(terminationTypeId=why["id"], terminationTypeName=why["name"])
        self.deactivated.append(gone)
        told = {name: gone[name] for name in ("deactivationDate", "dateTimeModified")}
        self.details[employee_id].update(told, isDeactivated=True)

    def hire(self, now: datetime | None = None) -> int:
        """Add an employee and return the id."""
        stamp = now or datetime.now(UTC)
        new: int = max(row["id"] for row in [*self.employees, *self.deactivated]) + 1
        self.add_person(self.people.chance("hire", new), new, stamp.date(), stamp)
        return new

    def add_person(self, chance: random.Random, number: int, hired: date, modified: datetime) -> None:
        """Add a person with a given id."""
        place = Place(self.key, sorted(row["id"] for row in self.departments), [r["id"] for r in self.employee_groups])
        made = person_of(place, chance, number, hired, modified)
        self.employees.append(made.row)
        self.details[number], self.history[number] = made.detail, made.log
        if self._pay is not None:
            self._pay.begin(self.people, made.row)

    def advance(
        self, until: datetime | None = None, *, days: float | None = None, changes: int | None = None
    ) -> list[Happening]:
        """Let the portal live, the same each time; see `life.py`.

        Args:
            until: the instant, in UTC; now where neither is given.
            days: how long instead.
            changes: how many happen besides shifts being worked; as many as the time brings where it is not given.

        Returns:
            What happened, oldest first.
        """
        lived = self.lived_until or datetime.combine(self.today, time(0), UTC)
        if days is not None:
            until = lived + timedelta(days=days)
        # The clock of this machine may be put back.
        return advance(self, until or max(lived, datetime.now(UTC)), changes)


def demo_portals(seed: int = 7, people: tuple[int, int, int] = (24, 160, 36)) -> dict[str, Portal]:
    """The three portals of the demo, by key. `people` are active employees of each."""
    oslo = _portal("oslo", 4711, "Fjord & Fisk", "Fjord & Fisk AS", "NO", "Europe/Oslo", people[0], seed)
    copenhagen = _portal(
        "copenhagen", 815, "Nordhavn Retail", "Nordhavn A/S", "DK", "Europe/Copenhagen", people[1], seed
    )
    london = _portal("london", 90210, "The Crooked Spoon", "Crooked Spoon Ltd", "GB", "Europe/London", people[2], seed)
    oslo.sick_as, copenhagen.punching = "shifts", 3
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
    portal = Portal(key=key, info=info, seed=seed)
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
    portal.field_definitions = field_definitions(number)
    if zone == "Europe/Copenhagen":
        # The API may leave out `required`.
        del portal.field_definitions["required"]
    created = datetime(2023, 1, 9, 8, 0, tzinfo=UTC)
    for n in range(people):
        # The first few were there from the beginning.
        hired = date(2023, 1, 9) + timedelta(days=chance.randrange(240 if n < 5 else 1200))
        last = datetime.combine(hired, time(8), UTC) + timedelta(
            days=chance.randrange(300), minutes=chance.randrange(600)
        )
        portal.add_person(chance, 1000 + n, hired, min(last, _PEOPLE_REST))
    for n in range(max(3, people // 8)):
        leaver = 1000 + people + n
        left = datetime(2026, 1, 5, 9, 30, tzinfo=UTC) + timedelta(days=chance.randrange(250))
        # Most leave after years, some within their first months.
        hired = left.date() - timedelta(days=chance.choice((40, 75, 200, 400, 700, 1000)))
        portal.add_person(chance, leaver, hired, created)
        portal.deactivate(leaver, left, n % 4)
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


def _places(chance: random.Random, count: int) -> list[str]:
    names = [
        "Harbour", "Central", "Airport", "Old Town", "Mall", "Station", "West", "East", "North", "South", "Beach", "Park",
        "Bridge", "Square",
    ]  # fmt: skip
    return chance.sample(names, count)


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
