"""Forgetting a person, row by row: what goes, what stays, what is searched for. The commands are in `test_forgetting`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.frames.types import arrow_schema
from planday_io.lake.installation import Installation
from planday_io.lake.provenance import Provenance
from planday_io.privacy.erasure import Forgetting, forget_person, scan
from planday_io.state import SliceKey

IDA, BO = 1004, 1005
AT = datetime(2026, 11, 1, tzinfo=UTC)


def key(name: str) -> SliceKey:
    return SliceKey.of(name, "oslo", "2026-11" if CATALOGUE.table(name).is_monthly else None)


def write(made: Installation, name: str, *rows: dict[str, Any], covered: dict[str, str] | None = None) -> None:
    table = CATALOGUE.table(name)
    head = {
        "portal": "oslo",
        "portal_id": 4711,
        "_fetched_at": AT,
        **({"month": "2026-11"} if table.is_monthly else {}),
    }
    frame = pa.Table.from_pylist([head | row for row in rows], schema=arrow_schema(table, made.config.privacy))
    provenance = Provenance(
        run_id="run", portal_id=4711, fetched_at=AT.isoformat(), window="all", requests=1, expected_total=None,
        received=len(rows), distinct_keys=len(rows), kept=len(rows), verdict="document", catalogue_version=1,
        policies=dict.fromkeys(("contact", "free_text", "identity", "unknown"), "keep"), covered=covered or {},
    )  # fmt: skip
    with made.lake.locked(key(name)):
        made.lake.write(key(name), frame, provenance)


def change(number: int, by: int, name: str, texts: list[str], shift: int = 1) -> dict[str, Any]:
    """A row of the history of a shift."""
    return {
        "shift_id": shift,
        "modified_at": AT,
        "ordinal": number,
        "modified_by_id": by,
        "modified_by_name": name,
        "changes": texts,
    }


def left(made: Installation, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in made.lake.read(key(name)).to_pylist()]


Forgotten = tuple[Installation, Forgetting]

STREET = "Bræk \U0001f98a, 2nd (e\u0301t) floor"
"""Letters and signs that regular expressions treat in their own ways."""

COMMENTS = {
    "ask Gunhildis!": None,
    "GUNHILDIS is late": "GUNHILDIS is late",
    "Gunhildisson called": "Gunhildisson called",
    "gunhildis@fosse.example": None,
    f"lives in {STREET}": None,
    "Fosse": "Fosse",
    "moved to the kitchen": "moved to the kitchen",
    "her knee hurts": "her knee hurts",
}
"""Comments on shifts of somebody else, and what is left of them: words of a text count, parts of a word do not."""


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> Forgotten:
    """An installation after Ida was forgotten."""
    file = tmp_path_factory.mktemp("erasure") / "portals.yaml"
    file.write_text(
        "history_start: 2026-11\nprivacy: {contact: keep, free_text: keep, unknown: keep}\n"
        "portals: {oslo: {client_id: none, refresh_token: {env: NONE}}}\n"
    )
    made = Installation.load(file, CATALOGUE)
    write(
        made,
        "hr.employees",
        {
            "id": IDA,
            "first_name": "Gunhildis",
            "last_name": "Fosse",
            "email": "gunhildis@fosse.example",
            "street1": STREET,
        },
        {"id": BO, "first_name": "Bo", "last_name": "Fosse", "email": "bo@fosse.example"},
    )
    covered = {str(IDA): "a", str(BO): "b", f"{IDA}/once": "c", f"1{IDA}": "d"}
    write(made, "hr.employee_details", {"id": IDA}, {"id": BO}, covered=covered)
    supervisors = enumerate(("Gunhildis Nielsen", "Gunhildis F."))
    write(made, "hr.supervisors", *({"id": n, "employee_id": BO, "name": name} for n, name in supervisors))
    write(
        made,
        "scheduling.shifts",
        {"id": 0, "employee_id": IDA, "date": AT.date(), "department_id": 3, "comment": "her knee hurts"},
        *({"id": n, "employee_id": BO, "date": AT.date(), "comment": text} for n, text in enumerate(COMMENTS, 1)),
    )
    write(
        made,
        "scheduling.shift_history",
        change(1, BO, "Bo", ["Gunhildis: 8 to 9", "x"]),
        change(2, BO, "Bo", ["Bo: 9 to 10"]),
        change(3, IDA, "Gunhildis F.", ["moved to the kitchen"]),
        change(4, BO, "Bo", ["a bad knee since May"], shift=0),
    )
    return made, forget_person(made, "oslo", IDA)


def test_texts_about_a_person_are_emptied(forgotten: Forgotten) -> None:
    made, done = forgotten
    assert left(made, "scheduling.shifts", "comment")[1:] == [(text,) for text in COMMENTS.values()]
    assert done.mentions == {"scheduling.shifts": 3, "scheduling.shift_history": 1, "hr.supervisors": 1}
    assert done.places == []


def test_names_of_others_stay(forgotten: Forgotten) -> None:
    """But not the name that the person signed with."""
    assert left(forgotten[0], "hr.supervisors", "name") == [("Gunhildis Nielsen",), (None,)]


def test_values_of_one_person_are_searched_for(forgotten: Forgotten) -> None:
    """First name, two addresses, signature, and what was typed about their shift; not what others have as well."""
    assert forgotten[1].values == 5


def test_lists_of_texts_are_searched(forgotten: Forgotten) -> None:
    assert left(forgotten[0], "scheduling.shift_history", "changes")[:2] == [(None,), (["Bo: 9 to 10"],)]


def test_rows_that_a_person_edited_stay(forgotten: Forgotten) -> None:
    """The author's texts go; the row is neither removed nor kept under a pseudonym, and its text is not searched for."""
    made, done = forgotten
    columns = ("modified_by_id", "modified_by_name", "changes")
    assert left(made, "scheduling.shift_history", *columns)[2] == (IDA, None, None)
    assert done.removed == {"hr.employees": 1, "hr.employee_details": 1}
    assert done.kept == {"scheduling.shifts": 1, "scheduling.shift_history": 1}


def test_their_shifts_stay_under_a_pseudonym(forgotten: Forgotten) -> None:
    columns = ("employee_id", "comment", "department_id")
    employee, comment, department = left(forgotten[0], "scheduling.shifts", *columns)[0]
    assert employee < 0
    assert (comment, department) == (None, 3)


def test_covered_parents_forget_the_person(forgotten: Forgotten) -> None:
    stored = forgotten[0].lake.provenance(key("hr.employee_details"))
    assert stored
    assert stored.covered == {str(BO): "b", f"1{IDA}": "d"}


@pytest.mark.processes
def test_copies_of_the_warehouse_are_scanned(forgotten: Forgotten) -> None:
    made, _ = forgotten
    copy = made.config.warehouse.with_name("warehouse.duckdb.copy")
    copy.write_bytes(b"\x00gunhildis@fosse.example\x00")
    found = scan(made, {"gunhildis@fosse.example"})
    copy.unlink()
    assert found.places == ["warehouse.duckdb.copy (bytes)"]
    assert found.files == len([path for path in made.config.lake.rglob("*") if path.is_file()]) + 2


@pytest.mark.processes
def test_second_attempt_does_no_harm(forgotten: Forgotten) -> None:
    made, _ = forgotten
    before = left(made, "scheduling.shifts", "employee_id", "comment")
    assert forget_person(made, "oslo", IDA).removed == {}
    assert left(made, "scheduling.shifts", "employee_id", "comment") == before
