"""Alerts from the Dagster daemon: what only Dagster knows is added to what the library knows, then the library looks.

Not here: what is an incident, who is told (`planday_io.incidents`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.resources import catalogue
from planday_io.config import Config, load_config
from planday_io.failures import FailureBook, FailureNote
from planday_io.incidents import AlertBook, Look
from planday_io.lake.slices import Lake, SliceKey

_UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_WILL_RETRY = "dagster/will_retry"
_LOOKED_BACK = timedelta(days=1)


def build_alert_sensor(config: Config) -> dg.SensorDefinition:
    """Looks for incidents every minute. No tick calls Planday."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells by webhook or mail (`alerts` in portals.yaml) what has to be done: once when something fails for "
        "good or is stale, and once when it is over.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = datetime.now(UTC)
        since = datetime.fromisoformat(context.cursor) if context.cursor else now - _LOOKED_BACK
        found = look(load_config(config.file, catalogue()), context.instance, now, since)
        # A minute twice: a run may be stored a moment after it ended.
        context.update_cursor((now - timedelta(minutes=1)).isoformat())
        for channel, error in found.failed.items():
            context.log.error("%s: %s (tried again)", channel, error)
        return dg.SkipReason(
            f"{len(found.open)} incidents open; sent: {'; '.join(found.sent) or 'nothing'}"
            + (f"; not delivered by {', '.join(found.failed)}" if found.failed else "")
        )

    return alerts


def look(
    config: Config, instance: dg.DagsterInstance, now: datetime | None = None, since: datetime | None = None
) -> Look:
    """Find incidents and tell what is new.

    Args:
        config: of the installation.
        instance: Dagster's.
        now: UTC instant.
        since: runs that ended before this UTC instant were looked at already.
    """
    now = now or datetime.now(UTC)
    note_crashed_runs(config, instance, since or now - _LOOKED_BACK)
    busy = {
        portal
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
        if (portal := partition_in(run)[0])
    }
    return AlertBook(config, catalogue()).look(now, busy)


def note_crashed_runs(config: Config, instance: dg.DagsterInstance, since: datetime) -> None:
    """Take down the tables of failed runs that could not do so themselves, and that Dagster does not start again."""
    lake, book = Lake(config.lake, config.state), FailureBook(config.state)
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=500
    )
    for record in records:
        run = record.dagster_run
        portal, month = partition_in(run)
        if not portal or run.tags.get(_WILL_RETRY) == "true":
            continue
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
        held = {(note.table, note.month): note for note in book.of(portal)}
        if any(note.run_id == run.run_id for note in held.values()):
            continue
        tables = [".".join(key.path) for key in run.asset_selection or ()]
        lost = []
        for table in tables:
            read = lake.origin(SliceKey.of(table, portal, month))
            is_written = read is not None and (read.run_id == run.run_id or read.fetched > ended)
            if not is_written and (table, month) not in held:
                lost.append(table)
        book.note(
            FailureNote(
                portal=portal,
                table=table,
                month=month,
                cause="crash",
                error=f"run {run.run_id} ended without telling why",
                run_id=run.run_id,
                since=ended.isoformat(timespec="seconds"),
            )
            for table in sorted(lost)
        )


def partition_in(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """Portal and month of a run, from its tags; both None where it has no partition."""
    portal = run.tags.get("dagster/partition/portal")
    if portal:
        return portal, run.tags.get("dagster/partition/month")
    return run.tags.get("dagster/partition"), None
