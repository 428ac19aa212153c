"""The generated part of the dbt package against the published file, and that it cannot be stale unnoticed.

What dbt and MetricFlow make of it: tests/test_dbt.py, run by `make dbt`.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli.main import app
from planday_io.catalogue import CATALOGUE, Catalogue, ContradictionError
from planday_io.reports.dbt_metrics import METRICS, Figure, MetricsOf, Sum
from planday_io.reports.dbt_package import dbt_package
from planday_io.warehouse.former import old_names

ROOT = Path(__file__).parents[1]
PACKAGE = dbt_package(CATALOGUE)
SOURCES: dict[str, dict[str, Any]] = {
    f"{source['schema']}.{table['name']}": table
    for path, text in PACKAGE.items()
    if path.startswith("models/planday_")
    for source in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["sources"]
    for table in source["tables"]
}


def asked_of(table: str, column: str | None = None) -> list[Any]:
    """What dbt tests of a table, or of one of its columns."""
    found = SOURCES[table]
    if column:
        found = next(one for one in found["columns"] if one["name"] == column)
    return found.get("data_tests", [])


def test_sources_have_the_files_columns_and_comments(db: duckdb.DuckDBPyConnection) -> None:
    published: dict[str, dict[str, str]] = {}
    for table, column, comment in db.execute(
        "SELECT schema_name || '.' || table_name, column_name, comment FROM duckdb_columns() "
        "WHERE NOT internal AND database_name = current_database() ORDER BY column_index"
    ).fetchall():
        published.setdefault(table, {})[column] = comment
    described = {
        name: {column["name"]: column["description"] for column in table["columns"]} for name, table in SOURCES.items()
    }
    # Views of names that histories had before are not sources.
    former = {name.replace('"', "") for name in old_names(CATALOGUE)}
    assert described.keys() == published.keys() - former
    for name, columns in described.items():
        assert [*columns] == [*published[name]], name
        assert columns == published[name], name


def test_types_are_those_of_the_file(db: duckdb.DuckDBPyConnection) -> None:
    rows = db.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    published = {(table, column): kind for table, column, kind in rows}
    normal = {kind: str(db.sql(f"SELECT CAST(NULL AS {kind}) AS x").types[0]) for kind in {
        column["data_type"] for table in SOURCES.values() for column in table["columns"] if "data_type" in column
    }}  # fmt: skip
    for name, table in SOURCES.items():
        for column in table["columns"]:
            if "data_type" in column:
                found = db.sql(f"SELECT CAST(NULL AS {published[name, column['name']]}) AS x").types[0]
                assert normal[column["data_type"]] == str(found), (name, column["name"])


def test_keys_and_references_are_the_catalogues() -> None:
    assert asked_of("scheduling.shifts") == [{"planday.key_unique": {"arguments": {"columns": ["portal", "id"]}}}]
    assert asked_of("scheduling.shifts", "portal") == asked_of("scheduling.shifts", "id") == ["not_null"]
    (reference,) = asked_of("scheduling.shifts", "employee_id")
    assert reference["planday.references_resolve"] == {
        "arguments": {
            "to": "source('planday_hr', 'employees')",
            "field": "id",
            "read_as": "hr.employees",
            "or_to": "source('planday_hr', 'deactivated_employees')",
        },
        "config": {"severity": "warn"},
    }
    # A part of the key of rows without an id may be missing, and of shapes that are not certain.
    assert asked_of("payroll.supplements", "employee_id") != ["not_null"]
    assert "not_null" not in asked_of("hr.termination_types", "id")


def test_freshness_follows_the_schedules() -> None:
    allowed = {}
    for name, table in SOURCES.items():
        if freshness := table.get("config", {}).get("freshness"):
            allowed[name] = tuple(f"{one['count']} {one['period']}" for one in freshness.values())
    assert allowed["scheduling.shifts"] == ("36 hour", "60 hour")
    assert allowed["pay.salaries"] == ("252 hour", "420 hour")
    assert allowed["scheduling.deleted_shifts"] == ("90 minute", "150 minute")
    # Read on request only, derived from others, or views.
    on_request = {table.full_name for table in CATALOGUE.tables() if table.on_request} - allowed.keys()
    assert "scheduling.shift_history" in on_request
    assert allowed.keys() <= {table.full_name for table in CATALOGUE.tables()}


def renamed(catalogue: Catalogue, table: str, column: str, name: str) -> Catalogue:
    """The catalogue with another name for a column that is in no key."""
    endpoints = []
    for endpoint in catalogue.endpoints:
        tables = []
        for one in endpoint.tables:
            columns = [replace(c, name=name, member=c.member) if c.name == column else c for c in one.columns]
            tables.append(replace(one, columns=tuple(columns)) if one.full_name == table else one)
        endpoints.append(replace(endpoint, tables=tuple(tables)))
    return Catalogue(tuple(endpoints))


def test_a_renamed_column_changes_its_source() -> None:
    other = dbt_package(renamed(CATALOGUE, "hr.departments", "number", "code"))
    changed = {path for path, text in other.items() if PACKAGE.get(path) != text}
    assert changed and all("hr" in path for path in changed)  # noqa: PT018
    assert re.findall(r"- name: (code|number)$", other["models/planday_hr.yml"], re.MULTILINE)[:1] == ["code"]


def checked(folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["docs", "--check", "--folder", str(folder / "docs"), "--dbt", str(folder / "dbt")])
    return done.exit_code, done.output


def test_stale_missing_and_left_over_files_fail(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "dbt" / "models", tmp_path / "dbt" / "models")
    assert checked(tmp_path) == (0, "")
    hr = tmp_path / "dbt" / "models" / "planday_hr.yml"
    hr.write_text(hr.read_text().replace("- name: number\n", "- name: code\n"))
    hr.with_name("gone.yml").write_text("version: 2\n")
    (tmp_path / "dbt" / "models" / "metrics" / "planday_overtime.sql").unlink()
    code, said = checked(tmp_path)
    assert code == 1
    assert {Path(name).name for name in said.partition(": stale")[0].split(", ")} == {
        "planday_hr.yml",
        "gone.yml",
        "planday_overtime.sql",
    }
    written = CliRunner().invoke(app, ["docs", "--folder", str(tmp_path / "docs"), "--dbt", str(tmp_path / "dbt")])
    assert (written.exit_code, checked(tmp_path)) == (0, (0, ""))


def test_metrics_of_unknown_columns_are_refused() -> None:
    how = {"mart": "labour_daily", "entity": "day", "date": "date", "granularity": "day", "dimensions": ("portal",)}
    with pytest.raises(ContradictionError, match="turnover"):
        MetricsOf(**how, metrics={"sales": Sum(label="Sales", of="turnover")})
    with pytest.raises(ContradictionError, match="sales"):
        MetricsOf(**how, metrics={"double": Figure(label="Twice", doc="Twice.", of="sales + sales")})


def test_locks_of_dbt_hold_names_versions_and_hashes() -> None:
    for lock in (ROOT / "tests" / "dbt").glob("*.lock"):
        lines = [line.rstrip(" \\") for line in lock.read_text().splitlines()]
        known = r"[a-z0-9-]+==\S+|    --hash=sha256:[0-9a-f]{64}"
        assert [line for line in lines if not re.fullmatch(known, line)] == [], lock.name
        assert any(line.startswith("duckdb==") for line in lines)


def test_names_differ_from_a_companys_own() -> None:
    names = [name for one in METRICS for name in one.metrics]
    assert len(names) == len({*names})
    for path in PACKAGE:
        if path.startswith("models/metrics/"):
            assert Path(path).name.startswith("planday_")
