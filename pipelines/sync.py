"""`planday sync`: the same assets, in this process, against the same instance, one portal after the other.

Portals in threads were tried: Dagster configures Python's logging at the start of each run, and two runs that begin at once
wait for each other's logging locks for ever. Who wants portals side by side starts a `planday sync PORTAL` for each; they
share the budget and take turns at publishing.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from pipelines.assets import ACCEPT_SHRINK_TAG, DELAY_CAP_TAG, FULL_TAG, asset_keys
from pipelines.definitions import build_definitions
from pipelines.liveness import end_dead_runs
from pipelines.progress import LISTENER, Listener
from pipelines.resources import NO_PUBLISH_TAG, catalogue, publish_pending
from pipelines.schedules import ASSET_JOB, same_partitions
from planday_io.catalogue import Endpoint
from planday_io.config import Config
from planday_io.errors import PlandayError
from planday_io.files import locked
from planday_io.refresh import TableReport
from planday_io.selection import endpoints_of
from planday_io.warehouse import Publication

_DELAY_CAP_SECONDS = 15


@dataclass(slots=True)
class Outcome:
    """What a sync did.

    Args:
        reports: (portal, report) of each table that was written.
        failures: (portal, table, error) of each that was not.
        publication: of the warehouse; None when it was left out or failed.
        publication_error: why it failed.
        seconds: it took.
    """

    reports: list[tuple[str, TableReport]] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    publication: Publication | None = None
    publication_error: str = ""
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True when every table was written and the warehouse shows it."""
        return not self.failures and not self.publication_error


def open_instance(config: Config) -> dg.DagsterInstance:
    """The instance of the installation: DAGSTER_HOME, else the configuration's folder.

    Relative paths of dagster.yaml belong to the home folder, so this process moves there. The first use of a fresh
    folder migrates its database; twelve processes doing that at once would fail, so they take turns.
    """
    home = os.environ.setdefault("DAGSTER_HOME", str(config.home))
    os.chdir(home)
    with locked(config.state / "locks" / "instance.lock"):
        instance = dg.DagsterInstance.get()
        instance.get_runs_count()
        instance.event_log_storage.get_maximum_record_id()
    return instance


def sync(
    config: Config,
    portals: Sequence[str],
    *,
    listener: Listener,
    resources: Sequence[str] | None = None,
    full: bool = False,
    accept_shrink: bool = False,
    publishes: bool = True,
) -> Outcome:
    """Refresh portals and publish.

    Args:
        config: of the installation.
        portals: keys.
        listener: told what happens.
        resources: domains and tables; None is each portal's default tables.
        full: read everything, also where only changes are due.
        accept_shrink: let snapshots shrink this once.
        publishes: renew the warehouse at the end.
    """
    began = time.monotonic()
    outcome = Outcome()
    recorder = _Recorder(outcome, listener)
    job = build_definitions(config.file).resolve_implicit_global_asset_job_def()
    tags = {DELAY_CAP_TAG: str(_DELAY_CAP_SECONDS), NO_PUBLISH_TAG: "true", "planday/started_by": "planday sync"}
    tags |= {FULL_TAG: "true"} if full else {}
    tags |= {ACCEPT_SHRINK_TAG: "true"} if accept_shrink else {}
    with open_instance(config) as instance:
        end_dead_runs(instance)
        LISTENER.set(recorder)
        for portal in portals:
            names = resources if resources is not None else catalogue().domains()
            due = endpoints_of(catalogue(), config.portals[portal], names)
            for group in same_partitions(due, catalogue(), config):
                result = job.execute_in_process(
                    instance=instance,
                    partition_key=portal,
                    asset_selection=asset_keys(group),
                    tags=tags,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
                _note_skipped(outcome, portal, group, result)
    if publishes:
        try:
            outcome.publication = publish_pending(config)
        except PlandayError as error:
            outcome.publication_error = str(error)
    outcome.seconds = time.monotonic() - began
    return outcome


def _note_skipped(outcome: Outcome, portal: str, group: Sequence[Endpoint], result: dg.ExecuteInProcessResult) -> None:
    """A table that neither was written nor failed was left out, because one it is read from failed, or crashed."""
    told = {report.table for key, report in outcome.reports if key == portal}
    told |= {table for key, table, _ in outcome.failures if key == portal}
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
        outcome.failures.append((portal, endpoint.name, why))


class _Recorder:
    """Keeps what the steps tell, and passes it on."""

    def __init__(self, outcome: Outcome, listener: Listener) -> None:
        self._outcome = outcome
        self._listener = listener

    def reading(self, portal: str, table: str, done: int, expected: int | None) -> None:
        self._listener.reading(portal, table, done, expected)

    def finished(self, portal: str, report: TableReport) -> None:
        self._outcome.reports.append((portal, report))
        self._listener.finished(portal, report)

    def failed(self, portal: str, table: str, error: str, *, is_final: bool) -> None:
        if is_final:
            self._outcome.failures.append((portal, table, error))
        self._listener.failed(portal, table, error, is_final=is_final)
