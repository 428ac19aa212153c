"""Publishing one changed month into a warehouse of millions of shifts, beside the least that could be written by hand.

Both copy the same file and put the same rows of one month in the place of the former ones, in turns. By hand: copy, delete,
insert, checkpoint. Ours does besides: the ledger, one row per key, a second look at the new file, the rename.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.reading import Result
from planday_io.catalogue import CATALOGUE, VERSION
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Provenance, SliceKey
from planday_io.months import first_day, shifted
from planday_io.warehouse import publish

TABLE = CATALOGUE.table("scheduling.shifts")


def month_of_shifts(month: str, first_id: int, rows: int) -> pa.Table:
    """Made-up shifts of one month in the columns of `scheduling.shifts`."""
    chance = np.random.default_rng(first_id)
    days = np.datetime64(first_day(month)) + chance.integers(0, 28, rows).astype("timedelta64[D]")
    starts = days.astype("datetime64[us]") + (chance.integers(6, 22, rows) * 3600).astype("timedelta64[s]")
    values = {
        "portal": np.repeat("bench", rows),
        "portal_id": np.repeat(1, rows),
        "month": np.repeat(month, rows),
        "id": np.arange(first_id, first_id + rows),
        "department_id": chance.integers(100, 140, rows),
        "employee_id": chance.integers(1000, 9000, rows),
        "employee_group_id": chance.integers(200, 210, rows),
        "position_id": chance.integers(800, 900, rows),
        "date": days,
        "start_date_time": starts,
        "end_date_time": starts + np.timedelta64(8, "h"),
        "time_zone": np.repeat("Europe/Copenhagen", rows),
        "status": np.array(["Approved", "Assigned", "Open"])[chance.integers(0, 3, rows)],
        "date_time_created": starts,
        "date_time_modified": starts,
        "_fetched_at": np.repeat(np.datetime64(datetime(2026, 1, 1)), rows),  # noqa: DTZ001 - numpy knows no zones
    }
    schema = arrow_schema(TABLE, PrivacyPolicy())
    arrays = [pa.array(values[f.name], f.type if not pa.types.is_timestamp(f.type) else pa.timestamp("us")).cast(f.type)
              if f.name in values else pa.nulls(rows, f.type) for f in schema]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=schema)


def one_month(*, shifts: int = 5_000_000, months: int = 60, times: int = 7) -> list[Result]:
    """Case e: build a warehouse, and publish one of its months both ways in turns."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), shifts // months, months, times)


def _run(folder: Path, rows: int, months: int, times: int) -> list[Result]:
    file = folder / "portals.yaml"
    file.write_text("portals: {bench: {client_id: bench, refresh_token: {env: BENCH_TOKEN}}}\n")
    installation = Installation.load(file, CATALOGUE)
    lake, warehouse = installation.lake, installation.config.warehouse
    provenance = Provenance(
        run_id="bench", portal_id=1, fetched_at=datetime(2026, 1, 1, tzinfo=UTC).isoformat(), window="", requests=1,
        expected_total=rows, received=rows, distinct_keys=rows, kept=rows, verdict="total_matched", catalogue_version=VERSION,
        policies={"none": "keep", "free_text": "drop", "unknown": "drop"},
    )  # fmt: skip
    names = [shifted("2021-01", n) for n in range(months)]

    def write(number: int, run: str) -> SliceKey:
        key = SliceKey.of(TABLE.full_name, "bench", names[number])
        with lake.locked(key):
            lake.write(key, month_of_shifts(names[number], 1 + number * rows, rows), replace(provenance, run_id=run))
        return key

    def ours() -> None:
        publish(installation)

    for number in range(months):
        write(number, "first")
    ours()
    changed = write(months // 2, "changed")
    path, month = lake.path(changed), names[months // 2]

    def by_hand() -> None:
        copy = folder / "copy.duckdb"
        shutil.copyfile(warehouse, copy)
        with duckdb.connect(str(copy)) as db:
            db.execute("BEGIN")
            db.execute("DELETE FROM scheduling.shifts WHERE portal = 'bench' AND month = ?", [month])
            db.execute(
                f"INSERT INTO scheduling.shifts BY NAME SELECT * FROM read_parquet('{path}', hive_partitioning = false)"
            )
            db.execute("COMMIT")
            db.execute("CHECKPOINT")
        copy.unlink()

    ours()
    seconds: dict[str, list[float]] = {"ours": [], "by hand": []}
    for _ in range(times):
        seconds["by hand"].append(_timed(by_hand))
        write(months // 2, "changed")
        seconds["ours"].append(_timed(ours))
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["by hand"], strict=True)]
    size = warehouse.stat().st_size / 2**20
    ratio = f"{statistics.median(ratios):.2f} (of {times}, {min(ratios):.2f} to {max(ratios):.2f})"
    both = ", ".join(f"{name} {statistics.median(found):.2f} s" for name, found in seconds.items())
    what = f"one month of {rows} rows in {rows * months} of {size:.0f} MiB"
    return [Result("e", what, f"{both}: {ratio} x by hand", "1.5 x")]


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
