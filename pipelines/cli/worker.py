"""A process that makes runs for `planday sync`: those of one portal after another, and the one that publishes.

Dagster configures Python's logging at the start of each run, and two runs that begin at once in threads of one process
deadlock on it. So portals are read side by side in processes, and only these load Dagster.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.cli.instance import open_instance
from pipelines.cli.orders import Done, Order, Sender
from pipelines.cli.outcome import Outcome, record_portal
from pipelines.cli.publishing import publish_as_run, run_in_process
from pipelines.cli.runs import runs_of
from pipelines.definitions import checked_definitions
from pipelines.liveness import end_dead_runs, process_tags
from pipelines.progress import LISTENER
from pipelines.schedules import ASSET_JOB
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from pipelines.tags import WRITER_TAG
from planday_io.catalogue import CATALOGUE, Endpoint
from planday_io.errors import PlandayError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.sync.changes import settle
from planday_io.sync.connection import PortalConnection


def work(connection: Connection, file: Path) -> None:
    """Carry out the orders of a connection until it is closed, with the configuration in `file`.

    SIGTERM ends it: the run that it is in is canceled, and what the run had read completely is kept.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _carry_out(connection, file)
    except (KeyboardInterrupt, EOFError):
        pass
    except Exception as error:  # noqa: BLE001 - the process that started this one reports it
        if os.environ.get("PLANDAY_TRACE"):
            print(trace_of(error), file=sys.stderr)  # noqa: T201
        with suppress(OSError):
            connection.send(Done(as_planday_error(error)))


def _carry_out(connection: Connection, file: Path) -> None:
    """Raises EOFError at the end of the orders, KeyboardInterrupt when it was interrupted."""
    installation = Installation.load(file, CATALOGUE)
    worker = _Worker(installation, checked_definitions(file).resolve_implicit_global_asset_job_def())
    with open_instance(installation) as instance:
        with dagster_storage():
            end_dead_runs(instance, installation.state)
        while True:
            order: Order = connection.recv()
            outcome = Outcome(Sender(connection))
            LISTENER.set(outcome)
            if order.portal is None:
                worker.publish(instance, order, outcome)
            else:
                worker.read(instance, order.portal, order, outcome)
            connection.send(Done())


class _Worker:
    def __init__(self, installation: Installation, job: dg.JobDefinition) -> None:
        self._installation, self._job = installation, job

    def _tags(self, order: Order) -> dict[str, str]:
        return {**order.tags, **process_tags(self._installation.state)}

    def publish(self, instance: dg.DagsterInstance, order: Order, outcome: Outcome) -> None:
        try:
            outcome.published(publish_as_run(self._installation, instance, self._job, self._tags(order)), "")
        except PlandayError as error:
            outcome.published(None, str(error))

    def read(self, instance: dg.DagsterInstance, portal: str, order: Order, outcome: Outcome) -> None:
        installation, tags = self._installation, {**self._tags(order), WRITER_TAG: order.writer}
        month, group = None, list[Endpoint]()
        try:
            # Checked before any run; otherwise every table would fail for the same reason.
            PortalConnection(installation, portal).require_secrets()
            for month, group in runs_of(installation, portal, order.wanted):
                result = run_in_process(self._job, instance, asset_keys(group), tags, partition_of(portal, month))
                _stop_if_canceled(result)
                _report_skipped(outcome, portal, month, group, result)
            settle(installation, portal)
        except DagsterStorageError as error:
            # Without Dagster's storage no run can begin.
            tables = [table.full_name for one in group for table in one.tables]
            missing = [name for name in tables if (name, month) not in outcome.written(portal)]
            for name in missing or ["everything"]:
                outcome.left_out(portal, name, month, str(error))
        except Exception as error:  # noqa: BLE001 - one portal's trouble is never another portal's
            record_portal(installation, portal, order.wanted, as_planday_error(error), outcome)


def _stop_if_canceled(result: dg.ExecuteInProcessResult) -> None:
    """Dagster keeps an interruption to itself and only cancels the run. Raises KeyboardInterrupt if it did."""
    if any(event.event_type is dg.DagsterEventType.RUN_CANCELED for event in result.all_events):
        raise KeyboardInterrupt


def _report_skipped(
    outcome: Outcome, portal: str, month: str | None, group: Sequence[Endpoint], result: dg.ExecuteInProcessResult
) -> None:
    """Report tables that were neither written nor failed: skipped because their parent failed, or crashed."""
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
        outcome.left_out(portal, endpoint.name, month, why)
