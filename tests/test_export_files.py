"""How complete an export says it is; CSV files; the command and its page; what LibreOffice makes of a workbook."""

from __future__ import annotations

import csv
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance

from planday_io.errors import ExportError
from planday_io.export.export import export
from planday_io.export.request import Filter, query_of
from planday_io.monitoring.completeness import MonthState
from planday_io.months import first_day, last_day, month_of, months_between, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from tests.support.commands import planday_command
from tests.support.installation import EVERYTHING, FAST, Installation, run
from tests.support.troubles import revoked
from tests.support.workbooks import first_sheet, opened, rows_of, seen

TABLE = "hr.departments"
MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
PAGE = (Path(__file__).parents[1] / "docs" / "export.md").read_text()


def states_of(planday: Installation, later: timedelta = timedelta()) -> dict[str, MonthState]:
    """Portal -> how complete its lists are, for an export of departments."""
    file = planday.folder / "departments.sql"
    file.write_text("SELECT portal, id, name FROM hr.departments JOIN sync.publication ON true ORDER BY ALL")
    done = export(planday.installation, [query_of(file)], planday.folder / "out.xlsx", now=datetime.now(UTC) + later)
    assert {one.month for one in done.states} == {None}
    return {one.portal: one for one in done.states}


def test_all_read_on_time_is_complete(read_on_time: Installation) -> None:
    states = states_of(read_on_time)
    assert {one.words for one in states.values()} == {"complete"}
    assert "Everything that these figures are computed from was read completely" in first_sheet(
        read_on_time.folder / "out.xlsx"
    )


def test_what_a_schedule_missed_is_stale(read_on_time: Installation) -> None:
    states = states_of(read_on_time, timedelta(days=3))
    for one in states.values():
        assert re.fullmatch(rf"stale, should have been read again since [\d-]+ [\d:]+ UTC: {TABLE}", one.words)
    assert f"NOT COMPLETE: {len(states)} of {len(states)} rows" in first_sheet(read_on_time.folder / "out.xlsx")


def test_failed_read_is_said_until_it_succeeds(read_on_time: Installation, memory: DagsterInstance) -> None:
    planday = read_on_time
    give_back = revoked(planday)
    assert not run(planday, memory, TABLE).success
    planday.publish()
    states = states_of(planday)
    assert re.fullmatch(rf"failed [\d-]+ [\d:]+ UTC, so what was read before is shown: {TABLE}", states["oslo"].words)
    assert states["london"].is_complete
    give_back()
    assert run(planday, memory, TABLE).success
    assert states_of(planday)["oslo"].is_complete


def test_table_without_schedule_is_never_stale(read_on_time: Installation) -> None:
    read_on_time.edit_config("nightly: {enabled: true}", "nightly: {enabled: false}")
    states = states_of(read_on_time, timedelta(days=3))
    assert {one.words for one in states.values()} == {f"complete; read by no schedule, so never called stale: {TABLE}"}


def test_missing_and_left_out_tables_are_named(read_on_time: Installation) -> None:
    planday = read_on_time
    planday.edit_config(f"include: [{TABLE}]", f"include: [{TABLE}, hr.skills, hr.employee_history]")
    file = planday.folder / "skills.sql"
    file.write_text("SELECT s.portal FROM hr.skills AS s, hr.employees AS e, hr.employee_history AS h")
    done = export(planday.installation, [query_of(file)], planday.folder / "out.xlsx")
    assert {one.words for one in done.states} == {
        "missing, never read: hr.skills; left out by `resources` of portals.yaml: hr.employees; "
        "on request only, and never read: hr.employee_history"
    }


@pytest.mark.parametrize("history", ["hr_history.skills", "hr.skills_history"])
def test_a_history_counts_as_its_table(read_on_time: Installation, history: str) -> None:
    file = read_on_time.folder / "history.sql"
    file.write_text(f"SELECT portal, valid_from FROM {history}")
    read_on_time.edit_config(f"include: [{TABLE}]", f"include: [{TABLE}, hr.skills]")
    done = export(read_on_time.installation, [query_of(file)], read_on_time.folder / "out.xlsx")
    assert {one.words for one in done.states} == {"missing, never read: hr.skills"}


@pytest.mark.processes
def test_unreadable_state_is_not_called_fresh(read_on_time: Installation) -> None:
    states_of(read_on_time)
    # A state database of a newer version cannot be repaired automatically, unlike a damaged one.
    with closing(sqlite3.connect(read_on_time.state.folder / "state.sqlite")) as database, database:
        database.execute("UPDATE about SET version = 999")
    done = planday_command(read_on_time, "export", "--sql", "departments.sql", "--output", "out.xlsx")
    assert done.returncode == 0, done.stderr
    assert "not complete: 3 of 3 portals and months lack something, see the first sheet" in done.stdout
    assert "whether it is stale cannot be known" in first_sheet(read_on_time.folder / "out.xlsx")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A query whose cells are hard for CSV."""
    file = tmp_path_factory.mktemp("queries") / "odd.sql"
    file.write_text(
        "SELECT * FROM (VALUES ('=1;2', CAST(-7.5 AS DECIMAL(9, 4)), true, DATE '2026-10-01',"
        " TIMESTAMP '2026-10-01 08:00', 0.25),"
        """ ('"Ærø"' || chr(10) || 'x', NULL, false, NULL, TIMESTAMP '2026-10-01 08:00:00.5', CAST('NaN' AS DOUBLE)))"""
        " AS t(text, amount, yes, day, moment, share)"
    )
    return file


@pytest.mark.parametrize(
    ("locale", "separator", "rows"),
    [
        ("da", ";", ["-7,5000", "SAND", "0,25", "FALSK"]),
        ("nb", ";", ["-7,5000", "SANN", "0,25", "USANN"]),
        ("sv", ";", ["-7,5000", "SANT", "0,25", "FALSKT"]),
        ("de", ";", ["-7,5000", "WAHR", "0,25", "FALSCH"]),
        ("en", ",", ["-7.5000", "TRUE", "0.25", "FALSE"]),
    ],
)
def test_csv_is_as_its_excel_writes_it(
    read_on_time: Installation, odd: Path, tmp_path: Path, locale: str, separator: str, rows: list[str]
) -> None:
    folder = tmp_path / "out"
    done = export(read_on_time.installation, [query_of(odd)], folder, form="csv", locale=locale)
    data = (folder / "odd.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbftext" + separator.encode())
    head, first, second = csv.reader(data.decode("utf-8-sig").splitlines(keepends=True), delimiter=separator)
    assert head == ["text", "amount", "yes", "day", "moment", "share"]
    assert first == ["'=1;2", rows[0], rows[1], "2026-10-01", "2026-10-01 08:00:00", rows[2]]
    assert second == ['"Ærø"\nx', "", rows[3], "", "2026-10-01 08:00:00" + ".500", "NaN"]
    assert "1 cells begin like a formula: an apostrophe stands before them" in dict(done.remarks)["odd"]
    assert "an apostrophe stands before them" in (folder / "how_complete.csv").read_text(encoding="utf-8-sig")


def test_csv_has_all_digits_of_numbers(read_on_time: Installation, tmp_path: Path) -> None:
    file = tmp_path / "long.sql"
    file.write_text("SELECT CAST('-12345678901234567.25' AS DECIMAL(38, 2)) AS a, -9223372036854775807 AS b")
    export(read_on_time.installation, [query_of(file)], tmp_path / "out", form="csv", locale="da")
    text = (tmp_path / "out" / "long.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines() == ["a;b", "-12345678901234567,25;-9223372036854775807"]


def test_csv_folder_is_replaced_whole(read_on_time: Installation, odd: Path, tmp_path: Path) -> None:
    planday, folder = read_on_time.installation, tmp_path / "out"
    export(planday, ["employees", query_of(odd)], folder, form="csv")
    assert {path.name for path in folder.glob("*.csv")} == {"employees.csv", "odd.csv", "how_complete.csv"}
    export(planday, [query_of(odd)], folder, form="csv")
    assert {path.name for path in folder.glob("*.csv")} == {"odd.csv", "how_complete.csv"}
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]


def test_folder_with_foreign_files_is_left_alone(read_on_time: Installation, odd: Path, tmp_path: Path) -> None:
    planday, folder = read_on_time.installation, tmp_path / "out"
    export(planday, [query_of(odd)], folder, form="csv")
    (folder / "budget.xlsx").write_text("mine")
    with pytest.raises(ExportError, match=r"holds budget.xlsx, which no export wrote. Choose another folder"):
        export(planday, ["employees"], folder, form="csv")
    assert {path.name for path in folder.iterdir()} == {"odd.csv", "how_complete.csv", ".planday-export", "budget.xlsx"}
    (folder / "budget.xlsx").unlink()
    (folder / "mine").symlink_to(tmp_path)
    with pytest.raises(ExportError, match=r"holds mine, which no export wrote"):
        export(planday, ["employees"], folder, form="csv")
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ExportError, match="is a file, and several files need a folder"):
        export(planday, ["employees"], file, form="csv")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("place", ["lake/out", "lake", ".planday/out.xlsx"])
def test_folders_of_the_installation_are_refused(read_on_time: Installation, odd: Path, place: str) -> None:
    planday = read_on_time
    before = sorted(planday.folder.rglob("*"))
    with pytest.raises(ExportError, match="which is this program's own: choose another place with --output"):
        export(
            planday.installation, [query_of(odd)], planday.folder / place, form="xlsx" if "." in place[1:] else "csv"
        )
    assert sorted(planday.folder.rglob("*")) == before


@pytest.mark.parametrize("own", ["warehouse.duckdb", "portals.yaml"])
def test_link_to_own_file_is_refused(read_on_time: Installation, odd: Path, tmp_path: Path, own: str) -> None:
    planday, link = read_on_time, tmp_path / "out.xlsx"
    before = (planday.folder / own).read_bytes()
    link.symlink_to(planday.folder / own)
    with pytest.raises(ExportError, match="which is this program's own"):
        export(planday.installation, [query_of(odd)], link)
    assert (planday.folder / own).read_bytes() == before


def test_new_publication_is_in_the_next_export(read_on_time: Installation, tmp_path: Path) -> None:
    planday, file = read_on_time, tmp_path / "departments.sql"
    file.write_text("SELECT id FROM hr.departments WHERE portal = 'oslo'")
    before = export(planday.installation, [query_of(file)], tmp_path / "out.xlsx").sheets[0].rows
    planday.sandbox.portals["oslo"].departments.append({"id": 999, "name": "New", "number": "9"})
    planday.refresh(TABLE)
    planday.publish()
    assert export(planday.installation, [query_of(file)], tmp_path / "out.xlsx").sheets[0].rows == before + 1


def test_first_sheet_says_nothing_of_totals_without_any(read_on_time: Installation, tmp_path: Path) -> None:
    export(read_on_time.installation, ["employees"], tmp_path / "out.xlsx")
    export(read_on_time.installation, ["shifts"], tmp_path / "out", form="csv")
    texts = (
        first_sheet(tmp_path / "out.xlsx"),
        (tmp_path / "out" / "how_complete.csv").read_text(encoding="utf-8-sig"),
    )
    assert ["Times are UTC" in text for text in texts] == [True, True]
    assert ["Totals" in text for text in texts] == [False, False]


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A portal read for last month."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(4, 3, 3)))
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("months"), sandbox, address, resources=EVERYTHING)
        for table in ("portal.portals", "hr.departments", "hr.employees"):
            made.refresh(table)
        for table in ("scheduling.shifts", "scheduling.time_and_costs", "payroll.shifts"):
            made.refresh(table, month=MONTH)
        made.publish()
        yield made


def test_tables_on_request_count_where_they_were_read(months: Installation, tmp_path: Path) -> None:
    months.refresh("scheduling.shift_history", month=MONTH)
    months.publish()
    file = tmp_path / "history.sql"
    file.write_text("SELECT s.id FROM scheduling.shifts AS s JOIN scheduling.shift_history AS h ON h.shift_id = s.id")
    done = export(months.installation, [query_of(file)], tmp_path / "out.xlsx", chosen=Filter(portals=("oslo",)))
    states = {one.month: one for one in done.states}
    assert (states[MONTH].read, states[MONTH].needed, states[MONTH].words) == (2, 2, "complete")
    assert states[shifted(MONTH, 1)].words == "missing, never read: scheduling.shifts"


@pytest.mark.processes
def test_command_refuses_what_cannot_be_meant(months: Installation) -> None:
    for arguments, says in (
        ((), "say what to export: --sql FILE, or --mart NAME with one of employees,"),
        (("--mart", "hour"), "there is no mart 'hour'; did you mean 'hours'?"),
        (("--mart", "hours", "--from", "1.10.2026"), "--from '1.10.2026' is not a day: write it as 2026-10-01"),
        (
            ("--mart", "hours", "--from", "2026-10-02", "--to", "2026-10-01"),
            "--from 2026-10-02 is after --to 2026-10-01",
        ),
        (("--mart", "hours", "--portal", "olso"), "there is no portal 'olso'; did you mean 'oslo'?"),
        (("--mart", "hours", "--locale", "da"), "--locale is for --format csv"),
        (("--sql", "none.sql"), "--sql: there is no file none.sql"),
        (
            ("--table", "hr.employees"),
            "--table is for --format parquet; for people there are marts (--mart) and queries",
        ),
        (
            ("--format", "parquet", "--table", "hr.employes"),
            "there is no table 'hr.employes' in the published file; did you mean 'hr.employees'?",
        ),
        (("--format", "parquet", "--output", "a.parquet"), "Parquet is a folder with a folder per table"),
    ):
        done = planday_command(months, "export", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.startswith("planday: ")
        assert says in done.stderr
    assert not list(months.folder.glob("planday-export*"))


@pytest.mark.processes
def test_page_gives_last_months_cost(months: Installation) -> None:
    """The page's file and commands, as they stand."""
    ((name, sql),) = re.findall(r"`(\w+\.sql)`:\n\n```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (months.folder / name).write_text(sql)
    commands = re.findall(r"^    \.venv/bin/planday export (.+)$", PAGE, re.MULTILINE)
    assert len(commands) >= 3
    for line in commands:
        dated = line.replace("2026-10-01", f"{first_day(MONTH)}").replace("2026-10-31", f"{last_day(MONTH)}")
        done = planday_command(months, "export", *dated.split())
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout.startswith("wrote ")
    query = sql.replace("$from_date", f"DATE '{first_day(MONTH)}'").replace("$to_date", f"DATE '{last_day(MONTH)}'")
    expected = [tuple(map(seen, row)) for row in months.query(query)]
    assert expected
    assert rows_of(opened(months.folder / "labour.xlsx")["labour_cost"])[: len(expected)] == expected


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_shows_the_same_figures(months: Installation, tmp_path: Path) -> None:
    file = tmp_path / "out.xlsx"
    export(months.installation, ["labour_daily"], file, chosen=Filter(portals=("oslo",)))
    sheets = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1"
    profile = f"-env:UserInstallation=file://{tmp_path / 'profile'}"
    done = subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", sheets, "--outdir", str(tmp_path), str(file)],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert "repair" not in (done.stdout + done.stderr).lower()
    with (tmp_path / "out-labour_daily.csv").open(encoding="utf-8", newline="") as read:
        head, *rows, totals = csv.reader(read)
    asked = months.query("SELECT shift_cost FROM marts.labour_daily WHERE portal = 'oslo' AND shift_cost IS NOT NULL")
    shown = [float(row[head.index("shift_cost")]) for row in rows if row[head.index("shift_cost")]]
    assert sorted(shown) == sorted(float(cost) for (cost,) in asked)
    assert float(totals[head.index("shift_cost")]) == pytest.approx(float(sum(cost for (cost,) in asked)))


def test_months_outside_of_what_is_read_are_missing(months: Installation, tmp_path: Path) -> None:
    start, end = months.installation.config.history_start, shifted(MONTH, 4)
    long_ago, far_ahead = shifted(start, -20), shifted(end, 20)
    chosen = Filter(first=first_day(long_ago), last=first_day(far_ahead), portals=("oslo",))
    done = export(months.installation, ["labour_daily"], tmp_path / "out.xlsx", chosen=chosen)
    early, late = done.states[1], done.states[-1]
    assert (early.month, early.read, early.is_complete) == (long_ago, 0, False)
    assert (
        early.words
        == f"never read: {long_ago} to {shifted(start, -1)}, because nothing before {start} is read (`history_start`)"
    )
    assert (late.month, late.words) == (
        end,
        f"never read: {end} to {far_ahead}, because nothing after {shifted(end, -1)} is read yet (`window.future_months`)",
    )
    inside = Filter(first=first_day(start), last=first_day(MONTH), portals=("oslo",))
    within = export(months.installation, ["labour_daily"], tmp_path / "out.xlsx", chosen=inside).states
    assert [one.month for one in within] == [None, *months_between(start, MONTH)]
    only = Filter(last=first_day(long_ago), portals=("oslo",))
    states = export(months.installation, ["labour_daily"], tmp_path / "out.xlsx", chosen=only).states
    assert [(one.month, one.words.partition(",")[0]) for one in states[1:]] == [(long_ago, f"never read: {long_ago}")]
