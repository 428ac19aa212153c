"""`planday demo`: the whole path against a local Planday, ending with queries an analyst would recognise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
from rich.console import Console

from pipelines.console import listening, print_outcome, print_rows
from pipelines.resources import catalogue
from pipelines.sync import sync
from planday_io.config import load_config
from planday_io.sandbox.app import demo_sandbox
from planday_io.sandbox.serve import served, write_config

QUERIES = (
    (
        "Employees per department",
        """
        SELECT d.portal, coalesce(d.name, '(no name)') AS department, count(e.id) AS employees
        FROM hr.departments AS d
        LEFT JOIN hr.employees AS e ON e.portal = d.portal AND list_contains(e.departments, d.id)
        GROUP BY ALL ORDER BY portal, employees DESC, department
        """,
    ),
    (
        "Who works and who left, per portal",
        """
        SELECT p.portal, p.company_name, p.time_zone,
               (SELECT count(*) FROM hr.employees AS e WHERE e.portal = p.portal) AS active,
               (SELECT count(*) FROM hr.deactivated_employees AS e WHERE e.portal = p.portal) AS left_us
        FROM portal.portals AS p ORDER BY p.portal
        """,
    ),
    (
        "Is it complete? One row per portal and verdict (sync.slices)",
        """
        SELECT portal, verdict, count(*) AS tables, sum(kept)::BIGINT AS rows, sum(requests)::BIGINT AS requests
        FROM sync.slices GROUP BY ALL ORDER BY ALL
        """,
    ),
)


def run(folder: Path, project: Path, console: Console) -> int:
    """Sync the demo portals into `folder` and show some queries. Returns the exit code."""
    _prepare(folder, project)
    sandbox = demo_sandbox()
    with served(sandbox) as address:
        config = load_config(write_config(sandbox, folder, address), catalogue())
        os.environ["DAGSTER_HOME"] = str(folder)
        console.print(f"A local Planday with {len(config.portals)} portals answers on {address}; reading it:\n")
        with listening(console, list(config.portals)) as listener:
            outcome = sync(config, list(config.portals), listener=listener)
    print_outcome(console, config, outcome)
    with duckdb.connect(str(config.warehouse), read_only=True) as db:
        for title, query in QUERIES:
            found = db.execute(query)
            columns = [column[0] for column in found.description or ()]
            print_rows(console, f"\n{title}", columns, found.fetchall())
    console.print(
        f"\nAsk it more:  .venv/bin/python -c \"import duckdb; print(duckdb.connect('{config.warehouse.name}', "
        f"read_only=True).sql('FROM hr.employees LIMIT 5'))\"  (in {folder})\nOr look at it: make ui",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    return 0 if outcome.is_complete else 1


def open_ui(folder: Path, project: Path, port: int) -> int:
    """Serve the local Planday and the Dagster UI on the demo until interrupted. Returns the exit code."""
    _prepare(folder, project)
    sandbox = demo_sandbox()
    with served(sandbox) as address:
        config = write_config(sandbox, folder, address)
        environment = {**os.environ, "DAGSTER_HOME": str(folder), "PLANDAY_CONFIG": str(config)}
        command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
        with subprocess.Popen(command, cwd=folder, env=environment) as dagster:
            try:
                return dagster.wait()
            except KeyboardInterrupt:
                return dagster.wait()


def _prepare(folder: Path, project: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copyfile(project / name, folder / name)
