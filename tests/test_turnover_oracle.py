"""`marts.turnover_monthly` over random people, as plain Python says day by day."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.months import month_of, shifted
from tests.support.rounding import half_up
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
TODAY = datetime.now(UTC).date()
RECENT = st.integers(-30, 800).map(lambda days: TODAY - timedelta(days=days))
ODD = st.sampled_from(
    [None, None, date(1, 1, 1), date(1900, 1, 1), date(9999, 12, 31), TODAY, TODAY - timedelta(days=4000)]
)
REASONS = st.sampled_from([None, "Resigned", "Dismissed"])


@dataclass(frozen=True)
class Person:
    """Somebody, as the lists of people say."""

    portal: str
    department: int | None
    hired: date | None
    last: date | None
    is_active: bool
    reason: str | None

    @property
    def left(self) -> date | None:
        return self.last if not self.is_active or (self.last and self.last <= TODAY) else None

    @property
    def counts(self) -> bool:
        if not self.is_active and self.left is None:
            return False
        return not (self.left and self.hired and self.left < self.hired)

    def stayed(self, days: int) -> bool:
        return self.left is None or self.hired is None or (self.left - self.hired).days > days

    def is_there(self, day: date) -> bool:
        return (self.hired is None or self.hired <= day) and (self.left is None or self.left > day)


PEOPLE = st.lists(
    st.builds(
        Person,
        portal=st.sampled_from(["oslo", "oslo", "bergen"]),
        department=st.sampled_from([10, 11, None]),
        hired=RECENT | RECENT | ODD,
        last=st.none() | RECENT | ODD,
        is_active=st.booleans(),
        reason=REASONS,
    ),
    min_size=5,
    max_size=40,
)


def plant(db: Db, people: list[Person]) -> None:
    for number, one in enumerate(people, 1):
        whose = {"portal": one.portal, "id": number, "hired_date": one.hired, "deactivation_date": one.last}
        if one.is_active:
            put(db, "hr.employees", **whose, primary_department_id=one.department, termination_type_name=one.reason)
            continue
        put(db, "hr.deactivated_employees", **whose, departments=[12], termination_type_name=one.reason)
        if one.department:
            # Where they were when they left, as the history has it; the list says another one.
            history = {"portal": one.portal, "id": number, "valid_from": "2020-01-01"}
            put(db, "hr_history.employees", **history, primary_department_id=one.department)


def added(day: date, years: int = 0, months: int = 0) -> date:
    """A day so many months later, or the last one of that month."""
    year, month = divmod((day.year + years) * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def months_of(people: list[Person]) -> list[str]:
    this = month_of(TODAY)
    first = min((one.hired for one in people if one.hired), default=TODAY)
    begin = max(min(f"{first:%Y-%m}".rjust(7, "0"), this), shifted(this, -120))
    return [shifted(this, -back) for back in range(121) if shifted(this, -back) >= begin][::-1]


def expected(people: list[Person]) -> dict[tuple[str, str, int | None], tuple[Any, ...]]:
    rows: dict[tuple[str, str, int | None], tuple[Any, ...]] = {}
    for portal in {one.portal for one in people}:
        own = [one for one in people if one.portal == portal and one.counts]
        for department in {one.department if one.is_active or one.department else 12 for one in own}:
            members = [one for one in own if (one.department if one.is_active or one.department else 12) == department]
            figures: list[tuple[int, int]] = []
            for month in months_of(own):
                first = date.fromisoformat(f"{month}-01")
                last = min(first.replace(day=monthrange(first.year, first.month)[1]), TODAY)
                there = [one for one in members if one.is_there(last)]
                hired = [one for one in members if one.hired and first <= one.hired <= last]
                left = [one for one in members if one.left and first <= one.left <= last]
                figures.append((len(left), len(there)))
                year = figures[-12:]
                leavers, mean = sum(one for one, _ in year), sum(count for _, count in year) / len(year)
                stayed = sum(one.stayed(90) for one in hired)
                is_over = last + timedelta(days=90) <= TODAY
                rows[portal, month, department] = (
                    sum(one.is_there(first - timedelta(days=1)) for one in members),
                    len(hired),
                    len(left),
                    len(there),
                    dict(Counter(one.reason for one in left)) or None,
                    leavers,
                    mean,
                    half_up(100 * leavers / mean, 1) if len(year) == 12 and mean else None,
                    "less than twelve months known" if len(year) < 12 else None if mean else "nobody employed",
                    stayed if hired and is_over else None,
                    "nobody hired" if not hired else None if is_over else "not over yet",
                    *bands(there, last),
                )
    return rows


def bands(there: list[Person], day: date) -> list[int]:
    """How many people of each tenure, and of unknown tenure."""
    counts = [0, 0, 0, 0, 0]
    for one in there:
        if one.hired is None or one.hired.year < 1950:
            counts[4] += 1
            continue
        counts[sum(day >= added(one.hired, **size) for size in ({"months": 3}, {"years": 1}, {"years": 3}))] += 1
    return counts


COLUMNS = (
    "headcount_start, hired, left_count, headcount_end, left_reasons, left_12_months, average_headcount_12_months, "
    "turnover_percent, turnover_gap, stayed_90_days, survival_gap, tenure_under_3_months, tenure_3_to_12_months, "
    "tenure_1_to_3_years, tenure_3_years_or_more, tenure_unknown"
)


@settings(max_examples=12)
@given(PEOPLE)
def test_turnover_is_what_plain_python_says(empty: Db, people: list[Person]) -> None:
    empty.execute("BEGIN")
    try:
        plant(empty, people)
        rows = empty.execute(f"SELECT portal, month, department_id, {COLUMNS} FROM marts.turnover_monthly").fetchall()
    finally:
        empty.execute("ROLLBACK")
    wanted = expected(people)
    assert len(rows) == len(wanted)
    for row in rows:
        reasons = {one["reason"]: one["people"] for one in row[7]} if row[7] else None
        figures = wanted[row[:3]]
        assert reasons == figures[4]
        assert (*row[3:7], *row[8:]) == pytest.approx((*figures[:4], *figures[5:]), abs=0.051), row[:3]
        assert row[3] + row[4] - row[5] == row[6], "who was there and came is there or left"
        assert sum(row[-5:]) == row[6]


def test_a_year_of_turnover_by_hand(db: Db) -> None:
    """Ten people stay; of three hired a year and a half ago one left within a month and one in the fourth month."""
    this = date.fromisoformat(f"{month_of(TODAY)}-01")
    begin = added(this, months=-18)
    for number in range(10):
        put(db, "hr.employees", portal="oslo", id=number, primary_department_id=10, hired_date=added(begin, years=-2))
    put(db, "hr.employees", portal="oslo", id=20, primary_department_id=10, hired_date=begin)
    for number, months, days, reason in ((21, 0, 20, "Dismissed"), (22, 3, 9, None)):
        last = added(begin, months=months) + timedelta(days=days)
        put(db, "hr.deactivated_employees", portal="oslo", id=number, departments=[10], hired_date=begin,
            deactivation_date=last, termination_type_name=reason)  # fmt: skip
    put(db, "hr.departments", portal="oslo", id=10)
    query = "FROM marts.turnover_monthly WHERE month = ?"
    columns = (
        "department_id, department, headcount_start, hired, left_count, headcount_end, left_reasons, survival_percent"
    )
    found = db.execute(f"SELECT {columns} {query}", [month_of(begin)]).fetchall()
    assert found == [(10, None, 10, 3, 1, 12, [{"reason": "Dismissed", "people": 1}], 66.7)]
    late = db.execute(f"SELECT left_12_months, turnover_percent, turnover_gap {query}", [shifted(month_of(begin), 12)])
    # The first who left did so thirteen months before; twelve people until the month of the second, eleven since.
    assert late.fetchall() == [(1, round(100 / ((2 * 12 + 10 * 11) / 12), 1), None)]


def test_placeholders_and_days_ahead_are_no_tenure(db: Db) -> None:
    """They would decide the average of a department."""
    first_days = (date(1, 1, 1), date(1753, 1, 1), date(1900, 1, 1), TODAY + timedelta(days=30), None, date(1950, 1, 1))
    for number, day in enumerate(first_days):
        put(db, "hr.employees", portal="oslo", id=number, hired_date=day)
    put(db, "hr.deactivated_employees", portal="oslo", id=9, hired_date="2025-03-01", deactivation_date="2025-02-01")
    known = db.execute("SELECT employee_id FROM marts.employees WHERE tenure_days IS NOT NULL")
    assert known.fetchall() == [(5,)]
