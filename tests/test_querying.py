"""What `docs/querying.md` shows is run as it stands, and what it says about names, files and comments is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.warehouse import contents
from planday_io.warehouse.mart_files import macros, marts, sync_views
from tests.support.installation import EVERYTHING, FAST, Installation

pytestmark = pytest.mark.processes

PAGE = (Path(__file__).parents[1] / "docs" / "querying.md").read_text()
BLOCKS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MARTS_PAGE = (Path(__file__).parents[1] / "docs" / "marts.md").read_text()


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A portal whose key consists of digits, read for a month."""
    portals = demo_portals(people=(4, 3, 3))
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=portals)
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("querying"), sandbox, address, resources=EVERYTHING)
        made.connect_portal("0012", 90_012)
        for table in ("hr.departments", "hr.employees", "hr.employee_groups"):
            made.refresh(table, "oslo")
            made.refresh(table, "0012")
        for table in ("scheduling.shifts", "scheduling.time_and_costs", "payroll.shifts"):
            made.refresh(table, month=shifted(month_of(datetime.now(UTC).date()), -1))
        made.publish()
        yield made


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_what_the_page_shows_works(
    planday: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "warehouse.duckdb").symlink_to(planday.folder / "warehouse.duckdb")
    monkeypatch.chdir(tmp_path)
    text = BLOCKS[number]
    with duckdb.connect() if "ATTACH" in text else duckdb.connect("warehouse.duckdb", read_only=True) as db:
        for statement in duckdb.extract_statements(text):
            db.execute(statement)


def test_what_the_page_names_is_there(planday: Installation) -> None:
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as db:
        there = {
            ".".join(row)
            for row in db.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() "
                "UNION ALL SELECT schema_name, view_name FROM duckdb_views() "
                "UNION ALL SELECT schema_name, function_name FROM duckdb_functions() WHERE NOT internal"
            ).fetchall()
        }
    schemas = "|".join({name.partition(".")[0] for name in there} - {"main"})
    named = {*re.findall(rf"`((?:{schemas})\.[a-z_]+)`", PAGE)}
    assert len(named) > 15
    assert named <= there


def test_describe_has_no_comments_the_lists_have(planday: Installation) -> None:
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as db:
        described = db.execute("DESCRIBE marts.hours").fetchall()
        assert not [cell for row in described for cell in row if cell and "Planday" in str(cell)]
        views = dict(
            db.execute(
                "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND comment NOT LIKE 'Deprecated: %'"
            ).fetchall()
        )
        assert views == {mart.name: mart.doc for mart in (*marts(), *sync_views(), *contents.views(CATALOGUE))}
        uncommented = db.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL "
            "AND (schema_name, table_name) NOT IN "
            "(SELECT schema_name, view_name FROM duckdb_views() WHERE comment LIKE 'Deprecated: %')"
        ).fetchall()
        assert uncommented == []
        assert db.execute("SELECT count(*) FROM duckdb_tables() WHERE comment IS NULL").fetchone() == (0,)


def test_files_are_read_without_options(planday: Installation) -> None:
    folder = planday.config.lake / "hr" / "departments"
    frame = pd.read_parquet(folder)
    found = duckdb.sql(f"FROM '{folder}/**/*.parquet'")
    assert found is not None
    portals = {portal for (portal,) in duckdb.execute(f"SELECT portal FROM '{folder}/**/*.parquet'").fetchall()}
    assert {*frame["portal"]} == portals == {"oslo", "0012"}
    assert [*frame.columns] == found.columns == planday.frame("hr.departments").schema.names


def test_every_mart_is_on_its_page() -> None:
    assert MARTS_PAGE.count("\n## marts.") == len(marts()) + len(macros())
