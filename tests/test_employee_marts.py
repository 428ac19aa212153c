"""`marts.employees` and `marts.headcount_monthly` where sources disagree, and on first and last days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest

from tests.support.tables import found, put_oslo

Db = duckdb.DuckDBPyConnection


@pytest.mark.parametrize(
    ("hired", "left", "august", "september"),
    [
        ("2025-08-31", None, (1, 1, 0), (1, 0, 0)),
        ("2025-09-01", None, (0, 0, 0), (1, 1, 0)),
        ("2020-01-01", "2025-08-31", (0, 0, 1), (0, 0, 0)),
        ("2020-01-01", "2025-09-01", (1, 0, 0), (0, 0, 1)),
        ("2025-08-01", "2025-09-30", (1, 1, 0), (0, 0, 1)),
        (None, "2025-09-15", (1, 0, 0), (0, 0, 1)),
    ],
)
def test_headcount_on_the_first_and_last_day(
    db: Db, hired: str | None, left: str | None, august: tuple[int, ...], september: tuple[int, ...]
) -> None:
    """Headcount, hired and left of two months. Somebody else was there before."""
    put_oslo(db, "hr.employees", {"id": 1, "hired_date": "2025-01-01", "primary_department_id": 11})
    put_oslo(db, "hr.deactivated_employees" if left else "hr.employees", {"id": 2, "hired_date": hired})
    if left:
        db.execute("UPDATE hr.deactivated_employees SET deactivation_date = ?", [left])
    # At an unknown time: never counted.
    put_oslo(db, "hr.deactivated_employees", {"id": 3, "hired_date": "2020-01-01"})
    query = "SELECT headcount, hired, left_count FROM marts.headcount_monthly WHERE month = ? AND department_id IS NULL"
    for month, expected in (("2025-08", august), ("2025-09", september)):
        assert db.execute(query, [month]).fetchall() == [expected]


def test_what_lists_and_details_know_of_a_person(db: Db) -> None:
    """Of two sources the nearer one counts, and the other where that says nothing."""
    put_oslo(db, "hr.employees", {"id": 1, "hired_date": "2020-01-01"}, {"id": 2})
    put_oslo(db, "hr.employee_details", {"id": 1}, {"id": 2}, hired_from="2021-01-01", contract_rules_rule_id=60)
    put_oslo(db, "contract_rules.contract_rules", {"id": 60, "name": "Of the details"})
    put_oslo(db, "contract_rules.employee_contract_rules", {"employee_id": 1, "id": 61, "name": "Of the person"})
    assert found(db, "employees", "employee_id, hired_date, contract_rule") == [
        (1, date(2020, 1, 1), "Of the person"),
        (2, date(2021, 1, 1), "Of the details"),
    ]


def test_main_department_of_those_who_left(db: Db) -> None:
    """The last one that a read found while they were active, or else the first of their departments."""
    of_two = {"departments": [11, 12]}
    put_oslo(db, "hr.deactivated_employees", {"id": 1, **of_two}, {"id": 2, **of_two}, {"id": 3})
    versions = (
        {"primary_department_id": 12, "valid_from": "2025-03-01"},
        {"primary_department_id": 10, "valid_from": "2025-01-01"},
        {"primary_department_id": None, "valid_from": "2025-04-01"},
    )
    put_oslo(db, "hr_history.employees", *versions, id=1)
    put_oslo(db, "hr.employees", {"id": 4, "primary_department_id": 10}, {"id": 5})
    assert found(db, "employees", "employee_id, primary_department_id, primary_department_by") == [
        (1, 12, "history"),
        (2, 11, "first department"),
        (3, None, None),
        (4, 10, "employee list"),
        (5, None, None),
    ]


def test_tenure_ends_today_or_on_the_last_day(db: Db) -> None:
    today = datetime.now(UTC).date()
    last_days = (None, today + timedelta(days=90), today - timedelta(days=90))
    for number, day in enumerate(last_days):
        put_oslo(db, "hr.employees", {"id": number, "deactivation_date": day}, hired_date=today - timedelta(days=100))
    tenures = [days for (days,) in found(db, "employees", "tenure_days")]
    assert tenures in ([10, 100, 100], [10, 101, 101])
