"""The `planday` command. Everything heavy is imported by the command that needs it, so that `--help` is quick.

Exit codes: 0 all complete, 1 something incomplete or refused (everything else was written), 2 usage or configuration,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import (
    AsJson,
    Portals,
    confirm,
    current_installation,
    end_soon,
    known_months,
    known_portals,
    known_resources,
    open_standard_files,
    print_json,
    print_version,
    require_known,
    terminal,
)
from pipelines.cli.assistant import mcp
from pipelines.cli.backup import backup, restore
from pipelines.cli.check import check
from pipelines.cli.deliver import deliver
from pipelines.cli.drift import drift
from pipelines.cli.export import export
from pipelines.cli.metrics import metrics
from pipelines.cli.portals import Yes, authorize, portals, revoke
from pipelines.cli.reference import docs
from pipelines.cli.report import report
from planday_io.errors import ConfigError, PlandayError

if TYPE_CHECKING:
    # Needed for types only; importing this module loads pandas.
    from planday_io.sync.forecast import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Planday's data in Parquet and DuckDB, complete or not at all.",
)

_SAYS_WHAT = "--missing says what is read: leave out --resources, --months, --schedule and --full"

Processes = Annotated[
    int | None,
    typer.Option(min=1, help="How many portals to read at once; by default as many as the apps' budgets feed."),
]
Missing = Annotated[
    bool,
    typer.Option(
        "--missing",
        help="Exactly the slices that are missing: never read, lost, damaged, failed last, read with older definitions or "
        "overdue. Every file is verified to find them.",
    ),
]
Resources = Annotated[str | None, typer.Option(help="Domains and tables, such as hr,scheduling.shifts.")]


@app.callback()
def _planday(
    _: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


def main() -> None:
    """Entry point: known errors become one message and an exit code."""
    from planday_io.faults import as_planday_error, trace_of
    from planday_io.files import keep_from_others

    keep_from_others()
    open_standard_files()
    try:
        app()
    except PlandayError as error:
        typer.echo(f"planday: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except Exception as error:  # noqa: BLE001 - a traceback says nothing of what to do, and its text may quote data
        # Imported only on errors: Dagster takes a second to load.
        from pipelines.storage_faults import file_fault, storage_fault

        of_file = file_fault(error) if isinstance(error, OSError) else None
        try:
            told = of_file or storage_fault(error) or as_planday_error(error)
        except KeyboardInterrupt:
            sys.exit(130)  # as typer does
        typer.echo(f"planday: {told}", err=True)
        if os.environ.get("PLANDAY_TRACE"):
            typer.echo(trace_of(error), err=True)
        else:
            typer.echo("planday: PLANDAY_TRACE=1 in the environment prints the traceback, without data", err=True)
        sys.exit(1)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8155,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="How to behave where Planday's behaviour is not known, such as open_shifts=null; repeatable."
        ),
    ] = None,
    live: Annotated[
        float | None,
        typer.Option(min=0.1, help="Let the portals live: how many seconds pass between two changes in each of them."),
    ] = None,
) -> None:
    """Serve a local Planday with three demo portals until interrupted."""
    from planday_io.sandbox.serve import serve_forever
    from planday_io.sandbox.state import demo_sandbox
    from planday_io.sandbox.variants import Variants

    try:
        made = demo_sandbox(variants=Variants.of(variant or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--variant") from None
    typer.echo(f"A local Planday listens on http://127.0.0.1:{port} (Ctrl+C ends it).")
    for client in made.apps.values():
        for key, token in client.refresh_tokens.items():
            typer.echo(f"  {key}: client_id {client.client_id}, refresh token {token}")
    serve_forever(made, port, live)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Folder for the demo; use one for it alone.")] = Path("demo"),
    ui: Annotated[bool, typer.Option("--ui", help="Open the Dagster UI on the demo instead of syncing it.")] = False,
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 3000,
) -> None:
    """Sync three made-up portals into a warehouse and query it. Needs no credentials."""
    from pipelines.cli import demo as demonstration

    place = folder.absolute()
    raise typer.Exit(demonstration.open_ui(place, port) if ui else demonstration.run(place, terminal()))


app.command()(check)


@app.command()
def sync(
    portals: Portals = None,
    resources: Resources = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything, not only changes.")] = False,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Accept snapshots that shrank, this once.")
    ] = False,
    months: Annotated[
        str | None,
        typer.Option(help="Read these months of facts, such as 2026-08..2026-10 (both included) or 2026-09."),
    ] = None,
    publish: Annotated[bool, typer.Option(help="Renew the warehouse at the end.")] = True,
    missing: Missing = False,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Read portals into the lake, side by side, and publish the warehouse.

    Without --months: the window of each portal and, where shifts were edited or a month was never read, those months too.
    Ctrl+C ends the runs: what they had read completely is kept, and `planday publish` shows it. The exit code is 130 then.
    """
    installation = current_installation()
    config = installation.config
    chosen = known_portals(config, portals)
    if missing and (resources or months or full):
        raise ConfigError(_SAYS_WHAT)
    names = known_resources(resources)
    wanted = known_months(config, chosen, months)
    # Loaded once the arguments are known to be right, because Dagster takes seconds.
    from pipelines.cli.console import listening, print_outcome, summary
    from pipelines.cli.missing import plan_missing, print_missing, told
    from pipelines.cli.runs import Wanted
    from pipelines.cli.sync import INTERRUPTED
    from pipelines.cli.sync import sync as synchronise
    from pipelines.cli.workers import Workers
    from planday_io.sync.side_by_side import portals_at_once

    options = {"full": full, "accept_shrink": accept_shrink, "publishes": publish}
    console = terminal(err=as_json)
    work, planned = [(portal, Wanted(names, wanted)) for portal in chosen], None
    if missing:
        planned = plan_missing(installation, chosen, processes)
        print_missing(console, planned)
        work = [*planned.wanted.items()]
        # A command that was killed may have read all of it and published nothing.
        options["publishes"] = publish and bool(work or installation.lake.pending())
    limit = processes or portals_at_once(installation, [portal for portal, _ in work])
    with listening(console) as listener, Workers(config.file, limit) as workers:
        outcome = synchronise(installation, work, workers, listener=listener, **options)
    if as_json:
        print_json({**summary(outcome), **({"missing": told(planned)} if planned else {})})
    else:
        print_outcome(console, config, outcome)
        if config.deliver:
            typer.echo("Deliveries follow schedules. `planday deliver NAME` makes one now.")
    if outcome.is_interrupted:
        typer.echo("planday: interrupted. What was read completely is kept: `planday publish` shows it", err=True)
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if outcome.is_complete and (planned is None or planned.is_hopeful) else 1)


@app.command()
def plan(
    portals: Portals = None,
    resources: Resources = None,
    months: Annotated[
        str | None, typer.Option(help="Predict these months of facts, such as 2026-08..2026-10 (both included).")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="Predict one tick of this schedule, such as nightly.")] = None,
    missing: Missing = False,
    full: Annotated[bool, typer.Option("--full", help="Predict reading everything, not only changes.")] = False,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Show what `planday sync` with these options, or a schedule, will cost: requests, time, share of the budget."""
    installation = current_installation()
    config = installation.config
    chosen = known_portals(config, portals)
    if schedule and (resources or months):
        raise ConfigError("--schedule says what is read: leave out --resources and --months")
    if missing and (resources or months or full or schedule):
        raise ConfigError(_SAYS_WHAT)
    names, wanted = known_resources(resources), known_months(config, chosen, months)
    from pipelines.cli.console import print_foretold
    from pipelines.cli.foretelling import foretell
    from pipelines.cli.runs import Wanted, planned_runs, scheduled_runs

    if missing:
        from pipelines.cli.missing import plan_missing, print_missing, told

        planned = plan_missing(installation, chosen, processes)
        print_missing(terminal(err=as_json), planned)
        if as_json:
            print_json({"missing": told(planned), **planned.foretold.told()})
        raise typer.Exit(0 if planned.is_known else 1)

    def runs_of(portal: str) -> Sequence[Run]:
        if schedule is None:
            return planned_runs(installation, portal, Wanted(names, wanted))
        require_known([schedule], config.portals[portal].schedules, f"schedule of portal '{portal}'")
        return scheduled_runs(installation, portal, config.portals[portal].schedules[schedule])

    foretold = foretell(installation, chosen, runs_of, processes, full=full)
    if as_json:
        print_json(foretold.told())
    else:
        print_foretold(terminal(), foretold)
    raise typer.Exit(0 if foretold.is_known else 1)


@app.command()
def publish(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Write a new file from the whole lake.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the warehouse up to date with the lake."""
    from pipelines.cli import publishing
    from pipelines.cli.console import remarks
    from planday_io.state import REBUILD

    installation = current_installation()
    config = installation.config
    with installation.state.commands.carry_out(REBUILD) if rebuild else nullcontext():
        done = publishing.publish(installation, rebuild=rebuild)
    if as_json:
        told = {"notices": done.notices, "problems": {str(key): str(error) for key, error in done.problems.items()}}
        print_json({"slices": done.slices, "rows": done.rows, "rebuild": done.is_rebuild, **told})
    else:
        for text in remarks(done):
            typer.echo(text)
        if done.slices or done.is_rebuild:
            typer.echo(f"published {done.slices} slices with {done.rows} rows to {config.warehouse}")
        elif done.is_redefined:
            typer.echo(
                f"renewed tables, views and settings of {config.warehouse}; its rows already were those of the lake"
            )
        elif not done.problems:
            typer.echo(f"{config.warehouse} already shows all of the lake")
    raise typer.Exit(1 if done.problems else 0)


@app.command()
def tables(as_json: AsJson = False) -> None:
    """List every table with its key, scope and source."""
    from pipelines.cli.console import print_rows
    from planday_io.catalogue import CATALOGUE

    rows = [
        (table.full_name, ", ".join(("portal", *table.key)), endpoint.scope or "-", endpoint.path)
        for endpoint in CATALOGUE.endpoints
        for table in endpoint.tables
    ]
    names = ("table", "key", "scope", "path")
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_rows(terminal(), "", names, rows)


@app.command()
def status(
    portals: Portals = None,
    tables: Annotated[bool, typer.Option("--tables", help="Show every table of each portal as well.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="Show only what is stale, failing or switched off.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say in one sentence whether all is well, with a line per portal: state, oldest table, next run, incident, budget.

    For monitoring systems: exit code 0 when all that was due was read in time, 1 when something is stale, failing or
    switched off, when the Dagster daemon does not run, or when a portal has no usable token.
    """
    from pipelines.cli.health import health_facts, missing_slices, print_health, print_tables
    from pipelines.cli.status import current_health
    from planday_io.monitoring.tables import table_states

    end_soon()
    installation = current_installation()
    health = current_health(installation, known_portals(installation.config, portals))
    missing = missing_slices(installation, health)
    states = table_states(installation, health) if tables else []
    if as_json:
        shown = health_facts(health) | {"missing": missing.counts()}
        print_json(shown | ({"tables": [asdict(one) for one in states]} if tables else {}))
    else:
        print_health(terminal(), installation.config, health, missing, only_wrong=wrong)
        if tables:
            print_tables(terminal(), states, only_wrong=wrong)
    raise typer.Exit(1 if health.is_wrong else 0)


@app.command()
def alert(
    test: Annotated[bool, typer.Option("--test", help="Only send a test message to every channel.")] = False,
) -> None:
    """Check for incidents now and report what is new, as the `alerts` sensor does every minute.

    Run it from cron where there is no Dagster daemon, or beside one, to be notified when the daemon itself has stopped.
    """
    from pipelines.cli.status import notify_now
    from planday_io.monitoring.notifier import send_test

    installation = current_installation()
    config = installation.config
    if test:
        results = send_test(config)
        if not results:
            raise ConfigError(
                f"{config.file.name} names no channel: add `alerts: {{webhook: {{url: {{env: NAME}}}}}}` or `alerts: "
                "{mail: ...}`, see portals.example.yaml"
            )
        for channel, error in results.items():
            typer.echo(f"{channel}: {error or 'accepted the message'}")
        raise typer.Exit(1 if any(results.values()) else 0)
    done = notify_now(installation)
    for subject in done.sent:
        typer.echo(f"sent: {subject}")
    for channel, error in done.failed.items():
        typer.echo(f"{channel} did not accept a message, which will be sent again: {error}", err=True)
    if done.unsaved:
        typer.echo(f"what was sent cannot be recorded, so it will be sent again: {done.unsaved}", err=True)
    typer.echo(f"{len(done.open)} incidents are open")
    raise typer.Exit(1 if done.open or done.failed or done.unsaved else 0)


app.command()(metrics)
app.command()(authorize)
app.command()(revoke)
app.add_typer(portals, name="portals")


@app.command()
def forget(
    portal: Annotated[str, typer.Option(metavar="PORTAL", help="Key of the portal.")],
    employee: Annotated[
        int | None, typer.Option(help="Id of the employee; without it, the whole portal is removed.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Stop forgetting the employee.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a person, or a portal, from the lake, the histories and the warehouse, and prove it.

    Asks first; without a terminal, as in a script, it goes ahead as with --yes.
    """
    from pipelines.cli.forget import forget_person, forget_portal, remember_person

    installation = current_installation()
    if undo and employee is None:
        raise ConfigError("--undo is for a person: give --employee")
    what = f"employee {employee} of portal '{portal}'" if employee is not None else f"everything of portal '{portal}'"
    confirm(f"Remove {what} for good?", yes=yes or undo)
    if employee is None:
        raise typer.Exit(forget_portal(installation, portal, terminal(), as_json=as_json))
    act = remember_person if undo else forget_person
    raise typer.Exit(act(installation, portal, employee, terminal(), as_json=as_json))


@app.command()
def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and print in counts what would be taken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take away what is older than `retention` of portals.yaml allows, and prove it. A schedule does it every night."""
    from pipelines.cli.retention import retention as apply

    raise typer.Exit(apply(current_installation(), terminal(), dry_run=dry_run, as_json=as_json))


app.command()(drift)
app.command()(backup)
app.command()(restore)
app.command()(report)
app.command()(export)
app.command()(deliver)
app.command()(mcp)
app.command()(docs)
