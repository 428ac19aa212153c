"""A rebuild: it has the rows of all files, read another way, and what a killed one leaves is removed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.files import copy_content
from planday_io.frames.types import replaced
from planday_io.lake.freezing import frozen
from planday_io.lake.slices import SliceKey
from planday_io.months import shifted
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.months import THIS

Row = dict[str, Any]


def in_lake(planday: Installation, table: str) -> list[Row]:
    """The rows of a table's files, of one key the one that was read last."""
    rows = [row for key in planday.lake.slices(table) for row in pq.read_table(planday.lake.path(key)).to_pylist()]
    declared = CATALOGUE.lake_tables[table]
    if declared.is_monthly and table in {one.full_name for one in CATALOGUE.tables()} and "month" not in declared.key:
        latest: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            key = (row["portal"], *(row[column] for column in declared.key))
            latest[key] = max(latest.get(key, row), row, key=lambda one: (one["_fetched_at"], one["month"]))
        rows = [row for row in rows if row == latest[row["portal"], *(row[column] for column in declared.key)]]
    return rows


def in_warehouse(planday: Installation) -> Iterator[tuple[str, list[Row]]]:
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, table in CATALOGUE.lake_tables.items():
            yield name, db.sql(f"FROM {table.published_name}").to_arrow_table().to_pylist()


def texts(rows: list[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def put(planday: Installation, key: SliceKey, rows: pa.Table, **provenance: Any) -> None:
    """Write a slice as a read does that finds these rows."""
    before = planday.lake.provenance(key)
    assert before is not None
    with planday.lake.locked(key):
        planday.lake.write(key, rows, replace(before, **provenance))


def as_of_month(rows: pa.Table, month: str | None, hours: int) -> pa.Table:
    """Rows as they are where a read of another month finds them, some hours later."""
    column = rows.schema.get_field_index("_fetched_at")
    later = pc.add(rows["_fetched_at"], pa.scalar(timedelta(hours=hours))).cast(rows.schema.field(column).type)
    rows = replaced(rows, "_fetched_at", later)
    return replaced(rows, "month", pa.repeat(pa.scalar(month, rows.schema.field("month").type), rows.num_rows))


@pytest.mark.processes
@pytest.mark.parametrize("rebuild", [True, False])
def test_rows_are_those_of_the_files(make: Make, rebuild: bool) -> None:
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    months = [shifted(THIS, by) for by in (-2, -1)]
    for portal in ("oslo", "london"):
        planday.read_months(months, portal)
    for endpoint in planday.catalogue.endpoints:
        if endpoint.grid == "portal" and not endpoint.tables[0].on_request:
            planday.refresh(endpoint.name, "copenhagen")
    # Some shifts of one month are in the next one as well, where they were read later.
    first, second = (SliceKey.of("scheduling.shifts", "oslo", month) for month in months)
    moved = as_of_month(planday.lake.read(first).slice(0, 7), second.month, 1)
    put(planday, second, pa.concat_tables([planday.lake.read(second), moved]))
    done = planday.publish(rebuild=rebuild)
    assert done.problems == {}
    there = dict(in_warehouse(planday))
    assert sum(bool(rows) for rows in there.values()) > 20
    for name, rows in there.items():
        assert texts(rows) == texts(in_lake(planday, name)), name
    assert planday.query("SELECT sum(elsewhere) FROM sync.slices") == [(7,)]
    counts = planday.query(
        "SELECT table_name, portal, month, kept FROM sync.slices UNION ALL BY NAME FROM sync.derived"
    )
    assert len(counts) == len(planday.lake.slices())
    assert done.slices == len(counts) or not rebuild
    assert done.is_rebuild == rebuild


@pytest.mark.processes
def test_each_publication_shows_what_files_hold(make: Make) -> None:
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    months = [shifted(THIS, by) for by in (-3, -2, -1)]
    planday.read_months(months)
    planday.read_months(months[:1], "london")
    first, second, third = (SliceKey.of("scheduling.shifts", "oslo", month) for month in months)
    elsewhere = "SELECT month, elsewhere FROM sync.slices WHERE elsewhere > 0 ORDER BY ALL"

    def published(*left: tuple[str | None, int]) -> None:
        assert planday.publish().problems == {}
        for name, rows in in_warehouse(planday):
            assert texts(rows) == texts(in_lake(planday, name)), name
        assert planday.query(elsewhere) == [*left]
        assert len(
            planday.query("SELECT slice_id FROM sync.slices UNION ALL SELECT slice_id FROM sync.derived")
        ) == len(planday.lake.slices())

    published()
    rows = planday.lake.read(first)
    assert rows.num_rows > 20
    put(planday, first, rows.slice(3))
    published()
    moved = rows.slice(3, 7)
    put(planday, second, pa.concat_tables([planday.lake.read(second), as_of_month(moved, second.month, 1)]))
    published((first.month, 7))
    # Some of them move on, some move back, and one read finds all that is left of the month.
    put(planday, third, pa.concat_tables([planday.lake.read(third), as_of_month(moved.slice(0, 4), third.month, 2)]))
    published((first.month, 7), (second.month, 4))
    put(planday, first, pa.concat_tables([rows.slice(10), as_of_month(moved.slice(5), first.month, 3)]))
    published((second.month, 6))
    put(planday, second, planday.lake.read(second).slice(0, 0))
    published()


@pytest.mark.parametrize("rebuild", [True, False])
def test_files_with_other_columns_are_read_apart(planday: Installation, rebuild: bool) -> None:
    """Values without a column of today, numbers written as texts, and a column that a file does not have yet."""
    portals = ("oslo", "london", "copenhagen")
    for portal in portals:
        planday.refresh("hr.departments", portal)
    planday.publish()
    unnamed = "CASE WHEN portal <> 'copenhagen' THEN name END AS name"
    expected = planday.query(f"SELECT * REPLACE ({unnamed}) FROM hr.departments ORDER BY ALL")
    for portal in portals:
        key = SliceKey.of("hr.departments", portal)
        provenance, rows = planday.lake.provenance(key), planday.lake.read(key)
        assert provenance is not None
        if portal == "oslo":
            rows = rows.append_column("gone", pa.array([f"{number}" for number in range(rows.num_rows)]))
        elif portal == "london":
            index = rows.schema.get_field_index("id")
            rows = rows.set_column(index, "id", pa.array([f"{one}.0" for one in rows["id"].to_pylist()]))
        else:
            rows = rows.drop_columns(["name"])
        with planday.lake.locked(key):
            planday.lake.replace(key, rows, replace(provenance, slice_id=f"other {portal}").encoded())
    done = planday.publish(rebuild=rebuild, compare_all=True)
    assert (done.problems, done.is_rebuild) == ({}, rebuild)
    assert planday.query("FROM hr.departments ORDER BY ALL") == expected


@pytest.mark.processes
def test_next_publication_sweeps_what_a_killed_one_froze(planday: Installation) -> None:
    planday.refresh("hr.departments")
    code = (
        "import os, signal, sys; from pathlib import Path; from planday_io.catalogue import CATALOGUE\n"
        "from planday_io.lake.freezing import frozen; from planday_io.lake.installation import Installation\n"
        "lake = Installation.load(Path(sys.argv[1]), CATALOGUE).lake\n"
        "with frozen(lake, lake.slices()) as there:\n"
        "    assert there.slices\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(planday.config_path)], check=False)

    def left() -> list[str]:
        return [path.name for path in planday.config.lake.iterdir() if ".tmp-" in path.name]

    assert left()
    with frozen(planday.lake, planday.lake.slices()) as there:
        planday.publish()
        # A backup that is being made goes on.
        names = {one.file.parent.name for one in there.slices.values()}
        assert {*left()} - {f"{name}.held" for name in names} == names
        assert all(one.file.exists() for one in there.slices.values())
    assert left() == []


def test_copies_have_the_same_content(planday: Installation) -> None:
    planday.publish()
    file = planday.config.warehouse
    copy = planday.folder / "copy"
    copy.write_bytes(b"longer than nothing")
    copy_content(file, copy)
    assert copy.read_bytes() == file.read_bytes()
    nothing = planday.folder / "nothing"
    nothing.touch()
    copy_content(nothing, copy)
    assert copy.read_bytes() == b""
