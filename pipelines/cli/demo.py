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
from functools import partial
from pathlib import Path

from rich.console import Console

from pipelines.cli.console import listening, print_outcome, print_rows, say
from pipelines.cli.instance import packaged
from pipelines.cli.runs import Wanted
from pipelines.cli.sync import INTERRUPTED, sync
from pipelines.cli.workers import Workers
from planday_io.catalogue import CATALOGUE
from planday_io.config import Config
from planday_io.lake.installation import Installation
from planday_io.months import month_of, shifted
from planday_io.reports.managers import write_managers_report
from planday_io.reports.overview import overview
from planday_io.reports.report import write_report
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import Sandbox, demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.sync.side_by_side import portals_at_once

_CHANGES = 60
"""Of each portal, between its two reads: every kind of them, and short notice where rosters change at the last moment."""

_STOCK_STORAGE = "  sqlite: {base_dir: .dagster/storage}\n"
_STORAGE = "  custom: {module: pipelines.storage, class: SqliteStorage, config: {base_dir: .dagster/storage}}\n"
"""What dagster.yaml offers for many small runs, which the demo makes: it takes a fifth less processor time."""

_PEOPLE = (12, 96, 24)
"""Active employees of oslo, copenhagen and london."""

_LIVELY = (
    "hr.employees",
    "hr.deactivated_employees",
    "scheduling.shifts",
    "scheduling.deleted_shifts",
    "punchclock.punch_clock_shifts",
    "payroll",
)
"""What is read a second time: a few calls for each portal and month."""


def run(folder: Path, console: Console) -> int:
    """Sync the demo portals into `folder`, twice, and show some queries. Returns the exit code."""
    # The commands printed at the end must work in the current folder, and a sync changes the process's folder.
    cwd, sandbox = Path.cwd(), _sandbox()
    with local_planday(folder, sandbox) as file:
        os.environ["DAGSTER_HOME"] = str(folder)
        installation = Installation.load(file, CATALOGUE)
        config = installation.config
        address = config.planday.api_url
        console.print(f"A local Planday with {len(config.portals)} portals answers on {address}; reading it:\n")
        _live(sandbox, changes=0)
        everywhere, (last, *from_now) = list(config.portals), [shifted(config.history_start, n) for n in range(3)]
        # What is read on request only, of the smallest portal and of one month.
        on_request = [table.full_name for table in CATALOGUE.tables() if table.on_request]
        extra = [*on_request, "payroll", "punchclock.punch_clock_shifts"]
        limit = portals_at_once(installation, everywhere)
        with listening(console) as listener, Workers(file, limit) as workers:
            read = partial(sync, installation, workers=workers, listener=listener)
            outcomes = [read([(portal, Wanted()) for portal in everywhere], publishes=False)]
            if outcomes[0].is_interrupted:
                return INTERRUPTED
            _live(sandbox, changes=0)
            changes = _live(sandbox, changes=_CHANGES)
            console.print(f"\n{changes} things happened in the portals meanwhile; reading again what changes often:\n")
            again = [("oslo", Wanted(extra, [last])), ("london", Wanted(["absence.account_balances"]))]
            outcomes.append(read([*again, *((portal, Wanted(_LIVELY, from_now)) for portal in everywhere)]))
    for outcome in outcomes:
        print_outcome(console, config, outcome)
    if any(outcome.is_interrupted for outcome in outcomes):
        return INTERRUPTED
    if not all(outcome.is_complete for outcome in outcomes):
        return 1
    write_report(installation, folder / "planday-report.html")
    write_managers_report(installation, folder / "planday-managers.html")
    for answer in overview(config.warehouse):
        print_rows(console, f"\n{answer.question}", answer.columns, answer.rows)
    say(console, *next_steps(config, folder, cwd))
    return 0


def next_steps(config: Config, folder: Path, cwd: Path) -> list[str]:
    """What to try after the demo in `folder`: commands that can be pasted into a shell in `cwd`. Both are absolute."""
    warehouse = json.dumps(_from(config.warehouse, cwd), ensure_ascii=False)
    query = f'import duckdb; print(duckdb.connect({warehouse}, read_only=True).sql("FROM hr.employees LIMIT 5"))'
    python = Path(sys.executable)
    planday = _from(python.with_name("planday"), cwd)
    ui = [planday, "demo", "--ui", "--folder", _from(folder, cwd)]
    workbook = [planday, "export", "--mart", "labour_daily", "--output", _from(folder / "labour.xlsx", cwd)]
    here = f"PLANDAY_CONFIG={shlex.quote(_from(folder / 'portals.yaml', cwd))}"
    return [
        "",
        f"Query it:           {shlex.join([_from(python, cwd), '-c', query])}",
        f"Open it in Excel:   {here} {shlex.join(workbook)}",
        f"See it in Dagster:  {shlex.join(ui)}",
        f"Open in a browser:  {(folder / 'planday-report.html').as_uri()}",
        f"What managers get:  {(folder / 'planday-managers.html').as_uri()}",
    ]


def _from(path: Path, cwd: Path) -> str:
    """A path as typed in `cwd`: relative if it is inside `cwd`."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def open_ui(folder: Path, port: int) -> int:
    """Serve the local Planday and the Dagster UI on the demo until interrupted. Returns the exit code."""
    with local_planday(folder, _sandbox(), live_seconds=15) as file:
        environment = {**os.environ, "DAGSTER_HOME": str(folder), "PLANDAY_CONFIG": str(file)}
        command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
        with subprocess.Popen(command, cwd=folder, env=environment) as dagster:
            try:
                return dagster.wait()
            except KeyboardInterrupt:
                return dagster.wait()


def _sandbox() -> Sandbox:
    """Small portals with a few months of rosters, which are made in a moment and read in one minute."""
    sandbox = demo_sandbox(portals=demo_portals(people=_PEOPLE))
    for portal in sandbox.portals.values():
        portal.back_months = 4
    return sandbox


def _live(sandbox: Sandbox, changes: int) -> int:
    """Let each portal live until now, and return how much happened."""
    return sum(len(portal.advance(changes=changes)) for portal in sandbox.portals.values())


def write_settings(folder: Path) -> None:
    """Write Dagster's settings into a folder, with the storage for many small runs."""
    shutil.copyfile(packaged("workspace.yaml"), folder / "workspace.yaml")
    instance = packaged("dagster.yaml").read_text(encoding="utf-8").replace(_STOCK_STORAGE, _STORAGE)
    (folder / "dagster.yaml").write_text(instance, encoding="utf-8")


@contextmanager
def local_planday(folder: Path, sandbox: Sandbox | None = None, live_seconds: float | None = None) -> Iterator[Path]:
    """Serve the demo portals, and make `folder` a Dagster home with a configuration that reads them. Yields its file.

    It reads three months of facts. The large portal pays its people with another system, and breaks, which take a call for
    each punch, are read of the smallest portal only: that saves hundreds of calls.
    With `live_seconds`, something changes in each portal that often.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder)
    sandbox = sandbox or demo_sandbox()
    with served(sandbox, live_seconds=live_seconds) as address:
        yield write_config(
            sandbox,
            folder,
            address,
            history_start=shifted(month_of(datetime.now(UTC).date()), -1),
            defaults=["window: {past_months: 1, future_months: 1}"],
            portals={
                "copenhagen": ["resources: {exclude: [pay, contract_rules, punchclock.punch_clock_breaks]}"],
                "london": ["resources: {exclude: [punchclock.punch_clock_breaks]}"],
            },
        )
