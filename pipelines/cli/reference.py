"""`docs/commands.md`, generated from the commands: the output of `--help`, on one page."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

_TOP = """\
# Commands

Generated from the program by `make docs`; `make check` fails when it is stale. `planday COMMAND --help` prints the same.

Commands read the file that `PLANDAY_CONFIG` names, else `portals.yaml` in the current folder or in `DAGSTER_HOME`. `demo`,
`sandbox`, `tables` and `docs` need none.

| exit code | meaning |
|---|---|
| 0 | all complete |
| 1 | something is incomplete or was refused, and the command says what; everything else was written |
| 2 | wrong usage or configuration; nothing was done |

`PLANDAY_TRACE=1` in the environment adds where in the program an unexpected error came from, without any data.
"""


def commands_page(app: typer.Typer) -> str:
    """The page, as Markdown."""
    root = get_command(app)
    context = typer.Context(root, info_name="planday")
    found = list(_commands(root, context))
    lines = [_TOP.rstrip(), "", "| command | what it does |", "|---|---|"]
    for name, command, _ in found:
        lines.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {_escaped(_paragraphs(command)[0])} |")
    for name, command, inner in found:
        lines += _section(name, command, inner)
    return "\n".join(lines) + "\n"


def _commands(command: object, context: typer.Context) -> Iterator[tuple[str, TyperCommand, typer.Context]]:
    """Each command with its full name, groups resolved, in the order of the program."""
    if isinstance(command, TyperCommand):
        yield context.command_path, command, context
    elif isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _commands(one, typer.Context(one, info_name=name, parent=context))
    else:
        raise TypeError(f"{type(command).__name__} is neither a command nor a group of commands")


def _paragraphs(command: TyperCommand) -> list[str]:
    return [" ".join(part.split()) for part in (command.help or "").split("\n\n")]


def _section(name: str, command: TyperCommand, context: typer.Context) -> list[str]:
    lines = ["", f"## {name}", ""]
    for part in _paragraphs(command):
        lines += [part, ""]
    lines += [f"    {command.get_usage(context).removeprefix('Usage: ')}"]
    for kind in ("argument", "option"):
        records = [one.get_help_record(context) for one in command.params if one.param_type_name == kind]
        rows = [f"| `{_escaped(record[0])}` | {_escaped(record[1])} |" for record in records if record]
        if rows:
            lines += ["", f"| {kind} | meaning |", "|---|---|", *rows]
    return lines


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
