"""Forgetting a person, row by row: what goes, what stays, what is searched for. The commands are in `test_forgetting`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.frames.types import arrow_schema
from planday_io.lake.installation import Installation
from planday_io.lake.provenance import Provenance
from planday_io.privacy.erasure import forget_person, scan
from planday_io.state import SliceKey

IDA, BO = 1004, 1005
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    file = tmp_path / "portals.yaml"
    file.write_text(
        "history_start: 2026-11\nprivacy: {contact: keep, free_text: keep, unknown: keep}\n"
        "portals: {oslo: {client_id: none, refresh_token: {env: NONE}}}\n"
    )
    made = Installation.load(file, CATALOGUE)
    write(
        made,
        "hr.employees",
        {"id": IDA, "first_name": "Gunhildis", "last_name": "Fosse", "email": "gunhildis@fosse.example"},
        {"id": BO, "first_name": "Bo", "last_name": "Fosse", "email": "bo@fosse.example"},
    )
    return made


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


def change(number: int, by: int, name: str, texts: list[str]) -> dict[str, Any]:
    """A row of the history of a shift."""
    return {
        "shift_id": 1,
        "modified_at": AT,
        "ordinal": number,
        "modified_by_id": by,
        "modified_by_name": name,
        "changes": texts,
    }


def left(made: Installation, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in made.lake.read(key(name)).to_pylist()]


def test_texts_about_a_person_are_emptied(made: Installation) -> None:
    """Words of a text count, parts of a word do not."""
    comments = ["ask Gunhildis!", "GUNHILDIS is late", "Gunhildisson called", "gunhildis@fosse.example", "Fosse", None]
    write(
        made,
        "scheduling.shifts",
        *({"id": n, "employee_id": BO, "comment": text, "date": AT.date()} for n, text in enumerate(comments)),
    )
    done = forget_person(made, "oslo", IDA)
    assert left(made, "scheduling.shifts", "employee_id", "comment") == [
        (BO, None), (BO, "GUNHILDIS is late"), (BO, "Gunhildisson called"), (BO, None), (BO, "Fosse"), (BO, None)
    ]  # fmt: skip
    assert done.mentions == {"scheduling.shifts": 2}
    assert done.removed == {"hr.employees": 1}
    assert done.places == []


def test_names_of_others_go_only_as_a_whole(made: Installation) -> None:
    write(
        made,
        "hr.supervisors",
        {"id": 1, "employee_id": BO, "name": "Gunhildis Nielsen"},
        {"id": 2, "employee_id": None, "name": "Gunhildis"},
    )
    done = forget_person(made, "oslo", IDA)
    # The second record has no employee, so its name may be anybody's: it is what the list of names was cleared of.
    assert left(made, "hr.supervisors", "name") == [("Gunhildis Nielsen",), ("Gunhildis",)]
    assert done.mentions == {}


def test_lists_of_texts_are_searched(made: Installation) -> None:
    write(
        made,
        "scheduling.shift_history",
        change(1, BO, "Bo", ["Gunhildis: 8 to 9", "x"]),
        change(2, BO, "Bo", ["Bo: 9 to 10"]),
    )
    done = forget_person(made, "oslo", IDA)
    assert left(made, "scheduling.shift_history", "changes") == [(None,), (["Bo: 9 to 10"],)]
    assert done.mentions == {"scheduling.shift_history": 1}


def test_rows_that_a_person_edited_are_not_theirs(made: Installation) -> None:
    """The author's texts go, the row is counted neither as removed nor as kept, and others' texts are not searched for."""
    write(
        made,
        "scheduling.shift_history",
        change(1, IDA, "Gunhildis F.", ["moved to the kitchen"]),
        change(2, BO, "Bo", ["moved to the bar"]),
    )
    write(made, "scheduling.shifts", {"id": 9, "employee_id": BO, "comment": "moved to the kitchen", "date": AT.date()})
    done = forget_person(made, "oslo", IDA)
    assert left(made, "scheduling.shift_history", "modified_by_id", "modified_by_name", "changes") == [
        (IDA, None, None), (BO, "Bo", ["moved to the bar"])
    ]  # fmt: skip
    assert left(made, "scheduling.shifts", "comment") == [("moved to the kitchen",)]
    assert done.removed == {"hr.employees": 1}
    assert done.kept == {}


def test_their_shifts_stay_under_a_pseudonym(made: Installation) -> None:
    shift = {"date": AT.date(), "department_id": 3, "comment": "her knee hurts"}
    write(made, "scheduling.shifts", {"id": 1, "employee_id": IDA, **shift}, {"id": 2, "employee_id": BO, **shift})
    done = forget_person(made, "oslo", IDA)
    (mine, comment, department), other = left(made, "scheduling.shifts", "employee_id", "comment", "department_id")
    assert mine < 0
    assert (comment, department) == (None, 3)
    assert other == (BO, "her knee hurts", 3), "somebody else's text that happens to be the same"
    assert done.kept == {"scheduling.shifts": 1}


def test_covered_parents_forget_the_person(made: Installation) -> None:
    covered = {str(IDA): "a", str(BO): "b", f"{IDA}/once": "c", f"1{IDA}": "d"}
    write(made, "hr.employee_details", {"id": IDA}, {"id": BO}, covered=covered)
    forget_person(made, "oslo", IDA)
    stored = made.lake.provenance(key("hr.employee_details"))
    assert stored
    assert stored.covered == {str(BO): "b", f"1{IDA}": "d"}


def test_second_attempt_does_no_harm(made: Installation) -> None:
    write(made, "scheduling.shifts", {"id": 1, "employee_id": IDA, "date": AT.date()})
    forget_person(made, "oslo", IDA)
    before = left(made, "scheduling.shifts", "employee_id")
    assert forget_person(made, "oslo", IDA).removed == {}
    assert left(made, "scheduling.shifts", "employee_id") == before


def test_copies_of_the_warehouse_are_scanned(made: Installation) -> None:
    forget_person(made, "oslo", IDA)
    copy = made.config.warehouse.with_name("warehouse.duckdb.copy")
    copy.write_bytes(b"\x00gunhildis@fosse.example\x00")
    (made.config.lake / "note.txt").write_text("nothing")
    found = scan(made, {"gunhildis@fosse.example"})
    assert found.places == ["warehouse.duckdb.copy (bytes)"]
    assert found.files == len([path for path in made.config.lake.rglob("*") if path.is_file()]) + 2
