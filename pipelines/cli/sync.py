"""`planday sync`: the same assets, in this process, against the same instance, one portal after the other.

Portals in threads were tried: Dagster configures Python's logging at the start of each run, and two runs that begin at once
wait for each other's logging locks for ever. To sync portals in parallel, start a `planday sync PORTAL` for each; they
share the budget and take turns publishing.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from pipelines.assets import ACCEPT_SHRINK_TAG, DELAY_CAP_TAG, FULL_TAG, asset_keys, partition_of
from pipelines.cli.instance import open_instance
from pipelines.cli.publishing import publish_as_run
from pipelines.definitions import checked_definitions
from pipelines.liveness import end_dead_runs, process_tags
from pipelines.progress import LISTENER, Listener
from pipelines.resources import BATCH_TAG, STARTED_BY_TAG, WRITER_TAG
from pipelines.schedules import ASSET_JOB, same_partitions
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from planday_io.catalogue import Endpoint
from planday_io.config import Schedule
from planday_io.config.grid import grid_months, window_months
from planday_io.errors import PlandayError, StorageError
from planday_io.faults import as_planday_error
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import failure_of
from planday_io.onboarding.doubles import refused_as_doubles
from planday_io.sync.changes import months_to_read, settle
from planday_io.sync.connection import PortalConnection
from planday_io.sync.writer import TableReport
from planday_io.warehouse import Publication

_DELAY_CAP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Failure:
    """A table that was not written; its previous slice stays."""

    portal: str
    table: str
    month: str | None
    error: str


@dataclass(slots=True)
class Outcome:
    """What a sync did.

    Args:
        reports: (portal, report) of each table that was written.
        failures: of those that were not.
        publication: of the warehouse; None when it was left out or failed.
        publication_error: why it failed.
        seconds: it took.
    """

    reports: list[tuple[str, TableReport]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    publication: Publication | None = None
    publication_error: str = ""
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True when every table was written and the warehouse shows it."""
        left_out = self.publication is not None and self.publication.problems
        return not self.failures and not self.publication_error and not left_out


def sync(
    installation: Installation,
    portals: Sequence[str],
    *,
    listener: Listener,
    resources: Sequence[str] | None = None,
    months: Sequence[str] | None = None,
    full: bool = False,
    accept_shrink: bool = False,
    publishes: bool = True,
) -> Outcome:
    """Refresh portals and publish.

    Args:
        installation: the installation.
        portals: keys.
        listener: receives the progress.
        resources: domains and tables; None is each portal's default tables, or its facts where months are given.
        months: to read; None is each portal's window, months with changes, and months never read.
        full: read everything, also where only changes are due.
        accept_shrink: let snapshots shrink this once.
        publishes: renew the warehouse at the end.
    """
    began = time.monotonic()
    config = installation.config
    outcome = Outcome()
    recorder = _Recorder(outcome, listener)
    job = checked_definitions(config.file).resolve_implicit_global_asset_job_def()
    tags = {DELAY_CAP_TAG: str(_DELAY_CAP_SECONDS), STARTED_BY_TAG: "planday sync"}
    tags |= {BATCH_TAG: f"sync-{secrets.token_hex(6)}"}
    tags |= process_tags(installation.state)
    tags |= {FULL_TAG: "true"} if full else {}
    tags |= {ACCEPT_SHRINK_TAG: "true"} if accept_shrink else {}
    with open_instance(installation) as instance:
        # All that a sync writes is published as one.
        with installation.state.runs.begin() as writer:
            with dagster_storage():
                end_dead_runs(instance, installation.state)
            LISTENER.set(recorder)
            refused = refused_as_doubles(installation, portals)
            for portal in portals:
                try:
                    _try_to_begin(installation, portal, refused.get(portal))
                    for month, group in _runs(installation, portal, resources, months):
                        with _storage_of(outcome, portal, month, group):
                            result = job.execute_in_process(
                                instance=instance,
                                partition_key=partition_of(portal, month),
                                asset_selection=asset_keys(group),
                                tags={**tags, WRITER_TAG: writer.name},
                                raise_on_error=False,
                                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                            )
                        _record_skipped(outcome, portal, month, group, result)
                    settle(installation, portal)
                except _NothingMoreError:
                    # Without Dagster's storage no run can begin; what is written is published.
                    break
                except Exception as error:  # noqa: BLE001 - one portal's trouble is never another portal's
                    _record_portal(installation, portal, resources, months, as_planday_error(error), recorder)
        if publishes:
            try:
                outcome.publication = publish_as_run(installation, instance, job, tags)
            except PlandayError as error:
                outcome.publication_error = str(error)
    outcome.seconds = time.monotonic() - began
    return outcome


class _NothingMoreError(Exception):
    """Dagster's storage cannot be used, so the rest of a sync is left out."""


@contextmanager
def _storage_of(outcome: Outcome, portal: str, month: str | None, group: Sequence[Endpoint]) -> Iterator[None]:
    """Record a fault of Dagster's storage as the failure of the run's tables that were not written."""
    try:
        with dagster_storage():
            yield
    except DagsterStorageError as error:
        told = {report.table for key, report in outcome.reports if key == portal and report.month == month}
        missing = [table.full_name for one in group for table in one.tables if table.full_name not in told]
        outcome.failures += [Failure(portal, table, month, str(error)) for table in missing or ["everything"]]
        raise _NothingMoreError from error


def _try_to_begin(installation: Installation, portal: str, refused: PlandayError | None) -> None:
    """Raises PlandayError if no run of the portal can begin, so that not every table fails for the same reason."""
    if refused:
        raise refused
    PortalConnection(installation, portal).require_secrets()


def _record_portal(
    installation: Installation,
    portal: str,
    resources: Sequence[str] | None,
    months: Sequence[str] | None,
    error: PlandayError,
    recorder: "_Recorder",
) -> None:
    """Report once what stopped a portal, and record it for alerts for each table that was due."""
    now = datetime.now(UTC)
    due = installation.endpoints_of(portal, resources if resources is not None else installation.catalogue.domains())
    wanted: list[tuple[Endpoint, str | None]] = []
    if resources is not None or months is None:
        wanted += [(one, None) for one in due if one.grid == "portal"]
    wanted += [
        (one, month)
        for month in months or window_months(installation.config, portal, now)
        for one in due
        if one.grid == "month"
    ]
    written = recorder.written(portal)
    # Where it cannot be noted, this command says it all the same.
    with suppress(StorageError):
        installation.state.failures.record(
            failure_of(error, now, portal=portal, table=table.full_name, month=month)
            for endpoint, month in wanted
            for table in endpoint.tables
            if (table.full_name, month) not in written
        )
    recorder.failed(portal, "everything" if not written else "the rest", None, str(error), is_final=True)


def _runs(
    installation: Installation, portal: str, resources: Sequence[str] | None, months: Sequence[str] | None
) -> Iterator[tuple[str | None, list[Endpoint]]]:
    """The runs of a portal, one after the other: snapshots, then the latest month first.

    Refresh requests are looked up after the snapshots, because reading those creates them.
    """
    names = resources if resources is not None else installation.catalogue.domains()
    due = installation.endpoints_of(portal, names)
    facts = [endpoint for endpoint in due if endpoint.grid == "month"]
    snapshots = [endpoint for endpoint in due if endpoint.grid == "portal"]
    if resources is not None or months is None:
        for group in same_partitions(snapshots, installation):
            yield None, group
    wanted = dict.fromkeys(months or window_months(installation.config, portal, datetime.now(UTC)), facts)
    if months is None and any(endpoint.change_detection for endpoint in snapshots):
        for request in settle(installation, portal):
            requested = installation.endpoints_of(portal, request.endpoints)
            both = [*wanted.get(request.month, []), *requested]
            wanted[request.month] = [one for one in installation.catalogue.endpoints if one in both]
    for month in sorted(wanted, reverse=True):
        for group in same_partitions(wanted[month], installation):
            yield month, group


def planned_runs(
    installation: Installation,
    portal: str,
    *,
    resources: Sequence[str] | None = None,
    months: Sequence[str] | None = None,
) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs that `sync` would start now, as far as is known before the API reports changes."""
    now = datetime.now(UTC)
    runs = list(_runs(installation, portal, resources, months))
    facts = [one for one in installation.endpoints_of(portal, installation.catalogue.domains()) if one.grid == "month"]
    if months is None and any(one.change_detection for _, group in runs for one in group):
        grid = grid_months(installation.config, portal, now)
        due = {(month, one.name) for month, group in runs for one in group}
        for month, names in months_to_read(installation.lake, portal, grid, facts, (), (), now).items():
            missing = [one for one in facts if one.name in names and (month, one.name) not in due]
            runs += [(month, group) for group in same_partitions(missing, installation)]
    return runs


def scheduled_runs(
    installation: Installation, portal: str, schedule: Schedule
) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs of one tick of a schedule."""
    due = installation.endpoints_of(portal, schedule.resources)
    groups = same_partitions(due, installation)
    months = window_months(installation.config, portal, datetime.now(UTC))
    snapshots: list[tuple[str | None, list[Endpoint]]] = [(None, one) for one in groups if one[0].grid == "portal"]
    return snapshots + [(month, one) for month in months for one in groups if one[0].grid == "month"]


def _record_skipped(
    outcome: Outcome, portal: str, month: str | None, group: Sequence[Endpoint], result: dg.ExecuteInProcessResult
) -> None:
    """Record tables that were neither written nor failed: skipped because their parent failed, or crashed."""
    told = {report.table for key, report in outcome.reports if key == portal and report.month == month}
    told |= {failure.table for failure in outcome.failures if failure.portal == portal and failure.month == month}
    for endpoint in group:
        if endpoint.name in told:
            continue
        step = endpoint.name.replace(".", "__")
        crash = next((e for e in result.all_events if e.step_key == step and e.is_step_failure), None)
        why = "left out, because the table it is read from failed"
        if crash and crash.step_failure_data.error:
            why = f"{crash.step_failure_data.error.cls_name}: a fault of this program; see run {result.run_id}"
        elif not endpoint.fan_out:
            why = f"did not run; see run {result.run_id} of {ASSET_JOB}"
        outcome.failures.append(Failure(portal, endpoint.name, month, why))


class _Recorder(Listener):
    """Records what the steps report, and passes it on."""

    def __init__(self, outcome: Outcome, listener: Listener) -> None:
        self._outcome = outcome
        self._listener = listener

    def written(self, portal: str) -> set[tuple[str, str | None]]:
        """Tables and months of a portal that were written."""
        return {(report.table, report.month) for key, report in self._outcome.reports if key == portal}

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        self._listener.reading(portal, table, month, done, expected)

    def waiting(self, portal: str, text: str) -> None:
        self._listener.waiting(portal, text)

    def finished(self, portal: str, report: TableReport) -> None:
        self._outcome.reports.append((portal, report))
        self._listener.finished(portal, report)

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        if is_final:
            self._outcome.failures.append(Failure(portal, table, month, error))
        self._listener.failed(portal, table, month, error, is_final=is_final)
