"""`planday authorize`, `planday revoke` and `planday portals rename`: a portal's access, and its key."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Annotated

import typer

from pipelines.cli.arguments import confirm, current_installation, known_portals
from planday_io.errors import PlandayError

PortalKey = Annotated[str, typer.Argument(help="Key of the portal in portals.yaml.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

portals = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Commands about a portal as a whole.")


def authorize(
    portal: PortalKey,
    scopes: Annotated[
        str | None,
        typer.Option(help="Scopes of the app, separated by spaces; none means those that the portal's tables need."),
    ] = None,
    redirect_url: Annotated[
        str, typer.Option(help="Address on this machine that is registered with the app.")
    ] = "http://localhost:8156/callback",
    browser: Annotated[bool, typer.Option(help="Open the browser; otherwise only print the address.")] = True,
    pkce: Annotated[
        bool | None, typer.Option("--pkce/--no-pkce", help="Use PKCE or not; by default, as discovery says.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 300.0,
) -> None:
    """Let an administrator authorize the app on a portal, and keep the refresh token where portals.yaml reads it."""
    import webbrowser

    from planday_io.client.grants import scopes_in
    from planday_io.onboarding import authorize as flow

    installation = current_installation()
    known_portals(installation.config, [portal])

    def show(url: str) -> None:
        typer.echo(
            f"An administrator of portal '{portal}' opens this address, logs in and agrees. Use the login with the highest "
            f"access level: the app sees what it sees, and pay of people at the same level or above may be left out.\n\n  "
            f"{url}\n"
        )
        # Without a display, a text browser would open and block the terminal.
        if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(url)

    asked = scopes_in(scopes) if scopes else None
    lines = flow.authorize(
        installation, portal, show=show, scopes=asked, redirect_url=redirect_url, pkce=pkce, seconds=timeout
    )
    typer.echo("\n".join(lines))


def revoke(portal: PortalKey, yes: Yes = False) -> None:
    """Revoke the app's access to a portal, and remove its tokens from this machine. Data stays (see `forget`).

    Asks first; without a terminal, as in a script, it goes ahead as with --yes.
    """
    from planday_io.onboarding import authorize as flow

    installation = current_installation()
    known_portals(installation.config, [portal])
    confirm(f"Revoke the app's access to portal '{portal}'?", yes=yes)
    for place in flow.revoke(installation, portal):
        typer.echo(f"removed: {place}")
    typer.echo(f"Access to portal '{portal}' is revoked. Its schedules fail until it is authorized again or removed.")


@portals.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Present key of the portal.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="New key of the portal.")],
    yes: Yes = False,
) -> None:
    """Give a portal another key: lake, histories, state, portals.yaml and warehouse. Nothing is read again from Planday.

    Where portals.yaml has the new key already, because it was edited by hand, the data follows. Stopped anywhere, the same
    command continues. Asks first; without a terminal, as in a script, it goes ahead as with --yes.
    """
    from pipelines.alerting import under_way
    from pipelines.cli.instance import open_instance
    from pipelines.cli.publishing import report_without_run
    from pipelines.liveness import end_dead_runs
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
        f"Portal '{old}' is now '{new}': {done.slices} slices were moved, and nothing was read from Planday.\n"
        f"{key if done.edited else f'{file} had the new key already.'}\n"
        f"Dagster keeps what it recorded under '{old}': the partitions of '{new}' begin without materializations, and "
        f"nothing is read again because of that. Its schedules appear when the code location is reloaded. Queries, "
        f"dashboards and scripts that name '{old}' have to name '{new}'."
    )
