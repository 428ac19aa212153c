"""`planday portals`: commands about a portal as a whole."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pipelines.cli.arguments import confirm, current_installation

portals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Commands about a portal as a whole.")


@portals.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Key of the portal until now.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its key from now on.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give a portal another key: lake, histories, state, portals.yaml and warehouse. Nothing is read again from Planday.

    Where portals.yaml has the new key already, because it was edited by hand, the data follows. Stopped anywhere, the same
    command continues. Asks first; without a terminal, as in a script, it goes ahead as with --yes.
    """
    from pipelines.alerting import under_way
    from pipelines.cli.instance import open_instance
    from pipelines.cli.publishing import report_without_run
    from pipelines.liveness import end_dead_runs
    from planday_io.errors import PlandayError
    from planday_io.onboarding.renaming import rename_portal

    installation = current_installation()
    config = installation.config
    confirm(f"Rename portal '{old}' to '{new}' everywhere?", yes=yes)
    with open_instance(installation) as instance:
        end_dead_runs(instance, installation.state)
        for portal, run in under_way(instance):
            if portal in (old, new):
                raise PlandayError(
                    f"run {run.run_id} of portal '{portal}' is queued or in progress, and nothing was renamed: wait for it "
                    "(a queued run needs the daemon), or cancel it in the Dagster UI, under Runs"
                )
        done = rename_portal(installation, old, new, partial(report_without_run, installation))
    file = config.file.name
    key = f"The key in {file} was replaced; where its tokens are read stays as it was."
    typer.echo(
        f"Portal '{old}' is '{new}' from now on: {done.slices} slices were moved, and nothing was read from Planday.\n"
        f"{key if done.edited else f'{file} had the new key already.'}\n"
        f"Dagster keeps what it recorded under '{old}': the partitions of '{new}' begin without materializations, and "
        f"nothing is read again because of that. Its schedules appear when the code location is reloaded. Queries, "
        f"dashboards and scripts that name '{old}' have to name '{new}'."
    )
