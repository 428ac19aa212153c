"""The `planday` command. Everything heavy is imported by the command that needs it, so that `--help` is quick.

Exit codes: 0 all complete, 1 something incomplete or refused (everything else was written), 2 usage or configuration,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.arguments import (
    AsJson,
    Portals,
    confirm,
    current_installation,
    end_quickly,
    known_portals,
    open_standard_files,
    print_json,
    print_version,
    skip_garbage_collection,
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
from pipelines.cli.reading import plan, sync
from pipelines.cli.reference import docs
from pipelines.cli.report import report
from planday_io.errors import ConfigError, PlandayError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Planday's data in Parquet and DuckDB, complete or not at all.",
)


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
    except SystemExit as ended:
        end_quickly(ended.code)
        raise
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


app.command()(sync)
app.command()(plan)


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
    skip_garbage_collection()
    from pipelines.cli.health import health_facts, missing_slices, print_command, print_health, print_tables
    from pipelines.cli.status import current_health
    from planday_io.monitoring.tables import table_states

    installation = current_installation()
    health = current_health(installation, known_portals(installation.config, portals))
    missing = missing_slices(installation, health)
    states = table_states(installation, health) if tables else []
    if as_json:
        shown = health_facts(health) | {"missing": missing.counts(), "older": len(missing.older)}
        print_json(shown | ({"tables": [asdict(one) for one in states]} if tables else {}))
    else:
        print_health(terminal(), installation.config, health, only_wrong=wrong)
        if tables:
            print_tables(terminal(), states, only_wrong=wrong)
        print_command(terminal(), installation.config, missing)
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
        bool, typer.Option("--dry-run", help="Change nothing; print how many rows would be removed or cleared.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than `retention` of portals.yaml allows, and search every byte for it. Scheduled every night."""
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
