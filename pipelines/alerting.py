"""Alerts from the Dagster daemon: what only Dagster knows is added to what the library knows, then the library looks.

Not here: what is an incident, who is notified (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipelines.edges import noting
from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.errors import ConfigError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake, SliceKey
from planday_io.monitoring.failures import CONFIGURATION, DAGSTER, INSTALLATION, failure_of
from planday_io.monitoring.notifier import AlertBook, Look
from planday_io.state import Failure, State

_UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_WORKING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_WILL_RETRY, _RETRIED_BY = "dagster/will_retry", "dagster/auto_retry_run_id"
_LOOKED_BACK = timedelta(days=1)
_AGAIN = timedelta(minutes=10)
"""Of failed runs that were looked at already: Dagster says that it starts one again, and may take a minute or never do it."""
_RETRY_BEGINS = timedelta(minutes=5)


def build_alert_sensor(config: Config, fault_of: Callable[[Path], ConfigError | None]) -> dg.SensorDefinition:
    """Looks for incidents every minute. No tick calls Planday.

    Args:
        config: of the installation.
        fault_of: says why the definitions of a configuration file cannot be loaded, or None.
    """

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
        with noting(config, "sensor alerts"):
            found = look(_current(config, fault_of, now), context.instance, now, since)
        if not found.unsaved:
            context.update_cursor((now - _AGAIN).isoformat())
        for channel, error in found.failed.items():
            context.log.error("%s: %s (tried again)", channel, error)
        if found.unsaved:
            context.log.error("%s", found.unsaved)
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
    # Where nothing can be noted, what is known already is told all the same; the look tells that files cannot be written.
    with suppress(StorageError):
        State(config.state).failures.keep_only([*config.portals, INSTALLATION])
        State(config.state).failures.resolve(INSTALLATION, [DAGSTER])
    note_crashed_runs(config, instance, since or now - _LOOKED_BACK, now)
    active = {
        run.run_id: (portal, run.status)
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
        if (portal := partition_in(run)[0])
    }
    busy = {portal for portal, _ in active.values()}
    working = {portal for portal, status in active.values() if status in _WORKING}
    return AlertBook(Installation(config, CATALOGUE)).look(now, busy, working)


def under_way(instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """Portal and id of each run that waits or is under way."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
    return [(portal, run.run_id) for run in runs if (portal := partition_in(run)[0])]


def _current(config: Config, fault_of: Callable[[Path], ConfigError | None], now: datetime) -> Config:
    """The configuration as it is in the file now, or, where that cannot be used, the one this process began with."""
    try:
        current = load_config(config.file, CATALOGUE)
    except ConfigError as error:
        note_configuration(config, error, now)
        return config
    note_configuration(current, fault_of(config.file), now)
    return current


def look_without_dagster(config: Config, error: StorageError, now: datetime | None = None) -> Look:
    """Find incidents and tell what is new where Dagster's storage cannot be used, which is one of them."""
    now = now or datetime.now(UTC)
    failures = State(config.state).failures
    with suppress(StorageError):
        failures.keep_only([*config.portals, INSTALLATION])
        failures.record([failure_of(error, portal=INSTALLATION, table=DAGSTER, month=None, run_id="", now=now)])
    return AlertBook(Installation(config, CATALOGUE)).look(now)


def note_configuration(config: Config, fault: ConfigError | None, now: datetime) -> None:
    """Note that the configuration cannot be used, or that it can be again. A note that cannot be written is left."""
    failures = State(config.state).failures
    with suppress(StorageError):
        if fault is None:
            failures.resolve(INSTALLATION, [CONFIGURATION])
        else:
            failures.record(
                [failure_of(fault, portal=INSTALLATION, table=CONFIGURATION, month=None, run_id="", now=now)]
            )


def note_crashed_runs(config: Config, instance: dg.DagsterInstance, since: datetime, now: datetime) -> None:
    """Take down the tables of failed runs that could not do so themselves, and that Dagster does not start again.

    Where the notes of a portal cannot be read or written, which is an incident itself, the others are taken down.
    """
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since), limit=500
    )
    for record in records:
        run = record.dagster_run
        portal, month = partition_in(run)
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
        if portal in config.portals and not _is_started_again(run, now - ended):
            began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
            with suppress(StorageError):
                _note_crash(config, run, portal, month, began, ended)


def _note_crash(
    config: Config, run: dg.DagsterRun, portal: str, month: str | None, began: datetime, ended: datetime
) -> None:
    lake, failures = Lake(config.lake, State(config.state)), State(config.state).failures
    held = {(note.table, note.month) for note in failures.of(portal)}
    same = {run.run_id, run.parent_run_id, run.root_run_id}
    # Not the warehouse: who publishes notes itself when that fails.
    tables = {".".join(key.path) for key in run.asset_selection or ()} & {*CATALOGUE.lake_tables}
    lost = {
        table
        for table in tables
        if (table, month) not in held and not _is_read(lake, SliceKey.of(table, portal, month), same, began)
    }
    failures.record(
        Failure(
            portal=portal,
            table=table,
            month=month,
            cause="crash",
            error=f"run {run.run_id} ended without telling why",
            run_id=run.run_id,
            since=ended,
        )
        for table in sorted(lost)
    )


def _is_started_again(run: dg.DagsterRun, ago: timedelta) -> bool:
    """Whether Dagster's retry decides about a run: it has begun, or is about to. One of `planday sync` never does."""
    return _RETRIED_BY in run.tags or (run.tags.get(_WILL_RETRY) == "true" and ago < _RETRY_BEGINS)


def _is_read(lake: Lake, key: SliceKey, runs: set[str | None], since: datetime) -> bool:
    try:
        provenance = lake.provenance(key)
    except StorageError:
        return False
    return provenance is not None and (provenance.run_id in runs or provenance.fetched > since)


def partition_in(run: dg.DagsterRun) -> tuple[str | None, str | None]:
    """Portal and month of a run, from its tags; both None where it has no partition."""
    portal = run.tags.get("dagster/partition/portal")
    if portal:
        return portal, run.tags.get("dagster/partition/month")
    return run.tags.get("dagster/partition"), None
