"""`planday forget`: its output and exit codes."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial

from rich.console import Console

from pipelines.cli.console import print_rows
from pipelines.cli.publishing import report_without_run
from planday_io.config.values import nearest
from planday_io.errors import ConfigError
from planday_io.lake.installation import Installation
from planday_io.privacy import erasure as forgetting


def forget_person(installation: Installation, portal: str, employee: int, console: Console, *, as_json: bool) -> int:
    """Forget a person. Returns the exit code: 1 if a value is still found somewhere."""
    _known(installation, portal)
    done = forgetting.forget_person(installation, portal, employee, partial(report_without_run, installation))
    if as_json:
        console.print_json(json.dumps(asdict(done)))
        return 1 if done.places else 0
    tables = sorted({*done.removed, *done.kept, *done.mentions})
    rows = [(name, done.removed.get(name, 0), done.kept.get(name, 0), done.mentions.get(name, 0)) for name in tables]
    print_rows(console, "", ("table", "rows removed", "rows kept under a pseudonym", "mentions taken out"), rows)
    lines = [] if rows else [f"No row of employee {employee} was there; the id is on the list all the same."]
    lines.append(
        f"Looked for {done.values} values of the person in every byte of {done.files} files: "
        + ("none is left." if not done.places else "some are left.")
    )
    if done.is_partly_blind:
        lines.append(
            "An earlier attempt was stopped after it had removed records of the person: what only they held was not searched."
        )
    lines += [f"  still in {place}" for place in done.places]
    if done.places:
        lines.append(
            "These are in other people's rows. Where another person merely has the same value (a name, a salary number), "
            "nothing has to be done. Otherwise change them in Planday, sync, and run this again."
        )
    lines.append(
        "Later syncs leave the person out until `planday forget --undo`. Connections that are open show the file"
    )
    lines.append("they opened: close them. Backups and copies of the files are yours to deal with.")
    _say(console, lines)
    return 1 if done.places else 0


def remember_person(installation: Installation, portal: str, employee: int, console: Console, *, as_json: bool) -> int:
    """Remove a person from the list. Returns the exit code."""
    _known(installation, portal)
    was = forgetting.remember_person(installation, portal, employee, partial(report_without_run, installation))
    if as_json:
        console.print_json(json.dumps({"was_forgotten": was}))
    elif was:
        _say(
            console,
            [
                f"Employee {employee} is read again from now on. The rest returns with `planday sync {portal} --full`",
                "and, for facts outside the window with `--months`. What Planday no longer has does not come back.",
            ],
        )
    else:
        _say(console, [f"Employee {employee} of portal '{portal}' was not forgotten."])
    return 0


def forget_portal(installation: Installation, portal: str, console: Console, *, as_json: bool) -> int:
    """Remove a portal. Returns the exit code."""
    _known(installation, portal)
    removed = forgetting.forget_portal(installation, portal, partial(report_without_run, installation))
    if as_json:
        console.print_json(json.dumps({"removed": removed}))
        return 0
    print_rows(console, "", ("table", "slices removed"), sorted(removed.items()))
    if portal in installation.config.portals:
        _say(
            console,
            [
                f"Portal '{portal}' is still in {installation.config.file.name}: the next sync reads it again. Take it out."
            ],
        )
    return 0


def _known(installation: Installation, portal: str) -> None:
    known = {*installation.config.portals, *(key.portal for key in installation.lake.slices())}
    # A command that was stopped may have removed the last slice already.
    known |= {one for entry in installation.state.commands.unfinished() for one in entry.portals}
    if portal not in known:
        raise ConfigError(f"there is no portal '{portal}', neither configured nor in the lake{nearest(portal, known)}")


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
