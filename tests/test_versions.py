"""The versions that a few reads make of a few rows, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake.history import advance

TABLE = CATALOGUE.table("hr.departments")
HISTORY = CATALOGUE.histories["hr.departments"]
DAY = {number: datetime(2026, 10, number, 2, tzinfo=UTC) for number in range(1, 9)}


def departments(day: int, **names: str) -> pa.Table:
    schema = arrow_schema(TABLE, PrivacyPolicy())
    rows = [{"portal": "oslo", "portal_id": 1, "id": int(key[1:]), "name": name} for key, name in names.items()]
    return pa.Table.from_pylist([{**row, "_fetched_at": DAY[day]} for row in rows], schema=schema)


def after(*reads: tuple[int, int | None, dict[str, str]]) -> list[tuple[Any, ...]]:
    """Id, name, valid from and to, whether it is current, changed after: of reads on days, and the day of the one before."""
    versions = arrow_schema(HISTORY, PrivacyPolicy()).empty_table()
    for day, seen, names in reads:
        versions = advance(versions, departments(day, **names), table=TABLE, compared=["name"], at=DAY[day],
            seen=DAY[seen] if seen else None)  # fmt: skip
    columns = ("id", "name", "valid_from", "valid_to", "is_current", "changed_after")
    return [tuple(row[name] for name in columns) for row in versions.to_pylist()]


def test_a_change_ends_one_version_and_begins_another() -> None:
    assert after((1, None, {"d1": "Bar", "d2": "Kitchen"}), (3, 1, {"d1": "Pub", "d2": "Kitchen"})) == [
        (1, "Bar", DAY[1], DAY[3], False, None),
        (1, "Pub", DAY[3], None, True, DAY[1]),
        (2, "Kitchen", DAY[1], None, True, None),
    ]


def test_row_that_is_gone_ends_and_may_return() -> None:
    assert after(
        (1, None, {"d1": "Bar", "d2": "Kitchen"}), (2, 1, {"d2": "Kitchen"}), (5, 2, {"d1": "Bar", "d2": "Kitchen"})
    ) == [
        (1, "Bar", DAY[1], DAY[2], False, None),
        (1, "Bar", DAY[5], None, True, DAY[2]),
        (2, "Kitchen", DAY[1], None, True, None),
    ]


def test_the_same_read_once_more_replaces_its_versions() -> None:
    """A read that was cut is recorded again, with other rows: what it had begun never was."""
    first = (1, None, {"d1": "Bar"})
    assert after(first, (2, 1, {"d1": "Pub", "d2": "Kitchen"}), (2, 1, {"d1": "Cafe"})) == [
        (1, "Bar", DAY[1], DAY[2], False, None),
        (1, "Cafe", DAY[2], None, True, DAY[1]),
    ]


def test_reads_that_find_the_same_change_nothing() -> None:
    rows = {"d2": "Kitchen", "d1": "Bar"}
    assert after((1, None, rows), (2, 1, rows), (3, 2, dict(reversed(rows.items())))) == after((1, None, rows))
