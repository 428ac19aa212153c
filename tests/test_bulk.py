"""Rows that go straight from text to columns become the same as rows that go the long way, whatever is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.bulk import Rows
from planday_io.frames.types import arrow_schema
from planday_io.lake.history import advance
from tests.support.frames import builder, outcome, shape_of

TABLES = ("hr.employees", "scheduling.shifts")
PLAIN = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "VARCHAR": st.text(max_size=8),
    "BOOLEAN": st.booleans(),
    "DATE": st.dates().map(str),
    "TIMESTAMP": st.datetimes(timezones=st.none()).map(lambda at: at.isoformat(timespec="minutes")),
    "TIMESTAMPTZ": st.datetimes().map(lambda at: at.isoformat(timespec="seconds") + "Z") | st.dates().map(str),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
TEXTS = ("", " ", "2026-02-30", "2026-01-01", "2026-01-01T10:00:00+02:00", "2026-01-01T24:00", "2026-1-1", "0:07:30")
ODD = st.sampled_from([*TEXTS, 1.5, 1e3, 2**70]) | JSON


@st.composite
def rows_of(draw: st.DrawFn, table: str) -> list[Any]:
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row: dict[str, Any] = {}
        for column in CATALOGUE.table(table).columns:
            kind = column.type
            if "." in column.member or draw(st.integers(0, 9)) < 3:
                continue
            plain = PLAIN[kind] if isinstance(kind, str) else st.lists(PLAIN[kind.of], max_size=3)  # type: ignore[union-attr, index]
            row[column.member] = draw(plain if draw(st.integers(0, 60)) else ODD)
        if not draw(st.integers(0, 15)):
            row[draw(st.sampled_from(["costCentre", "bankAccount", "@zone"]))] = draw(ODD)
        rows.append(row if draw(st.integers(0, 40)) else draw(ODD))
    return rows


def decoded(text: bytes) -> list[Any]:
    """As every other list is decoded."""
    rows: list[Any] = msgspec.json.Decoder(float_hook=Decimal).decode(text)["data"]
    return rows


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_both_ways_give_the_same(table: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(table))
    answer = {"data": rows, "paging": {"total": len(rows)}}
    text = json.dumps(answer, ensure_ascii=data.draw(st.booleans())).encode()
    page = shape_of(table).page(text)
    assert outcome(builder(table), page["data"]) == outcome(builder(table), decoded(text))


def test_plain_rows_take_the_short_way() -> None:
    rows = [{"id": 1, "date": "2026-11-01", "dateTimeCreated": "2026-10-31", "skillIds": [4], "comment": 5}, {"id": 2}]
    page = shape_of("scheduling.shifts").page(json.dumps({"data": rows, "paging": {"total": 2}}).encode())
    assert isinstance(page["data"], Rows)
    columns = page["data"].columns()
    assert columns["id"].to_pylist() == [1, 2]
    assert columns["dateTimeCreated"].to_pylist() == [datetime(2026, 10, 31, tzinfo=UTC), None]
    assert "comment" not in columns, "it is dropped, so it may be anything"


@pytest.mark.parametrize("row", [{"id": "1"}, {"id": 1, "costCentre": 5}, {"id": 1, "bankAccount": {"iban": 5}}, 5])
def test_unusual_rows_take_general_path(row: Any) -> None:
    assert shape_of("hr.employees").page(json.dumps({"data": [row]}).encode()) == {"data": [row]}


def test_nested_types_take_general_path() -> None:
    assert builder("hr.employees", identity="hash", hash_key={"env": "KEY"}).shape is None
    assert builder("payroll.shifts").shape is None


@pytest.mark.parametrize("body", [b"[]", b"[{}]", b'{"data": {"id": 1}}', b'{"data": null}', b"{}", b"null", b"5"])
def test_other_forms_of_an_answer_are_decoded_whole(body: bytes) -> None:
    assert shape_of("hr.employees").page(body) == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"data": [{]}', b'{"data": [{"zip": "\xff"}]}', b'{"data": ["\\ud800"]}']
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, UnicodeDecodeError)):
        shape_of("hr.employees").page(body)


def test_rows_are_dicts_when_they_are_looked_at() -> None:
    rows = shape_of("hr.employees").page(b'{"data": [{"id": 1}, {"id": 2}, {"id": 3}]}')["data"]
    assert isinstance(rows[1:], Rows)
    assert (len(rows), rows[-1]["id"], [row["id"] for row in rows[1:]]) == (3, 3, [2, 3])


@settings(max_examples=30, deadline=None)
@given(ids=st.lists(st.integers(1, 50), unique=True, max_size=12))
@example(ids=[])
@example(ids=[1, 2, 3])
def test_the_first_versions_are_those_of_a_join(ids: list[int]) -> None:
    """What begins a history without a join is what the join gives beside an older version of another row."""
    table, history = CATALOGUE.table("scheduling.shifts"), CATALOGUE.histories["scheduling.shifts"]
    made = builder("scheduling.shifts")
    snapshot = made.finish([made.batch([{"id": one} for one in ids])])
    schema = arrow_schema(history, PrivacyPolicy())
    at, before = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    how: dict[str, Any] = {"table": table, "compared": ["status"], "at": at, "seen": before}
    old = made.finish([made.batch([{"id": 99}])])
    ended = advance(schema.empty_table(), old, table=table, compared=[], at=before, seen=None)
    joined = advance(ended, snapshot, **how).filter(pa.compute.is_null(pa.compute.field("valid_to")))
    assert advance(schema.empty_table(), snapshot, **how).to_pylist() == joined.to_pylist()
