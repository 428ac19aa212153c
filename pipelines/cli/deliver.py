"""`planday deliver`: lists deliveries, and makes them by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import confirm, current_installation, require_known, terminal
from planday_io.errors import ConfigError

if TYPE_CHECKING:
    from planday_io.delivery.delivered import Delivered
    from planday_io.lake.installation import Installation

_SHEETS = 20


def deliver(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Deliveries to make now; without a name, all are listed, or tried with --dry-run."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be delivered; write and send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send mails without asking first.")] = False,
) -> None:
    """List the deliveries of portals.yaml and when each is due, or make some now.

    A delivery made by hand covers the days that it would cover today. Mails are sent again; files of the same days are
    replaced.
    """
    from planday_io.delivery import attempts, making
    from planday_io.delivery.checking import people

    installation = current_installation()
    known = installation.config.deliver
    if not names and not (dry_run and known):
        raise typer.Exit(_list(installation))
    chosen = require_known(names or [*known], known, "delivery")
    wrong = [text for name in chosen for text in making.faults(installation, name)]
    if wrong:
        raise ConfigError("\n".join(wrong))
    if (count := sum(len(known[name].mail) for name in chosen)) and not dry_run:
        confirm(f"Mail {', '.join(chosen)} to {people(count)}?", yes=yes)
    now, refused = datetime.now(UTC), 0
    for name in chosen:
        done = making.deliver(installation, name, now, sends=not dry_run)
        if not dry_run:
            attempts.settle(installation, done, now)
        _print(installation, done, is_tried=dry_run)
        if done.refused:
            typer.echo(f"  the mail server refused {done.refused} recipients", err=True)
            refused += done.refused
    raise typer.Exit(1 if refused else 0)


def _list(installation: Installation) -> int:
    """Print what there is. Returns the exit code: 1 where a delivery cannot be made."""
    from pipelines.cli.console import print_rows
    from planday_io.delivery import making
    from planday_io.delivery.checking import contents, where
    from planday_io.delivery.rounds import next_round

    config = installation.config
    if not config.deliver:
        typer.echo(f"{config.file.name} has no `deliver`: docs/export.md shows what to write")
        return 0
    now, rows, wrong = datetime.now(UTC), [], []
    for name, one in config.deliver.items():
        found = installation.state.deliveries.of(name)
        after = next_round(config, name, now) if one.after else None
        last = found.delivered_at.astimezone(UTC) if found and found.delivered_at else None
        found_wrong = making.obstacles(installation, name, now)
        wrong += found_wrong
        rows.append(
            (
                name,
                ", ".join(contents(installation, name)),
                f"{one.days}: {making.span_at(installation, name, now).name or 'all days'}",
                where(installation, name),
                f"{one.after}, {after:%Y-%m-%d %H:%M %Z}" if after else "only by hand",
                f"{last:%Y-%m-%d %H:%M UTC}" if last else "never",
                "wrong, see below" if found_wrong else found.error if found else "",
            )
        )
    print_rows(terminal(), "", ("name", "what", "days, today", "to", "after", "delivered", "last error"), rows)
    typer.echo("".join(f"\n{text}" for text in wrong))
    return 1 if wrong else 0


def _print(installation: Installation, done: Delivered, *, is_tried: bool) -> None:
    from planday_io.delivery.checking import people, where
    from planday_io.delivery.letter import verdict_of

    typer.echo(f"{done.name}, {done.span.name or 'all days'}: {'would be ' if is_tried else ''}delivered")
    if is_tried:
        typer.echo(f"  to {where(installation, done.name)}")
    elif done.is_kept:
        typer.echo(f"  wrote {done.made}")
    if done.mailed:
        typer.echo(
            f"  mailed to {people(done.mailed)}" + ("" if done.is_attached else ", without the file: it is too large")
        )
    if len(done.sheets) <= _SHEETS:
        for name, rows in done.sheets:
            typer.echo(f"  {name}: {rows:,} rows")
    else:
        typer.echo(f"  {len(done.sheets)} tables, {done.rows:,} rows")
    for name, remark in done.notes:
        typer.echo(f"  {name}: {remark}")
    typer.echo(f"  {verdict_of(done)}")
