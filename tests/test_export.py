"""What `planday export` writes is what the published file says, cell by cell, and says how complete it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl.utils.escape import unescape

from planday_io.errors import ConfigError, ExportError, StorageError
from planday_io.export.export import Exported, export, place_of
from planday_io.export.request import Filter, query_of, sheet_names
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.warehouse.inspection import ADDITIVE, GRAINS
from tests.support.installation import EVERYTHING, FAST, Installation
from tests.support.workbooks import first_sheet, opened, rows_of, seen

MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
at = datetime.fromisoformat
LISTS = ("portal.portals", "hr.departments", "hr.employees", "hr.employee_groups", "scheduling.shift_types")
FACTS = ("scheduling.shifts", "scheduling.time_and_costs", "payroll.shifts", "punchclock.punch_clock_shifts")


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two portals with different currencies, read for a month and the next."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(4, 3, 3)))
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("export"), sandbox, address, resources=EVERYTHING)
        for portal in ("oslo", "london"):
            for table in LISTS:
                made.refresh(table, portal)
            for table in FACTS:
                for month in (MONTH, shifted(MONTH, 1)):
                    made.refresh(table, portal, month=month)
        made.publish()
        yield made


Ask = Callable[..., Exported]


@pytest.fixture
def ask(planday: Installation, tmp_path: Path) -> Ask:
    """Exports a query to `asked.xlsx` of the test's folder."""

    def asked(sql: str, name: str = "asked", **how: Any) -> Exported:
        file = tmp_path / f"{name}.sql"
        file.write_text(sql, encoding="utf-8")
        return export(planday.installation, [query_of(file)], tmp_path / "asked.xlsx", **how)

    return asked


@pytest.mark.parametrize("mart", ["labour_daily", "hours", "employees", "punches"])
def test_every_cell_is_that_of_the_mart(planday: Installation, tmp_path: Path, mart: str) -> None:
    file = tmp_path / "out.xlsx"
    done = export(planday.installation, [mart], file, chosen=Filter(portals=("oslo",)))
    asked = planday.query(f"FROM marts.{mart} WHERE portal = 'oslo'")
    assert asked
    (sheet,) = done.sheets
    found = rows_of(opened(file)[mart], totals=sheet.has_totals)
    assert Counter(found) == Counter(tuple(map(seen, row)) for row in asked)
    assert sheet.rows == len(asked)


def test_rows_are_in_order_of_days(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    export(planday.installation, ["labour_daily"], file)
    keys = [(row[0], row[3]) for row in rows_of(opened(file)["labour_daily"], totals=True)]
    assert keys == sorted(keys)


def test_header_is_frozen_filtered_and_explained(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    (made,) = export(planday.installation, ["shifts"], file).sheets
    sheet = opened(file)["shifts"]
    names = "SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = 'marts' AND table_name = 'shifts'"
    docs = dict(planday.query(names))
    assert {cell.value for cell in sheet[1]} == set(docs)
    for cell in sheet[1]:
        assert cell.comment.text.startswith(docs[cell.value])
        assert cell.comment.text.endswith("are UTC.") == (
            cell.value in ("start_utc", "end_utc", "created_at", "modified_at")
        )
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, len(docs)).column_letter}{made.rows + 1}"


def test_totals_are_sums_of_one_currency(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    export(planday.installation, ["labour_daily"], file, chosen=Filter(portals=("oslo",)))
    sheet = opened(file)["labour_daily"]
    last = {head.value: cell.value for head, cell in zip(sheet[1], sheet[sheet.max_row], strict=True)}
    ((hours, cost),) = planday.query(
        "SELECT sum(worked_hours), sum(shift_cost) FROM marts.labour_daily WHERE portal = 'oslo'"
    )
    assert (last["portal"], last["worked_hours"], last["shift_cost"]) == ("Total", float(hours), float(cost))
    assert {last["department_id"], last["labour_cost_percent"], last["date"]} == {None}
    formula = opened(file, formulas=True)["labour_daily"]
    column = next(cell for cell in formula[1] if cell.value == "worked_hours")
    end = formula.max_row
    assert (
        formula.cell(end, column.column).value
        == f"=SUBTOTAL(109,{column.column_letter}2:{column.column_letter}{end - 1})"
    )


def test_hours_of_several_currencies_have_a_total(ask: Ask) -> None:
    done = ask(
        "-- totals: worked_hours, labour_cost\n"
        "SELECT portal, sum(worked_hours) AS worked_hours, sum(labour_cost) AS labour_cost, "
        "any_value(currency) AS currency FROM marts.labour_daily WHERE labour_cost > 0 GROUP BY portal"
    )
    totals = {column.name for column in done.sheets[0].columns if column.total is not None}
    assert (totals, [remark for _, remark in done.remarks if "several currencies" in remark] != []) == (
        {"worked_hours"},
        True,
    )


def test_department_that_planday_lacks_is_named(planday: Installation, tmp_path: Path) -> None:
    chosen = Filter(portals=("oslo",), departments=(12,))
    done = export(planday.installation, ["labour_daily"], tmp_path / "out.xlsx", chosen=chosen)
    (remark,) = [text for _, text in done.remarks]
    listed = planday.query("SELECT min(id) FROM hr.departments WHERE portal = 'oslo'")[0][0]
    assert remark.startswith(f"Planday lists no department 12; there are {listed} (")
    assert remark in first_sheet(tmp_path / "out.xlsx")


def test_amounts_of_several_currencies_have_no_total(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    done = export(planday.installation, ["labour_daily"], file)
    sheet = opened(file)["labour_daily"]
    last = {head.value: cell.value for head, cell in zip(sheet[1], sheet[sheet.max_row], strict=True)}
    assert last["shift_cost"] is None
    assert last["worked_hours"] > 0
    assert [remark for _, remark in done.remarks if "several currencies" in remark]
    assert "several currencies" in first_sheet(file)


def test_additive_columns_are_numbers_of_their_marts(planday: Installation) -> None:
    kinds = {
        (mart, column): kind
        for mart, column, kind in planday.query(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'marts'"
        )
    }
    assert set(ADDITIVE) < set(GRAINS)
    for mart, (counts, amounts) in ADDITIVE.items():
        for column in (*counts, *amounts):
            assert kinds[mart, column].startswith(("DECIMAL", "BIGINT")), f"{mart}.{column}"
            assert not column.endswith(("_id", "_percent", "_gap")), f"{mart}.{column}"
        assert not amounts or (mart, "currency") in kinds, f"amounts of {mart} are in no currency"


ODD = """
SELECT * FROM (VALUES
    ('=1+1', {long!r}, CAST('NaN' AS DOUBLE), DATE '1899-12-31', TIMESTAMP '2026-02-28 23:59:59', 1234567890123456),
    ('+47 22 22', 'a' || chr(1) || chr(12) || 'b', CAST('inf' AS DOUBLE), DATE 'infinity', TIMESTAMP '1900-02-28 12:00', 7),
    ('-5', '<r><t>x</t></r>', CAST('-inf' AS DOUBLE), DATE '1900-01-01', TIMESTAMP '-infinity', -7),
    ('@cmd', '_x0041_ & <b>', 0.1, DATE '0044-03-15 (BC)', TIMESTAMP '10000-01-01', 0),
    (chr(9) || 'tab', 'line' || chr(13) || chr(10) || 'next', 1e-7, DATE '9999-12-31', NULL, NULL),
    ('http://example.com', 'mailto:a@b', 1e300, NULL, TIMESTAMP '1899-12-31 23:59', 999999999999999),
    ('{{=1}}', 'ø😀', NULL, DATE '2026-03-01', TIMESTAMP '2026-01-01', 1)
) AS t(start, text, real, day, moment, whole)
"""


def test_odd_values_never_break_the_file(ask: Ask, tmp_path: Path) -> None:
    ask(ODD.format(long="x" * 32_767 + "yz"))
    sheet = opened(tmp_path / "asked.xlsx", formulas=True)["asked"]
    columns = [[cell.value for cell in column[1:]] for column in sheet.columns]
    assert columns[0] == ["=1+1", "+47 22 22", "-5", "@cmd", "\ttab", "http://example.com", "{=1}"]
    assert {cell.data_type for cell in sheet["A"]} == {"inlineStr"} or {cell.data_type for cell in sheet["A"]} == {"s"}
    assert all(cell.hyperlink is None for row in sheet for cell in row)
    assert [cell.quotePrefix for cell in sheet["A"]][1:] == [True] * 5 + [False] * 2
    assert columns[1][0] == "x" * (32_767 - len(" [cut]")) + " [cut]"
    assert columns[1][1:3] == ["a\ufffd\ufffdb", "<r><t>x</t></r>"]
    # Excel's own escape, which openpyxl leaves to its callers.
    columns[1][3] = unescape(columns[1][3])
    assert columns[1][3:] == ["_x0041_ & <b>", "line\nnext", "mailto:a@b", "ø😀"]
    assert columns[2] == ["NaN", "Infinity", "-Infinity", 0.1, 1e-7, 1e300, None]
    days = [at("1900-01-01"), "0044-03-15 (BC)", at("9999-12-31"), None, at("2026-03-01")]
    assert columns[3] == ["1899-12-31", "infinity", *days]
    assert columns[4][:3] == [at("2026-02-28 23:59:59"), at("1900-02-28 12:00:00"), "-infinity"]
    assert columns[4][3:] == ["10000-01-01 00:00:00", None, "1899-12-31 23:59:00", at("2026-01-01")]
    assert columns[5] == ["1234567890123456", 7, -7, 0, None, 999_999_999_999_999, 1]
    said = first_sheet(tmp_path / "asked.xlsx")
    assert "1 cells were longer than 32,767 characters: they were cut" in said
    assert "1 cells had control characters" in said
    assert "1 cells are numbers of more than 15 digits" in said
    assert "6 cells are dates that Excel does not have" in said


def test_headers_and_notes_never_break_the_file(ask: Ask, tmp_path: Path) -> None:
    ask('-- <r>rows</r>\n-- a: mean\x01ing\nSELECT 1 AS a, 2 AS "<r>b</r>", 3 AS "=1+1"')
    book = opened(tmp_path / "asked.xlsx", formulas=True)
    assert [cell.value for cell in book["asked"][1]] == ["a", "<r>b</r>", "=1+1"]
    assert book["asked"]["A1"].comment.text == "mean\ufffding"
    assert "<r>rows</r>" in first_sheet(tmp_path / "asked.xlsx")


def test_last_instant_stays_in_its_day(ask: Ask, tmp_path: Path) -> None:
    ask("SELECT TIMESTAMP '9999-12-31 23:59:59.999999' AS until, TIME '23:59:59.999999' AS clock")
    until, clock = opened(tmp_path / "asked.xlsx")["asked"][2]
    assert (until.value.date(), until.value.year) == (at("9999-12-31").date(), 9999)
    assert clock.value.isoformat().startswith("23:59:59")


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT 'a;--b' AS a", ("a;--b",)),
        ("SELECT 1 AS a /* x; -- */", (1,)),
        ("SELECT 1 AS a;; -- x;\n; /* y; */", (1,)),
        (f"SELECT 1 AS a, -- x; {'-' * 200}\n2 AS b;", (1, 2)),
    ],
)
def test_semicolons_in_texts_and_comments_stay(ask: Ask, tmp_path: Path, sql: str, row: tuple[object, ...]) -> None:
    ask(sql)
    assert rows_of(opened(tmp_path / "asked.xlsx")["asked"]) == [row]


def test_names_of_columns_have_no_case(ask: Ask) -> None:
    done = ask(
        "-- totals: cost\nSELECT portal AS Portal, id AS Department_Id, portal AS Currency, 1 AS Cost FROM hr.departments",
        chosen=Filter(portals=("oslo", "london"), departments=(100, 101), is_strict=True),
    )
    (sheet,) = done.sheets
    assert sheet.rows == 4
    assert [remark for remark in sheet.remarks if "NOT FILTERED" in remark] == []
    assert not sheet.has_totals, "amounts of two currencies were added"


def test_file_name_that_is_no_text_is_shown(planday: Installation, tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/k\xf8d.sql"))
    file.write_text("SELECT 1 AS a")
    export(planday.installation, [query_of(file)], tmp_path / "out.xlsx")
    assert opened(tmp_path / "out.xlsx").sheetnames == ["How complete", "k\ufffdd"]


def test_other_types_become_what_excel_has(ask: Ask, tmp_path: Path) -> None:
    ask(
        "SELECT true AS yes, CAST(1.5 AS DECIMAL(18, 4)) AS four, CAST(2 AS DECIMAL(9, 0)) AS none,"
        " 12345678901234567.25 AS long,"
        " ['a', NULL] AS list, {'a': 1.5, 'b': DATE '2026-01-02'} AS struct, MAP {'k': 1} AS map, TIME '10:11:12' AS clock,"
        " INTERVAL 90 MINUTE AS span, 'x'::BLOB AS bytes, TIMESTAMPTZ '2026-07-01 00:00:00+02' AS instant, '' AS empty,"
        " CAST('a' AS ENUM('a')) AS choice, 1 AS twice, 2 AS twice, NULL AS nothing"
    )
    sheet = opened(tmp_path / "asked.xlsx")["asked"]
    found = {head.value: cell for head, cell in zip(sheet[1], sheet[2], strict=True)}
    values = {name: cell.value for name, cell in found.items()}
    assert values.pop("instant") == at("2026-06-30 22:00:00")
    assert values.pop("clock").isoformat() == "10:11:12"
    assert values.pop("empty") in ("", None)
    assert values == {
        "yes": True, "four": 1.5, "none": 2, "long": "12345678901234567.25", "list": '["a",null]',
        "struct": '{"a":1.5,"b":"2026-01-02"}', "map": '{"k":1}', "span": "01:30:00", "bytes": "x", "choice": "a",
        "twice": 1, "twice_1": 2, "nothing": None,
    }  # fmt: skip
    assert found["four"].number_format == "#,##0.00##"
    assert found["none"].number_format == "#,##0"
    assert found["instant"].number_format == "yyyy-mm-dd hh:mm:ss"


@pytest.mark.parametrize(("rows", "fits"), [(8, True), (9, False)])
def test_sheet_too_long_is_refused_before_writing(ask: Ask, tmp_path: Path, rows: int, fits: bool) -> None:
    file = tmp_path / "asked.xlsx"
    sql = f"-- totals: n\nSELECT i AS n FROM range({rows}) AS r(i)"
    if fits:
        assert ask(sql, most_rows=10).sheets[0].rows == rows
        assert opened(file)["asked"].max_row == 10
        return
    file.write_bytes(b"earlier")
    with pytest.raises(ExportError, match=r"asked.sql has 9 rows, and .* 10 rows.* Nothing was written.*CSV"):
        ask(sql, most_rows=10)
    assert file.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked.sql", "asked.xlsx"]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["hours", "Hours", "HOURS"], ["hours", "Hours (2)", "HOURS (3)"]),
        (["a/b\\c:d*e?f[g]h"], ["a_b_c_d_e_f_g_h"]),
        (["x" * 40, "x" * 41], ["x" * 31, "x" * 27 + " (2)"]),
        (["'quoted'", "...", "History", "how complete"], ["quoted", "query", "History (2)", "how complete (2)"]),
        (["😀" * 20], ["😀" * 15]),
    ],
)
def test_sheet_names_are_those_excel_takes(ask: Ask, tmp_path: Path, wanted: list[str], names: list[str]) -> None:
    assert sheet_names(wanted) == names
    for name in names:
        ask("SELECT 1 AS a", name=name)
        assert opened(tmp_path / "asked.xlsx").sheetnames == ["How complete", *sheet_names([name])]


def test_filter_takes_days_months_portals_and_departments(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    first, last = first_day(MONTH) + timedelta(days=2), first_day(MONTH) + timedelta(days=5)
    ((department,),) = planday.query("SELECT min(department_id) FROM marts.labour_daily WHERE portal = 'oslo'")
    chosen = Filter(first=first, last=last, portals=("oslo",), departments=(department,))
    done = export(planday.installation, ["labour_daily", "headcount_monthly", "employees"], file, chosen=chosen)
    where = f"portal = 'oslo' AND department_id = {department}"
    ((days,),) = planday.query(
        f"SELECT count(*) FROM marts.labour_daily WHERE {where} AND date BETWEEN '{first}' AND '{last}'"
    )
    ((months,),) = planday.query(f"SELECT count(*) FROM marts.headcount_monthly WHERE {where} AND month = '{MONTH}'")
    ((people,),) = planday.query("SELECT count(*) FROM marts.employees WHERE portal = 'oslo'")
    assert [sheet.rows for sheet in done.sheets] == [days, months, people]
    assert days > 0
    remarks = dict(done.remarks[-2:])
    assert dict(done.remarks)["headcount_monthly"] == "It has a month and no date: whole months were taken."
    assert remarks["employees"] == "NOT FILTERED by department: it has no column department_id."
    said = first_sheet(file)
    assert f"Filter: from {first}; to {last} (included); portal oslo; department {department}." in said
    assert "NOT FILTERED by days: it has no column date or month." in said
    assert {one.portal for one in done.states} == {"oslo"}
    assert {one.month for one in done.states} == {None, MONTH}


def test_query_takes_its_days_and_explains_itself(planday: Installation, ask: Ask, tmp_path: Path) -> None:
    sql = """
-- Hours per department.
-- worked_hours: What the sheet's reader should know.
-- totals: worked_hours
SELECT portal, department_id, sum(worked_hours) AS worked_hours, any_value(month) AS month FROM marts.labour_daily
WHERE date BETWEEN $from_date AND $to_date GROUP BY ALL ORDER BY department_id DESC, portal;
-- the end
"""
    done = ask(sql, chosen=Filter(first=first_day(MONTH), last=last_day(MONTH), portals=("oslo",)))
    asked = planday.query(
        "SELECT portal, department_id, sum(worked_hours), month FROM marts.labour_daily "
        f"WHERE month = '{MONTH}' AND portal = 'oslo' GROUP BY ALL ORDER BY department_id DESC"
    )
    sheet = opened(tmp_path / "asked.xlsx")["asked"]
    assert rows_of(sheet, totals=True) == [tuple(map(seen, row)) for row in asked]
    assert sheet.cell(sheet.max_row, 3).value == float(sum(row[2] or 0 for row in asked))
    assert sheet["C1"].comment.text == "What the sheet's reader should know."
    assert sheet["B1"].comment.text.startswith("Id in `hr.departments`"), "the mart's own comment"
    assert "Hours per department. The query chooses the days itself." in first_sheet(tmp_path / "asked.xlsx")
    assert done.sheets[0].reads is not None
    assert {"scheduling.shifts", "payroll.shifts"} < done.sheets[0].reads
    with pytest.raises(ConfigError, match=r"uses \$to_date: give --to"):
        ask(sql, chosen=Filter(first=first_day(MONTH)))


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 1; SELECT 2", "one SELECT and nothing else; it holds SELECT, SELECT"),
        ("COPY (SELECT 1) TO 'x.csv'", "it holds COPY"),
        ("", "it holds no statement"),
        ("ATTACH 'other.duckdb'", "it holds ATTACH"),
        ("SET threads = 1", "it holds SET"),
        ("SELECT $day", r"uses the parameter \$day; there are only \$from_date and \$to_date"),
        ("SELEC 1", "syntax error"),
        ("FROM marts.hour", "hour does not exist"),
        ("FROM read_text('asked.sql')", "file system operations are disabled"),
        ("FROM read_csv('https://example.com/x.csv')", "disabled|not|extension"),
        ("FROM planday", "planday does not exist"),
        ("-- totals: nobody\nSELECT 1 AS a", "`totals:` names nobody, which is not a numeric column"),
        ("-- totals: a\nSELECT 'x' AS a", "`totals:` names a, which is not a numeric column"),
    ],
)
def test_wrong_query_says_what_is_wrong(ask: Ask, tmp_path: Path, sql: str, says: str) -> None:
    with pytest.raises((ConfigError, ExportError), match=says):
        ask(sql)
    assert [path.name for path in tmp_path.iterdir()] == ["asked.sql"]


def test_failing_query_quotes_no_data(ask: Ask) -> None:
    with pytest.raises(ExportError, match=r"asked.sql has a value that does not fit its type") as raised:
        ask("SELECT CAST(employee AS INTEGER) AS n FROM marts.hours WHERE employee IS NOT NULL")
    assert "Could not convert" not in str(raised.value)


def test_file_that_is_no_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        query_of(tmp_path / "none.sql")
    (tmp_path / "latin.sql").write_bytes(b"SELECT 'K\xf8benhavn'")
    with pytest.raises(ConfigError, match="byte 0xF8, which is not UTF-8"):
        query_of(tmp_path / "latin.sql")


def test_unknown_mart_and_place_are_refused(planday: Installation, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no mart 'hour'"):
        export(planday.installation, ["hour"], tmp_path / "out.xlsx")
    with pytest.raises(ConfigError, match=r"ends with .xlsx"):
        place_of(tmp_path / "out.docx", "xlsx")
    with pytest.raises(ConfigError, match="CSV is a folder"):
        place_of(tmp_path / "out.csv", "csv")
    assert place_of(tmp_path, "xlsx") == tmp_path / "planday-export.xlsx"


def test_leftovers_of_a_kill_are_removed(ask: Ask, tmp_path: Path) -> None:
    left = tmp_path / f"asked.xlsx.tmp-{'0' * 16}"
    left.mkdir()
    (left / "rows").write_text("somebody's pay")
    foreign = [tmp_path / "asked.xlsx.tmp-mine", tmp_path / f"other.xlsx.tmp-{'0' * 16}"]
    for path in foreign:
        path.write_text("")
    ask("SELECT 1 AS a")
    assert not left.exists()
    assert all(path.exists() for path in foreign)


def test_no_warehouse_is_said(tmp_path: Path, planday: Installation) -> None:
    without = planday.fresh()
    with pytest.raises(StorageError, match="run `planday sync` first"):
        export(without.installation, ["hours"], tmp_path / "out.xlsx")
    assert [*tmp_path.iterdir()] == []


def test_first_sheet_says_when_it_was_read(planday: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    done = export(planday.installation, ["shifts"], file)
    tables = ["payroll.shift_breaks", "scheduling.shifts", "scheduling.time_and_costs"]
    asked = planday.query(
        "SELECT portal, min(fetched_at), max(fetched_at), count(*) FROM sync.slices "
        f"WHERE month = '{MONTH}' AND list_contains({tables}, table_name) GROUP BY portal"
    )
    for portal, oldest, newest, count in asked:
        state = next(one for one in done.states if (one.portal, one.month) == (portal, MONTH))
        assert (state.oldest, state.newest, state.read) == (oldest, newest, count)
        assert state.words == "complete"
        before = next(one for one in done.states if (one.portal, one.month) == (portal, shifted(MONTH, -1)))
        assert before.words == f"missing, never read: {', '.join(tables)}"
    never = next(one for one in done.states if one.portal == "copenhagen" and one.month == MONTH)
    assert (never.read, never.oldest, never.is_complete) == (0, None, False)
    said = first_sheet(file)
    assert "NOT COMPLETE" in said
    written = datetime.fromtimestamp(planday.config.warehouse.stat().st_mtime, UTC)
    assert f"Figures as of: {written:%Y-%m-%d %H:%M} UTC" in said
