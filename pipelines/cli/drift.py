"""`planday drift`: what in Planday's answers differs from the catalogue."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import current_installation, known_portals, print_json, terminal
from planday_io.errors import ConfigError

if TYPE_CHECKING:
    from planday_io.state import DriftEntry


def drift(
    portals: Annotated[
        list[str] | None, typer.Argument(metavar="PORTAL", help="Keys of portals.yaml; none means all.")
    ] = None,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Accept what is listed: its alerts end, and it is not reported again."),
    ] = False,
    spec: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare the catalogue with this OpenAPI document of Planday's (JSON or YAML), in both directions, instead "
            "of listing what reads found.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List what in Planday's answers differs from the catalogue: new, missing and retyped members, new values, refusals.

    Exit code 1 while something in the list is not accepted. Makes no calls to Planday.
    """
    if spec is not None:
        if accept or portals:
            raise ConfigError(
                "--spec compares the catalogue with a document, not with a portal: leave out PORTAL and --accept"
            )
        _specification(spec, as_json=as_json)
        return
    from planday_io.monitoring.drift import news, open_drift

    installation = current_installation()
    keys = known_portals(installation.config, portals)
    # What was accepted at any portal is not new at these.
    there = open_drift(installation)
    entries = [one for one in there if one.portal in keys]
    new = [one for one in news(there) if one.portal in keys]
    if accept:
        installation.state.drift.accept(new, datetime.now(UTC))
    left = [] if accept else new
    if as_json:
        print_json([{**asdict(one), "is_new": one in left} for one in entries])
    else:
        _print(entries, left, accepted=len(_alike(new, left)) if accept else None)
    raise typer.Exit(1 if left else 0)


def _alike(entries: list[DriftEntry], new: list[DriftEntry]) -> list[list[DriftEntry]]:
    """Entries in groups that differ only in portal and counts."""
    found: dict[tuple[object, ...], list[DriftEntry]] = {}
    for one in entries:
        found.setdefault((one.table, one.kind, one.path, one.found, one.is_fatal, one in new), []).append(one)
    return [*found.values()]


def _print(entries: list[DriftEntry], new: list[DriftEntry], *, accepted: int | None) -> None:
    from pipelines.cli.console import say
    from planday_io.monitoring.drift import words
    from planday_io.monitoring.messages import some

    console = terminal()
    for group in _alike(entries, new):
        first, last = min(one.first_seen for one in group), max(one.last_seen for one in group)
        rows = sum(one.rows for one in group)
        say(
            console,
            f"{group[0].table}: {words(group[0])}",
            f"  {'new' if group[0] in new else 'accepted'}{', the read failed because of it' * group[0].is_fatal}; "
            f"seen {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, at {some([one.portal for one in group])}"
            + (f"; rows in the last read: {rows:,}" if rows else ""),
        )
    if accepted is not None:
        say(console, f"{accepted} accepted.")
    elif new:
        count = len(_alike(new, new))
        say(console, f"{count} new. New members are in `_extra`. When you have seen this: planday drift --accept")
    else:
        say(console, "Nothing new.")
    if any(one.is_fatal for one in entries):
        say(console, "Where reads fail, accepting changes nothing. What to do: planday check")


def _specification(file: Path, *, as_json: bool) -> None:
    from pipelines.cli.console import print_rows
    from planday_io.catalogue import CATALOGUE
    from planday_io.monitoring.specification import differences, load_specification

    found = differences(CATALOGUE, load_specification(file))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    columns = ("what", "endpoint", "table", "member", "document", "catalogue")
    rows = [(one.kind, one.endpoint, one.table, one.path, one.found, one.expected) for one in found]
    if rows:
        print_rows(terminal(), "", columns, rows)
    lacks = sum(not one.kind.startswith("no ") for one in found)
    typer.echo(f"{lacks} lacking or different in the catalogue, {len(found) - lacks} lacking in the document.")
