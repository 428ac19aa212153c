"""`planday docs`, and `docs/commands.md`: the output of `--help`, on one page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import typer
from typer.core import TyperCommand, TyperGroup

_TOP = """\
# Commands

Generated from the program by `make docs`; `make check` fails when it is stale. `planday COMMAND --help` prints the same,
`planday --version` the version.

Commands read the file that `PLANDAY_CONFIG` names, else `portals.yaml` in the current folder or in `DAGSTER_HOME`. `demo`,
`sandbox`, `tables`, `restore` and `docs` need none.

| exit code | meaning |
|---|---|
| 0 | all complete |
| 1 | something is incomplete or was refused, and the command says what; everything else was written |
| 2 | wrong usage or configuration; nothing was done |
| 130 | `planday sync` or `planday demo` was interrupted; what was read completely is kept |

`PLANDAY_TRACE=1` in the environment adds where in the program an unexpected error came from, without any data.
"""


def docs(
    context: typer.Context,
    check_only: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a page is stale.")] = False,
    folder: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs"),
    dbt: Annotated[Path, typer.Option("--dbt", help="Folder of the dbt package.")] = Path("dbt"),
) -> None:
    """Write what is generated: the pages of tables, marts and commands, and the dbt package. For developers."""
    from planday_io.catalogue import CATALOGUE
    from planday_io.reports.dbt_package import GENERATED, dbt_package
    from planday_io.reports.documentation import marts_page, tables_page

    wanted = {
        folder / "tables.md": tables_page(CATALOGUE),
        folder / "marts.md": marts_page(),
        folder / "commands.md": commands_page(cast("typer.Context", context.find_root())),
        **{dbt / path: text for path, text in dbt_package(CATALOGUE).items()},
    }
    left_over = {file for part in GENERATED for file in (dbt / part).glob("*") if file.is_file()} - {*wanted}
    if not check_only:
        for file, text in wanted.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for file in left_over:
            file.unlink()
    elif stale := [
        str(file)
        for file in [*wanted, *sorted(left_over)]
        if file in left_over or not file.exists() or file.read_text(encoding="utf-8") != wanted[file]
    ]:
        typer.echo(f"{', '.join(stale)}: stale; run `make docs` and commit", err=True)
        raise typer.Exit(1)


def commands_page(root: typer.Context) -> str:
    """The page, as Markdown. The context is that of the whole program."""
    found = list(_commands(root.command, typer.Context(root.command, info_name="planday")))
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
