"""Salaries and supplements of the month over days and departments: as plain Python says, and to the øre."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.warehouse.zones import write_zones
from tests.support.allocation import DAY_NAMES, Person, Rule, salary, supplement
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
FEBRUARY = (date(2024, 2, 1), date(2024, 2, 29))
DAYS = st.dates(date(2024, 1, 25), date(2024, 3, 5))
DEPARTMENTS = st.sampled_from([10, 11, 12])
AMOUNTS = st.one_of(
    st.decimals(-99_999, 99_999, places=4), st.sampled_from([D(0), D("0.0001"), D("99999999999999.9999"), D("-0.03")])
)
WEIGHTS = st.one_of(
    st.sampled_from([D(0), D(1), D("33.3333"), D(100), D("0.5"), D(-1), D(10_001)]),
    st.decimals(0, 100, places=4),
    st.none(),
)
WEEKS = st.none() | st.dictionaries(
    st.sampled_from(DAY_NAMES), st.sampled_from([D(0), D(1), D("7.5"), D("0.3333")]), max_size=7
)
MODES = st.sampled_from(["BusinessDays", "MonthlySalary", "ScheduledHours", "NoAllocation", "SomethingNew", None])


@st.composite
def rules(draw: Any) -> list[Rule]:
    made: dict[tuple[date | None, int], Rule] = {}
    for ordinal in range(draw(st.integers(0, 3))):
        begin = draw(st.none() | DAYS)
        end = draw(st.none() | DAYS)
        shares = draw(st.lists(st.tuples(st.none() | DEPARTMENTS, WEIGHTS, WEEKS), max_size=3))
        made[begin, ordinal] = Rule(begin, end, ordinal, draw(MODES), shares)
    return list(made.values())


ROSTER = st.lists(
    st.tuples(st.dates(date(2024, 2, 1), date(2024, 2, 29)), DEPARTMENTS, st.integers(1, 24), st.booleans()), max_size=8
)
RANGES = st.sampled_from(
    [
        FEBRUARY,
        FEBRUARY,
        (date(2024, 2, 29), date(2024, 2, 29)),
        (date(2024, 2, 12), date(2024, 2, 25)),
        (date(2024, 1, 29), date(2024, 2, 11)),
        (None, None),
        (date(1, 1, 1), date(9999, 12, 31)),
        (date(2024, 2, 20), date(9999, 12, 31)),
        (date(2024, 2, 20), date(2024, 2, 10)),
        (date(2031, 5, 1), date(2031, 5, 31)),
    ]
)


@st.composite
def people(draw: Any) -> tuple[list[Rule], list[Any], int | None, list[Any], list[Any]]:
    salaries = draw(st.lists(st.tuples(RANGES, AMOUNTS), max_size=2))
    supplements = draw(st.lists(st.tuples(st.dates(date(2024, 2, 1), date(2024, 2, 29)), AMOUNTS), max_size=2))
    return draw(rules()), draw(ROSTER), draw(st.none() | DEPARTMENTS), salaries, supplements


def put_person(
    db: Db, portal: str, number: int, given_rules: list[Rule], roster: list[Any], main: int | None
) -> Person:
    """Plant somebody, and say the same to the oracle. A shift that is approved is worked, another one only planned."""
    worked: dict[tuple[date, int], Decimal] = defaultdict(Decimal)
    planned: dict[tuple[date, int], Decimal] = defaultdict(Decimal)
    for index, (day, department, hours, is_worked) in enumerate(roster):
        begin = datetime.combine(day, time())
        put(db, "scheduling.shifts", portal=portal, month="2024-02", id=number * 1000 + index, employee_id=number,
            department_id=department, date=day, start_date_time=begin, end_date_time=begin + timedelta(hours=hours),
            time_zone="UTC", status="Approved" if is_worked else "Assigned")  # fmt: skip
        planned[day, department] += hours
        if is_worked:
            worked[day, department] += hours
    for rule in given_rules:
        shares = [
            {
                "department_id": department,
                "department_weight": weight,
                "week_days_weight": None
                if week is None
                else json.dumps({day: float(value) for day, value in week.items()}),
            }
            for department, weight, week in rule.shares
        ]
        whose = {"portal": portal, "employee_id": number, "ordinal": rule.ordinal, "cost_allocation": rule.mode}
        valid = {"valid_from": rule.valid_from, "valid_to": rule.valid_to}
        put(db, "pay.salary_allocations", **whose, **valid, department_distributions=shares)
    put(db, "hr.employees", portal=portal, id=number, primary_department_id=main)
    return Person(given_rules, worked, planned, main)


def found(db: Db, where: str = "true") -> dict[Any, Any]:
    rows = db.execute(
        "SELECT portal, employee_id, cost_of, payroll_date, ordinal, date, department_id, amount, allocated_by "
        f"FROM marts.allocated_costs WHERE {where}"
    ).fetchall()
    assert len({row[:7] for row in rows}) == len(rows)
    return {row[:7]: row[7:] for row in rows}


Key = tuple[Any, ...]


def plant(db: Db, drawn: list[Any]) -> tuple[dict[Key, Any], dict[Key, Decimal]]:
    """Put people into two portals. Returns what the mart has to show, and the sum of each person's rows."""
    expected = {}
    totals: dict[Key, Decimal] = defaultdict(Decimal)
    for index, (given_rules, roster, main, salaries, supplements) in enumerate(drawn):
        portal, number = ("oslo", "bergen")[index % 2], index // 2 + 1
        person = put_person(db, portal, number, given_rules, roster, main)
        whose = {"portal": portal, "month": "2024-02", "employee_id": number}
        for ordinal, ((start, end), amount) in enumerate(salaries):
            put(db, "payroll.salaried", **whose, date=FEBRUARY[0], ordinal=ordinal, start=start, end=end, salary=amount)
            for cell, part in salary(person, "2024-02", start, end, amount, FEBRUARY[0]).items():
                expected[portal, number, "salary", FEBRUARY[0], ordinal, *cell] = part
            totals[portal, number] += amount
        for ordinal, (day, amount) in enumerate(supplements):
            put(db, "payroll.supplements", **whose, date=day, ordinal=ordinal, salary=amount)
            for cell, part in supplement(person, amount, day).items():
                expected[portal, number, "supplement", day, ordinal, *cell] = part
            totals[portal, number] += amount
    write_zones(db, again=False)
    return expected, totals


@pytest.mark.processes
@settings(max_examples=10)
@given(st.lists(people(), min_size=4, max_size=8))
def test_allocation_is_what_plain_python_says(empty: Db, drawn: list[Any]) -> None:
    """Two portals with the same ids; weights of 0, negative and absurd ones, rules that overlap and end, a leap day."""
    empty.execute("BEGIN")
    try:
        expected, totals = plant(empty, drawn)
        rows = found(empty)
    finally:
        empty.execute("ROLLBACK")
    assert rows == expected
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for key, (amount, _) in rows.items():
        sums[key[:2]] += amount
    assert sums == totals
