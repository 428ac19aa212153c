"""Pandas, Arrow and DuckDB read a table's folder as it is, without options, and find the rows of its slices."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE, Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake.columns import adapt_columns
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state import State
from tests.support.cutting import counting
from tests.support.damage import DAMAGE
from tests.support.installation import Installation


def by_duckdb(folder: Path) -> pa.Table:
    found = duckdb.sql(f"FROM '{folder}/**/*.parquet'")
    assert found is not None
    return found.to_arrow_table()


READERS: dict[str, Callable[[Path], pa.Table]] = {
    "pandas": lambda folder: pa.Table.from_pandas(pd.read_parquet(folder), preserve_index=False),
    "pyarrow.parquet": pq.read_table,
    "pyarrow.dataset": lambda folder: ds.dataset(folder).to_table(),
    "duckdb": by_duckdb,
}
POLICIES = PrivacyPolicy()
PORTALS = ("0012", "202609", "oslo", "z_9")
TABLES: dict[str, list[str | None]] = {"hr.skills": [None], "scheduling.shifts": ["2026-08", "2026-09"]}
SLICE = st.tuples(
    st.sampled_from(PORTALS),
    st.integers(0, 1),
    st.lists(st.one_of(st.none(), st.integers(1, 9)), max_size=3),
    st.booleans(),
)
"""A portal, a month, ids, and whether the catalogue of the time lacked columns."""


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=repr)


@settings(max_examples=8, deadline=None)
@given(slices=st.lists(SLICE, min_size=1, max_size=5), table=st.sampled_from(sorted(TABLES)))
def test_readers_find_the_rows_of_slices(slices: list[tuple[str, int, list[int | None], bool]], table: str) -> None:
    """Portals whose keys are numbers, empty slices, columns without a value, columns that older files lacked."""
    schema = arrow_schema(CATALOGUE.table(table), POLICIES)
    number = next(name for name in schema.names if name.endswith("id") and name != "portal_id")
    expected: dict[SliceKey, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake", State(Path(folder) / "state"))
        for portal, nth, ids, is_old in slices:
            month = TABLES[table][nth % len(TABLES[table])]
            key = SliceKey.of(table, portal, month)
            rows = [dict.fromkeys(schema.names) | {"portal": portal, "portal_id": 1, number: one} for one in ids]
            expected[key] = [row | ({"month": month} if month else {}) for row in rows]
            written = pa.Table.from_pylist(expected[key], schema=schema)
            with lake.locked(key):
                lake.write(key, written.drop_columns(schema.names[-4:-2]) if is_old else written, provenance(len(ids)))
        assert adapt_columns(lake, CATALOGUE, POLICIES) == []
        every = sorted((row for rows in expected.values() for row in rows), key=repr)
        for name, reader in READERS.items():
            found = reader(lake.root / table.replace(".", "/"))
            assert found.schema.names == schema.names, name
            assert in_order(found.cast(schema)) == every, name


def provenance(rows: int) -> Provenance:
    return Provenance(
        run_id="r",
        portal_id=1,
        fetched_at="2026-11-01T00:00:00+00:00",
        window="all",
        requests=1,
        expected_total=None,
        received=rows,
        distinct_keys=rows,
        kept=0,
        verdict="exhausted",
        catalogue_version=1,
    )


def test_folders_of_tables_hold_slices_only(planday: Installation) -> None:
    """Polars refuses a folder with a file of another kind. So nothing else is there, also while a slice is written."""
    lake = planday.config.lake
    folders = [lake / "hr" / name for name in ("departments", "departments_history")]
    seen: list[set[str]] = []

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.rename", "os.link") and str(lake) in str(arguments[1]):
            seen.append({file.name for folder in folders for file in folder.rglob("*") if file.is_file()})

    sys.addaudithook(look)  # never goes again
    planday.refresh("hr.departments")
    planday.publish()
    DAMAGE["cut"](planday.lake.path(SliceKey.of("hr.departments", "oslo")))
    planday.refresh("hr.departments")
    planday.publish()
    assert len(planday.lake.files_set_aside()) == 1
    assert len(seen) > 5
    assert set().union(*seen) == {"data.parquet"}


def without(catalogue: Catalogue, table: str, column: str) -> Catalogue:
    """The catalogue as it was before a column was added to a table."""
    endpoint = catalogue.endpoint_of(table)
    (old,) = (one for one in endpoint.tables if one.full_name == table)
    new = replace(old, columns=tuple(one for one in old.columns if one.name != column))
    older = replace(endpoint, tables=tuple(new if one is old else one for one in endpoint.tables))
    return Catalogue(tuple(older if one is endpoint else one for one in catalogue.endpoints))


@pytest.fixture
def upgraded(planday: Installation) -> Installation:
    """Two portals were read, and one of them again by a version that knows a column more."""
    planday.catalogue = without(CATALOGUE, "hr.skills", "is_time_limited")
    for portal in ("london", "oslo"):
        planday.refresh("hr.skills", portal)
    adapt_columns(planday.lake, planday.catalogue, planday.config.privacy)
    planday.catalogue = CATALOGUE
    planday.refresh("hr.skills", "oslo")
    return planday


def test_new_columns_reach_older_files(upgraded: Installation) -> None:
    folder, key = upgraded.config.lake / "hr" / "skills", SliceKey.of("hr.skills", "london")
    before = upgraded.provenance("hr.skills", "london")
    assert "is_time_limited" not in pq.read_table(folder).schema.names, "that of the first file"
    upgraded.publish()
    assert before
    assert upgraded.provenance("hr.skills", "london") == replace(before, absent=["is_time_limited"])
    for name, reader in READERS.items():
        kinds = reader(folder).group_by(["portal", "is_time_limited"]).aggregate([]).to_pylist()
        found = {(row["portal"], row["is_time_limited"] is None) for row in kinds}
        assert found == {("london", True), ("oslo", False)}, name
    stamp = upgraded.lake.path(key).stat().st_mtime_ns
    assert upgraded.publish().slices == 0
    assert upgraded.lake.path(key).stat().st_mtime_ns == stamp, "once"


def test_new_columns_make_no_versions(upgraded: Installation) -> None:
    """What a column held before it was read is not known, so its first values are no change."""
    adapt_columns(upgraded.lake, CATALOGUE, upgraded.config.privacy)
    before = upgraded.frame("hr.skills_history", "london")
    assert before.schema == arrow_schema(CATALOGUE.histories["hr.skills"], upgraded.config.privacy)
    assert before.column("is_time_limited").null_count == before.num_rows > 0
    upgraded.refresh("hr.skills", "london")
    after = upgraded.frame("hr.skills_history", "london")
    assert (after.num_rows, after.column("is_time_limited").null_count) == (before.num_rows, 0)
    skill = upgraded.sandbox.portals["london"].skills[0]
    skill["isTimeLimited"] = not skill["isTimeLimited"]
    upgraded.refresh("hr.skills", "london")
    assert upgraded.frame("hr.skills_history", "london").num_rows == before.num_rows + 1, "from then on they do"


def test_values_without_a_column_stay(planday: Installation) -> None:
    """Planday may no longer send what a column held that the catalogue gave up."""
    planday.refresh("hr.skills")
    content = planday.bytes_of("hr.skills")
    adapt_columns(planday.lake, without(CATALOGUE, "hr.skills", "is_time_limited"), planday.config.privacy)
    assert planday.bytes_of("hr.skills") == content


def test_what_fails_is_adapted_next_time(upgraded: Installation) -> None:
    with counting(upgraded.config.lake / "_writing", at=1):
        (error,) = adapt_columns(upgraded.lake, CATALOGUE, upgraded.config.privacy)
    assert "The disk is full" in str(error)
    assert "is_time_limited" not in upgraded.frame("hr.skills", "london").schema.names
    assert adapt_columns(upgraded.lake, CATALOGUE, upgraded.config.privacy) == []
    assert "is_time_limited" in upgraded.frame("hr.skills", "london").schema.names
