"""Alerts from the Dagster daemon: what only Dagster knows is added to what the library knows, then the library notifies.

Not here: what is an incident, who is notified (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipelines.edges import recording
from planday_io.errors import ConfigError, PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.failures import CONFIGURATION, DAGSTER, INSTALLATION
from planday_io.monitoring.notifier import Notified, Notifier
from planday_io.state import Failure

_WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
_WORKING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_WILL_RETRY, _RETRIED_BY = "dagster/will_retry", "dagster/auto_retry_run_id"
_CRASHES_SINCE = timedelta(days=1)
_AGAIN = timedelta(minutes=10)
"""How long failed runs are checked again: Dagster says that it starts one again, and may take a minute or never do it."""
_RETRY_BEGINS = timedelta(minutes=5)


def build_alert_sensor(
    installation: Installation, fault_of: Callable[[Path], ConfigError | None]
) -> dg.SensorDefinition:
    """Notifies of incidents every minute. No tick calls Planday.

    Args:
        installation: as this code location was loaded with.
        fault_of: says why the definitions of a configuration file cannot be loaded, or None.
    """

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports by webhook or mail (`alerts` in portals.yaml) what needs attention: once when something fails "
        "for good or is stale, and once when it is over.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = datetime.now(UTC)
        since = datetime.fromisoformat(context.cursor) if context.cursor else now - _CRASHES_SINCE
        with recording(installation, "sensor alerts"):
            done = notify(_current(installation, fault_of), context.instance, now, since)
        if not done.unsaved:
            context.update_cursor((now - _AGAIN).isoformat())
        for channel, error in done.failed.items():
            context.log.error("%s: %s (tried again)", channel, error)
        if done.unsaved:
            context.log.error("%s", done.unsaved)
        return dg.SkipReason(
            f"{len(done.open)} incidents open; sent: {'; '.join(done.sent) or 'nothing'}"
            + (f"; not delivered by {', '.join(done.failed)}" if done.failed else "")
        )

    return alerts


def notify(
    installation: Installation,
    instance: dg.DagsterInstance,
    now: datetime | None = None,
    since: datetime | None = None,
) -> Notified:
    """Record what crashed, and notify of what is new.

    Args:
        installation: whose incidents.
        instance: Dagster's.
        now: UTC instant.
        since: runs that ended before this UTC instant were checked already.
    """
    now = now or datetime.now(UTC)
    # Where nothing can be recorded, what is known is reported all the same, and that files cannot be written.
    with suppress(StorageError):
        installation.state.failures.resolve(INSTALLATION, [DAGSTER])
    record_crashes(installation, instance, since or now - _CRASHES_SINCE, now)
    runs = under_way(instance)
    working = {portal for portal, run in runs if run.status in _WORKING}
    return Notifier(installation).notify(now, {portal for portal, _ in runs}, working)


def notify_without_dagster(installation: Installation, error: StorageError) -> Notified:
    """Notify of what is new where Dagster's storage cannot be used, which is an incident itself."""
    with suppress(PlandayError), recording(installation, DAGSTER):
        raise error
    return Notifier(installation).notify(datetime.now(UTC))


def record_configuration(installation: Installation, fault: ConfigError | None) -> None:
    """Record that the configuration cannot be used, or that it can be again. What cannot be recorded is left."""
    with suppress(PlandayError), recording(installation, CONFIGURATION):
        if fault:
            raise fault


def _current(installation: Installation, fault_of: Callable[[Path], ConfigError | None]) -> Installation:
    """The installation as its file is now, or, where that cannot be used, the one this process began with."""
    try:
        current = installation.reloaded()
    except ConfigError as error:
        record_configuration(installation, error)
        return installation
    record_configuration(current, fault_of(current.config.file))
    return current


def under_way(instance: dg.DagsterInstance) -> list[tuple[str, dg.DagsterRun]]:
    """The runs that wait or are under way, each with its portal."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=[*_WAITING, *_WORKING]))
    return [(portal, run) for run in runs if (portal := partition_in(run)[0])]


def record_crashes(installation: Installation, instance: dg.DagsterInstance, since: datetime, now: datetime) -> None:
    """Record the tables of failed runs that could not do so themselves, and that Dagster does not start again.

    Where failures of a portal cannot be read or written, which is an incident itself, those of the others are recorded.
    """
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=500
    )
    for record in records:
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
        began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
        if not _is_started_again(record.dagster_run, now - ended):
            with suppress(StorageError):
                installation.state.failures.record(_crashed(installation, record.dagster_run, began, ended))


def _crashed(installation: Installation, run: dg.DagsterRun, began: datetime, ended: datetime) -> Iterator[Failure]:
    """What a run should have read and did not, and has not recorded as failed."""
    portal, month = partition_in(run)
    if portal not in installation.config.portals:
        return
    recorded = {(one.table, one.month) for one in installation.state.failures.of(portal)}
    same = {run.run_id, run.parent_run_id, run.root_run_id}
    # Not the warehouse: who publishes records itself when that fails.
    tables = {".".join(key.path) for key in run.asset_selection or ()} & {*installation.catalogue.lake_tables}
    for table in sorted(tables):
        if (table, month) not in recorded and not _is_read(
            installation, SliceKey.of(table, portal, month), same, began
        ):
            yield Failure(
                portal=portal,
                table=table,
                month=month,
                cause="crash",
                error=f"run {run.run_id} ended without telling why",
                run_id=run.run_id,
                since=ended,
            )


def _is_started_again(run: dg.DagsterRun, ago: timedelta) -> bool:
    """Whether Dagster's retry decides about a run: it has begun, or is about to. One of `planday sync` never does."""
    return _RETRIED_BY in run.tags or (run.tags.get(_WILL_RETRY) == "true" and ago < _RETRY_BEGINS)


def _is_read(installation: Installation, key: SliceKey, runs: set[str | None], since: datetime) -> bool:
    try:
        provenance = installation.lake.provenance(key)
    except StorageError:
        return False
    return provenance is not None and (provenance.run_id in runs or provenance.fetched > since)


def partition_in(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """Portal and month of a run, from its tags; both None where it has no partition."""
    portal = run.tags.get("dagster/partition/portal")
    if portal:
        return portal, run.tags.get("dagster/partition/month")
    return run.tags.get("dagster/partition"), None
