"""`planday authorize` and `planday revoke`: connecting a portal, and revoking access."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from pipelines.cli.arguments import confirm, current_installation, require_known


def authorize(
    portal: Annotated[str, typer.Argument(help="Key of the portal in portals.yaml.")],
    scopes: Annotated[
        str | None,
        typer.Option(help="Scopes of the app, separated by spaces; none means those the portal's tables take."),
    ] = None,
    redirect_url: Annotated[
        str, typer.Option(help="Address on this machine that is registered with the app.")
    ] = "http://localhost:8156/callback",
    browser: Annotated[bool, typer.Option(help="Open the browser; otherwise only print the address.")] = True,
    pkce: Annotated[
        bool | None, typer.Option("--pkce/--no-pkce", help="Use PKCE; otherwise where discovery offers it.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 300.0,
) -> None:
    """Let an administrator authorize the app on a portal, and keep the refresh token where portals.yaml reads it."""
    import webbrowser

    from planday_io.client.grants import scopes_in
    from planday_io.onboarding import authorize as flow

    installation = current_installation()
    require_known([portal], installation.config.portals, "portal")
    asked = scopes_in(scopes) if scopes else flow.needed_scopes(installation, portal)
    attempt = flow.begin(installation, portal, scopes=asked, redirect_url=redirect_url, pkce=pkce)

    def show() -> None:
        typer.echo(
            f"An administrator of portal '{portal}' opens this address, logs in and agrees. Use the login with the highest "
            f"access level: the app sees what it sees, and pay of people at the same level or above may be left out.\n\n  "
            f"{attempt.url}\n"
        )
        # Without a screen a browser would be one for the terminal, and keep it.
        if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(attempt.url)

    for line in flow.connect(installation, portal, attempt, show, timeout):
        typer.echo(line)


def revoke(
    portal: Annotated[str, typer.Argument(help="Key of the portal in portals.yaml.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the app's access to a portal back, and remove its tokens from this machine. Data stays (see `forget`).

    Asks first; without a terminal, as in a script, it goes ahead as with --yes.
    """
    from planday_io.onboarding import authorize as flow

    installation = current_installation()
    require_known([portal], installation.config.portals, "portal")
    confirm(f"Take the app's access to portal '{portal}' back?", yes=yes)
    for place in flow.revoke(installation, portal):
        typer.echo(f"removed: {place}")
    typer.echo(f"Access to portal '{portal}' is revoked. Its schedules fail until it is authorized again or taken out.")
