"""Alerts from the Dagster daemon: what only Dagster knows is added to what the library knows, then the library notifies.

Not here: what is an incident, who is notified (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipelines.edges import recording, sensor
from pipelines.tags import partition_in
from planday_io.errors import ConfigError, PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.failures import CONFIGURATION, DAGSTER
from planday_io.monitoring.notifier import Notified, Notifier
from planday_io.state import Failure

_WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
_WORKING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_CRASHES_SINCE = timedelta(days=1)
_AGAIN = timedelta(minutes=10)
"""How long failed runs are checked again: Dagster says that it starts one again, and may take a minute or never do it."""
_RETRY_BEGINS = timedelta(minutes=5)


def build_alert_sensor(
    installation: Installation, fault_of: Callable[[Path], ConfigError | None]
) -> dg.SensorDefinition:
    """Notifies of incidents every minute. `fault_of` says why the definitions of a configuration file cannot be loaded."""

    @sensor(installation, 60)
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Reports by webhook or mail (`alerts` in portals.yaml) what fails for good or is stale, once, and its end, once."""
        now = datetime.now(UTC)
        since = datetime.fromisoformat(context.cursor) if context.cursor else None
        done = notify(_current(installation, fault_of), context.instance, now, since)
        for channel, error in done.failed.items():
            context.log.error("%s: %s (tried again)", channel, error)
        if done.unsaved:
            context.log.error("%s", done.unsaved)
        else:
            context.update_cursor((now - _AGAIN).isoformat())
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
    """Record what crashed, and notify of what is new. Runs that ended before `since` were checked already (UTC instants)."""
    now = now or datetime.now(UTC)
    record_fault(installation, DAGSTER, None)
    _record_crashes(installation, instance, since or now - _CRASHES_SINCE, now)
    runs = under_way(instance)
    working = {portal for portal, run in runs if run.status in _WORKING}
    return Notifier(installation).notify(now, {portal for portal, _ in runs}, working)


def record_fault(installation: Installation, what: str, fault: PlandayError | None) -> None:
    """Record that something cannot be used, or can be used again. A record that cannot be written is skipped."""
    with suppress(PlandayError), recording(installation, what):
        if fault:
            raise fault


def _current(installation: Installation, fault_of: Callable[[Path], ConfigError | None]) -> Installation:
    """The installation with its current configuration file, or the one this process started with if that cannot be used."""
    try:
        current = installation.reloaded()
    except ConfigError as error:
        record_fault(installation, CONFIGURATION, error)
        return installation
    record_fault(current, CONFIGURATION, fault_of(current.config.file))
    return current


def under_way(instance: dg.DagsterInstance) -> list[tuple[str, dg.DagsterRun]]:
    """Runs that are queued or in progress, each with its portal."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=[*_WAITING, *_WORKING]))
    return [(portal, run) for run in runs if (portal := partition_in(run.tags)[0])]


def _record_crashes(installation: Installation, instance: dg.DagsterInstance, since: datetime, now: datetime) -> None:
    """Record the tables of failed runs that recorded no failure themselves and that Dagster does not restart. If the
    failures of one portal cannot be read or written (an incident itself), those of the others are still recorded.
    """
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=500
    )
    for record in records:
        run = record.dagster_run
        ended = _end_of(record)
        began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
        # If a retry began or is about to begin, its outcome counts. Runs of `planday sync` are never retried.
        if not awaits_retry(record, now) and "dagster/auto_retry_run_id" not in run.tags:
            with suppress(StorageError):
                selected = run.asset_selection or _all_of(run, instance)
                installation.state.failures.record(_crashed(installation, run, selected, began, ended))


def awaits_retry(record: dg.RunRecord, now: datetime) -> bool:
    """Whether Dagster is about to start a failed run again. It says so beforehand, and may never do it."""
    return record.dagster_run.tags.get("dagster/will_retry") == "true" and now - _end_of(record) < _RETRY_BEGINS


def _end_of(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)


def _all_of(run: dg.DagsterRun, instance: dg.DagsterInstance) -> AbstractSet[dg.AssetKey]:
    """The assets of a run without a selection, such as one of a whole job. Nothing is known of a run without a plan."""
    plan = run.execution_plan_snapshot_id
    return instance.get_execution_plan_snapshot(plan).asset_selection if plan else frozenset()


def _crashed(
    installation: Installation,
    run: dg.DagsterRun,
    selected: AbstractSet[dg.AssetKey],
    began: datetime,
    ended: datetime,
) -> Iterator[Failure]:
    """What a run should have read of some assets, but neither read nor recorded as failed."""
    portal, month = partition_in(run.tags)
    if portal not in installation.config.portals:
        return
    recorded = {(one.table, one.month) for one in installation.state.failures.of(portal)}
    same = {run.run_id, run.parent_run_id, run.root_run_id}
    # Not the warehouse: whoever publishes records its own failure.
    has = {table.full_name for endpoint in installation.endpoints_of(portal) for table in endpoint.tables}
    tables = {".".join(key.path) for key in selected} & has
    for table in sorted(tables):
        if (table, month) in recorded:
            continue
        with suppress(StorageError):
            slice_ = installation.lake.provenance(SliceKey.of(table, portal, month))
            if slice_ and (slice_.run_id in same or slice_.fetched > began):
                continue
        error = f"run {run.run_id} ended without saying why"
        yield Failure(
            portal=portal, table=table, month=month, cause="crash", error=error, run_id=run.run_id, since=ended
        )
