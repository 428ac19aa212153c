"""What `planday export --format parquet` writes is what the published file says, to readers without options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from planday_io.errors import ConfigError, ExportError, StorageError
from planday_io.export.parquet_files import ExportedFolder, export_parquet, folder_of
from planday_io.export.request import Filter, query_of
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from tests.support.installation import EVERYTHING, FAST, Installation

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # that DuckDB uses in pandas
MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
ROOT = Path(__file__).parents[1]
TABLES = ["hr.departments", "hr.employees", "scheduling.shifts", "revenue.revenue", "marts.hours", "sync.slices"]
"""With months and without, with rows and without."""


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A portal whose key consists of digits, with shifts of two months, and the departments of another."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(4, 3, 3)))
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("parquet"), sandbox, address, resources=EVERYTHING)
        made.connect_portal("0012", 90_012)
        for table in ("hr.departments", "hr.employees"):
            made.refresh(table, "0012")
        for month in (MONTH, shifted(MONTH, 1)):
            made.refresh("scheduling.shifts", "0012", month=month)
        made.refresh("hr.departments")
        made.publish()
        yield made


@pytest.fixture(scope="module")
def written(planday: Installation, tmp_path_factory: pytest.TempPathFactory) -> ExportedFolder:
    return export_parquet(planday.installation, TABLES, tmp_path_factory.mktemp("exported") / "out")


Ask = Callable[..., Path]


@pytest.fixture
def ask(planday: Installation, tmp_path: Path) -> Ask:
    """Exports a query, and gives its folder."""

    def asked(sql: str, name: str = "asked", **how: Any) -> Path:
        file = tmp_path / f"{name}.sql"
        file.write_text(sql, encoding="utf-8")
        export_parquet(planday.installation, [query_of(file)], tmp_path / "out", **how)
        return tmp_path / "out" / "queries" / name

    return asked


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "_manifest.json").read_text(encoding="utf-8"))
    return read


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "pandas": pd.read_parquet,
    "pyarrow": lambda folder: pq.read_table(folder).to_pandas(),
    "duckdb": lambda folder: duckdb.sql(f"FROM '{folder}/**/*.parquet'").df(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("source", TABLES)
def test_readers_find_columns_and_rows(
    planday: Installation, written: ExportedFolder, source: str, reader: str
) -> None:
    frame = READERS[reader](written.place / source.replace(".", "/"))
    columns = [name for (name,) in planday.query(f"SELECT column_name FROM (DESCRIBE {source})")]
    assert [*frame.columns] == [*columns, *(["year"] if "month" in columns else [])]
    rows = planday.query(f"SELECT portal, count(*) FROM {source} GROUP BY portal")
    assert Counter(frame["portal"]) == dict(rows)
    if "month" in columns:
        assert {month[:4] for month in frame["month"].dropna()} == {str(year) for year in frame["year"] if year}


@pytest.mark.parametrize("source", TABLES)
def test_every_value_is_that_of_the_table(planday: Installation, written: ExportedFolder, source: str) -> None:
    found = pq.read_table(written.place / source.replace(".", "/"))
    rows = found.drop_columns("year") if "year" in found.column_names else found
    seen = Counter(repr(seen_of([*row.values()])) for row in rows.to_pylist())
    assert seen == Counter(repr(seen_of([*row])) for row in planday.query(f"FROM {source}"))


def seen_of(value: Any) -> Any:
    """A value so that DuckDB's and pyarrow's are equal where they mean the same."""
    match value:
        case datetime() if value.tzinfo:
            return value.astimezone(UTC).replace(tzinfo=None)
        case list() | tuple():
            return [seen_of(one) for one in value]
        case dict():
            return {name: seen_of(one) for name, one in value.items()}
        case _:
            return value


def test_rows_stand_in_the_folder_of_their_year(written: ExportedFolder) -> None:
    assert {path.parent.name for path in (written.place / "scheduling/shifts").rglob("*.parquet")} == {
        f"year={month[:4]}" for month in (MONTH, shifted(MONTH, 1))
    }
    assert {path.parent.name for path in (written.place / "hr/employees").rglob("*.parquet")} == {"employees"}


def test_table_without_rows_has_its_columns(planday: Installation, written: ExportedFolder) -> None:
    folder = written.place / "revenue/revenue"
    (file,) = folder.rglob("*.parquet")
    assert pq.read_table(file, partitioning=None).num_rows == 0
    types = [kind for (kind,) in planday.query("SELECT column_type FROM (DESCRIBE revenue.revenue)")]
    assert [kind for _, kind, *_ in duckdb.sql(f"DESCRIBE FROM '{folder}/**/*.parquet'").fetchall()] == [
        *("VARCHAR" if kind == "JSON" else kind for kind in types),
        "BIGINT",
    ]


@pytest.mark.parametrize("reader", READERS)
def test_portal_and_month_stay_texts(ask: Ask, reader: str) -> None:
    """And a row without a month is not lost."""
    folder = ask("FROM (VALUES ('0012', '2026-09', 1), ('0012', NULL, 2), ('7', '2025-12', 3)) AS t(portal, month, n)")
    rows = READERS[reader](folder).sort_values("n")
    assert [*rows["portal"]] == ["0012", "0012", "7"]
    assert [*rows["month"].fillna("none")] == ["2026-09", "none", "2025-12"]
    assert [int(year) for year in rows["year"]] == [2026, 0, 2025]


def test_types_that_readers_lack_lose_nothing(ask: Ask) -> None:
    folder = ask(
        "SELECT CAST(9007199254740993 AS HUGEINT) AS huge, CAST(18446744073709551615 AS UBIGINT) AS unsigned,"
        " CAST(7 AS UTINYINT) AS small, TIME '10:11:12.5' AS clock, INTERVAL 90 MINUTE AS span,"
        " CAST('7d444840-9dc0-11d1-b245-5ffdce74fad2' AS UUID) AS id, CAST('b' AS ENUM('a', 'b')) AS choice,"
        """ CAST('{"k": [1]}' AS JSON) AS document, MAP {'k': 1} AS map, [CAST(1 AS HUGEINT)] AS list,"""
        """ {'inner': CAST('[2]' AS JSON), 'days': [DATE '2026-01-02']} AS struct, NULL AS nothing,"""
        " TIMESTAMPTZ '2026-07-01 00:00:00+02' AS instant, TIMESTAMP_NS '2026-07-01 00:00:00.123456' AS nanos,"
        " 1.5 AS amount, 'x'::BLOB AS bytes"
    )
    (row,) = pq.read_table(folder).to_pylist()
    assert row == {
        "huge": Decimal(9007199254740993), "unsigned": Decimal(18446744073709551615), "small": 7, "clock": "10:11:12.5",
        "span": "01:30:00", "id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "choice": "b", "document": '{"k": [1]}',
        "map": '{"k":1}', "list": [Decimal(1)], "struct": {"inner": "[2]", "days": [date(2026, 1, 2)]}, "nothing": None,
        "instant": datetime(2026, 6, 30, 22, tzinfo=UTC), "nanos": datetime.fromisoformat("2026-07-01 00:00:00.123456"),
        "amount": Decimal("1.5"), "bytes": b"x",
    }  # fmt: skip
    (file,) = folder.glob("*.parquet")
    leaves = [pq.ParquetFile(file).schema.column(n) for n in range(pq.read_metadata(file).num_columns)]
    assert {leaf.logical_type.type for leaf in leaves} == {"NONE", "STRING", "DECIMAL", "DATE", "TIMESTAMP", "INT"}
    times = [str(leaf.logical_type) for leaf in leaves if leaf.logical_type.type == "TIMESTAMP"]
    assert all("timeUnit=microseconds" in text for text in times)
    assert [text for text in map(str, (leaf.logical_type for leaf in leaves)) if "isSigned=false" in text] == []
    (compression,) = duckdb.sql(f"SELECT DISTINCT compression FROM parquet_metadata('{file}')").fetchall()[0]
    assert compression == "SNAPPY"


def test_manifest_lists_files_and_meanings(planday: Installation, written: ExportedFolder) -> None:
    said = manifest(written.place)
    assert [table["name"] for table in said["tables"]] == [*TABLES, "how_complete"]
    listed = {file["path"]: file for table in said["tables"] for file in table["files"]}
    assert {str(path.relative_to(written.place)) for path in written.place.rglob("*.parquet")} == {*listed}
    for path, file in listed.items():
        assert file["bytes"] == (written.place / path).stat().st_size
        assert file["rows"] == pq.read_metadata(written.place / path).num_rows
    employees = next(table for table in said["tables"] if table["name"] == "hr.employees")
    assert {column["name"]: column["meaning"] for column in employees["columns"]} == dict(
        planday.query(
            "SELECT column_name, coalesce(comment, '') FROM duckdb_columns() WHERE schema_name = 'hr' "
            "AND table_name = 'employees'"
        )
    )
    published = datetime.fromtimestamp(planday.config.warehouse.stat().st_mtime, UTC)
    assert said["published_at"] == published.isoformat(timespec="seconds")


def test_completeness_comes_with_it(planday: Installation, written: ExportedFolder) -> None:
    frame = pd.read_parquet(written.place / "how_complete")
    assert len(frame) == len(written.states)
    row = frame[(frame["portal"] == "0012") & (frame["month"] == MONTH)].iloc[0]
    ((oldest, read),) = planday.query(
        f"SELECT min(fetched_at), count(*) FROM sync.slices WHERE portal = '0012' AND month = '{MONTH}'"
    )
    assert (row["oldest_read_at"], row["tables_read"], bool(row["is_complete"])) == (oldest, read, False)
    assert "missing, never read: " in row["in_words"]
    assert manifest(written.place)["is_complete"] is False


def test_filter_takes_days_and_portals(planday: Installation, tmp_path: Path) -> None:
    first, last = first_day(MONTH) + timedelta(days=2), first_day(MONTH) + timedelta(days=5)
    chosen = Filter(first=first, last=last, portals=("0012",))
    done = export_parquet(planday.installation, TABLES[:3], tmp_path / "out", chosen=chosen)
    frame = pd.read_parquet(tmp_path / "out/scheduling/shifts")
    asked = "SELECT count(*) FROM scheduling.shifts WHERE portal = '0012' AND date BETWEEN"
    ((days,),) = planday.query(f"{asked} '{first}' AND '{last}'")
    assert len(frame) == days > 0
    assert {*pd.read_parquet(tmp_path / "out/hr/employees")["portal"]} == {"0012"}
    assert done.remarks == {"NOT FILTERED by days: it has no column date or month.": ["hr.departments", "hr.employees"]}
    assert {one.portal for one in done.states} == {"0012"}


def test_query_takes_days_and_keeps_its_own_year(ask: Ask) -> None:
    folder = ask(
        "SELECT '2026-01' AS month, 1 AS year, CAST($from_date AS VARCHAR) AS first",
        name="_own = year",
        chosen=Filter(first=first_day(MONTH), last=last_day(MONTH)),
    ).with_name("own_year")
    assert [path.parent for path in folder.rglob("*.parquet")] == [folder]
    assert pd.read_parquet(folder).to_dict("records") == [
        {"month": "2026-01", "year": 1, "first": f"{first_day(MONTH)}"}
    ]


def test_earlier_export_is_replaced_whole(planday: Installation, tmp_path: Path) -> None:
    out, at = tmp_path / "out", datetime.now(UTC)
    export_parquet(planday.installation, ["hr.departments", "hr.employees"], out, now=at)
    (before,) = (out / "hr/departments").iterdir()
    with before.open("rb") as opened:
        export_parquet(planday.installation, ["hr.departments"], out, now=at + timedelta(minutes=1))
        assert pq.read_table(opened).num_rows > 0, "a reader keeps the file that it opened"
    assert [path.name for path in (out / "hr").iterdir()] == ["departments"]
    assert not before.exists(), "and one that opens it later does not mix two publications"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_failure_leaves_the_earlier_export(planday: Installation, ask: Ask, tmp_path: Path) -> None:
    folder = ask("SELECT 1 AS n")
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(ExportError, match=r"asked\.sql has a value that does not fit its type") as raised:
        ask("SELECT CAST(last_name AS INTEGER) AS n FROM hr.employees")
    assert "Could not convert" not in str(raised.value)
    with pytest.raises(
        ConfigError, match=r"no table 'hr.employes' in the published file; did you mean 'hr.employees'\?"
    ):
        export_parquet(planday.installation, ["hr.departments", "hr.employes"], tmp_path / "out")
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert pd.read_parquet(folder)["n"].tolist() == [1]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "asked.sql"}


@pytest.mark.processes
def test_kill_leaves_the_earlier_export(ask: Ask, tmp_path: Path) -> None:
    """And what it had begun goes with the next one."""
    folder = ask("SELECT 1 AS n")
    code = f"""
import os, signal
from pathlib import Path
from planday_io.files import replacing_folder
with replacing_folder(Path({str(tmp_path / "out")!r})) as begun:
    (begun / "pay.parquet").write_text("somebody's pay")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert pd.read_parquet(folder)["n"].tolist() == [1]
    assert [*tmp_path.glob("out.tmp-*/pay.parquet")]
    ask("SELECT 2 AS n")
    assert pd.read_parquet(folder)["n"].tolist() == [2]
    assert {path.name for path in tmp_path.iterdir()} == {"out", "asked.sql"}


def test_folder_of_somebody_is_left_alone(planday: Installation, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_parquet(planday.installation, ["hr.departments"], out)
    mine = out / "hr" / "departments" / "mine.parquet"
    mine.write_text("mine")
    with pytest.raises(ExportError, match=r"holds hr/departments/mine.parquet, which no export wrote. Choose another"):
        export_parquet(planday.installation, ["hr.departments"], out)
    assert mine.read_text() == "mine"
    with pytest.raises(ExportError, match="which is this program's own"):
        export_parquet(planday.installation, ["hr.departments"], planday.folder / "lake" / "out")
    with pytest.raises(ConfigError, match="give the name of a folder"):
        folder_of(Path("shifts.parquet"))


def test_no_warehouse_leaves_nothing_behind(planday: Installation, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="run `planday sync` first"):
        export_parquet(planday.fresh().installation, [], tmp_path / "out")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.processes
def test_file_of_an_older_version_is_refused(planday: Installation, tmp_path: Path) -> None:
    copied = planday.fresh()
    copied.config.warehouse.write_bytes(planday.config.warehouse.read_bytes())
    with duckdb.connect(str(copied.config.warehouse)) as db:
        db.execute("DROP VIEW marts.overtime")
    with pytest.raises(ExportError, match=r"has no marts.overtime: an older version wrote it. Run `planday publish`"):
        export_parquet(copied.installation, [], tmp_path / "out")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.processes
def test_all_tables_and_marts_by_default(planday: Installation, tmp_path: Path) -> None:
    """Views that are earlier names of tables would be there twice."""
    copied = planday.fresh()
    copied.config.warehouse.write_bytes(planday.config.warehouse.read_bytes())
    with duckdb.connect(str(copied.config.warehouse)) as db:
        db.execute("CREATE VIEW hr.people AS FROM hr.employees")
    done = export_parquet(copied.installation, [], tmp_path / "out")
    published = {
        name
        for (name,) in planday.query(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() UNION ALL "
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE schema_name IN ('marts', 'sync')"
        )
    }
    assert {table.source for table in done.tables} == published
    for table in done.tables:
        folder = tmp_path / "out" / table.folder
        ((rows,),) = planday.query(f"SELECT count(*) FROM {table.source}")
        assert len(pd.read_parquet(folder)) == rows, table.source
    inexact = {
        (table["name"], column["name"])
        for table in manifest(tmp_path / "out")["tables"]
        for column in table["columns"]
        if column["type"] == "DECIMAL(38,0)"
    }
    assert not inexact, "counts are BIGINT, which readers have as whole numbers"


PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
PROGRAMS = {
    text.split()[1].partition(".")[0]: text
    for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
"""What the page shows, by the package that it imports first."""


@pytest.fixture(scope="module")
def days(planday: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export of the mart that the page asks."""
    folder = tmp_path_factory.mktemp("days")
    export_parquet(planday.installation, ["marts.labour_daily"], folder / "planday-parquet")
    return folder


def october(planday: Installation) -> Decimal:
    """The page's figure, of the month that there is."""
    ((hours,),) = planday.query(f"SELECT sum(worked_hours) FROM marts.labour_daily WHERE month = '{MONTH}'")
    assert hours > 0
    return Decimal(hours)


@pytest.mark.processes
@pytest.mark.parametrize("package", [*PROGRAMS])
def test_programs_of_the_page_find_the_hours(planday: Installation, days: Path, package: str) -> None:
    """In an environment of their own where `make clients` has made one."""
    own = ROOT / ".venv-clients" / package / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    if not own.exists():
        pytest.importorskip(package)
    program = PROGRAMS[package].replace("2026-10", MONTH) + "\nprint(worked_hours)"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, cwd=days, timeout=240)
    assert done.returncode == 0, done.stderr
    assert Decimal(done.stdout.split()[-1]) == october(planday)


def test_question_of_the_page_finds_the_hours(
    planday: Installation, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(days)
    (sql,) = re.findall(r"^```sql\n(SELECT .*planday-parquet.*)\n```$", PAGE, re.MULTILINE)
    assert duckdb.sql(sql.replace("2026-10", MONTH)).fetchall() == [(october(planday),)]
