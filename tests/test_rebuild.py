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
            yield name, db.execute(f"FROM {table.published_name}").to_arrow_table().to_pylist()


def texts(rows: list[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


@pytest.mark.processes
@pytest.mark.parametrize("rebuild", [True, False])
def test_rows_are_those_of_the_files(make: Make, rebuild: bool) -> None:
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    months = [shifted(THIS, by) for by in (-2, -1)]
    for portal in ("oslo", "london"):
        planday.read_months(months, portal)
    for table in ("hr.employees", "hr.departments", "portal.portals", "absence.account_balances"):
        planday.refresh(table, "copenhagen")
    # Some shifts of one month are in the next one as well, where they were read later.
    first, second = (SliceKey.of("scheduling.shifts", "oslo", month) for month in months)
    moved = planday.lake.read(first).slice(0, 7)
    later = pc.add(moved["_fetched_at"], pa.scalar(timedelta(hours=1)))
    moved = replaced(
        replaced(moved, "month", pa.repeat(second.month, 7)),
        "_fetched_at",
        later.cast(moved.schema.field("_fetched_at").type),
    )
    provenance = planday.lake.provenance(second)
    assert provenance is not None
    with planday.lake.locked(second):
        planday.lake.write(second, pa.concat_tables([planday.lake.read(second), moved]), provenance)
    done = planday.publish(rebuild=rebuild)
    assert done.problems == {}
    there = dict(in_warehouse(planday))
    assert sum(bool(rows) for rows in there.values()) > 40
    for name, rows in there.items():
        assert texts(rows) == texts(in_lake(planday, name)), name
    assert planday.query("SELECT sum(elsewhere) FROM sync.slices") == [(7,)]
    counts = planday.query(
        "SELECT table_name, portal, month, kept FROM sync.slices UNION ALL BY NAME FROM sync.derived"
    )
    assert len(counts) == len(planday.lake.slices()) == done.slices


def test_files_with_other_columns_are_read_apart(planday: Installation) -> None:
    """Values for which there is no column any more, and a number that only DuckDB takes for one."""
    for portal in ("oslo", "london", "copenhagen"):
        planday.refresh("hr.departments", portal)
    planday.publish()
    before = planday.query("FROM hr.departments ORDER BY ALL")
    for portal, column, values in (("oslo", "gone", ["a", "b"]), ("london", "id", None)):
        key = SliceKey.of("hr.departments", portal)
        provenance, rows = planday.lake.provenance(key), planday.lake.read(key)
        assert provenance is not None
        if values:
            rows = rows.append_column(column, pa.array(values))
        else:
            index = rows.schema.get_field_index(column)
            rows = rows.set_column(index, column, pa.array([f"{one}.0" for one in rows[column].to_pylist()]))
        with planday.lake.locked(key):
            planday.lake.replace(key, rows, replace(provenance, slice_id=f"other {portal}").encoded())
    done = planday.publish(rebuild=True)
    assert done.problems == {}
    assert planday.query("FROM hr.departments ORDER BY ALL") == before


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
    planday.publish()
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
