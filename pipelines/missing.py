"""`planday sync --missing` as a job with a form: Jobs > read_missing > Launchpad.

The run of the job starts the command, in a process of its own, and shows in its log what the command prints. So the form
reads what the command reads, with several portals at a time, and each slice that was read is a materialization of its asset.
"""

import json
import os
import subprocess
import sys
import tempfile
from typing import IO, Any

import dagster as dg
from pydantic import Field

from pipelines.liveness import process_tags
from planday_io.errors import PlandayError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation

JOB = "read_missing"
_OP = "missing_slices"
_PLANDAY = (sys.executable, "-c", "from pipelines.cli.main import main; main()")
_FAILED = {
    1: "Not everything that is missing was read: the log of this run says why, and another run reads the rest",
    130: "Interrupted. What was read completely is kept, and is published within a minute or two",
}


class MissingForm(dg.Config):
    """What the form asks for."""

    portals: list[str] = Field(default=[], description="Keys of portals.yaml. None means all.")
    dry_run: bool = Field(default=False, description="Only say what is missing, and what reading it would cost.")
    accept_shrink: bool = Field(default=False, description="Accept snapshots that shrank, this once.")


def build_missing_job(installation: Installation) -> dg.JobDefinition:
    """The job. It reads the configuration as it is when it runs."""

    @dg.op(name=_OP, out=dg.Out(dg.Nothing))
    def missing_slices(context: dg.OpExecutionContext, config: MissingForm) -> None:
        """Finds the slices that are missing, says what reading them costs, and reads them."""
        try:
            context.instance.add_run_tags(context.run_id, process_tags(installation.state))
            code, said, last = _command(context, installation, config)
        except Exception as error:  # noqa: BLE001 - whatever it is, Dagster keeps the text of what leaves here
            if not isinstance(error, PlandayError):
                context.log.error("%s", trace_of(error))  # noqa: TRY400 - see above
            raise dg.Failure(description=str(as_planday_error(error)), allow_retries=False) from None
        metadata = _metadata(said)
        if code:
            why = _FAILED.get(code, last) if said else last
            raise dg.Failure(description=why, metadata=metadata, allow_retries=False)
        context.add_output_metadata(metadata)

    @dg.job(
        name=JOB,
        description="Reads exactly the slices that are missing: never read, lost, damaged, failed last, read with older "
        "definitions or overdue. The same as `planday sync --missing`. Launchpad: choose portals (none means all), or "
        "`dry_run: true` to see first what is missing and what reading it costs.",
    )
    def job() -> None:
        missing_slices()

    return job


def _command(
    context: dg.OpExecutionContext, installation: Installation, form: MissingForm
) -> tuple[int, dict[str, Any], str]:
    """Run the command. Returns its exit code, what it said as JSON (nothing where it did not begin), and its last line."""
    options = ["plan" if form.dry_run else "sync", "--missing", "--json"]
    options += ["--accept-shrink"] if form.accept_shrink and not form.dry_run else []
    environment = {**os.environ, "PLANDAY_CONFIG": str(installation.config.file)}
    last = ""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [*_PLANDAY, *options, "--", *form.portals],
            env=environment,
            stdout=said,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                if text := line.rstrip():
                    context.log.info("%s", text)
                    last = text
            code = process.wait()
        except BaseException:
            # The run is canceled: so is the command, which ends its own runs.
            process.terminate()
            raise
        return code, _decoded(said), last


def _decoded(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    text = file.read()
    said: dict[str, Any] = json.loads(text) if text.strip() else {}
    return said


def _metadata(said: dict[str, Any]) -> dict[str, int]:
    """The figures of a run, for its page."""
    if not said:
        return {}
    missing, forecasts = said["missing"], said.get("portals")
    figures = {"missing": len(missing["slices"]), "cannot_be_read_again": len(missing["lasting"])}
    if forecasts is None:
        return {**figures, "read": len(said["tables"]), "failed": len(said["failures"])}
    return {**figures, "requests": sum(one["requests"] for one in forecasts)}
