"""`marts.hourly_pay` and `marts.leave_balances` over random rates, salaries, accounts and absence, as plain Python says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rounding import half_up
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
TODAY = datetime.now(UTC).date()
FIRST = date(2025, 1, 1)
"""Of the months that are read."""
PERIODS = {
    1: ("Monthly", 12),
    2: ("Fortnightly", 26),
    3: ("weekly", 52),
    4: ("Annual", 1),
    5: ("FourWeekly", 13),
    6: ("Other", 0),
}
RATE = st.tuples(
    st.sampled_from(["HourlyRate", "HourlyRate", "ShiftRate"]),
    st.sampled_from([D(150), D(150), D("181.25"), D(0), None]),
)
SALARY = st.none() | st.tuples(
    st.sampled_from([D(30_000), D("417000.5"), D(0), None]),
    st.sampled_from([None, D(0), D("160.33"), D(37)]),
    st.sampled_from([None, *PERIODS]),
)  # fmt: skip
PERSON = st.tuples(st.booleans(), st.lists(RATE, max_size=3), SALARY, st.sampled_from([None, D(0), D("160.33"), D(80)]))
UNITS = st.sampled_from(["Days", "Days", "Hours", "Minutes"])
BALANCE = st.tuples(UNITS, st.sampled_from([D("12.5"), D(-3), D(0), D("37.25"), None]), st.sampled_from([0, 30]))
MOVES = st.lists(
    st.tuples(
        st.sampled_from([-90, -31, -30, -29, -1, 0, 1, 90]), UNITS, st.sampled_from([D(-1), D("-7.4"), D("0.5")])
    ),
    max_size=4,
)
ACCOUNT = st.tuples(
    st.sampled_from([1, 2, 3, 4, 99, None]),
    st.sampled_from([None, FIRST, FIRST - timedelta(days=1)]),
    st.sampled_from([None, 0, 200, -1]),
    st.sampled_from(["Active", "Active", "Inactive", None]),
    st.lists(BALANCE, max_size=2),
    MOVES,
    MOVES,
    st.integers(1, 4),
)


def pay_of(is_active: bool, rates: list[Any], salary: Any, contracted: Decimal | None) -> dict[str, Any]:
    """What an hour and a day are paid, and why they are not known."""
    hourly = [float(rate) for kind, rate in rates if kind == "HourlyRate" and rate]
    day_hours = float(contracted) * 12 / 260 if contracted else None
    amount, hours, kind = salary or (None, None, None)
    periods = PERIODS[kind][1] if kind else 0
    if hours and periods:
        contract_hours, day_hours = day_hours, float(hours) * periods / 260
    else:
        contract_hours = day_hours
    if amount:
        per_hour = float(amount) / float(hours) if hours else None
        if per_hour is None and periods and contract_hours:
            per_hour = float(amount) * periods / (contract_hours * 260)
        daily = float(amount) * periods / 260 if periods else per_hour * day_hours if per_hour and day_hours else None
        gap = None if per_hour is not None else "salary without hours"
        return {"hourly": per_hour, "highest": per_hour, "by": per_hour and "salary", "gap": gap, "day_hours": day_hours,
            "daily": daily, "daily_gap": None if daily is not None else "hours of a day not known"}  # fmt: skip
    if not hourly:
        is_hidden = (salary is not None and amount is None) or any(one == ("HourlyRate", None) for one in rates)
        reasons = (
            (is_hidden, "amount missing or hidden"),
            (any(kind == "ShiftRate" for kind, _ in rates), "paid per shift"),
            (is_active or salary is not None, "no rate or salary"),
        )
        gap = next((reason for holds, reason in reasons if holds), "left")
        return {
            "hourly": None,
            "highest": None,
            "by": None,
            "gap": gap,
            "day_hours": day_hours,
            "daily": None,
            "daily_gap": gap,
        }
    daily = max(hourly) * day_hours if day_hours else None
    by = "mean of several hourly rates" if len(set(hourly)) > 1 else "hourly rate"
    return {"hourly": sum(hourly) / len(hourly), "highest": max(hourly), "by": by, "gap": None, "day_hours": day_hours,
        "daily": daily, "daily_gap": None if daily is not None else "hours of a day not known"}  # fmt: skip


def plant_people(db: Db, people: list[Any]) -> dict[int, dict[str, Any]]:
    for number, (name, _) in PERIODS.items():
        put(db, "pay.salary_types", portal="oslo", id=number, name=name)
        put(db, "pay.salary_types", portal="perth", id=number, name="Weekly")
    put(db, "sync.mart_settings", portal="oslo", name="currency", value="NOK")
    known = {}
    for number, (is_active, rates, salary, contracted) in enumerate(people, 1):
        put(db, "hr.employees" if is_active else "hr.deactivated_employees", portal="oslo", id=number)
        put(db, "hr.employee_details", portal="oslo", id=number, work_hours=contracted)
        for group, (kind, rate) in enumerate(rates):
            put(
                db,
                "pay.pay_rates",
                portal="oslo",
                employee_id=number,
                employee_group_id=group,
                wage_type=kind,
                rate=rate,
            )
        if salary:
            amount, hours, kind = salary
            put(db, "pay.salaries", portal="oslo", employee_id=number, salary=amount, hours=hours, salary_type_id=kind)
        known[number] = pay_of(is_active, rates, salary, contracted)
        # Another portal pays the same ids otherwise.
        put(db, "hr.employees", portal="perth", id=number)
        put(db, "pay.pay_rates", portal="perth", employee_id=number, wage_type="HourlyRate", rate=D(1))
    return known


@settings(max_examples=12)
@given(st.lists(PERSON, min_size=3, max_size=8), st.lists(ACCOUNT, min_size=3, max_size=10), st.booleans())
def test_pay_and_leave_are_what_plain_python_says(
    empty: Db, people: list[Any], accounts: list[Any], has_transactions: bool
) -> None:
    empty.execute("BEGIN")
    try:
        known = plant_people(empty, people)
        wanted = plant_accounts(empty, accounts, known, has_transactions=has_transactions)
        pay = empty.execute(
            "SELECT employee_id, hourly_pay, highest_hourly_pay, hourly_pay_by, hourly_pay_gap, day_hours, daily_pay, "
            "daily_pay_gap, currency FROM marts.hourly_pay WHERE portal = 'oslo'"
        ).fetchall()
        leave = empty.execute(
            "SELECT account_id, unit, employee_id, balance, balance_gap, used, booked, used_by, used_gap, entitlement, rate, "
            "liability, liability_gap, currency FROM marts.leave_balances WHERE portal = 'oslo'"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    assert len(pay) == len(known)
    for number, *figures in pay:
        one = known[number]
        names = ("hourly", "highest", "by", "gap", "day_hours", "daily", "daily_gap")
        _same(figures, [*(one[name] for name in names), "NOK"], 0.0001)
    assert {row[:2] for row in leave} == wanted.keys()
    assert len(leave) == len(wanted)
    for account, unit, *figures in leave:
        _same(figures, wanted[account, unit], 0.011)


def _same(figures: list[Any], wanted: list[Any], tolerance: float) -> None:
    plain = [float(one) if isinstance(one, Decimal) else one for one in figures]
    expected = [float(one) if isinstance(one, Decimal) else one for one in wanted]
    assert plain == pytest.approx(expected, abs=tolerance)


def plant_accounts(
    db: Db, accounts: list[Any], known: dict[int, dict[str, Any]], *, has_transactions: bool
) -> dict[tuple[int, str | None], list[Any]]:
    """Put accounts with their balances and what was taken. Returns what the mart has to show of each."""
    put(db, "sync.slices", portal="oslo", table_name="scheduling.shifts", month=f"{FIRST:%Y-%m}")
    put(db, "sync.slices", portal="oslo", table_name="absence.account_balances")
    if has_transactions:
        put(db, "sync.slices", portal="oslo", table_name="absence.account_transactions")
    wanted: dict[tuple[int, str | None], list[Any]] = {}
    for number, (person, begins, ends, status, balances, recorded, entered, taker) in enumerate(accounts, 100):
        ends_on = None if ends is None else TODAY + timedelta(days=ends)
        put(db, "absence.accounts", portal="oslo", id=number, employee_id=person, status=status,
            validity_period_start=begins, validity_period_end=ends_on)  # fmt: skip
        put(db, "absence.accounts", portal="perth", id=number, employee_id=1)
        for record, status_of_record in ((number, "Approved"), (-number, "Declined")) if recorded else ():
            put(db, "absence.absence_records", portal="oslo", id=record, employee_id=taker, status=status_of_record)
            for ordinal, (offset, unit, value) in enumerate(recorded):
                entry = {"date": TODAY + timedelta(days=offset), "account_costs": [{"value": value, "unit_type": unit}]}
                put(db, "absence.absence_record_registrations", portal="oslo", absence_record_id=record, ordinal=ordinal,
                    account_id=number, **entry)  # fmt: skip
        for ordinal, (offset, unit, value) in enumerate(entered):
            for kind in ("Entry", "Adjustment"):
                put(db, "absence.account_transactions", portal="oslo", account_id=number, type=kind,
                    ordinal=2 * ordinal + len(kind) % 2, date=TODAY + timedelta(days=offset),
                    costs=[{"value": value, "unit_type": unit}])  # fmt: skip
        latest: dict[str, tuple[Decimal | None, int]] = {}
        for unit, value, age in balances:
            if unit not in latest:
                put(db, "absence.account_balances", portal="oslo", account_id=number, unit_type=unit, value=value,
                    balance_date=TODAY - timedelta(days=age))  # fmt: skip
                # An older one, which does not count.
                put(db, "absence.account_balances", portal="oslo", account_id=number, unit_type=unit, value=777,
                    balance_date=TODAY - timedelta(days=age + 7))  # fmt: skip
                latest[unit] = (value, age)
        who = person if person is not None else taker if recorded else None
        for unit_of, (value, age) in latest.items() or [(None, (None, 0))]:
            by = None
            if value is not None:
                by = "transactions" if has_transactions else "records" if begins == FIRST else None
            moves = entered if by == "transactions" else recorded
            past = -sum((v for o, u, v in moves if u == unit_of and o <= -age), D(0))
            ahead = -sum((v for o, u, v in moves if u == unit_of and o > -age), D(0))
            if by == "records":
                past, ahead = abs(past), abs(ahead)
            gap = _liability_gap(value, ends, status, who, unit_of, known)
            rate = None if gap or who is None else known[who]["highest" if unit_of == "Hours" else "daily"]
            wanted[number, unit_of] = [
                who,
                value,
                None if value is not None else "Planday gives none",
                past if by else None,
                ahead if by else None,
                by,
                None if by else "no balance" if value is None else "account begins before the first month read",
                value + past if by and value is not None else None,
                rate,
                None if rate is None or value is None else half_up(float(value) * round(rate, 4), 2),
                gap,
                "NOK",
            ]
    return wanted


def _liability_gap(
    value: Decimal | None,
    ends: int | None,
    status: str | None,
    who: int | None,
    unit: str | None,
    known: dict[int, Any],
) -> str | None:
    reasons = (
        (value is None, "no balance"),
        (ends == -1, "account has ended"),
        (status == "Inactive", "inactive account"),
        (who is None, "person not known"),
        (unit not in ("Hours", "Days"), "unit is neither days nor hours"),
        (who not in known, "person not in the lists of people"),
    )
    found = next((reason for holds, reason in reasons if holds), None)
    return found or known[who or 0]["gap" if unit == "Hours" else "daily_gap"]


def test_balances_that_were_never_read_are_called_so(db: Db) -> None:
    put(db, "absence.accounts", portal="oslo", id=1)
    put(db, "sync.slices", portal="perth", table_name="absence.account_balances")
    found = db.execute(
        "SELECT balance, balance_gap, entitlement, liability, liability_gap, currency FROM marts.leave_balances"
    )
    assert found.fetchall() == [(None, "not read", None, None, "no balance", None)]


def test_leave_of_a_monthly_salary_by_hand(db: Db) -> None:
    """26,000 a month are 1,200 a working day; ten days earned and not taken are worth 12,000."""
    put(db, "pay.salary_types", portal="oslo", id=1, name="Monthly")
    put(db, "pay.salaries", portal="oslo", employee_id=1, salary=26_000, salary_type_id=1, hours=160)
    put(db, "hr.employees", portal="oslo", id=1)
    put(db, "absence.account_types", portal="oslo", id=5, name="Ferie", absence_type="Vacation")
    put(db, "absence.accounts", portal="oslo", id=1, employee_id=1, type_id=5, validity_period_start=FIRST)
    for unit, value in (("Days", 10), ("Hours", 8)):
        put(
            db, "absence.account_balances", portal="oslo", account_id=1, unit_type=unit, value=value, balance_date=TODAY
        )
    found = db.execute("SELECT unit, rate, liability FROM marts.leave_balances ORDER BY unit").fetchall()
    assert found == [("Days", 1200, 12_000), ("Hours", D("162.5"), 1300)]
