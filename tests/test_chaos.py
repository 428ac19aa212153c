"""SIGKILL at random moments: no slice and no warehouse is ever half, and the next sync completes everything.

Five kills by `make slow`; `make chaos` sets PLANDAY_KILLS=50. The moment is drawn over the whole run, start-up included.
"""

from __future__ import annotations

import os
import random
import subprocess

import pyarrow.parquet as pq
import pytest

from planday_io.lake.slices import SliceKey
from planday_io.months import shifted
from tests.support.commands import killed, planday_command, started
from tests.support.installation import EVERYTHING, Make
from tests.support.months import THIS

KILLS = int(os.environ.get("PLANDAY_KILLS", "5"))


@pytest.mark.slow
def test_killed_at_random_moments(make: Make) -> None:
    planday = make(people=(12, 5, 5), resources=EVERYTHING)
    planday.edit_config("history_start: 2025-01", f"history_start: {shifted(THIS, -1)}")
    chance = random.Random(20261123)
    kills = 0
    for _ in range(KILLS):
        process = started(planday, "sync", "oslo")
        try:
            process.communicate(timeout=chance.uniform(0.5, 12))
        except subprocess.TimeoutExpired:
            killed(process)
            kills += 1
        for path in planday.config.lake.rglob("data.parquet"):
            pq.read_table(path)
        if planday.config.warehouse.exists():
            for table, kept in planday.query("SELECT table_name, sum(kept - elsewhere) FROM sync.slices GROUP BY ALL"):
                assert planday.query(f"SELECT count(*) FROM {table} WHERE portal = 'oslo'") == [(kept,)]
    assert kills
    done = planday_command(planday, "sync", "oslo")
    assert done.returncode == 0, done.stdout + done.stderr
    portal = planday.sandbox.portals["oslo"]
    assert {row["id"] for row in planday.rows("hr.employee_details")} == {row["id"] for row in portal.employees}
    fresh = planday.fresh()
    fresh.read_months([shifted(THIS, by) for by in range(-1, 3)])
    assert planday.content() == fresh.content()
    for table, month, slice_id in planday.query("SELECT table_name, month, slice_id FROM sync.slices"):
        provenance = planday.lake.provenance(SliceKey.of(table, "oslo", month))
        assert provenance is not None
        assert provenance.slice_id == slice_id
    assert not list(planday.folder.rglob("warehouse.duckdb.tmp-*"))
