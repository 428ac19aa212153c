"""What readers see: one run's tables together, one ledger state per connection, never an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pytest

from planday_io.config import Config
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state import State
from tests.support.installation import Installation

PUBLICATIONS = int(os.environ.get("PLANDAY_PUBLICATIONS", "12"))
QUERIES = int(os.environ.get("PLANDAY_QUERIES", "200"))
TABLES = ("hr.departments", "hr.employee_groups", "hr.employees")

READER = """
import duckdb, json, sys
path, queries = sys.argv[1], int(sys.argv[2])
TABLES = json.loads(sys.argv[3])
SQL = " UNION ALL ".join(
    f"SELECT s.run_id, s.kept - s.elsewhere = (SELECT count(*) FROM {t}) FROM sync.slices AS s WHERE s.table_name = '{t}'"
    for t in TABLES
)
asked, seen, wrong = 0, set(), 0
held = duckdb.connect(path, read_only=True)
first = held.execute(SQL).fetchall()
while asked < queries or not sys.stdin.closed and asked < 10 * queries and len(seen) < 2:
    with duckdb.connect(path, read_only=True) as db:
        for _ in range(3):
            rows = db.execute(SQL).fetchall()
            asked += 1
            seen.add(rows[0][0])
            wrong += len({run for run, _ in rows}) != 1 or not all(good for _, good in rows)
    wrong += held.execute(SQL).fetchall() != first
    asked += 1
    if asked % 40 == 0:
        held.close()
        held = duckdb.connect(path, read_only=True)
        first = held.execute(SQL).fetchall()
print(json.dumps({"asked": asked, "states": len(seen), "wrong": wrong}))
"""


def write_run(config: Config, run: str, rows: dict[str, pa.Table], tables: tuple[str, ...], writer: str) -> None:
    """What a run does to the lake: slices of several tables, with a number of rows that tells runs apart."""
    lake = Lake(config.lake, State(config.state), writer)
    for name in tables:
        key = SliceKey.of(name, "oslo")
        provenance = lake.provenance(key)
        assert provenance is not None
        with lake.locked(key):
            lake.write(key, rows[name], replace(provenance, run_id=run))


@pytest.fixture
def ready(planday: Installation) -> dict[str, pa.Table]:
    for name in TABLES:
        planday.refresh(name)
    rows = {name: planday.frame(name) for name in TABLES}
    write_run(planday.config, "run 0", rows, TABLES, "")
    planday.publish()
    return rows


@pytest.mark.processes
def test_readers_see_one_state_each_and_no_error(planday: Installation, ready: dict[str, pa.Table]) -> None:
    command = [sys.executable, "-c", READER, str(planday.config.warehouse), str(QUERIES), json.dumps(TABLES)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    published = 0
    while published < PUBLICATIONS or reader.poll() is None:
        published += 1
        rows = {name: table.slice(0, 1 + published % table.num_rows) for name, table in ready.items()}
        with planday.state.runs.begin() as lease:
            write_run(planday.config, f"run {published}", rows, TABLES[:2], lease.name)
            # Another run ends in the middle of this one, and publishes.
            planday.publish()
            write_run(planday.config, f"run {published}", rows, TABLES[2:], lease.name)
        planday.publish()
    out, error = reader.communicate(timeout=300)
    assert reader.returncode == 0, error
    told = json.loads(out)
    sys.stdout.write(f"\n{published} publications, {told}\n")
    assert told["asked"] >= QUERIES
    assert told["states"] > 1
    assert told["wrong"] == 0


def test_one_run_s_tables_appear_together(planday: Installation, ready: dict[str, pa.Table]) -> None:
    def shown() -> set[str]:
        return {run for (run,) in planday.query(f"SELECT run_id FROM sync.slices WHERE table_name IN {TABLES}")}

    with planday.state.runs.begin() as lease:
        write_run(planday.config, "run 1", ready, TABLES[:2], lease.name)
        assert planday.publish().slices == 0
        assert shown() == {"run 0"}
        assert len(planday.lake.pending()) == 0
        write_run(planday.config, "run 1", ready, TABLES[2:], lease.name)
        assert planday.publish(compare_all=True).slices == 0
    assert planday.publish().slices == 3
    assert shown() == {"run 1"}


def test_what_a_killed_run_wrote_is_published(planday: Installation, ready: dict[str, pa.Table]) -> None:
    code = (
        "import os, signal; from pathlib import Path; import sys; from planday_io.state import State; "
        "lease = State(Path(sys.argv[1])).runs.begin(); print(lease.name, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(planday.config.state)], capture_output=True, text=True, check=False
    )
    writer = killed.stdout.strip()
    write_run(planday.config, "run 1", ready, TABLES, writer)
    assert planday.publish().slices == 3


def test_first_publication_waits_for_runs_in_progress_too(planday: Installation, ready: dict[str, pa.Table]) -> None:
    planday.config.warehouse.unlink()
    with planday.state.runs.begin() as lease:
        write_run(planday.config, "run 1", ready, TABLES[:1], lease.name)
        planday.publish()
        assert planday.query("SELECT count(*) FROM sync.slices WHERE table_name = 'hr.departments'") == [(0,)]
        assert planday.query("SELECT count(*) FROM hr.employees") == [(ready["hr.employees"].num_rows,)]
    planday.publish()
    assert planday.query("SELECT run_id FROM sync.slices WHERE table_name = 'hr.departments'") == [("run 1",)]
