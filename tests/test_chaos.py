"""SIGKILL at random moments: no slice and no warehouse is ever half, and the next sync completes everything.

Five kills in the suite; `make chaos` sets PLANDAY_KILLS=50. The moment is drawn over the whole run, start-up included.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess

import pyarrow.parquet as pq

from planday_io.lake.slices import SliceKey
from tests.conftest import Make
from tests.test_command_line import PLANDAY, environment, planday_command

KILLS = int(os.environ.get("PLANDAY_KILLS", "5"))


def test_killed_at_random_moments(make: Make) -> None:
    planday = make(people=(40, 5, 5))
    chance = random.Random(20261123)
    killed = 0
    command = [PLANDAY, "sync", "oslo"]
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, env=environment(planday), cwd=planday.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=chance.uniform(0.5, 6.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        for path in planday.config.lake.rglob("data.parquet"):
            pq.read_table(path)
        if planday.config.warehouse.exists():
            ledger = planday.query("SELECT table_name, kept FROM sync.slices")
            for table, kept in ledger:
                assert planday.query(f"SELECT count(*) FROM {table} WHERE portal = 'oslo'") == [(kept,)]
    assert killed
    done = planday_command(planday, "sync", "oslo")
    assert done.returncode == 0, done.stdout + done.stderr
    portal = planday.sandbox.portals["oslo"]
    assert {row["id"] for row in planday.rows("hr.employee_details")} == {row["id"] for row in portal.employees}
    published = dict(planday.query("SELECT table_name, slice_id FROM sync.slices"))
    for table, slice_id in published.items():
        origin = planday.lake.origin(SliceKey.of(table, "oslo"))
        assert origin is not None
        assert origin.slice_id == slice_id
    assert not list(planday.folder.rglob("warehouse.duckdb.tmp-*"))
