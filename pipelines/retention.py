"""`retention` of portals.yaml in Dagster: a job that takes away what is too old, and the schedule that starts it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.edges import recording
from pipelines.liveness import process_tags
from pipelines.reporting import events_of
from pipelines.schedule_names import RETENTION
from planday_io.delivery.ageing import remove_old_deliveries
from planday_io.errors import PlandayError, RetentionError, StorageError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.privacy.retention import remarks, retain
from planday_io.warehouse import Publication

JOB = "retention"
_CRON = "15 5 * * *"
"""After the reads of the night, in the time zone of `defaults`."""


def build_retention_job(installation: Installation) -> dg.JobDefinition:
    """The job. It reads the configuration as it is when it runs."""

    @dg.op(name="take_away", out=dg.Out(dg.Nothing))
    def take_away(context: dg.OpExecutionContext) -> None:
        """Takes away what is older than `retention` of portals.yaml allows, as `planday retention` does."""
        try:
            current = installation.reloaded()
            context.instance.add_run_tags(context.run_id, process_tags(current.state))
            with recording(current, f"job {JOB}", run_id=context.run_id):
                _apply(context, current)
        except Exception as error:  # noqa: BLE001 - whatever it is, Dagster keeps the text of what leaves here
            if not isinstance(error, PlandayError):
                context.log.error("%s", trace_of(error))  # noqa: TRY400 - see above
            raise dg.Failure(description=str(as_planday_error(error)), allow_retries=False) from None

    @dg.job(
        name=JOB,
        description="Takes away, for good, what is older than `retention` of portals.yaml allows. "
        + (f"The schedule `{RETENTION}` starts it. " if installation.config.takes_away else "There is no rule now. ")
        + "`planday retention` does the same; with `--dry-run` it only counts.",
    )
    def job() -> None:
        take_away()

    return job


def _apply(context: dg.OpExecutionContext, installation: Installation) -> None:
    now = datetime.now(UTC)
    if not installation.config.takes_away:
        context.log.info("%s has no rules of `retention`: nothing becomes too old.", installation.config.file.name)

    def report(done: Publication) -> None:
        for event in events_of(installation.config, done):
            context.instance.report_runless_asset_event(event)

    try:
        done = retain(installation, now, report)
        delivered = remove_old_deliveries(installation, now)
    except StorageError as error:
        raise RetentionError(str(error)) from None
    for one in done.taken:
        context.log.info(
            "%s %s, %s before %s: %s rows removed, %s rows lost values",
            *(one.portal, one.table, one.rule, one.cutoff, one.removed, one.cleared),
        )
    context.log.info("%s delivered files were removed.", delivered)
    for text in remarks(done):
        context.log.warning("%s", text)
    if not done.is_complete:
        problems = [
            *(f"{key}: {error}" for key, error in done.errors.items()),
            *(f"still in {one}" for one in done.places),
        ]
        raise RetentionError(f"not everything was taken away that is too old: {'; '.join(problems)}")


def build_retention_schedules(installation: Installation, job: dg.JobDefinition) -> Iterator[dg.ScheduleDefinition]:
    """The schedule, where there is a rule."""
    config = installation.config
    if config.takes_away:
        yield dg.ScheduleDefinition(
            name=RETENTION,
            job=job,
            cron_schedule=_CRON,
            execution_timezone=config.defaults.timezone or "Europe/Copenhagen",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Takes away what is older than `retention` of portals.yaml allows.",
        )
