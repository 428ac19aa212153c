"""`planday sync` and `planday plan`: what is read, and what that will cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import (
    AsJson,
    Portals,
    current_installation,
    known_months,
    known_portals,
    known_resources,
    print_json,
    require_known,
    terminal,
)
from planday_io.errors import ConfigError

if TYPE_CHECKING:
    # Needed for types only; importing this module loads pandas.
    from planday_io.sync.forecast import Run

_SAYS_WHAT = "--missing says what is read: leave out --resources, --months, --schedule and --full"

Processes = Annotated[
    int | None,
    typer.Option(min=1, help="How many portals to read at once; by default as many as the apps' budgets feed."),
]
Missing = Annotated[
    bool,
    typer.Option(
        "--missing",
        help="Only the slices that are missing: never read, lost, damaged, older than published, failed last, read with "
        "older definitions, or stale. Every file is verified to find them.",
    ),
]
Resources = Annotated[str | None, typer.Option(help="Domains and tables, such as hr,scheduling.shifts.")]


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
    from pipelines.cli.missing import find_missing, plan_missing, print_missing, restore_older, told
    from pipelines.cli.runs import Wanted
    from pipelines.cli.sync import INTERRUPTED
    from pipelines.cli.sync import sync as synchronise
    from pipelines.cli.workers import Workers
    from planday_io.sync.side_by_side import portals_at_once

    options = {"full": full, "accept_shrink": accept_shrink, "publishes": publish}
    console = terminal(err=as_json)
    work, planned = [(portal, Wanted(names, wanted)) for portal in chosen], None
    if missing:
        found = find_missing(installation, chosen)
        if publish and found.older:
            restore_older(console, installation, found.older)
            found = find_missing(installation, chosen)
        planned = plan_missing(installation, found, processes)
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
    raise typer.Exit(0 if outcome.is_complete and (planned is None or planned.can_read_all) else 1)


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
    from pipelines.cli.console import print_forecast
    from pipelines.cli.forecasting import forecast_sync
    from pipelines.cli.runs import Wanted, planned_runs, scheduled_runs

    if missing:
        from pipelines.cli.missing import find_missing, plan_missing, print_missing, told

        planned = plan_missing(installation, find_missing(installation, chosen), processes)
        print_missing(terminal(err=as_json), planned)
        if as_json:
            print_json({"missing": told(planned), **planned.predicted.told()})
        raise typer.Exit(0 if planned.is_known else 1)

    def runs_of(portal: str) -> Sequence[Run]:
        if schedule is None:
            return planned_runs(installation, portal, Wanted(names, wanted))
        require_known([schedule], config.portals[portal].schedules, f"schedule of portal '{portal}'")
        return scheduled_runs(installation, portal, config.portals[portal].schedules[schedule])

    predicted = forecast_sync(installation, chosen, runs_of, processes, full=full)
    if as_json:
        print_json(predicted.told())
    else:
        print_forecast(terminal(), predicted)
    raise typer.Exit(0 if predicted.is_known else 1)
