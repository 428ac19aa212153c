"""`planday demo`: the whole path against a local Planday, ending with queries an analyst would recognise."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from pipelines.cli.console import listening, print_outcome, print_rows, say
from pipelines.cli.instance import packaged
from pipelines.cli.sync import sync
from planday_io.catalogue import CATALOGUE
from planday_io.config import Config
from planday_io.lake.installation import Installation
from planday_io.months import month_of, shifted
from planday_io.reports.overview import overview
from planday_io.reports.report import write_report
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import demo_sandbox


def run(folder: Path, console: Console) -> int:
    """Sync the demo portals into `folder` and show some queries. Returns the exit code."""
    # The commands printed at the end must work in the current folder, and a sync changes the process's folder.
    cwd = Path.cwd()
    with local_planday(folder) as file:
        os.environ["DAGSTER_HOME"] = str(folder)
        installation = Installation.load(file, CATALOGUE)
        config = installation.config
        address = config.planday.api_url
        console.print(f"A local Planday with {len(config.portals)} portals answers on {address}; reading it:\n")
        with listening(console, list(config.portals)) as listener:
            outcome = sync(installation, list(config.portals), listener=listener)
            # Tables that are read on request only, for the smallest portal and one month.
            on_request = [table.full_name for table in CATALOGUE.tables() if table.on_request]
            more = sync(installation, ["oslo"], listener=listener, resources=on_request, months=[config.history_start])
    print_outcome(console, config, outcome)
    print_outcome(console, config, more)
    if not (outcome.is_complete and more.is_complete):
        return 1
    write_report(installation, folder / "planday-report.html")
    for answer in overview(config.warehouse):
        print_rows(console, f"\n{answer.question}", answer.columns, answer.rows)
    say(console, *next_steps(config, folder, cwd))
    return 0


def next_steps(config: Config, folder: Path, cwd: Path) -> list[str]:
    """What to try after the demo in `folder`: commands that can be pasted into a shell in `cwd`. Both are absolute."""
    warehouse = json.dumps(_from(config.warehouse, cwd), ensure_ascii=False)
    query = f'import duckdb; print(duckdb.connect({warehouse}, read_only=True).sql("FROM hr.employees LIMIT 5"))'
    python = Path(sys.executable)
    ui = [_from(python.with_name("planday"), cwd), "demo", "--ui", "--folder", _from(folder, cwd)]
    return [
        "",
        f"Query it:           {shlex.join([_from(python, cwd), '-c', query])}",
        f"See it in Dagster:  {shlex.join(ui)}",
        f"Open in a browser:  {(folder / 'planday-report.html').as_uri()}",
    ]


def _from(path: Path, cwd: Path) -> str:
    """A path as typed in `cwd`: relative if it is inside `cwd`."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def open_ui(folder: Path, port: int) -> int:
    """Serve the local Planday and the Dagster UI on the demo until interrupted. Returns the exit code."""
    with local_planday(folder) as file:
        environment = {**os.environ, "DAGSTER_HOME": str(folder), "PLANDAY_CONFIG": str(file)}
        command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
        with subprocess.Popen(command, cwd=folder, env=environment) as dagster:
            try:
                return dagster.wait()
            except KeyboardInterrupt:
                return dagster.wait()


@contextmanager
def local_planday(folder: Path) -> Iterator[Path]:
    """Serve the demo portals, and make `folder` a Dagster home with a configuration that reads them. Yields its file.

    It reads three months of facts. The portal of 400 people pays them with another system, which saves 1,900 calls.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copyfile(packaged(name), folder / name)
    sandbox = demo_sandbox()
    with served(sandbox) as address:
        yield write_config(
            sandbox,
            folder,
            address,
            history_start=shifted(month_of(datetime.now(UTC).date()), -1),
            defaults=["window: {past_months: 1, future_months: 1}"],
            portals={"copenhagen": ["resources: {exclude: [pay, contract_rules, punchclock.punch_clock_breaks]}"]},
        )
