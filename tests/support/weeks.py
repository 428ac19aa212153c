"""The last weeks and the next two of two portals that use the same ids: who was planned, came, was paid and what came in.

Written as truths (what somebody worked, what it cost) with the rows that Planday would send for them, so that a test
can work out an answer without asking any mart. Times are daytime ones: nights on which clocks change are tested elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from planday_io.config.model import MartSettings
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones
from tests.support.tables import put_all

KITCHEN, BAR, NAMELESS, CELLAR = 10, 11, 12, 13
COOKS, WAITERS = 20, 21
SICK, VACATION, SICKNESS = 50, 600, 601
ZONES = {"oslo": "Europe/Oslo", "bergen": "Atlantic/Reykjavik"}
NAMES = {KITCHEN: "Kitchen", BAR: "Bar", NAMELESS: None, CELLAR: "Cellar"}
SALARY = Decimal(31_000)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a rate, a salary of the month, or neither. `since`, `until` are days ago, `contract` hours a month."""

    portal: str
    number: int
    first: str
    department: int
    group: int
    since: int
    until: int | None = None
    rate: int | None = None
    is_salaried: bool = False
    contract: int | None = None
    vacation: Decimal | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} Dahl"


PEOPLE = (
    Person("oslo", 1, "Anna", KITCHEN, COOKS, 1500, is_salaried=True, contract=156, vacation=Decimal(4)),
    Person("oslo", 2, "Bo", BAR, WAITERS, 700, rate=200, contract=130, vacation=Decimal("7.5")),
    Person("oslo", 3, "Cai", KITCHEN, COOKS, 500, rate=180, contract=182, vacation=Decimal(-1)),
    Person("oslo", 4, "Dag", NAMELESS, WAITERS, 250, vacation=Decimal(2)),
    Person("oslo", 5, "Eva", BAR, WAITERS, 150, rate=190),
    Person("oslo", 6, "Frida", BAR, WAITERS, 80, rate=170),
    Person("oslo", 10, "Gerd", KITCHEN, COOKS, 120, rate=160, contract=26),
    Person("oslo", 11, "Hans", NAMELESS, WAITERS, 95),
    Person("bergen", 1, "Finn", KITCHEN, COOKS, 900, rate=100, contract=130, vacation=Decimal(3)),
    Person("bergen", 2, "Gro", KITCHEN, WAITERS, 65, rate=150),
)
FRIDA, GERD, HANS, FINN, GRO = PEOPLE[5:10]
LEAVERS = (
    Person("oslo", 7, "Hedda", BAR, WAITERS, 800, until=300),
    Person("oslo", 8, "Ida", KITCHEN, COOKS, 400, until=100),
    Person("oslo", 9, "Jon", KITCHEN, COOKS, 600, until=390),
    Person("bergen", 3, "Kim", KITCHEN, COOKS, 500, until=200),
    # Of two that are 28 days apart at least one is in the last month.
    Person("oslo", 12, "Liv", BAR, WAITERS, 700, until=28),
    Person("oslo", 13, "Mia", BAR, WAITERS, 600, until=56),
)


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift and what came of it; hours are net. `punch` is minutes after the planned start, and after the end.

    `is_rostered` is false of a punch without a shift, which has no group.
    """

    portal: str
    number: int
    department: int
    person: Person | None
    group: int | None
    begin: datetime
    end: datetime
    status: str
    is_sickness: bool = False
    planned: Decimal = Decimal(8)
    punch: tuple[int, int] | None = None
    is_punch_approved: bool = False
    is_paid: bool = False
    is_rostered: bool = True

    @property
    def day(self) -> date:
        """The day it begins."""
        return self.begin.date()

    @property
    def hours(self) -> Decimal:
        """From start to end."""
        return Decimal((self.end - self.begin) // timedelta(minutes=15)) / 4

    @property
    def is_assigned(self) -> bool:
        """Somebody has it, and it is no draft."""
        return self.person is not None and self.status != "Draft"

    @property
    def is_planned_work(self) -> bool:
        """Somebody has it in the roster, and is to work."""
        return self.is_assigned and self.is_rostered and not self.is_sickness

    @property
    def worked(self) -> Decimal | None:
        """Approved, else punched, else paid."""
        if self.is_sickness or not self.is_assigned:
            return None
        if self.is_punch_approved:
            return self.hours
        if self.status == "Approved":
            return self.planned
        return self.hours + Decimal(self.punch[1] - self.punch[0]) / 60 if self.punch else self.paid

    @property
    def is_measured(self) -> bool:
        """Whether the worked hours are more than those of payroll."""
        return self.status == "Approved" or self.punch is not None

    @property
    def paid(self) -> Decimal | None:
        """Hours in payroll, which knows of no breaks here."""
        return self.hours if self.is_paid else None

    @property
    def cost(self) -> Decimal | None:
        """Pay for the shift."""
        return self.hours * self.person.rate if self.is_paid and self.person and self.person.rate else None

    @property
    def presence(self) -> tuple[datetime, datetime] | None:
        """When somebody was at work as far as punches and approvals say."""
        late, longer = self.punch or (0, 0)
        if self.is_sickness or not self.is_assigned or not self.is_measured:
            return None
        return tuple(  # type: ignore[return-value]
            (wall + timedelta(minutes=by)).replace(tzinfo=ZoneInfo(ZONES[self.portal])).astimezone(UTC)
            for wall, by in ((self.begin, late), (self.end, longer))
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What two reads saw of a shift: `is_fill` of an open one, and otherwise a change of an assigned one."""

    portal: str
    department: int
    shift: int
    day: date
    is_fill: bool
    after: datetime
    before: datetime
    start: datetime


@dataclass
class World:
    """What is true, and the rows that say so."""

    today: date
    shifts: list[Shift] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    revenue: dict[tuple[str, int, date], Decimal] = field(default_factory=dict)
    sick: dict[tuple[str, int], list[date]] = field(default_factory=lambda: defaultdict(list))
    on_leave: dict[tuple[str, int], list[date]] = field(default_factory=lambda: defaultdict(list))
    _rows: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def last_month(self) -> tuple[date, date]:
        """First and last day of the last full month."""
        last = self.today.replace(day=1) - timedelta(days=1)
        return last.replace(day=1), last

    def of_last_month(self) -> list[Shift]:
        """Shifts that begin in it."""
        first, last = self.last_month
        return [shift for shift in self.shifts if first <= shift.day <= last]

    def put(self, table: str, **columns: Any) -> None:
        """A row, written by `write`."""
        self._rows[table, tuple(columns)].append(tuple(columns.values()))

    def write(self, db: duckdb.DuckDBPyConnection) -> None:
        """Put all rows into an empty warehouse, and what a publication makes of them."""
        for (table, columns), rows in self._rows.items():
            for begin in range(0, len(rows), 200):
                put_all(db, [(table, dict(zip(columns, row, strict=True))) for row in rows[begin : begin + 200]])
        self._rows.clear()
        write_settings(db, {portal: MartSettings(currency="NOK", bradford=portal == "oslo") for portal in ZONES})
        write_zones(db, again=False)


def world_of(today: date) -> World:
    """From the first day of the last month to two weeks from today."""
    world = World(today)
    _put_names(world)
    _put_people(world)
    first, _ = world.last_month
    numbers = iter(range(1000, 9000))
    for n in range((today - first).days + 20):
        day = first + timedelta(days=n)
        for person in PEOPLE:
            if person in (FRIDA, GERD, HANS):
                continue
            if person == FINN and n in (5, 6, 15):
                world.sick["bergen", person.number].append(day)
            elif (n + 3 * person.number) % 7 < 5:
                put_shift(world, _shift_of(world, person, day, next(numbers), n))
        if day >= today and n % 3 == 0:
            begin, status = datetime.combine(day, time(17)), "Draft" if n % 2 else "Open"
            end = begin + timedelta(hours=4)
            nobody = Shift("oslo", next(numbers), BAR, None, WAITERS, begin, end, status, planned=Decimal(4))
            put_shift(world, nobody)
        _put_revenue(world, day, n)
    _put_oddities(world, numbers)
    _put_sickness(world)
    _put_months(world)
    return world


def _shift_of(world: World, person: Person, day: date, number: int, n: int) -> Shift:
    begin = datetime.combine(day, time(7 + person.number))
    # Anna and Dag help out in the bar: her salary belongs to both places, and in both is work without a known cost.
    department = BAR if person.first in ("Anna", "Dag") and n % 4 == 0 else person.department
    is_over, status = day < world.today, "Assigned"
    more: dict[str, Any] = {"planned": Decimal("7.5") if person.rate else Decimal(8), "is_paid": is_over}
    case = (n + person.number) % 9
    if not is_over:
        pass
    elif person.portal == "bergen":
        # There nobody approves anything, and the list of punches was not read whole: whether Gro came is not known.
        more |= {(GRO, 8): {"punch": (7, 0)}, (GRO, 9): {"is_paid": False}}.get((person, n), {})
    elif case == 0:
        status, more["is_sickness"] = "Approved", True
        world.sick[person.portal, person.number].append(day)
    elif case == 1:
        status = "Approved"
    elif case == 2:
        # Nobody came to Eva's shifts, and nobody punched at those of others, which are paid.
        more["is_paid"] = person.first != "Eva"
    elif case == 3:
        more["punch"] = (n % 13 - 4, 5)
    else:
        status, more["punch"], more["is_punch_approved"] = "PunchclockApproved", (n % 11 - 3, n % 7 - 2), True
    end = begin + timedelta(hours=7.5 if person.first == "Gro" else 8)
    return Shift(person.portal, number, department, person, person.group, begin, end, status, **more)


def _put_oddities(world: World, numbers: Iterator[int]) -> None:
    """What counts nowhere: work and revenue of the month before, a draft that names somebody, pay of somebody unknown."""
    first, last = world.last_month
    begin = datetime.combine(first - timedelta(days=9), time(9))
    end = begin + timedelta(hours=8)
    earlier = Shift("oslo", next(numbers), BAR, PEOPLE[1], WAITERS, begin, end, "Assigned", is_paid=True)
    draft = Shift(
        "oslo", next(numbers), BAR, PEOPLE[1], WAITERS, begin + timedelta(days=20), end + timedelta(days=20), "Draft"
    )
    for shift in (earlier, draft):
        put_shift(world, shift)
    _put_revenue(world, begin.date(), 0)
    world.put(
        "payroll.supplements", portal="oslo", employee_id=98, ordinal=1, salary=500, month=f"{last:%Y-%m}", date=last
    )


def put_shift(world: World, shift: Shift) -> None:
    """Add a shift, and what time and cost, the clock and payroll say about it."""
    world.shifts.append(shift)
    person, zone = shift.person, ZONES[shift.portal]
    month = {"portal": shift.portal, "month": f"{shift.day:%Y-%m}", "department_id": shift.department}
    whose = {**month, "employee_id": person.number if person else None}
    group = {"employee_group_id": shift.group, "shift_type_id": SICK if shift.is_sickness else None}
    if shift.is_rostered:
        world.put("scheduling.shifts", id=shift.number, date=shift.day, start_date_time=shift.begin,
            end_date_time=shift.end, time_zone=zone, status=shift.status, **whose, **group)  # fmt: skip
    if person and person.rate and shift.is_assigned and shift.is_rostered:
        duration = f"0:{int(shift.planned):02d}:{int(shift.planned * 60 % 60):02d}"
        cost = shift.planned * person.rate
        world.put("scheduling.time_and_costs", shift_id=shift.number, date=shift.day, ordinal=1, duration=duration,
            cost=cost, **whose)  # fmt: skip
    if shift.punch and person:
        came, left = (
            wall + timedelta(minutes=by) for wall, by in zip((shift.begin, shift.end), shift.punch, strict=True)
        )
        of_shift = shift.number if shift.is_rostered else None
        world.put("punchclock.punch_clock_shifts", id=shift.number + 50_000, shift_id=of_shift, time_zone=zone,
            start_date_time=came, end_date_time=left, is_approved=shift.is_punch_approved,
            shift_start_date_time=shift.begin, shift_end_date_time=shift.end, **whose)  # fmt: skip
    if shift.is_paid and person:
        rate = person.rate or 0
        world.put("payroll.shifts", id=shift.number, date=shift.day, start=shift.begin, end=shift.end,
            salary=shift.hours * rate, wage_rate=rate, **whose, **group)  # fmt: skip


def _put_revenue(world: World, day: date, n: int) -> None:
    if day >= world.today or n % 10 == 9:
        return
    for portal, department in (("oslo", KITCHEN), ("oslo", BAR), ("bergen", KITCHEN)):
        turnover = Decimal(4000 + 500 * day.isoweekday() + 37 * (n % 5) + department)
        world.revenue[portal, department, day] = turnover
        world.put("revenue.revenue", portal=portal, month=f"{day:%Y-%m}", revenue_unit_id=department + 60, date=day,
            turnover=turnover)  # fmt: skip


def _put_sickness(world: World) -> None:
    """Bergen records it as absence; in oslo it is a type of shift."""
    world.put(
        "absence.accounts", portal="bergen", id=700, employee_id=1, type_id=SICKNESS, name="Sickness", status="Active"
    )
    world.put("absence.account_balances", portal="bergen", account_id=700, unit_type="Days", value=5,
        balance_date=world.today)  # fmt: skip
    for number, day in enumerate(world.sick["bergen", 1], 800):
        world.put("absence.absence_records", portal="bergen", id=number, employee_id=1, status="Approved",
            absence_period_start=day, absence_period_end=day)  # fmt: skip
        world.put("absence.absence_record_registrations", portal="bergen", absence_record_id=number, ordinal=1, date=day,
            account_id=700, account_costs=[{"value": -1, "unit_type": "Days"}])  # fmt: skip


def _put_months(world: World) -> None:
    now, (first, _) = datetime.now(UTC), world.last_month
    for portal in ZONES:
        read = {"portal": portal, "slice_id": "s", "fetched_at": now}
        world.put("sync.slices", table_name="scheduling.shifts", month=f"{first - timedelta(days=400):%Y-%m}", **read)
        for month in (first, world.today.replace(day=1)):
            for table in ("payroll.shifts", "punchclock.punch_clock_shifts")[: 2 if portal == "oslo" else 1]:
                world.put("sync.slices", table_name=table, month=f"{month:%Y-%m}", **read)
    for month in (first, world.today.replace(day=1)):
        end = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        world.put("payroll.salaried", portal="oslo", employee_id=1, ordinal=1, salary=SALARY, month=f"{month:%Y-%m}",
            date=month, start=month, end=end)  # fmt: skip


def _put_names(world: World) -> None:
    for portal, zone in ZONES.items():
        where = {"portal": portal}
        world.put("portal.portals", id=1, time_zone=zone, **where)
        world.put("pay.salary_types", id=1, name="Monthly", **where)
        world.put("scheduling.shift_types", id=SICK, name="Sick", **where)
        for number, name in NAMES.items():
            world.put("hr.departments", id=number, name=name, **where)
            world.put("revenue.revenue_units", id=number + 60, department_id=number, **where)
        for number, name in ((COOKS, "Cooks"), (WAITERS, "Waiters")):
            world.put("hr.employee_groups", id=number, name=f"{name} of {portal}", **where)
        for number, name, kind in ((VACATION, "Vacation", "Vacation"), (SICKNESS, "Sickness", "Other")):
            world.put("absence.account_types", id=number, name=name, absence_type=kind, **where)


def _put_people(world: World) -> None:
    for person in (*PEOPLE, *LEAVERS):
        whose = {"portal": person.portal, "employee_id": person.number}
        row = {"portal": person.portal, "id": person.number, "first_name": person.first, "last_name": "Dahl",
            "departments": [person.department], "hired_date": world.today - timedelta(days=person.since)}  # fmt: skip
        if person.until is not None:
            left = world.today - timedelta(days=person.until)
            world.put("hr.deactivated_employees", **row, deactivation_date=left)
            continue
        world.put("hr.employees", **row, primary_department_id=person.department)
        world.put("hr.employee_details", portal=person.portal, id=person.number, work_hours=person.contract)
        if person.rate:
            world.put(
                "pay.pay_rates", **whose, employee_group_id=person.group, wage_type="HourlyRate", rate=person.rate
            )
        if person.is_salaried:
            world.put("pay.salaries", **whose, salary_type_id=1, salary=SALARY)
        if person.vacation is not None:
            world.put("absence.accounts", **whose, id=person.number + 500, type_id=VACATION, name="Vacation",
                status="Active")  # fmt: skip
            world.put("absence.account_balances", portal=person.portal, account_id=person.number + 500, unit_type="Days",
                value=person.vacation, balance_date=world.today)  # fmt: skip
