"""Dates and numbers at the ends of what can be held, in every form that they are met in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from planday_io.catalogue import CATALOGUE
from planday_io.catalogue.model import Column, ScalarList, StructList
from planday_io.catalogue.scheduling import SHIFTS
from planday_io.errors import UnexpectedShapeError
from planday_io.frames.build import to_frame
from planday_io.frames.type_mismatch import OutOfRange, TypeMismatch
from planday_io.frames.types import arrow_type
from planday_io.frames.values import convert
from planday_io.months import month_of, months_between
from planday_io.sandbox.state import Fault
from tests.support.frames import builder, outcome, shape_of
from tests.support.installation import EVERYTHING, Make
from tests.support.source import Source, read

OSLO, NEW_YORK = ZoneInfo("Europe/Oslo"), ZoneInfo("America/New_York")
SCALARS = ("BIGINT", "VARCHAR", "TEXT", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DECIMAL", "JSON")
OUT, NO = OutOfRange, TypeMismatch


@pytest.mark.parametrize(
    ("text", "as_date", "as_instant"),
    [
        ("2026-08-31T22:00:00Z", date(2026, 9, 1), "2026-08-31T22:00:00"),
        ("2026-12-31T23:00Z", date(2027, 1, 1), "2026-12-31T23:00:00"),
        ("2026-09-01T00:00:00+02:00", date(2026, 9, 1), "2026-08-31T22:00:00"),
        ("2026-09-01T00:00:00.0000000Z", date(2026, 9, 1), "2026-09-01T00:00:00"),
        ("2026-09-01T12:00:00+14:00", date(2026, 9, 1), "2026-08-31T22:00:00"),
        ("2026-08-31T12:00:00-12:00", date(2026, 9, 1), "2026-09-01T00:00:00"),
        ("2026-09-01T23:59:59", date(2026, 9, 1), "2026-09-01T23:59:59"),
        ("2026-08-31T24:00", date(2026, 9, 1), "2026-09-01T00:00:00"),
        ("2026-08-31t22:00:00z", date(2026, 9, 1), "2026-08-31T22:00:00"),
        ("2026-08-31 22:00+0000", date(2026, 9, 1), "2026-08-31T22:00:00"),
        ("2026-09-01T10", date(2026, 9, 1), "2026-09-01T10:00:00"),
        (" 2026-09-01 ", date(2026, 9, 1), "2026-09-01T00:00:00"),
        ("2026-06-30T23:59:60Z", date(2026, 7, 1), "2026-07-01T00:00:00"),
        ("2026-09-01T00:00:00.123456789Z", date(2026, 9, 1), "2026-09-01T00:00:00.123456"),
        ("9999-12-31", date(9999, 12, 31), "9999-12-31T00:00:00"),
        ("9999-12-31T23:59:59Z", OUT, "9999-12-31T23:59:59"),
        ("9999-12-31T23:59:59.9999999", date(9999, 12, 31), "9999-12-31T23:59:59.999999"),
        ("9999-12-31T23:59:59-01:00", OUT, OUT),
        ("9999-12-31T24:00:00", OUT, OUT),
        ("0001-01-01T00:00:00", date(1, 1, 1), "0001-01-01T00:00:00"),
        ("0001-01-01T00:00:00Z", date(1, 1, 1), "0001-01-01T00:00:00"),
        ("0001-01-01T00:00:00.0000000+01:00", OUT, OUT),
        ("10000-01-01", OUT, OUT),
        ("+010000-01-01T00:00:00Z", OUT, OUT),
        ("0000-01-01", OUT, OUT),
        ("-0001-01-01", OUT, OUT),
        ("-271821-04-20T00:00:00.000Z", OUT, OUT),
        ("0000-00-00", NO, NO),
        ("2026-02-30", NO, NO),
        ("2026-13-01", NO, NO),
        ("2026-09-01T24:00:01", NO, NO),
        ("2026-09-01T25:00:00", NO, NO),
        ("2026-09-01T00:00:00+25:00", NO, NO),
        ("2026-09-01T00:00:00+02:75", NO, NO),
        ("20260901", NO, NO),
        ("2026-W36-2", NO, NO),
        ("/Date(1788220800000)/", NO, NO),
        ("1788220800", NO, NO),
        ("\uff12\uff10\uff12\uff16-09-01", NO, NO),
        ("never", NO, NO),
        (1788220800, NO, NO),
        (True, NO, NO),
    ],
)
def test_forms_of_dates_in_oslo(text: Any, as_date: Any, as_instant: Any) -> None:
    for kind, expected in (("DATE", as_date), ("TIMESTAMPTZ", as_instant)):
        if isinstance(expected, type):
            with pytest.raises(TypeMismatch) as met:
                convert(text, kind, OSLO)  # type: ignore[arg-type]
            assert type(met.value) is expected
        else:
            found = convert(text, kind, OSLO)  # type: ignore[arg-type]
            assert found == (
                datetime.fromisoformat(expected).replace(tzinfo=UTC) if kind == "TIMESTAMPTZ" else expected
            )


def test_a_date_written_elsewhere_stays_that_day() -> None:
    assert convert("2026-09-01T00:00:00Z", "DATE", NEW_YORK) == date(2026, 9, 1)
    # Of a server in Denmark, and of one whose offset stayed that of summer.
    assert convert("2026-09-01T00:00:00+02:00", "DATE", NEW_YORK) == date(2026, 9, 1)
    assert convert("2026-09-01T00:00:00+02:00", "DATE", ZoneInfo("Europe/London")) == date(2026, 9, 1)
    assert convert("2026-11-01T00:00:00.0000000+02:00", "DATE", OSLO) == date(2026, 11, 1)
    assert convert("2026-08-31T22:00:00Z", "DATE", OSLO) == date(2026, 9, 1)
    assert convert("2026-09-01T04:00:00Z", "DATE", NEW_YORK) == date(2026, 9, 1)
    assert convert("2026-09-01T03:00:00Z", "DATE", NEW_YORK) == date(2026, 8, 31)


@pytest.mark.parametrize(
    ("text", "in_oslo", "in_new_york"),
    [
        ("2026-07-01T10:00:00Z", "2026-07-01T12:00", "2026-07-01T06:00"),
        ("2026-01-01T10:00:00Z", "2026-01-01T11:00", "2026-01-01T05:00"),
        ("2026-07-01T23:30:00+00:00", "2026-07-02T01:30", "2026-07-01T19:30"),
        ("2026-07-01T03:00:00+05:30", "2026-06-30T23:30", "2026-06-30T17:30"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T12:00", "2026-07-01T06:00"),
        ("2026-07-01T10:00:00", "2026-07-01T10:00", "2026-07-01T10:00"),
        ("2026-07-01", "2026-07-01T00:00", "2026-07-01T00:00"),
    ],
)
def test_an_offset_becomes_the_zone_s_wall_clock(text: str, in_oslo: str, in_new_york: str) -> None:
    for zone, expected in ((OSLO, in_oslo), (NEW_YORK, in_new_york)):
        local = datetime.fromisoformat(expected)
        assert convert(text, "TIMESTAMP", zone) == local
        assert convert([None, text], ScalarList(of="TIMESTAMP"), zone) == [None, local]
        inner = StructList(fields=(Column("at", "TIMESTAMP", "When."),))
        assert convert([{"at": text}], inner, zone) == [{"at": local}]


@pytest.mark.parametrize("others", [[], ["2026-07-01T08:00:00"]])
def test_offsets_in_a_frame_become_wall_clock(others: list[str]) -> None:
    """Also in a batch of which the other rows have no offset."""
    texts = ["2026-07-01T10:00:00Z", *others]
    rows = [{"id": number, "date": "2026-07-01", "startDateTime": text} for number, text in enumerate(texts)]
    batch = builder("scheduling.shifts").batch(rows)
    assert batch.column("start_date_time").to_pylist() == [
        datetime.fromisoformat(one) for one in ("2026-07-01T12:00", *others)
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=6) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NUMBERS = (
    st.decimals()
    | st.integers(-(10**400), 10**400)
    | st.sampled_from(
        [
            Decimal("1E+999999999999"),
            Decimal("-1E+999999999999"),
            Decimal("1E-999999999999"),
            Decimal("NaN"),
            Decimal("-Infinity"),
        ]
    )
)
STAMPS = st.from_regex(
    r"[-+]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}(:[0-9]{2}){0,2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    fullmatch=True,
)


@settings(max_examples=150, deadline=None)
@given(
    value=JSON | NUMBERS | STAMPS,
    kind=st.sampled_from(SCALARS),
    zone=st.sampled_from([OSLO, NEW_YORK, ZoneInfo("Pacific/Kiritimati")]),
)
@example(value=Decimal("1E+999999999999"), kind="BIGINT", zone=OSLO)
@example(value="0001-01-01T00:00:00Z", kind="TIMESTAMP", zone=NEW_YORK)
def test_any_value_is_typed_or_a_typed_error(value: Any, kind: Any, zone: ZoneInfo) -> None:
    if value is None or (isinstance(value, Decimal) and not value.is_finite() and kind in ("TEXT", "JSON")):
        return  # a null is no value; numbers that are not finite are no JSON
    try:
        found = convert(value, kind, zone)
    except TypeMismatch as mismatch:
        assert str(value) not in mismatch.met or len(str(value)) < 7
        return
    assert pa.array([found], arrow_type(kind)).to_pylist() == [found]


FORMS = (
    lambda day, _: str(day),
    lambda day, _: f"{day}T00:00:00",
    lambda day, zone: datetime.combine(day, time(), zone).isoformat(),
    lambda day, zone: datetime.combine(day, time(), zone).astimezone(UTC).isoformat().replace("+00:00", "Z"),
    lambda day, zone: datetime.combine(day, time(), zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
    lambda day, _: f"{day}T00:00:00Z",
)


class Formed(Source):
    """A source that writes each row's date in a form of its own."""

    zone = ZoneInfo("UTC")

    def answer(self, params: Any) -> dict[str, Any]:
        answer = super().answer(params)
        rows = [
            {**row, "date": FORMS[row["id"] % len(FORMS)](date.fromisoformat(row["date"]), self.zone)}
            for row in answer["data"]
        ]
        return {**answer, "data": rows}


@settings(max_examples=15, deadline=None)
@given(
    days=st.lists(st.integers(0, 120), max_size=40),
    name=st.sampled_from(["Europe/Oslo", "America/New_York", "Atlantic/Azores", "Pacific/Kiritimati"]),
)
def test_each_date_belongs_to_one_month(days: list[int], name: str) -> None:
    rows = [
        {
            "id": number,
            "date": (date(2026, 1, 1) + timedelta(days=day)).isoformat(),
            "status": "Assigned",
            "timeZone": name,
        }
        for number, day in enumerate(days)
    ]
    source = Formed(rows, page=50, totals=True, drafts=True, overlap=False)
    source.zone = ZoneInfo(name)
    months = months_between("2026-01", "2026-05")
    slices = {month: read(SHIFTS, source, month)["scheduling.shifts"] for month in months}
    found = [(row["id"], row["date"].isoformat(), month) for month, part in slices.items() for row in part.to_pylist()]
    assert sorted(found) == [(row["id"], row["date"], month_of(date.fromisoformat(str(row["date"])))) for row in rows]


@pytest.mark.parametrize("table", ["hr.employees", "scheduling.shifts"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_both_ways_agree_on_dates(table: str, data: st.DataObject) -> None:
    """A page straight to columns, and one value after the other."""
    columns = [
        column for column in CATALOGUE.table(table).columns if column.type in ("DATE", "TIMESTAMP", "TIMESTAMPTZ")
    ]
    ends = [
        "0001-01-01",
        "0000-01-01",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "2026-01-01T10",
        "2026-01-01T10:00+01",
    ]
    texts = STAMPS | st.sampled_from(ends) | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries({"id": st.integers(1, 9)}, optional={c.member: texts for c in columns}),
            min_size=1,
            max_size=3,
        )
    )
    page = shape_of(table).page(json.dumps({"data": rows}).encode())
    assert outcome(builder(table), page["data"]) == outcome(builder(table), rows)


def test_ends_of_calendar_through_whole_house(make: Make) -> None:
    """Slice, history, frame and file, with dates that pandas' nanoseconds could not hold."""
    planday = make(resources=EVERYTHING)
    planday.edit_config("defaults:", "privacy: {unknown: keep, sensitive: keep}\ndefaults:")
    people = planday.sandbox.portals["oslo"].employees
    odd = {
        "hiredDate": ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z"],
        "dateTimeCreated": [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9999999Z",
            "0001-01-01T00:00:00.0000000+01:00",
        ],
    }
    for member, texts in odd.items():
        for person, text in zip(people, texts, strict=False):
            person[member] = text
    for _ in range(2):
        (report,) = planday.refresh("hr.employees")
        people[0]["hiredDate"] = "1600-02-29"
    assert any(
        f"hiredDate is string with a time outside the years 1 to 9999 instead of DATE in 1 rows (first: id {people[2]['id']})"
        in line
        for line in report.warnings
    )
    rows = {row["id"]: row for row in planday.rows("hr.employees")}
    found = [(rows[person["id"]]["hired_date"], rows[person["id"]]["date_time_created"]) for person in people[:3]]
    assert found == [
        (date(1600, 2, 29), datetime(1, 1, 1, tzinfo=UTC)),
        (date(9999, 12, 31), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        (None, None),
    ]
    assert json.loads(rows[people[2]["id"]]["_extra"]) == {
        "hiredDate": odd["hiredDate"][2],
        "dateTimeCreated": odd["dateTimeCreated"][2],
    }
    frame = to_frame(planday.frame("hr.employees"))
    assert min(frame["date_time_created"].dropna()).year == 1
    planday.publish()
    assert planday.query("SELECT max(hired_date)::VARCHAR FROM hr_history.employees")[0][0] == "9999-12-31"


def test_feeds_and_ordinals_hold_the_ends(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    portal = planday.sandbox.portals["oslo"]
    number = portal.employees[0]["id"]
    portal.history[number] = [
        {"op": "replace", "path": "/a", "value": "1", "modificationDateTime": stamp, "modifiedBy": 1}
        for stamp in ("9999-12-31T23:59:59", "9999-12-31T23:59:59", "0001-01-01T00:00:00")
    ]
    for _ in range(2):
        planday.refresh("hr.employee_history")
        stamps = [
            (row["modification_date_time"].year, row["ordinal"])
            for row in planday.rows("hr.employee_history")
            if row["employee_id"] == number
        ]
        assert sorted(stamps) == [(1, 0), (9999, 0), (9999, 1)]


@pytest.mark.parametrize(
    "value", ["1,234.50", "1.234,50", "7.5", "", True, [7], {"value": 7}, 10**15, Decimal("1E+400")]
)
def test_what_is_no_decimal(value: Any) -> None:
    with pytest.raises(TypeMismatch):
        convert(value, "DECIMAL", OSLO)


def test_ten_thousand_unknown_members_are_named_briefly(make: Make) -> None:
    planday = make()
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    row = planday.sandbox.portals["oslo"].departments[0]
    row |= {f"member{number:05d}": number for number in range(10_000)}
    row["x" * 1_000_000] = "y" * 10_000_000
    (report,) = planday.refresh("hr.departments")
    (warning,) = report.warnings
    assert len(warning) < 3_000
    assert "and 9,981 more" in warning
    extra = next(json.loads(one["_extra"]) for one in planday.rows("hr.departments") if one["_extra"])
    assert (len(extra), extra["member00042"], len(extra["x" * 1_000_000])) == (10_001, 42, 10_000_000)


@pytest.mark.parametrize(("policy", "depth"), [("keep", 400), ("keep", 990), ("hash", 990)])
def test_deep_nesting_in_an_unknown_member(make: Make, depth: int, policy: str) -> None:
    """Kept, or refused by name; never a fault of this program."""
    planday = make()
    (planday.folder / "key.txt").write_text("k" * 40)
    planday.edit_config("defaults:", f"privacy: {{unknown: {policy}, hash_key: {{file: key.txt}}}}\ndefaults:")
    body = b'{"data": [{"id": 7, "name": "a", "deep": %s%s}], "paging": {"total": 1}}' % (b"[" * depth, b"]" * depth)
    planday.sandbox.faults.append(Fault("/departments", lambda *_: Response(body), times=None))
    try:
        planday.refresh("hr.departments")
    except UnexpectedShapeError as error:
        assert "hr.departments" in str(error)
        assert planday.provenance("hr.departments") is None
    else:
        assert [row["id"] for row in planday.rows("hr.departments")] == [7]
