"""`marts.pay_gap` over random people, as plain Python says; and no difference of its figures is about fewer than five."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.config.model import MartSettings
from planday_io.warehouse.settings import write_settings
from tests.support.installation import EVERYTHING, Make
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
FIGURES = (
    "women_mean, women_lower_quartile, women_median, women_upper_quartile, men_mean, men_lower_quartile, men_median, "
    "men_upper_quartile"
)


@dataclass(frozen=True)
class Person:
    """Somebody, in a department, of a type, in groups."""

    portal: str
    gender: str | None
    rate: int | None
    department: int | None
    groups: tuple[int, ...] | None
    kind: int | None
    is_active: bool


def crowd(gender: str, department: int, size: int) -> list[Person]:
    return [Person("oslo", gender, 100 + 7 * n, department, (department,), department, True) for n in range(size)]


SINGLE = st.builds(
    Person,
    portal=st.sampled_from(["oslo", "oslo", "perth"]),
    gender=st.sampled_from(["Female", "female ", "Male", "Male", None, "", "Other"]),
    rate=st.sampled_from([None, 0, 150, 165, 180, 211]),
    department=st.sampled_from([10, 11, 12, None]),
    groups=st.sampled_from([None, (), (10,), (11, 10), (12, 11)]),
    kind=st.sampled_from([10, 11, None]),
    is_active=st.sampled_from([True, True, True, False]),
)
CROWDS = st.lists(
    st.builds(crowd, st.sampled_from(["Female", "Male"]), st.sampled_from([10, 11, 12, 13]), st.integers(1, 9)),
    max_size=8,
)


def plant(db: Db, people: list[Person], compared_by: str) -> None:
    for number, one in enumerate(people, 1):
        groups = None if one.groups is None else list(one.groups)
        put(db, "hr.employees" if one.is_active else "hr.deactivated_employees", portal=one.portal, id=number,
            employee_type_id=one.kind, employee_groups=groups,
            **({"primary_department_id": one.department} if one.is_active else {}))  # fmt: skip
        put(db, "hr.employee_details", portal=one.portal, id=number, gender=one.gender)
        if one.rate is not None:
            put(db, "pay.pay_rates", portal=one.portal, employee_id=number, employee_group_id=1, rate=one.rate,
                wage_type="HourlyRate")  # fmt: skip
    chosen: Any = {"pay_gap_by": compared_by, "currency": "NOK"}
    write_settings(db, {"oslo": MartSettings(**chosen), "perth": MartSettings(pay_gap_by="off")})


def quantile(values: list[int], share: float) -> float:
    """Between the two values that the share falls on."""
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    ordered = sorted(values)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def figures(pay: list[int]) -> list[float]:
    return [sum(pay) / len(pay), *(quantile(pay, share) for share in (0.25, 0.5, 0.75))]


def paid(people: list[Person], gender: str) -> list[int]:
    return [one.rate for one in people if one.rate and (one.gender or "").strip().lower() == gender]


def expected(people: list[Person], compared_by: str) -> dict[Any, Any]:
    """Whether it is the total, and category -> what the mart has to show."""
    ways: dict[str, Callable[[Person], int | None]] = {
        "department": lambda one: one.department,
        "employee_type": lambda one: one.kind,
        "employee_group": lambda one: min(one.groups) if one.groups else None,
    }
    of = ways[compared_by]
    members: dict[Any, list[Person]] = defaultdict(list)
    for one in people:
        if one.portal == "oslo" and one.is_active:
            members[False, of(one)].append(one)
            members[True, None].append(one)
    pay = {key: (paid(own, "female"), paid(own, "male")) for key, own in members.items()}
    withheld = {key for key, both in pay.items() if min(map(len, both)) < 5}
    rest = [sum(len(pay[key][side]) for key in withheld if not key[0]) for side in (0, 1)]
    large = [key for key in pay if key not in withheld and not key[0]]
    if any(0 < count < 5 for count in rest) and large:
        smallest = min(large, key=lambda key: (sum(map(len, pay[key])), key[1] is None, key[1]))
        withheld.add(smallest)
    everybody = members.get((True, None), [])
    rows: dict[Any, Any] = {}
    for key, own in members.items():
        women, men = pay[key]
        if key in withheld:
            reason = "too few people"
            if not any(one.rate for one in everybody):
                reason = "pay not known of anybody"
            if not any((one.gender or "").strip().lower() in ("female", "male") for one in everybody):
                reason = "gender not known of anybody"
            rows[key] = (len(own), reason, *[None] * 13)
            continue
        gaps = [100 * (m - w) / m for w, m in ((figures(women)[n], figures(men)[n]) for n in (0, 2))]
        share = 100 * (len(women) + len(men)) / len(own)
        rows[key] = (len(own), None, share, len(women), len(men), *figures(women), *figures(men), *gaps)
    return rows


@pytest.mark.processes
@settings(max_examples=15)
@given(st.lists(SINGLE, max_size=30), CROWDS, st.sampled_from(["department", "employee_type", "employee_group"]))
def test_pay_gap_is_what_plain_python_says(
    empty: Db, singles: list[Person], crowds: list[list[Person]], by: str
) -> None:
    people = singles + [one for some in crowds for one in some]
    empty.execute("BEGIN")
    try:
        plant(empty, people, by)
        rows = empty.execute(
            "SELECT is_total, category_id, people, withheld_reason, coverage_percent, women, men, "
            f"{FIGURES}, mean_gap_percent, median_gap_percent FROM marts.pay_gap WHERE compared_by = ?",
            [by],
        ).fetchall()
        others = empty.execute("SELECT count(*) FROM marts.pay_gap WHERE portal = 'perth'").fetchone()
    finally:
        empty.execute("ROLLBACK")
    assert others == (0,)
    wanted = expected(people, by)
    assert {row[:2] for row in rows} == wanted.keys()
    assert len(rows) == len(wanted)
    for row in rows:
        found = [None if one is None else one if isinstance(one, str) else float(one) for one in row[2:]]
        assert found == pytest.approx(list(wanted[row[:2]]), abs=0.051)
    total = next((row for row in rows if row[0] and row[5] is not None), None)
    for column in (5, 6) if total else ():
        shown = sum(row[column] for row in rows if not row[0] and row[column] is not None)
        assert not 0 < total[column] - shown < 5, "the difference to the total is about too few people"  # type: ignore[index]


def test_smallest_other_category_is_withheld_too(db: Db) -> None:
    """Two women in the bar would be the difference between all and the other two departments."""
    sizes = (("Female", 10, 9), ("Male", 10, 9), ("Female", 11, 6), ("Male", 11, 5), ("Female", 12, 2))
    plant(db, [one for size in sizes for one in crowd(*size)], "department")
    asked = "SELECT category_id, women, withheld_reason FROM marts.pay_gap ORDER BY is_total, category_id"
    assert db.execute(asked).fetchall() == [
        (10, 9, None),
        (11, None, "too few people"),
        (12, None, "too few people"),
        (None, 17, None),
    ]
    db.execute("UPDATE hr.employee_details SET gender = NULL WHERE id > 29")
    assert db.execute(asked).fetchall() == [
        (10, 9, None),
        (11, 6, None),
        (12, None, "too few people"),
        (None, 15, None),
    ], "the difference is about nobody whose pay and gender are known"


@pytest.mark.parametrize(("women", "men", "is_shown"), [(5, 5, True), (4, 5, False), (5, 4, False)])
def test_figures_of_fewer_than_five_are_withheld(db: Db, women: int, men: int, *, is_shown: bool) -> None:
    plant(db, crowd("Female", 10, women) + crowd("Male", 10, men), "department")
    found = db.execute("SELECT women_median, men_median, coverage_percent FROM marts.pay_gap").fetchall()
    assert found == ([(114, 114, 100.0)] * 2 if is_shown else [(None, None, None)] * 2)


@pytest.mark.processes
def test_what_the_policy_hides_is_said(make: Make) -> None:
    """A hashed rate is a text, and no number; without genders there is nothing to compare either."""
    planday = make(resources=EVERYTHING)
    (planday.folder / "key.txt").write_text("a key for hashes")
    hidden = "privacy: {pay: hash, hash_key: {file: key.txt}}\npay_gap_by: department\nbradford: true"
    planday.edit_config("defaults:", f"{hidden}\ndefaults:")
    for table in ("hr.employees", "hr.employee_details", "pay.pay_rates", "pay.salaries"):
        planday.refresh(table)
    planday.publish()
    found = planday.query("SELECT DISTINCT withheld_reason FROM marts.pay_gap WHERE portal = 'oslo'")
    assert found == [("pay not known of anybody",)]
    asked = "SELECT name, value FROM sync.mart_settings WHERE portal = 'oslo' AND name <> 'currency' ORDER BY ALL"
    assert {("bradford", "true"), ("pay_gap_by", "department")} <= {*planday.query(asked)}


@pytest.mark.parametrize("gender", [None, "4f1c9a"])
def test_genders_that_are_hidden_are_called_so(db: Db, gender: str | None) -> None:
    plant(db, [*crowd("Female", 10, 9), *crowd("Male", 10, 9)], "department")
    db.execute("UPDATE hr.employee_details SET gender = ?", [gender])
    found = db.execute("SELECT women, withheld_reason FROM marts.pay_gap").fetchall()
    assert found == [(None, "gender not known of anybody")] * 2


def test_pay_gap_is_off_by_default(db: Db) -> None:
    plant(db, [*crowd("Female", 10, 9), *crowd("Male", 10, 9)], "off")
    assert db.execute("FROM marts.pay_gap").fetchall() == []
    assert MartSettings().pay_gap_by == "off"
    assert not MartSettings().bradford
