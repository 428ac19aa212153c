"""`planday metrics`: facts for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.arguments import current_installation, skip_garbage_collection
from planday_io.errors import ConfigError
from planday_io.files import storage_errors, write_text


def metrics(
    output: Annotated[
        Path | None,
        typer.Option(
            help="The file to write, such as planday.prom in the folder of node_exporter's textfile collector; without it, "
            "the text is printed."
        ),
    ] = None,
) -> None:
    """Write the age, rows, requests, failures, publications and budget of each portal as a Prometheus text file.

    Run it every one to five minutes, from cron or a timer. Exit code 0 whenever the file was written, whatever it says.
    """
    from pipelines.cli.status import current_health, publications_last_day
    from planday_io.config.places import own_place
    from planday_io.reports.metrics import metrics_text

    if output and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise ConfigError(
            f"--output {output} has to be a file in an existing folder, such as planday.prom in the folder that "
            "node_exporter reads (--collector.textfile.directory)"
        )
    skip_garbage_collection()
    installation = current_installation()
    if output and (own := own_place(installation.config, output)):
        raise ConfigError(f"--output {output} is in {own}, or leads there, which is this program's own: choose another")
    publications = publications_last_day(installation)
    text = metrics_text(installation, current_health(installation), publications)
    if output is None:
        typer.echo(text, nl=False)
        return
    with storage_errors(output, "write the metrics"):
        write_text(output.absolute(), text)
