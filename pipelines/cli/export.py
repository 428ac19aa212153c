"""`planday export`: workbooks, CSV and Parquet of the published file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.arguments import current_installation, known_portals, require_known
from planday_io.errors import ConfigError

if TYPE_CHECKING:
    from planday_io.export.request import Filter, Query
    from planday_io.lake.installation import Installation
    from planday_io.monitoring.completeness import MonthState

_NAMES = 3


class Format(StrEnum):
    """What is written."""

    XLSX = "xlsx"
    CSV = "csv"
    PARQUET = "parquet"


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
        typer.Option(metavar="FILE", help="A file with one SELECT; the sheet is named after it; repeatable."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="SCHEMA.NAME", help="A table; only with --format parquet; repeatable."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="One workbook, a folder with a CSV file per sheet, or folders of Parquet files for programs.",
        ),
    ] = Format.XLSX,
    locale: Annotated[
        Locale | None, typer.Option(help="Language of the Excel that opens the CSV files; en by default.")
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
        typer.Option(
            help="The workbook or folder to write; by default planday-export.xlsx, planday-export or planday-parquet."
        ),
    ] = None,
) -> None:
    """Export marts and your own queries to an Excel workbook, CSV or Parquet, and say how complete they are.

    From the published file alone: nothing is read from Planday. What was exported before is replaced. Parquet has all
    tables and marts, unless --table, --mart or --sql selects some.
    """
    installation = current_installation()
    from planday_io.export.export import export as write
    from planday_io.export.export import place_of
    from planday_io.export.request import Filter, query_of
    from planday_io.warehouse.mart_files import MARTS

    names = require_known([name.removeprefix("marts.") for name in mart or ()], MARTS, "mart")
    if table and form is not Format.PARQUET:
        raise ConfigError("--table is for --format parquet; for people there are marts (--mart) and queries (--sql)")
    if not names and not sql and form is not Format.PARQUET:
        raise ConfigError(f"say what to export: --sql FILE, or --mart NAME with one of {', '.join(MARTS)}")
    if locale and form is not Format.CSV:
        raise ConfigError(
            "--locale is for --format csv: other formats hold numbers and dates, which each program shows its way"
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
    if form is Format.PARQUET:
        wanted = [*(table or ()), *(f"marts.{name}" for name in names), *map(query_of, sql or ())]
        _export_parquet(installation, wanted, output, chosen)
        return
    kind: Literal["xlsx", "csv"] = "csv" if form is Format.CSV else "xlsx"
    done = write(
        installation,
        [*names, *map(query_of, sql or ())],
        place_of(output, kind),
        form=kind,
        locale=(locale or Locale.EN).value,
        chosen=chosen,
    )
    typer.echo(f"wrote {done.place}")
    for sheet in done.sheets:
        typer.echo(f"  {sheet.name}: {sheet.rows:,} rows")
    for name, remark in done.remarks:
        typer.echo(f"  {name}: {remark}")
    _print_incomplete(done.states, "the first sheet" if form is Format.XLSX else "how_complete.csv")


def _export_parquet(
    installation: Installation, wanted: Sequence[str | Query], output: Path | None, chosen: Filter
) -> None:
    from planday_io.export.parquet_files import export_parquet, folder_of
    from planday_io.monitoring.messages import some

    done = export_parquet(installation, wanted, folder_of(output), chosen=chosen)
    typer.echo(f"wrote {done.place}")
    typer.echo(f"  {len(done.tables)} tables, {done.rows:,} rows, {done.files:,} files, {done.bytes / 1e6:,.1f} MB")
    for remark, names in done.remarks.items():
        typer.echo(f"  {some(names, _NAMES)}: {remark}")
    _print_incomplete(done.states, "how_complete")


def _print_incomplete(states: Sequence[MonthState], where: str) -> None:
    if bad := [one for one in states if not one.is_complete]:
        typer.echo(f"not complete: {len(bad)} of {len(states)} portals and months lack something, see {where}")


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a local day
    except ValueError:
        raise ConfigError(f"{option} {text!r} is not a day: write it as 2026-10-01") from None
