"""`planday export`: what people are handed."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.arguments import current_installation, known_portals, require_known
from planday_io.errors import ConfigError


class Format(StrEnum):
    """What is written."""

    XLSX = "xlsx"
    CSV = "csv"


class Locale(StrEnum):
    """The language of the Excel that CSV files are for."""

    DA = "da"
    NB = "nb"
    SV = "sv"
    DE = "de"
    EN = "en"


def export(
    mart: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A view of the schema marts; repeatable.")
    ] = None,
    sql: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file with one SELECT, which gives its sheet its name; repeatable."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="One workbook, or a folder with a CSV file per sheet.")
    ] = Format.XLSX,
    locale: Annotated[
        Locale | None, typer.Option(help="Language of the Excel that opens the CSV files; en without it.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day, such as 2026-10-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day, included.")] = None,
    portal: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Only this portal of portals.yaml; repeatable.")
    ] = None,
    department: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Only this department, by Planday's id; repeatable.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The workbook or folder to write; planday-export.xlsx or planday-export without it."),
    ] = None,
) -> None:
    """Write marts and your own queries as an Excel workbook or as CSV, with how complete they are.

    From the published file alone: nothing is read from Planday. What was exported before is replaced.
    """
    installation = current_installation()
    from planday_io.export.export import export as write
    from planday_io.export.export import place_of
    from planday_io.export.request import Filter, query_of
    from planday_io.warehouse.mart_files import MARTS

    names = require_known([name.removeprefix("marts.") for name in mart or ()], MARTS, "mart")
    if not names and not sql:
        raise ConfigError(f"say what to export: --sql FILE, or --mart NAME with one of {', '.join(MARTS)}")
    if locale and form is Format.XLSX:
        raise ConfigError(
            "--locale is for --format csv: a workbook holds numbers and dates, which each Excel shows its way"
        )
    days = (_day("--from", first), _day("--to", last))
    if days[0] and days[1] and days[0] > days[1]:
        raise ConfigError(f"--from {first} is after --to {last}")
    chosen = Filter(
        first=days[0],
        last=days[1],
        portals=tuple(known_portals(installation.config, portal)) if portal else (),
        departments=tuple(department or ()),
    )
    done = write(
        installation,
        [*names, *map(query_of, sql or ())],
        place_of(output, form.value),
        form=form.value,
        locale=(locale or Locale.EN).value,
        chosen=chosen,
    )
    typer.echo(f"wrote {done.place}")
    for sheet in done.sheets:
        typer.echo(f"  {sheet.name}: {sheet.rows:,} rows")
    for name, remark in done.remarks:
        typer.echo(f"  {name}: {remark}")
    if bad := [one for one in done.states if not one.is_complete]:
        where = "the first sheet" if form is Format.XLSX else "how_complete.csv"
        typer.echo(f"not complete: {len(bad)} of {len(done.states)} portals and months lack something, see {where}")


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a local day
    except ValueError:
        raise ConfigError(f"{option} {text!r} is not a day: write it as 2026-10-01") from None
