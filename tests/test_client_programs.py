"""What `docs/clients.md` shows gives the right figures in each program that can be installed.

`make clients` runs all of them, `make processes` those that the tests need anyway.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.export.parquet_files import export_parquet
from planday_io.lake import installation as product
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from tests.support import client_programs
from tests.support.client_programs import (
    PARQUET,
    SECTIONS,
    Costs,
    blocks,
    costs,
    environment_of,
    from_harlequin,
    from_marimo,
    from_python,
    from_shell,
    of_export,
    output_of,
)
from tests.support.installation import EVERYTHING, FAST, Installation
from tests.support.recipes_of_pay import cost_percent, rounded
from tests.support.weeks import world_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

ENVIRONMENTS = Path(__file__).parent / "clients"
WITH_PYTHON = ["pandas", "polars", "pyarrow", "ibis", "sqlalchemy"]
QUESTION = (
    "SELECT portal, department_id, sum(labour_cost) AS labour_cost FROM marts.labour_daily "
    "WHERE month = strftime(today() - INTERVAL 1 MONTH, '%Y-%m') AND department_id IS NOT NULL GROUP BY ALL ORDER BY ALL"
)


@pytest.fixture(scope="module")
def published(blank_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Costs]]:
    """A folder with a published file and an export of it, and last month's labour cost in plain Python.

    Of the planted weeks of the recipes.
    """
    folder = tmp_path_factory.mktemp("published")
    shutil.copyfile(blank_warehouse, folder / "warehouse.duckdb")
    config = folder / "portals.yaml"
    config.write_text("portals: {oslo: {client_id: none, refresh_token: {env: NONE}}}\n")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as db:
        world = world_of(db.execute("SELECT today()").fetchall()[0][0])
        world.write(db)
    before = (folder / "warehouse.duckdb").read_bytes()
    export_parquet(product.Installation.load(config, CATALOGUE), ["marts.labour_daily"], folder / "planday-parquet")
    yield folder, {(row[0], row[1]): row[3] and rounded(row[3], 2) for row in cost_percent(world)}
    assert (folder / "warehouse.duckdb").read_bytes() == before


def python_of(name: str) -> str:
    python = client_programs.python_of(name)
    if python is None:
        pytest.skip("`make clients` runs it")
    return python


def test_the_current_duckdb_agrees_with_plain_python(published: tuple[Path, Costs]) -> None:
    folder, expected = published
    assert len({*expected.values()} - {None}) > 1
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as db:
        assert costs(db.execute(QUESTION).fetchall()) == expected


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_program_finds_the_cost(published: tuple[Path, Costs], name: str) -> None:
    folder, expected = published
    programs = blocks(name, "cost")
    assert programs
    for program in programs:
        assert costs(from_python(python_of(name), folder, program)) == expected
        assert costs(from_python(python_of(name), folder, of_export(program))) == expected


def test_command_line_finds_the_cost(published: tuple[Path, Costs]) -> None:
    folder, expected = published
    ((_, command),) = SECTIONS["duckdb-cli"]
    assert costs(from_shell(python_of("duckdb-cli"), folder, command)) == expected
    assert costs(from_shell(python_of("duckdb-cli"), folder, of_export(command))) == expected


def test_harlequin_shows_the_cost(published: tuple[Path, Costs]) -> None:
    """The program itself, with keys pressed and its table read, by Textual's own pilot."""
    folder, expected = published
    assert costs(from_harlequin(python_of("harlequin"), folder, QUESTION)) == expected
    assert costs(from_harlequin(python_of("harlequin"), folder, of_export(QUESTION), ":memory:")) == expected


def test_marimo_finds_the_cost_and_exports(published: tuple[Path, Costs], tmp_path: Path) -> None:
    folder, expected = published
    python = python_of("marimo")
    for name in ("warehouse.duckdb", "planday-parquet"):
        (tmp_path / name).symlink_to(folder / name)
    ((_, notebook),) = SECTIONS["marimo"]
    assert costs(from_marimo(python, tmp_path, of_export(notebook))) == expected
    assert costs(from_marimo(python, tmp_path, notebook)) == expected
    output_of(["marimo", "export", "html", "cost.py", "-o", "cost.html"], python, tmp_path)
    page = (tmp_path / "cost.html").read_text()
    assert [cost for cost in expected.values() if cost and f"{int(cost)}." not in page] == []


@pytest.fixture(scope="module")
def departments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A folder with a lake of two portals, one of whose keys consists of digits, and the departments that Planday has."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(4, 3, 3)))
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("lake"), sandbox, address, resources=EVERYTHING)
        made.connect_portal("0012", 90_012)
        for portal in ("0012", "oslo"):
            made.refresh("hr.departments", portal)
    there = sorted(
        [portal, str(one["id"])] for portal in ("0012", "oslo") for one in sandbox.portals[portal].departments
    )
    return made.folder, there


@pytest.mark.parametrize(("kind", "program"), PARQUET, ids=[environment_of(*shown) for shown in PARQUET])
def test_lake_is_read_without_options(departments: tuple[Path, list[list[str]]], kind: str, program: str) -> None:
    folder, expected = departments
    python = python_of(environment_of(kind, program))
    found = (from_python if kind == "python" else from_shell)(python, folder, program)
    assert sorted(found) == expected


def test_each_environment_has_a_section() -> None:
    environments = {path.stem for path in ENVIRONMENTS.glob("*.lock")}
    assert {name for name in environments if not re.fullmatch(r"duckdb-[\d.]+", name)} == {
        name for name, shown in SECTIONS.items() if shown
    }


def test_versions_on_the_page_are_the_locked_ones() -> None:
    for name in SECTIONS:
        row = re.search(rf"^\|.*\(#{name}\).*\|$", client_programs.PAGE, re.MULTILINE)
        assert row, name
        if SECTIONS[name]:
            locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ENVIRONMENTS / f"{name}.lock").read_text(), re.MULTILINE))
            assert {*re.findall(r"\d+\.\d+\.\d+", row[0])} <= {*locked.values()}, name
