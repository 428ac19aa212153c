"""What commands share: the installation, and arguments that are checked against it.

Slow modules are imported where they are needed, so that `planday --help` is quick.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from planday_io.errors import ConfigError
from planday_io.months import is_month, months_between

if TYPE_CHECKING:
    from rich.console import Console

    from planday_io.config import Config
    from planday_io.lake.installation import Installation

Portals = Annotated[list[str] | None, typer.Argument(metavar="PORTAL", help="Keys of portals.yaml; none means all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def current_installation() -> Installation:
    """The installation of the current folder. Raises ConfigError."""
    from planday_io.catalogue import CATALOGUE
    from planday_io.config import find_config
    from planday_io.config.secrets import take_network_variables
    from planday_io.lake.installation import Installation

    installation = Installation.load(find_config(), CATALOGUE)
    installation.state.close_to_others()
    take_network_variables(installation.config.home)
    return installation


def skip_garbage_collection() -> None:
    """For commands that read tens of thousands of rows and then end: collecting garbage would take a third of their time."""
    gc.disable()


def end_quickly(code: object) -> None:
    """End the process without freeing one object after the other, which takes a tenth of the time of such a command.

    Returns where Python has to end it: other commands, and output that cannot be written.
    """
    if gc.isenabled() or not isinstance(code, int):
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def known_portals(config: Config, names: list[str] | None) -> list[str]:
    """Portals by key, or all. Raises ConfigError."""
    return require_known(names or list(config.portals), config.portals, "portal")


def known_resources(text: str | None) -> list[str] | None:
    """Domains and tables from a list with commas, or None. Raises ConfigError."""
    from planday_io.catalogue import CATALOGUE

    if text is None:
        return None
    there = [*CATALOGUE.domains(), *(table.full_name for table in CATALOGUE.tables())]
    return require_known([name.strip() for name in text.split(",")], there, "domain or table")


def known_months(config: Config, portals: list[str], text: str | None) -> list[str] | None:
    """Months from `2026-09` or `2026-08..2026-10`, which all portals have, or None. Raises ConfigError."""
    from planday_io.config.grid import grid_months

    if text is None:
        return None
    first, dots, last = text.partition("..")
    last = last if dots else first
    if not (is_month(first) and is_month(last)):
        raise ConfigError(f"--months {text!r} is not a month: write 2026-09, or 2026-08..2026-10 with both included")
    found = months_between(first, last)
    if not found:
        raise ConfigError(f"--months {text!r} ends before it starts")
    for portal in portals:
        grid = grid_months(config, portal, datetime.now(UTC))
        if first < grid[0] or last > grid[-1]:
            raise ConfigError(
                f"--months {text!r} reaches beyond {grid[0]}..{grid[-1]}, which portal '{portal}' has: history_start and "
                "window.future_months in portals.yaml are its limits"
            )
    return found


def require_known(names: list[str], known: Collection[str], what: str) -> list[str]:
    """The names, each once, if all are known; otherwise ConfigError suggests the nearest."""
    from planday_io.config.values import nearest

    for name in names:
        if name not in known:
            raise ConfigError(f"there is no {what} '{name}'{nearest(name, known)}")
    return [*dict.fromkeys(names)]


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation on a terminal, and exit unless the answer is yes. Scripts are not asked."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True)


def print_json(value: object) -> None:
    """Print a value for scripts; instants become ISO texts."""
    try:
        typer.echo(json.dumps(value, indent=2, default=datetime.isoformat))
    except BrokenPipeError:
        print_no_more(sys.stdout)


def print_no_more(stream: IO[str]) -> None:
    """Go on without printing: who reads it has enough, as `head` does, and the exit code still says how everything is."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def print_version(wanted: bool) -> None:
    """Print the version and exit, if requested."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"planday {version('planday-warehouse')}")
        raise typer.Exit


def open_standard_files() -> None:
    """Open what the caller closed (`>&-`). Otherwise there is nothing to print to, and a file of ours gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            nothing = Path(os.devnull).open("w" if number else "r", encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nothing)


def terminal(*, err: bool = False) -> Console:
    """The console for tables and progress: as wide as the terminal, or 140 columns in a file."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            print_no_more(self.file)

    width = None if sys.stdout.isatty() else 140
    return Terminal(stderr=err, width=width, force_terminal=None, no_color=bool(os.environ.get("NO_COLOR")) or None)
