"""`planday report`: pages for people."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.arguments import current_installation, known_portals
from planday_io.errors import ConfigError


class Reader(StrEnum):
    """Who a page is for."""

    OPERATORS = "operators"
    MANAGERS = "managers"


NAMES = {Reader.OPERATORS: "planday-report.html", Reader.MANAGERS: "planday-managers.html"}


def report(
    reader: Annotated[
        Reader,
        typer.Option(
            "--for",
            help="operators: how fresh and complete everything is. managers: labour cost, hours, sickness, overtime, "
            "findings and the next two weeks, per department.",
        ),
    ] = Reader.OPERATORS,
    portal: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Managers' page: only this portal of portals.yaml; repeatable."),
    ] = None,
    department: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="Managers' page: only this department of the one portal; repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The HTML file to write; by default planday-report.html or planday-managers.html."),
    ] = None,
) -> None:
    """Write one HTML page, for operators or for managers. Open it, print it, or mail it.

    From the published file alone, and in one file without scripts: nothing is read from Planday or from elsewhere.
    """
    from planday_io.config.places import own_place

    installation = current_installation()
    place = output or Path(NAMES[reader])
    if place.is_dir():
        place /= NAMES[reader]
    if own := own_place(installation.config, place):
        raise ConfigError(f"--output {place} is in {own}, or leads there, which is this program's own: choose another")
    if reader is Reader.OPERATORS:
        if portal or department:
            raise ConfigError("--portal and --department choose rows of the managers' page: add --for managers")
        from planday_io.reports.report import write_report

        write_report(installation, place.absolute())
    else:
        from planday_io.reports.managers import write_managers_report

        keys = known_portals(installation.config, portal) if portal else []
        write_managers_report(installation, place.absolute(), portals=keys, departments=department or [])
    typer.echo(f"wrote {place}")
