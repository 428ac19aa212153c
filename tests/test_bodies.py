"""Bodies that are not quite JSON: half characters, byte order marks, other encodings, NaN. Up to the published file."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from planday_io.client.bodies import as_utf8
from planday_io.documents import ANY_DECODER, OddNumber, load, looks_whole
from planday_io.errors import UnexpectedShapeError
from planday_io.sandbox.state import Fault
from tests.support.frames import shape_of
from tests.support.installation import Installation

DEPARTMENTS = "/hr/v1.0/departments"
LOST = "\ufffd"
ROW = b'{"data": [{"id": 7, "name": "%s", "number": "1"}], "paging": {"total": 1}}'


def loaded(content: bytes) -> tuple[Any, list[str]]:
    document = load(content, ANY_DECODER.decode)
    return document.clean(document.value)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (rb"cut \ud83d", f"cut {LOST}"),
        (rb"\ude00 cut", f"{LOST} cut"),
        (rb"\ude00\ud83d", LOST * 2),
        (rb"\ud83d\ud83d\ude00", f"{LOST}\U0001f600"),
        (rb"\ud83d\ude00\ude00", f"\U0001f600{LOST}"),
        (rb"\ud83d\u0041", f"{LOST}A"),
        (rb"\u0041\uDC00", f"A{LOST}"),
        (rb"\ud83d\\ud83d", f"{LOST}\\ud83d"),
        (rb"\\\ud83d\n", f"\\{LOST}\n"),
        (b"\xff", LOST),
        (b"a\xed\xa0\xbd", f"a{LOST}"),
        (b"cut \xf0\x9f\x98", f"cut {LOST * 3}"),
    ],
)
def test_lost_characters_are_replaced_and_named(sent: bytes, text: str) -> None:
    document, paths = loaded(ROW % sent)
    assert document["data"] == [{"id": 7, "name": text, "number": "1"}]
    assert paths == ["data.name"]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (rb"\\ud83d", "\\ud83d"),
        (rb"\u0000", "\0"),
        (rb"\uffff\ufffe", "\uffff\ufffe"),
        (rb"\ufffd", LOST),
        (rb"\ud83d\ude00", "\U0001f600"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
        ("\ufdd0\ufdd1".encode(), "\ufdd0\ufdd1"),
        (rb"\uFDD0", "\ufdd0"),
        (b'NaN, Infinity, \\"NaN', 'NaN, Infinity, "NaN'),
    ],
)
@pytest.mark.parametrize("beside", [b"1", b"NaN", rb'"\ud800"'])
def test_other_characters_stay(sent: bytes, text: str, beside: bytes) -> None:
    """Also beside something that has to be put right."""
    document, _ = loaded(b'{"name": "%s", "beside": %s}' % (sent, beside))
    assert document["name"] == text


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("document", [{"data": [{"name": "bl\u00e5b\u00e6r \U0001f600"}]}, [], {}, [1]])
def test_other_encodings_are_read(encoding: str, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    assert loaded(text.encode(encoding)) == (document, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-be"])
@pytest.mark.parametrize(
    "charset", ["", "utf-8", "utf-16", "utf-16be", "UTF-16LE", "iso-8859-1", "us-ascii", "zip", "no\0ne", "a.b", "=;"]
)
def test_a_charset_that_lies_spoils_nothing(encoding: str, charset: str) -> None:
    """The letters themselves show which Unicode encoding it is."""
    document = {"data": [{"name": "bl\u00e5b\u00e6r \U0001f600"}]}
    content = json.dumps(document, ensure_ascii=False).encode(encoding)
    assert loaded(as_utf8(content, f"application/json; charset={charset}")) == (document, [])


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("ISO-8859-1", "latin-1"),
        ("latin1", "latin-1"),
        ("ISO_8859-1", "latin-1"),
        ("iso8859-15", "iso8859-15"),
        ('"windows-1252"', "cp1252"),
        ("cp1252", "cp1252"),
        ("IBM850", "cp850"),
    ],
)
def test_charset_is_known_by_all_of_its_names(charset: str, encoding: str) -> None:
    content = '{"name": "bl\u00e5b\u00e6r"}'.encode(encoding)
    assert loaded(as_utf8(content, f"application/json; charset={charset}")) == ({"name": "bl\u00e5b\u00e6r"}, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\r\n \xef\xbb\xbf", b""),
        (b"\xef\xbb\xbf\xef\xbb\xbf\n\xef\xbb\xbf", b""),
        (b"", b"\0\0"),
        (b"", b"\n\xef\xbb\xbf"),
        (b"", b"\x0c\x1a"),
        (b"", b"\xc2\xa0"),
        (b"\xe2\x80\x8b", b""),
    ],
)
@pytest.mark.parametrize("name", [b"a", rb"\ud800", b"\xff"])
def test_invisible_characters_around_document_are_ignored(before: bytes, after: bytes, name: bytes) -> None:
    document, paths = loaded(before + b'{"name": "%s"}' % name + after)
    assert document == {"name": "a" if name == b"a" else LOST}
    assert bool(paths) == (name != b"a")
    assert looks_whole(before + b'{"name": NONE}' + after) or before == b"\xe2\x80\x8b"


def test_half_letter_behind_utf_16_is_left_out() -> None:
    content = as_utf8('{"a": "\u00e5"}'.encode("utf-16") + b"\n", "application/json; charset=utf-16")
    assert loaded(content) == ({"a": "\u00e5"}, [])


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1E+9999999999999999999", "9" * 5000, "-" + "1" * 4301]
)
def test_numbers_that_nothing_holds_stay_apart(number: str) -> None:
    document, _ = loaded(f'{{"a": {number}, "b": [{number}, 1]}}'.encode())
    assert document == {"a": OddNumber(number), "b": [OddNumber(number), 1]}


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.text(st.characters(codec=None, exclude_categories=()), max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    )
)
@example("\ud83d\ude00\ud83d")
def test_any_document_is_read_as_json_reads_it(document: Any) -> None:
    """The standard library keeps half characters; what it keeps is what has to be replaced."""
    text = json.dumps(document)
    expected = json.loads(json.dumps(document))
    found, paths = loaded(text.encode())

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return {replaced(k): replaced(v) for k, v in value.items()} if isinstance(value, dict) else value

    assert found == replaced(expected)
    assert bool(paths) == (replaced(expected) != expected)


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=30).map(str.encode))
@example(b'{"a": "')
@example(b"\xff\xfe{")
@example(b"\x00\x00\x00")
def test_any_bytes_are_a_document_or_an_error(content: bytes) -> None:
    for decode in (ANY_DECODER.decode, shape_of("hr.employees").page):
        try:
            load(content, decode)
        except (msgspec.DecodeError, UnicodeDecodeError):
            assert looks_whole(content) in (True, False)


def sends(planday: Installation, content: bytes, path: str = DEPARTMENTS, media: str = "application/json") -> None:
    planday.sandbox.faults.append(Fault(path, lambda *_: Response(content, media_type=media), times=None))


def test_half_a_character_is_published_with_a_warning(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    rows = ROW.replace(b'"number": "1"', rb'"number": "1", "n\ud800ew": "x\udfff", "kept": "\u0000"')
    sends(planday, rows % rb"Bar \ud83d" + b"\n")
    (report,) = planday.refresh("hr.departments")
    planday.publish()
    assert planday.query("SELECT id, name FROM hr.departments") == [(7, f"Bar {LOST}")]
    (extra,) = planday.query("SELECT _extra FROM hr.departments")[0]
    assert json.loads(extra) == {f"n{LOST}ew": f"x{LOST}", "kept": "\0"}
    assert any("name in 1 rows (first: id 7): half a character" in line for line in report.warnings)
    assert report.counters.retries == 0


def test_custom_fields_with_half_characters(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {free_text: keep}\ndefaults:")
    number = next(iter(planday.sandbox.portals["oslo"].details))

    def respond(_: Any, __: int, document: Any) -> Response:
        field = {"name": "Shoe \ud83d", "type": "Text", "value": "4\udc002"}
        return Response(json.dumps({"data": {**document["data"], "custom_101": field}}), media_type="application/json")

    planday.sandbox.faults.append(Fault(f"/hr/v1.0/employees/{number}", respond, times=None))
    reports = planday.refresh("hr.employee_details")
    found = {
        (row["name"], row["value"])
        for row in planday.rows("hr.employee_custom_fields")
        if (row["employee_id"], row["field"]) == (number, "custom_101")
    }
    assert found == {(f"Shoe {LOST}", f"4{LOST}2")}
    warnings = [line for report in reports for line in report.warnings]
    assert any(f"custom_101.name in 1 rows (first: id {number})" in line for line in warnings)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_fault(planday: Installation, encoding: str) -> None:
    for path, document in (
        (DEPARTMENTS, {"data": [{"id": 7, "name": "K\u00f8kken"}], "paging": {"total": 1}}),
        ("/portal/v1.0/info", {"data": planday.sandbox.portals["oslo"].info}),
    ):
        sends(planday, json.dumps(document, ensure_ascii=False).encode(encoding), path)
    (report,) = planday.refresh("hr.departments")
    assert [row["name"] for row in planday.rows("hr.departments")] == ["K\u00f8kken"]
    assert (report.warnings, report.counters.retries) == ((), 0)


@pytest.mark.parametrize(
    "number", ["NaN", "-Infinity", "1E+9999999999999999999", "8" * 4400, "1E+999999999999", "8" * 400, "1e400"]
)
def test_odd_number_is_fault_of_its_column(planday: Installation, number: str) -> None:
    sends(planday, f'{{"data": [{{"id": 7, "name": "a"}}, {{"id": {number}, "name": "b"}}]}}'.encode())
    with pytest.raises(UnexpectedShapeError, match=r"id is (a )?number .* instead of BIGINT in row 2 of the answer"):
        planday.refresh("hr.departments")


def test_odd_numbers_in_unknown_members_are_kept(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    numbers = ["NaN", "1E+9999999999999999999", "8" * 4400, "1E+999999999999", "8" * 400]
    odd = ", ".join(f'"w{place}": {number}' for place, number in enumerate(numbers))
    sends(planday, f'{{"data": [{{"id": 7, "name": "a", {odd}}}], "paging": {{"total": 1}}}}'.encode())
    planday.refresh("hr.departments")
    planday.publish()
    asked = ", ".join(f"_extra->>'w{place}'" for place in range(len(numbers)))
    (found,) = planday.query(f"SELECT {asked} FROM hr.departments")
    assert [*found] == numbers
