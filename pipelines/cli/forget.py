"""`planday forget`: removes a person or a portal, and prints what was removed."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from rich.console import Console

from pipelines.cli.arguments import print_json
from pipelines.cli.console import print_rows, say
from pipelines.cli.publishing import report_without_run
from planday_io.config.values import nearest
from planday_io.errors import ConfigError
from planday_io.lake.installation import Installation
from planday_io.privacy import erasure


def forget_person(installation: Installation, portal: str, employee: int, console: Console, *, as_json: bool) -> int:
    """Forget a person. Returns the exit code: 1 if a value is still found somewhere."""
    _require_there(installation, portal)
    done = erasure.forget_person(installation, portal, employee, partial(report_without_run, installation))
    if as_json:
        print_json(asdict(done))
        return 1 if done.places else 0
    tables = sorted({*done.removed, *done.kept, *done.mentions})
    rows = [(name, done.removed.get(name, 0), done.kept.get(name, 0), done.mentions.get(name, 0)) for name in tables]
    print_rows(console, "", ("table", "rows removed", "rows kept under a pseudonym", "mentions taken out"), rows)
    if not rows:
        say(
            console, f"No row of employee {employee} was found; the id is on the list of forgotten people nevertheless."
        )
    searched = f"Looked for {done.values} values of the person in every byte of {done.files} files"
    say(console, f"{searched}: {'some are left' if done.places else 'none is left'}.")
    if done.is_partly_blind:
        say(
            console,
            "An interrupted attempt had already removed records of the person: values that were only in those were not "
            "searched for.",
        )
    if done.places:
        say(
            console,
            *(f"  still in {place}" for place in done.places),
            "These are in other people's rows. Where another person merely has the same value (a name, a salary number), "
            "nothing has to be done. Otherwise change them in Planday, sync, and run this again.",
        )
    say(
        console,
        "Later syncs leave the person out until `planday forget --undo`. Open connections still show the",
        "previous file: close them. Backups made before and other copies of the files still hold the person: copy",
        "`_forgotten` of the lake to where backups are, for `planday restore --forgotten`.",
    )
    return 1 if done.places else 0


def remember_person(installation: Installation, portal: str, employee: int, console: Console, *, as_json: bool) -> int:
    """Remove a person from the list. Returns the exit code."""
    _require_there(installation, portal)
    was = erasure.remember_person(installation, portal, employee, partial(report_without_run, installation))
    if as_json:
        print_json({"was_forgotten": was})
    elif was:
        say(
            console,
            f"Employee {employee} is read again from now on. The rest returns with `planday sync {portal} --full`",
            "and, for facts outside the window with `--months`. What Planday no longer has does not come back.",
        )
    else:
        say(console, f"Employee {employee} of portal '{portal}' was not forgotten.")
    return 0


def forget_portal(installation: Installation, portal: str, console: Console, *, as_json: bool) -> int:
    """Remove a portal. Returns the exit code."""
    _require_there(installation, portal)
    removed = erasure.forget_portal(installation, portal, partial(report_without_run, installation))
    if as_json:
        print_json({"removed": removed})
        return 0
    print_rows(console, "", ("table", "slices removed"), sorted(removed.items()))
    config = installation.config
    if portal in config.portals:
        say(
            console, f"Portal '{portal}' is still in {config.file.name}: the next sync reads it again. Remove it there."
        )
    return 0


def _require_there(installation: Installation, portal: str) -> None:
    known = {*installation.config.portals, *(key.portal for key in installation.lake.slices())}
    # A command that was stopped may have removed the last slice already.
    known |= {one for entry in installation.state.commands.unfinished() for one in entry.portals}
    if portal not in known:
        raise ConfigError(f"there is no portal '{portal}', neither configured nor in the lake{nearest(portal, known)}")
