"""A small roster, punch clock, payroll and absence in two portals that use the same ids for different things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from planday_io.warehouse.zones import write_zones
from tests.support.tables import put

KITCHEN, BAR = 10, 11
ANNA, BO, CAI = 1, 2, 3


class Portal:
    """Puts rows of one portal. Names begin with it, times are later and money is more than in another portal."""

    def __init__(self, db: duckdb.DuckDBPyConnection, key: str, hours: int = 0, times: int = 1) -> None:
        self._db, self._key, self._hours, self.times = db, key, hours, times

    def put(self, table: str, **columns: Any) -> None:
        put(self._db, table, portal=self._key, portal_id=len(self._key), **columns)

    def name(self, text: str) -> str:
        return text if self._key == "oslo" else f"{self._key} {text}"

    def at(self, text: str | None) -> datetime | None:
        """A time of September 2025, such as `08 16:30`."""
        return datetime.fromisoformat(f"2025-09-{text}") + timedelta(hours=self._hours) if text else None

    def shift(self, number: int, department: int, employee: int | None, begin: str, end: str, status: str) -> None:
        times = {"date": f"2025-09-{begin[:2]}", "start_date_time": self.at(begin), "end_date_time": self.at(end)}
        kind = {"employee_group_id": 20, "position_id": 40, "shift_type_id": 50, "status": status}
        whose = {"department_id": department, "employee_id": employee}
        self.put("scheduling.shifts", id=number, month="2025-09", **whose, **times, **kind)

    def versions(self, number: int, department: int, employees: tuple[int, int]) -> None:
        """A shift on 8 September that was another person's until the second read."""
        times = {"date": "2025-09-08", "start_date_time": self.at("08 08:00"), "end_date_time": self.at("08 16:00")}
        shift = {"id": number, "month": "2025-09", "department_id": department, "status": "Assigned", **times}
        first, second = (datetime(2025, 9, day, 2, tzinfo=UTC) + timedelta(hours=self._hours) for day in (1, 2))
        before, after = employees
        self.put("scheduling_history.shifts", **shift, employee_id=before, valid_from=first, valid_to=second,
            ended_after=first, is_current=False)  # fmt: skip
        self.put(
            "scheduling_history.shifts",
            **shift,
            employee_id=after,
            valid_from=second,
            changed_after=first,
            is_current=True,
        )

    def punch(self, number: int, shift: int | None, employee: int, begin: str, end: str | None, **more: Any) -> None:
        times = {"start_date_time": self.at(begin), "end_date_time": self.at(end)}
        self.put(
            "punchclock.punch_clock_shifts",
            id=number,
            month="2025-09",
            shift_id=shift,
            department_id=BAR,
            employee_id=employee,
            **times,
            **more,
        )

    def pause(self, number: int, punch: int, begin: str, end: str | None) -> None:
        times = {"start_date_time": self.at(begin), "end_date_time": self.at(end)}
        self.put("punchclock.punch_clock_breaks", id=number, month="2025-09", punch_clock_shift_id=punch, **times)

    def paid(self, number: int, employee: int, begin: str, end: str, salary: int, rate: int) -> None:
        times = {"date": f"2025-09-{begin[:2]}", "start": self.at(begin), "end": self.at(end)}
        pay = {"employee_id": employee, "department_id": BAR, "salary": salary * self.times, "wage_rate": rate}
        self.put("payroll.shifts", id=number, month="2025-09", **times, **pay)

    def cost(self, department: int, day: str, shift: int | None, duration: str | None, cost: int) -> None:
        key = {"month": "2025-09", "date": f"2025-09-{day}", "ordinal": 1, "department_id": department}
        self.put("scheduling.time_and_costs", shift_id=shift, duration=duration, cost=cost, **key)

    def paid_pause(self, shift: int, ordinal: int, hours: float, *, is_paid: bool) -> None:
        whole = {"ordinal": ordinal, "duration": hours, "is_paid": is_paid}
        self.put("payroll.shift_breaks", month="2025-09", shift_id=shift, **whole)

    def absent(
        self, number: int, employee: int, status: str, day: str, account: int, cost: dict[str, Any], **more: Any
    ) -> None:
        period = {"absence_period_start": f"2025-09-{day}", "absence_period_end": f"2025-09-{day}"}
        self.put("absence.absence_records", id=number, employee_id=employee, status=status, **period)
        self.put("absence.absence_record_registrations", absence_record_id=number, ordinal=1, date=f"2025-09-{day}",
            account_id=account, account_costs=[cost], **more)  # fmt: skip


def fill_oslo(db: duckdb.DuckDBPyConnection) -> None:
    oslo = Portal(db, "oslo")
    _fill_names(oslo, "Europe/Oslo")
    oslo.put("hr.employee_details", id=ANNA, job_title="Chef", work_hours=160, contract_rules_rule_id=60)
    oslo.put("contract_rules.employee_contract_rules", employee_id=BO, id=61, name="Part")
    oslo.put("pay.salaries", employee_id=ANNA)
    for kind in ("HourlyRate", "ShiftRate"):
        oslo.put("pay.pay_rates", employee_id=BO, employee_group_id=20, wage_type=kind)
    oslo.shift(100, KITCHEN, ANNA, "08 08:00", "08 16:00", "Approved")
    oslo.versions(100, KITCHEN, (BO, ANNA))
    oslo.shift(101, BAR, BO, "08 17:00", "09 01:00", "Assigned")
    oslo.shift(102, BAR, None, "09 10:00", "09 14:00", "Open")
    oslo.shift(103, BAR, BO, "09 10:00", "09 14:00", "Draft")
    oslo.shift(104, BAR, BO, "10 08:00", "10 12:00", "Assigned")
    oslo.shift(105, BAR, BO, "11 08:00", "11 12:00", "Approved")
    oslo.cost(KITCHEN, "08", 100, "0:07:30", 1500)
    oslo.cost(BAR, "09", None, None, 75)
    planned = {"shift_start_date_time": oslo.at("08 08:00"), "shift_end_date_time": oslo.at("08 16:00")}
    oslo.punch(200, 100, ANNA, "08 08:06", "08 16:12", is_approved=True, **planned)
    oslo.punch(201, 100, ANNA, "08 16:15", "08 17:15", is_approved=False, **planned)
    oslo.punch(202, 101, BO, "08 17:00", None)
    oslo.punch(203, None, BO, "12 09:00", "12 11:00", is_approved=False)
    oslo.pause(300, 200, "08 12:00", "08 12:30")
    oslo.pause(301, 200, "08 15:00", None)
    oslo.paid(100, ANNA, "08 08:00", "08 16:00", 0, 0)
    oslo.paid(101, BO, "08 17:00", "09 01:00", 1600, 200)
    oslo.paid(999, BO, "13 08:00", "13 10:00", 300, 150)
    oslo.paid_pause(101, 1, 0.5, is_paid=False)
    oslo.paid_pause(101, 2, 0.25, is_paid=True)
    oslo.put("payroll.supplements", month="2025-09", employee_id=BO, date="2025-09-30", ordinal=1, salary=-50)
    oslo.put("payroll.salaried", month="2025-09", employee_id=ANNA, date="2025-09-01", ordinal=1, salary=30_000)
    oslo.put("revenue.revenue", month="2025-09", revenue_unit_id=70, date="2025-09-08", turnover=8000)
    oslo.absent(400, BO, "Approved", "10", 500, {"value": -1, "unit_type": "Days"})
    oslo.absent(
        401, BO, "Approved", "10", 501, {"value": -2, "unit_type": "Hours"}, time_start="10:00", time_end="12:00"
    )
    # Since ever, and not told day by day.
    since_ever = {"absence_period_start": "0001-01-01", "absence_period_end": "2025-09-02"}
    oslo.put("absence.absence_records", id=410, employee_id=ANNA, status="Approved", **since_ever)
    for number, status in enumerate(("Submitted", "Cancelled", "Declined"), 402):
        oslo.absent(number, BO, status, "11", 500, {"value": -1, "unit_type": "Days"})
    write_zones(db, again=False)


def fill_bergen(db: duckdb.DuckDBPyConnection) -> None:
    """Whatever oslo has, as something else, and what it lacks."""
    bergen = Portal(db, "bergen", hours=1, times=10)
    bergen.versions(100, BAR, (ANNA, CAI))
    _fill_names(bergen, "Asia/Tokyo")
    for person in (ANNA, BO, CAI):
        bergen.put("hr.employee_details", id=person, job_title="Waiter", work_hours=100, contract_rules_rule_id=60)
        bergen.put("contract_rules.employee_contract_rules", employee_id=person, id=62, name="Whole")
        bergen.put("pay.salaries", employee_id=person)
        bergen.put("pay.pay_rates", employee_id=person, employee_group_id=20, wage_type="HourlyRate")
        bergen.put("payroll.salaried", month="2025-09", employee_id=person, date="2025-09-01", ordinal=1, salary=10)
    punch = 200
    for number in (100, 101, 102, 103, 104, 105, 999):
        bergen.shift(number, BAR, CAI, "08 06:00", "08 17:00", "Approved")
        bergen.cost(BAR, "08", number, "0:06:00", 90)
        for _ in range(2):
            bergen.punch(punch, number, CAI, "08 06:00", "08 16:00", is_approved=True)
            bergen.pause(punch + 100, punch, "08 09:00", "08 10:00")
            punch += 1
        bergen.paid(number, CAI, "08 06:00", "08 17:00", 700, 70)
        bergen.paid_pause(number, 1, 1.5, is_paid=False)
    bergen.put("revenue.revenue", month="2025-09", revenue_unit_id=70, date="2025-09-08", turnover=1)
    for number, day in enumerate(("08", "09", "10", "11", "12", "13"), 400):
        for offset, person in enumerate((ANNA, BO)):
            bergen.absent(number + 10 * offset, person, "Approved", day, 500, {"value": -5, "unit_type": "Days"})
    put(db, "sync.slices", portal="bergen", table_name="payroll.shifts", month="2025-08", slice_id="b")
    write_zones(db, again=False)


def _fill_names(portal: Portal, zone: str) -> None:
    put(portal._db, "sync.slices", portal=portal._key, table_name="payroll.shifts", month="2025-09", slice_id="s")
    portal.put("portal.portals", id=1, time_zone=zone)
    for name, value in (("pay_gap_by", "department"), ("bradford", "true")):
        put(portal._db, "sync.mart_settings", portal=portal._key, name=name, value=value)
    for number, text in ((KITCHEN, "Kitchen"), (BAR, "Bar")):
        portal.put("hr.departments", id=number, name=portal.name(text))
    portal.put("hr.employee_groups", id=20, name=portal.name("Cooks"))
    portal.put("hr.employee_types", id=30, name=portal.name("Full time"))
    portal.put("scheduling.positions", id=40, name=portal.name("Grill"))
    portal.put("scheduling.shift_types", id=50, name=portal.name("Training"))
    portal.put("contract_rules.contract_rules", id=60, name=portal.name("Sixty"))
    portal.put("revenue.revenue_units", id=70, department_id=BAR if portal.times == 1 else KITCHEN)
    person = {"employee_groups": [20], "employee_type_id": 30}
    portal.put("hr.employees", id=ANNA, first_name=portal.name("Anna"), last_name="Berg", departments=[BAR, KITCHEN],
        primary_department_id=KITCHEN, hired_date="2024-03-01", **person)  # fmt: skip
    portal.put("hr.employees", id=BO, first_name=portal.name("Bo"), last_name="Dahl", departments=[BAR],
        primary_department_id=BAR, hired_date="2025-09-01", **person)  # fmt: skip
    left = {"hired_date": "2024-01-10", "deactivation_date": "2025-09-20", "departments": [BAR, KITCHEN]}
    portal.put(
        "hr.deactivated_employees", id=ANNA, first_name=portal.name("Formerly"), last_name="Berg", **left, **person
    )
    cai = {"id": CAI, "first_name": portal.name("Cai"), "last_name": "Eik"}
    portal.put("hr.deactivated_employees" if portal.times == 1 else "hr.employees", **cai, **left, **person)
    for number, text in ((500, "Vacation 2025"), (501, "Flex")):
        portal.put("absence.accounts", id=number, type_id=number + 100, name=portal.name(text))
        portal.put("absence.account_types", id=number + 100, absence_type=portal.name(text.split()[0]))
