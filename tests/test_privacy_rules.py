"""What privacy policies and the list of forgotten people do to rows, without a sync: each rule by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy, SecretRef
from planday_io.frames.privacy import PrivacyFilter
from planday_io.frames.types import arrow_schema
from planday_io.lake.forgotten import Forgotten
from planday_io.lake.policies import adapt, hidden_classes, policies_of, under_policy
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake
from planday_io.state import SliceKey, State

KEEP = dict.fromkeys(("sensitive", "contact", "identity", "pay", "free_text", "unknown"), "keep")
SALT = "00" * 16


def policy(**classes: str) -> PrivacyPolicy:
    return PrivacyPolicy.model_validate({**KEEP, "hash_key": SecretRef(env="KEY"), **classes})


def provenance(policies: dict[str, str]) -> Provenance:
    return Provenance(
        run_id="run", portal_id=1, fetched_at=datetime(2026, 11, 1, tzinfo=UTC).isoformat(), window="all", requests=1,
        expected_total=None, received=1, distinct_keys=1, kept=1, verdict="document", catalogue_version=1,
        policies=policies,
    )  # fmt: skip


def rows_of(name: str, *rows: dict[str, Any]) -> pa.Table:
    """Rows of a table, each with something in `_extra`."""
    schema = arrow_schema(CATALOGUE.table(name), policy())
    return pa.Table.from_pylist([{"portal": "oslo", "_extra": '{"a": 1}', **row} for row in rows], schema=schema)


@pytest.mark.parametrize(
    ("one", "other", "strictest"),
    [("keep", "hash", "hash"), ("keep", "drop", "drop"), ("hash", "drop", "drop"), ("hash", "hash", "hash")],
)
def test_strictest_policy_applies(one: str, other: str, strictest: str) -> None:
    for contact, pay in ((one, other), (other, one)):
        rules = PrivacyFilter(policy(contact=contact, pay=pay), 1, lambda: "key")
        assert rules.policy("contact", "pay") == strictest


@pytest.mark.parametrize(
    ("held", "now", "is_hidden"),
    [
        ("keep", "keep", False),
        ("keep", "hash", True),
        ("keep", "drop", True),
        ("hash", "hash", False),
        ("hash", "drop", True),
        ("drop", "keep", False),
        ("drop", "hash", False),
        ("drop", "drop", False),
    ],
)
def test_values_in_a_forbidden_form_are_hidden(held: str, now: str, is_hidden: bool) -> None:
    table = CATALOGUE.table("hr.employees")
    slice_of = provenance({**policies_of(table, policy()), "contact": held})
    assert hidden_classes(table, slice_of, policy(contact=now)) == ({"contact"} if is_hidden else set())


def test_slices_without_recorded_policies_count_as_kept() -> None:
    table = CATALOGUE.table("hr.employees")
    assert hidden_classes(table, provenance({}), policy(unknown="drop", contact="drop")) == {"unknown", "contact"}


def test_hidden_values_and_unknown_members_go_together() -> None:
    table = CATALOGUE.table("hr.employees")
    rows = rows_of("hr.employees", {"id": 1, "first_name": "Ida", "email": "ida@example.com", "departments": [7]})
    (left,) = under_policy(rows, table, provenance(policies_of(table, policy())), policy(contact="drop")).to_pylist()
    assert (left["first_name"], left["departments"]) == ("Ida", [7])
    assert (left["email"], left["_extra"]) == (None, None)


def test_adapted_slices_are_read_again(tmp_path: Any) -> None:
    lake = Lake(tmp_path / "lake", State(tmp_path / "state"))
    key, table = SliceKey.of("hr.employees", "oslo"), CATALOGUE.table("hr.employees")
    with lake.locked(key):
        rows = rows_of("hr.employees", {"id": 1, "email": "ida@example.com"})
        lake.write(key, rows, provenance(policies_of(table, policy())))
    stricter = policy(contact="drop")
    assert adapt(lake, CATALOGUE, stricter, [key]) == [key]
    stored = lake.provenance(key)
    assert stored
    # What was in _extra is gone as well, so this is not what a read under the policies of today would give.
    assert (stored.policies["contact"], stored.policies["unknown"]) == ("drop", "drop")
    assert stored.policies != policies_of(table, stricter)
    assert adapt(lake, CATALOGUE, stricter, [key]) == []


PEOPLE = Forgotten(SALT, frozenset({Forgotten(SALT).pseudonym(1004)}))


def test_rows_about_a_forgotten_person_go() -> None:
    rows = rows_of("hr.employees", {"id": 1004, "first_name": "Ida"}, {"id": 1005, "first_name": "Bo"})
    assert PEOPLE.applied(rows, CATALOGUE.table("hr.employees")).column("id").to_pylist() == [1005]


def test_shifts_of_forgotten_person_keep_their_sums_only() -> None:
    shift = {"department_id": 3, "comment": "Ida is ill", "status": "Assigned"}
    rows = rows_of(
        "scheduling.shifts",
        {"id": 1, "employee_id": 1004, **shift},
        {"id": 2, "employee_id": 1005, **shift},
        {"id": 3, "employee_id": None, **shift},
    )
    mine, other, nobodys = PEOPLE.applied(rows, CATALOGUE.table("scheduling.shifts")).to_pylist()
    assert mine["employee_id"] == Forgotten(SALT).pseudonym(1004) < 0
    assert (mine["comment"], mine["_extra"]) == (None, None)
    assert (mine["id"], mine["department_id"], mine["status"]) == (1, 3, "Assigned")
    assert (other, nobodys) == (rows.to_pylist()[1], rows.to_pylist()[2])


def test_a_pseudonym_is_recognised_again() -> None:
    """Rows that were cleaned before are cleaned again, say where a later read brought a text back."""
    number = Forgotten(SALT).pseudonym(1004)
    rows = rows_of("scheduling.shifts", {"id": 1, "employee_id": number, "comment": "again"})
    (row,) = PEOPLE.applied(rows, CATALOGUE.table("scheduling.shifts")).to_pylist()
    assert (row["employee_id"], row["comment"]) == (number, None)


def test_rows_below_forgotten_records_lose_texts() -> None:
    table = CATALOGUE.table("scheduling.shift_history")
    change = {
        "modified_at": datetime(2026, 11, 1, tzinfo=UTC),
        "ordinal": 1,
        "modified_by_id": 9,
        "modified_by_name": "Bo",
    }
    rows = rows_of(
        "scheduling.shift_history",
        {"shift_id": 1, "changes": ["Ida"], **change},
        {"shift_id": 2, "changes": ["Bo"], **change},
    )
    mine, other = PEOPLE.applied(rows, table, {1}).to_pylist()
    assert (mine["changes"], mine["modified_by_name"], mine["_extra"]) == (None, None, None)
    assert other == rows.to_pylist()[1]


def test_texts_of_a_forgotten_author_go() -> None:
    table = CATALOGUE.table("scheduling.shift_history")
    rows = rows_of(
        "scheduling.shift_history",
        {"shift_id": 1, "ordinal": 1, "modified_by_id": 1004, "modified_by_name": "Ida", "changes": ["Ida: 8 to 9"]},
        {"shift_id": 1, "ordinal": 2, "modified_by_id": 1005, "modified_by_name": "Bo", "changes": ["Bo: 9 to 10"]},
    )
    mine, other = PEOPLE.applied(rows, table).to_pylist()
    assert (mine["modified_by_id"], mine["modified_by_name"], mine["changes"]) == (1004, None, None)
    assert other == rows.to_pylist()[1]


def test_nobody_is_recognised_by_another_portal_s_list() -> None:
    other = replace(PEOPLE, salt="11" * 16)
    rows = rows_of("hr.employees", {"id": 1004})
    assert other.applied(rows, CATALOGUE.table("hr.employees")).num_rows == 1


CLASSES = {
    "contact": r".*(email|phone|street).*|zip|city|user_name",
    "identity": r"(first|last)_name|modified_by_name|gender|salary_identifier",
    "sensitive": r"ssn|birth_date|bank_.*",
    "free_text": r"comment|note|description|.*reason|changes|url",
}
"""What columns are called that hold personal data, and the class that they must have."""
NUMBERS = {"accruing_rate_value", "duration", "hours", "turnover", "units", "value", "work_hours"}
"""Numbers that are nobody's pay: hours, days, and what guests paid."""


def test_personal_columns_have_their_class() -> None:
    wrong = []
    for table in CATALOGUE.tables():
        for column in table.columns:
            classes = [name for name, names in CLASSES.items() if re.fullmatch(names, column.name)]
            if column.type == "DECIMAL" and column.name not in NUMBERS:
                classes = ["pay"]
            # What a portal writes about a field of its own is about no person.
            if table.full_name != "hr.field_definitions" and classes and column.privacy not in classes:
                wrong.append(f"{table.full_name}.{column.name} is {column.privacy}, not {classes[0]}")
    assert wrong == []
