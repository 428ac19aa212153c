"""`planday sync`: the same assets, in this process, against the same instance, one portal after the other.

Portals in threads were tried: Dagster configures Python's logging at the start of each run, and two runs that begin at
once deadlock on logging locks. To sync portals in parallel, start a `planday sync PORTAL` for each; they share the
budget and take turns publishing.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from pipelines.assets import ACCEPT_SHRINK_TAG, DELAY_CAP_TAG, FULL_TAG, asset_keys, partition_of
from pipelines.cli.instance import open_instance
from pipelines.cli.publishing import publish_as_run, run_in_process
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
class Outcome(Listener):
    """What a sync did. It records what the steps report, and passes it on.

    Args:
        listener: receives the progress.
        reports: (portal, report) of each table that was written.
        failures: of those that were not.
        publication: of the warehouse; None when it was left out or failed.
        publication_error: why it failed.
        seconds: it took.
    """

    listener: Listener
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

    def written(self, portal: str) -> set[tuple[str, str | None]]:
        """Tables and months of a portal that were written."""
        return {(report.table, report.month) for key, report in self.reports if key == portal}

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        self.listener.reading(portal, table, month, done, expected)

    def waiting(self, portal: str, text: str) -> None:
        self.listener.waiting(portal, text)

    def finished(self, portal: str, report: TableReport) -> None:
        self.reports.append((portal, report))
        self.listener.finished(portal, report)

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        if is_final:
            self.failures.append(Failure(portal, table, month, error))
        self.listener.failed(portal, table, month, error, is_final=is_final)


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

    `resources` are domains and tables; None is each portal's default tables, or its facts where months are given. `months`
    None is each portal's window, months with changes, and months never read. The other options are those of the command.
    """
    began = time.monotonic()
    outcome = Outcome(listener)
    job = checked_definitions(installation.config.file).resolve_implicit_global_asset_job_def()
    tags = {DELAY_CAP_TAG: str(_DELAY_CAP_SECONDS), STARTED_BY_TAG: "planday sync"}
    tags |= {BATCH_TAG: f"sync-{secrets.token_hex(6)}"}
    tags |= process_tags(installation.state)
    tags |= {FULL_TAG: "true"} if full else {}
    tags |= {ACCEPT_SHRINK_TAG: "true"} if accept_shrink else {}
    with open_instance(installation) as instance:
        # Everything that a sync writes is published together.
        with installation.state.runs.begin() as writer:
            with dagster_storage():
                end_dead_runs(instance, installation.state)
            LISTENER.set(outcome)
            refused = refused_as_doubles(installation, portals)
            month, group = None, list[Endpoint]()
            for portal in portals:
                if portal in refused:
                    _record_portal(installation, portal, resources, months, refused[portal], outcome)
                    continue
                try:
                    # Checked before any run; otherwise every table would fail for the same reason.
                    installation.require_secrets(portal)
                    for month, group in _runs(installation, portal, resources, months):
                        assets, partition = asset_keys(group), partition_of(portal, month)
                        result = run_in_process(job, instance, assets, {**tags, WRITER_TAG: writer.name}, partition)
                        _record_skipped(outcome, portal, month, group, result)
                    settle(installation, portal)
                except DagsterStorageError as error:
                    # Without Dagster's storage no run can begin. What was written so far is still published.
                    tables = [table.full_name for one in group for table in one.tables]
                    missing = [name for name in tables if (name, month) not in outcome.written(portal)]
                    outcome.failures += [Failure(portal, name, month, str(error)) for name in missing or ["everything"]]
                    break
                except Exception as error:  # noqa: BLE001 - one portal's trouble is never another portal's
                    _record_portal(installation, portal, resources, months, as_planday_error(error), outcome)
        if publishes:
            try:
                outcome.publication = publish_as_run(installation, instance, job, tags)
            except PlandayError as error:
                outcome.publication_error = str(error)
    outcome.seconds = time.monotonic() - began
    return outcome


def _record_portal(
    installation: Installation,
    portal: str,
    resources: Sequence[str] | None,
    months: Sequence[str] | None,
    error: PlandayError,
    outcome: Outcome,
) -> None:
    """Report once what stopped a portal, and record it for alerts for each table that was due."""
    now = datetime.now(UTC)
    written = outcome.written(portal)
    # If the failure cannot be recorded, this command still prints it.
    with suppress(StorageError):
        installation.state.failures.record(
            failure_of(error, now, portal=portal, table=table.full_name, month=month)
            for month, endpoints in _due(installation, portal, resources, months).items()
            for endpoint in endpoints
            for table in endpoint.tables
            if (table.full_name, month) not in written
        )
    outcome.failed(portal, "everything" if not written else "the rest", None, str(error), is_final=True)


def _due(
    installation: Installation, portal: str, resources: Sequence[str] | None, months: Sequence[str] | None
) -> dict[str | None, list[Endpoint]]:
    """Month, or None for snapshots -> endpoints that are read, before it is known in which other months shifts changed."""
    due = installation.endpoints_of(portal, resources if resources is not None else installation.catalogue.domains())
    found: dict[str | None, list[Endpoint]] = {}
    if resources is not None or months is None:
        found[None] = [endpoint for endpoint in due if endpoint.grid == "portal"]
    facts = [endpoint for endpoint in due if endpoint.grid == "month"]
    return found | dict.fromkeys(months or window_months(installation.config, portal, datetime.now(UTC)), facts)


def _runs(
    installation: Installation, portal: str, resources: Sequence[str] | None, months: Sequence[str] | None
) -> Iterator[tuple[str | None, list[Endpoint]]]:
    """The runs of a portal, one after the other: snapshots, then the latest month first.

    Refresh requests are looked up after the snapshots, because reading those creates them.
    """
    wanted = _due(installation, portal, resources, months)
    snapshots = wanted.pop(None, [])
    for group in same_partitions(snapshots, installation):
        yield None, group
    if months is None and any(endpoint.change_detection for endpoint in snapshots):
        for request in settle(installation, portal):
            requested = installation.endpoints_of(portal, request.endpoints)
            both = [*wanted.get(request.month, []), *requested]
            wanted[request.month] = [one for one in installation.catalogue.endpoints if one in both]
    for month in sorted(filter(None, wanted), reverse=True):
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
    due = _due(installation, portal, schedule.resources, None)
    return [(month, group) for month, some in due.items() for group in same_partitions(some, installation)]


def _record_skipped(
    outcome: Outcome, portal: str, month: str | None, group: Sequence[Endpoint], result: dg.ExecuteInProcessResult
) -> None:
    """Record tables that were neither written nor failed: skipped because their parent failed, or crashed."""
    told = outcome.written(portal) | {(one.table, one.month) for one in outcome.failures if one.portal == portal}
    for endpoint in group:
        if (endpoint.name, month) in told:
            continue
        step = endpoint.name.replace(".", "__")
        crash = next((e for e in result.all_events if e.step_key == step and e.is_step_failure), None)
        why = "left out, because the table it is read from failed"
        if crash and crash.step_failure_data.error:
            why = f"{crash.step_failure_data.error.cls_name}: a fault of this program; see run {result.run_id}"
        elif not endpoint.fan_out:
            why = f"did not run; see run {result.run_id} of {ASSET_JOB}"
        outcome.failures.append(Failure(portal, endpoint.name, month, why))
