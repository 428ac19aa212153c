"""Durations of time and cost, which come in a form that the text does not tell: held against shifts and the whole answer.

The oracle of the property is the length that the text was written from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.build import FrameBuilder, FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.months import month_of, shifted
from planday_io.reports.report import write_report
from planday_io.sandbox import labour
from planday_io.sandbox.variants import Variants
from tests.support.installation import EVERYTHING, Make

LAST = shifted(month_of(datetime.now(UTC).date()), -1)
FORMS = ("D:HH:MM", "HH:MM:SS")
Hours = Decimal | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of time and cost: what it says, and how long its shift is in minutes, as far as there is one."""

    text: str | None
    shift: int | None
    department: int = 1
    names_shift: bool = True


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, blank_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    file = tmp_path_factory.mktemp("durations") / "warehouse.duckdb"
    shutil.copyfile(blank_warehouse, file)
    with duckdb.connect(str(file)) as connection:
        yield connection


def read(db: duckdb.DuckDBPyConnection, *rows: Row) -> list[tuple[Hours, str | None]]:
    """Hours and reason of each row, in an answer of their own."""
    db.execute("DELETE FROM scheduling.shifts")
    db.execute("DELETE FROM scheduling.time_and_costs")
    begin = datetime(2026, 9, 1, 8)  # noqa: DTZ001 - as Planday sends it
    shifts = [
        (number, begin, begin + timedelta(minutes=row.shift))
        for number, row in enumerate(rows)
        if row.shift is not None
    ]
    if shifts:
        db.execute(
            "INSERT INTO scheduling.shifts (portal, month, id, start_date_time, end_date_time) "
            "SELECT 'oslo', '2026-09', unnest(?::BIGINT[]), unnest(?::TIMESTAMP[]), unnest(?::TIMESTAMP[])",
            [list(column) for column in zip(*shifts, strict=True)],
        )
    db.execute(
        "INSERT INTO scheduling.time_and_costs (portal, month, department_id, shift_id, ordinal, duration) SELECT 'oslo', "
        "'2026-09', unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[])",
        [
            [row.department for row in rows],
            [number if row.names_shift else None for number, row in enumerate(rows)],
            list(range(len(rows))),
            [row.text for row in rows],
        ],
    )
    return db.execute("SELECT hours, hours_gap FROM marts.planned_costs ORDER BY ordinal").fetchall()


def written(minutes: int, form: str) -> str:
    days, rest = divmod(minutes, 1440)
    if form == "D:HH:MM":
        return f"{days}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:00"


@pytest.mark.parametrize(
    ("text", "shift", "hours"),
    [
        # The same texts beside shifts that only one of the two forms fits.
        ("0:07:30", 450, "7.5"),
        ("0:07:30", 480, "7.5"),
        ("0:09:00", 570, "9"),
        ("8:00:00", 480, "8"),
        ("08:00:00", 510, "8"),
        ("1:15:00", 75, "1.25"),
        ("1:00:00", 1440, "24"),
        ("1:00:00", 60, "1"),
        ("24:00:00", 1440, "24"),
        ("0:24:00", 1440, "24"),
        ("0:24:00", 24, "0.4"),
        ("0:30:00", 30, "0.5"),
        ("0:00:30", 30, "0.5"),
        ("1:01:00", 1500, "25"),
        ("7:45:30", 480, "7.7583"),
        ("0:00:00", 480, "0"),
        ("00:00:00", 480, "0"),
        # Forms of which the text says what they are.
        ("07:30", 480, "7.5"),
        ("7.5", 480, "7.5"),
        ("7,5", 480, "7.5"),
        ("8", 480, "8"),
        ("PT7H30M", 480, "7.5"),
        ("PT7.5H", 480, "7.5"),
        ("P1D", 1440, "24"),
        ("1.00:00:00", 1440, "24"),
        ("07:30:00.0000000", 450, "7.5"),
        ("0:07:30:00", 480, "7.5"),
        (" 0:07:30 ", 480, "7.5"),
        ("\t8:00:00\r\n", 480, "8"),
    ],
)
def test_form_is_the_one_that_fits(db: duckdb.DuckDBPyConnection, text: str, shift: int, hours: str) -> None:
    assert read(db, Row(text, shift)) == [(Decimal(hours), None)]


@pytest.mark.parametrize(
    ("text", "shift", "reason"),
    [
        ("", 480, "no duration"),
        (None, 480, "no duration"),
        ("   ", 480, "no duration"),
        ("soon", 480, "not a duration"),
        ("0:07:75", 480, "not a duration"),
        ('{"hours":7}', 480, "not a duration"),
        ("9" * 400, 480, "not a duration"),
        ("PT", 480, "not a duration"),
        # Neither reading lies within the shift.
        ("1:15:00", 480, "form unclear"),
        ("0:09:00", 240, "form unclear"),
        ("5:00:00", 75, "form unclear"),
        ("-0:07:30", 480, "form unclear"),
        ("09:00", 240, "does not fit the shift"),
        ("450", 480, "does not fit the shift"),
        ("27000", 480, "does not fit the shift"),
        ("-7.5", 480, "does not fit the shift"),
        ("PT9H", 480, "does not fit the shift"),
        # Nothing to hold it against: as little as a person could tell.
        ("1:00:00", None, "form unclear"),
        ("0:07:30", None, "form unclear"),
    ],
)
def test_what_fits_nothing_is_unknown(
    db: duckdb.DuckDBPyConnection, text: str | None, shift: int | None, reason: str
) -> None:
    assert read(db, Row(text, shift)) == [(None, reason)]


def test_rows_of_an_answer_speak_for_each_other(db: duckdb.DuckDBPyConnection) -> None:
    assert read(
        db,
        Row("0:07:30", 480),
        Row("0:02:00", None, names_shift=False),
        Row("-0:00:30", None, names_shift=False),
        Row("1:00:00", None),
        # Another department is another answer.
        Row("7:30:00", 480, department=2),
        Row("2:00:00", None, department=2, names_shift=False),
        Row("1:00:00", None, department=2),
    ) == [
        (Decimal(hours), None) for hours in ("7.5", "2", "-0.5", "24", "7.5", "2", "1")
    ]  # fmt: skip


def test_a_row_in_another_form_is_unknown(db: duckdb.DuckDBPyConnection) -> None:
    rows = [Row("0:07:30", 480), Row("0:06:00", 390), Row("8:00:00", 480)]
    assert read(db, *rows)[2] == (None, "another form than the answer")
    assert [hours for hours, _ in read(db, *rows)[:2]] == [Decimal("7.5"), Decimal(6)]


def test_a_shift_edited_since_leaves_others_alone(db: duckdb.DuckDBPyConnection) -> None:
    found = read(db, Row("0:07:30", 480), Row("0:08:00", 240), Row("0:04:00", 600))
    assert found == [(Decimal("7.5"), None), (None, "does not fit the shift"), (Decimal(4), None)]


SHIFTS = st.integers(15, 1440).flatmap(
    lambda shift: st.tuples(st.just(shift), st.integers(0, min(120, shift * 7 // 10)), st.sampled_from((1, 2)))
)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(SHIFTS, min_size=1, max_size=12), forms=st.tuples(*[st.sampled_from(FORMS)] * 2), data=st.data())
def test_hours_are_those_that_were_written(
    db: duckdb.DuckDBPyConnection, rows: list[tuple[int, int, int]], forms: tuple[str, str], data: Any
) -> None:
    """Whole answers in either form, some of whose shifts are not there: right, or unknown with the reason."""
    gone = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    found = read(
        db,
        *(
            Row(written(shift - pause, forms[department - 1]), None if number in gone else shift, department)
            for number, (shift, pause, department) in enumerate(rows)
        ),
    )
    known = {department for number, (_, _, department) in enumerate(rows) if number not in gone}
    for (shift, pause, department), (hours, gap) in zip(rows, found, strict=True):
        assert (hours is None) == (gap is not None)
        assert hours is not None or department not in known, "a shift of the answer tells its form"
        if hours is not None:
            assert abs(hours * 60 - (shift - pause)) < Decimal("0.01")


@pytest.mark.parametrize("form", FORMS)
def test_planned_hours_whatever_the_form(make: Make, form: Any) -> None:
    planday = make(resources=EVERYTHING, variants=Variants(durations=form))
    planday.refresh("hr.departments")
    for table in ("scheduling.shifts", "scheduling.time_and_costs"):
        planday.refresh(table, month=LAST)
    planday.publish()
    roster = planday.sandbox.portals["oslo"].roster
    found = dict(planday.query("SELECT shift_id, hours FROM marts.planned_costs WHERE shift_id IS NOT NULL"))
    expected = {s["id"]: s for s in roster.shifts.values() if s["date"].startswith(LAST) and labour.counts(s)}
    assert found.keys() == expected.keys()
    for number, shift in expected.items():
        assert abs(found[number] - Decimal(labour.paid_hours(shift))) < Decimal("0.02")
    assert {form} == {row[0] for row in planday.query("SELECT DISTINCT answer_form FROM marts.planned_costs")}
    assert planday.query("SELECT count(*) FROM sync.findings") == [(0,)]


def test_no_duration_fails_the_table(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    sent = {
        "": "no duration",
        "null": "no duration",
        "eternity": "not a duration",
        '{"hours": 7}': "not a duration",
        7.5: None,
    }
    shifts = [
        s
        for s in planday.sandbox.portals["oslo"].roster.shifts.values()
        if s["date"].startswith(LAST) and labour.counts(s) and labour.hours(s) == 8
    ][: len(sent)]
    assert len(shifts) == len(sent)

    def answer(request: Request) -> Response:
        rows = [
            {
                "shiftId": shift["id"],
                "employeeId": shift["employeeId"],
                "date": shift["date"],
                "duration": json.loads(text) if isinstance(text, str) and text[:1] in ("{", "n") else text,
                "cost": 1,
            }
            for shift, text in zip(shifts, sent, strict=True)
            if shift["departmentId"] == request.path_params["department"]
        ]
        return JSONResponse({"data": {"costs": rows, "currencySymbol": "kr"}})

    planday.serve(Route("/scheduling/v1.0/timeandcost/{department:int}", answer))
    planday.read_months([LAST])
    hours = {
        row[0]: row[1:] for row in planday.query("SELECT shift_id, hours, hours_gap, cost FROM marts.planned_costs")
    }
    planned = {
        row[0]: row[1:] for row in planday.query("SELECT shift_id, planned_hours, time_and_cost_gap FROM marts.shifts")
    }
    for shift, reason in zip(shifts, sent.values(), strict=True):
        assert hours[shift["id"]] == (None if reason else Decimal("7.5"), reason, Decimal(1))
        # The roster's, without payroll's breaks, where time and cost does not say it.
        assert planned[shift["id"]] == (Decimal(labour.paid_hours(shift)), reason)
    assert set(planday.query("SELECT month, finding, rows FROM sync.findings")) == {
        (LAST, "no duration", 2),
        (LAST, "not a duration", 2),
    }
    page = planday.folder / "report.html"
    write_report(planday.installation, page)
    assert "not a duration. No hours in marts.planned_costs" in page.read_text()


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ("payroll.shifts", "shift_duration"),
        ("punchclock.punch_clock_breaks", "duration"),
        ("scheduling.time_and_costs", "duration"),
        ("payroll.shift_breaks", None),
        ("payroll.shift_supplements", None),
    ],
)
@pytest.mark.parametrize("sent", ["", "0:30:00", "PT30M", {"hours": 1}, [1], True])
def test_every_table_takes_any_duration(table: str, kept: str | None, sent: object) -> None:
    """As text where durations are texts; where they are numbers, what is none is reported and goes to `_extra`."""
    context = FrameContext(
        portal="oslo",
        portal_id=1,
        zone=ZoneInfo("Europe/Oslo"),
        fetched_at=datetime(2026, 11, 24, tzinfo=UTC),
        privacy=PrivacyFilter(PrivacyPolicy(), 1, lambda: "key"),
        month="2026-11",
    )
    builder = FrameBuilder(CATALOGUE.table(table), context)
    member = "shiftDuration" if table == "payroll.shifts" else "duration"
    path_params = {"department_id": 1, "punch_clock_shift_id": 1}
    batch = builder.batch(
        [{"id": 1, "@parent": 1, member: sent}, {"id": 2, "@parent": 1, member: Decimal("7.5")}], path_params
    )
    found = batch.column(kept or "duration").to_pylist()
    if kept:
        assert found == [sent if isinstance(sent, str) else json.dumps(sent, separators=(",", ":")), "7.5"]
    else:
        assert found == [None, Decimal("7.5")]
        assert sent == "" or [line for line in builder.drift.warnings(table) if "duration" in line]


def test_hours_of_older_warehouses_are_derived_again(make: Make) -> None:
    """Older versions wrote hours into the table, read by one of the two forms."""
    planday = make(resources=EVERYTHING, variants=Variants(durations="HH:MM:SS"))
    for table in ("scheduling.shifts", "scheduling.time_and_costs"):
        planday.refresh("hr.departments")
        planday.refresh(table, month=LAST)
    planday.publish()
    expected = planday.query("SELECT * FROM marts.planned_costs ORDER BY ALL")
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("ALTER TABLE scheduling.time_and_costs ADD COLUMN duration_hours DECIMAL(18, 4)")
        db.execute("UPDATE scheduling.time_and_costs SET duration_hours = 192")
        db.execute("UPDATE sync.publication SET definitions = 'of an older version'")
    planday.publish()
    columns = planday.query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'time_and_costs'")
    assert ("duration",) in columns
    assert ("duration_hours",) not in columns
    assert planday.query("SELECT * FROM marts.planned_costs ORDER BY ALL") == expected
