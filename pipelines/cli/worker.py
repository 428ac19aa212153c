"""A process that executes runs for `planday sync`: those of one portal after another, and the one that publishes.

Dagster configures Python's logging at the start of each run, and two runs that begin at once in threads of one process
deadlock on it. So portals are read side by side in processes, and only these load Dagster.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import dagster as dg

from pipelines.assets import asset_keys, partition_of, step_of
from pipelines.cli.instance import open_instance
from pipelines.cli.orders import Done, GiveWay, Order, Sender
from pipelines.cli.outcome import Outcome, record_portal
from pipelines.cli.publishing import publish_as_run, run_in_process
from pipelines.cli.runs import runs_of
from pipelines.definitions import checked_definitions
from pipelines.liveness import end_dead_runs, process_tags
from pipelines.progress import LISTENER
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from pipelines.tags import WRITER_TAG
from planday_io.catalogue import CATALOGUE, Endpoint
from planday_io.errors import PlandayError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import CAUSES
from planday_io.sync.changes import settle

_INTERRUPT_EVERY_SECONDS = 1.0


def work(connection: Connection, file: Path) -> None:
    """Carry out the orders of a connection, with the configuration in `file`, until it delivers None or is closed.

    A run in progress is canceled then; what it had read completely is kept.
    """
    # After a run, Dagster gives SIGTERM the handler of SIGINT, which is ignored in background jobs of a script.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = _unraisable
    try:
        _carry_out(connection, file)
    except KeyboardInterrupt:
        # Before a run, or after one. A second interruption is on its way if this one takes long.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Exception as error:  # noqa: BLE001 - the process that started this one reports it
        if os.environ.get("PLANDAY_TRACE"):
            print(trace_of(error), file=sys.stderr)  # noqa: T201
        with suppress(OSError, KeyboardInterrupt):
            connection.send(Done(as_planday_error(error)))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _carry_out(connection: Connection, file: Path) -> None:
    installation = Installation.load(file, CATALOGUE)
    job = checked_definitions(file).resolve_implicit_global_asset_job_def()
    with open_instance(installation) as instance:
        with dagster_storage():
            end_dead_runs(instance, installation.state)
        worker = _Worker(installation, job, instance)
        orders, sender = SimpleQueue[Order](), Sender(connection)
        threading.Thread(target=_receive, args=(connection, orders, worker, sender), daemon=True).start()
        try:
            while True:
                order = orders.get()
                outcome = Outcome(sender)
                LISTENER.set(outcome)
                if order.portal is None:
                    worker.publish(order, outcome)
                else:
                    worker.read(order.portal, order, outcome)
                connection.send(Done())
        except KeyboardInterrupt:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            worker.settle()


def _unraisable(error: sys.UnraisableHookArgs) -> None:
    """Do not print an interruption that Python lost: another follows."""
    if not issubclass(error.exc_type, (KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
        sys.__unraisablehook__(error)


def _receive(connection: Connection, orders: SimpleQueue[Order], worker: _Worker, sender: Sender) -> None:
    """Take orders; interrupt this process when there are no more, because the command has ended or was interrupted."""
    with suppress(EOFError, OSError):
        while (order := connection.recv()) is not None:
            if isinstance(order, GiveWay):
                sender.told = order
            else:
                orders.put(order)
    worker.cancel()
    while True:
        # Repeatedly, because Python loses an exception that a signal raises during garbage collection.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(_INTERRUPT_EVERY_SECONDS)


class _Worker:
    def __init__(self, installation: Installation, job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
        self._installation, self._job, self._instance = installation, job, instance
        self._run_id = ""
        self._is_canceled = False

    def cancel(self) -> None:
        """Have the current run end as canceled when it is interrupted, and start no other. Called by another thread."""
        self._is_canceled = True
        self._report(self._instance.report_run_canceling)

    def settle(self) -> None:
        """End the present run as canceled if Dagster did not: it was interrupted before its first step, or had just ended."""
        self._report(self._instance.report_run_canceled)

    def _report(self, report: Callable[[dg.DagsterRun], object]) -> None:
        """Report the present run unless it has ended. If Dagster's storage is out of use, `end_dead_runs` does it later."""
        with suppress(DagsterStorageError), dagster_storage():
            run = self._instance.get_run_by_id(self._run_id) if self._run_id else None
            if run and not run.is_finished:
                report(run)

    def _tags(self, order: Order) -> dict[str, str]:
        return {**order.tags, **process_tags(self._installation.state)}

    def publish(self, order: Order, outcome: Outcome) -> None:
        """Publish, and report how it went."""
        try:
            done = publish_as_run(self._installation, self._instance, self._job, self._tags(order))
        except PlandayError as error:
            outcome.published(None, str(error))
        else:
            outcome.published(done, "")

    def read(self, portal: str, order: Order, outcome: Outcome) -> None:
        """Execute the runs of a portal. Raises KeyboardInterrupt."""
        installation, tags = self._installation, {**self._tags(order), WRITER_TAG: order.writer}
        month, group = None, list[Endpoint]()
        refusals = _Refusals(installation, portal, outcome)
        try:
            # Checked before any run; otherwise every table would fail for the same reason.
            installation.require_secrets(portal)
            for month, wanted in runs_of(installation, portal, order.wanted):
                if not (group := refusals.left(month, wanted)):
                    continue
                result = self._run(group, tags, partition_of(portal, month))
                _report_skipped(outcome, portal, month, group, result)
                refusals.note(month, group, result.run_id)
            settle(installation, portal)
        except DagsterStorageError as error:
            # Without Dagster's storage no run can begin.
            tables = [table.full_name for one in group for table in one.tables]
            missing = [name for name in tables if (name, month) not in outcome.written(portal)]
            for name in missing or ["everything"]:
                outcome.left_out(portal, name, month, str(error))
        except Exception as error:  # noqa: BLE001 - one portal's trouble is never another portal's
            record_portal(installation, portal, order.wanted, as_planday_error(error), outcome)

    def _run(self, group: Sequence[Endpoint], tags: dict[str, str], partition: str) -> dg.ExecuteInProcessResult:
        """Execute one run. Raises KeyboardInterrupt if it was interrupted: Dagster ends the run and returns."""
        self._run_id = str(uuid.uuid4())
        result = run_in_process(self._job, self._instance, asset_keys(group), tags, partition, self._run_id)
        failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
        names = {error.cls_name for error in failures if error}
        if self._is_canceled or dg.DagsterExecutionInterruptedError.__name__ in names:
            raise KeyboardInterrupt
        return result


class _Refusals:
    """What the runs of a portal were refused, so that the following ones do not ask for it again."""

    def __init__(self, installation: Installation, portal: str, outcome: Outcome) -> None:
        self._failures, self._portal, self._outcome = installation.state.failures, portal, outcome
        self._of_table: dict[str, str] = {}
        self._of_all = ""

    def left(self, month: str | None, wanted: Sequence[Endpoint]) -> list[Endpoint]:
        """The endpoints that were not refused before. The others are reported as left out."""
        why = {one.name: self._of_all or self._of_table.get(one.name, "") for one in wanted}
        for name, error in why.items():
            if error:
                self._outcome.left_out(self._portal, name, month, error)
        return [one for one in wanted if not why[one.name]]

    def note(self, month: str | None, group: Sequence[Endpoint], run_id: str) -> None:
        """Note what a run of some endpoints was refused: a scope, which no month will have, or the whole portal."""
        failures = [one for one in self._failures.of(self._portal) if one.run_id == run_id]
        self._of_table |= {one.table: one.error for one in failures if one.cause == "scope"}
        if self._outcome.written(self._portal).isdisjoint((one.name, month) for one in group):
            closed = [one.error for one in failures if one.cause in CAUSES and CAUSES[one.cause].whole_portal]
            self._of_all = closed[0] if closed else ""


def _report_skipped(
    outcome: Outcome, portal: str, month: str | None, group: Sequence[Endpoint], result: dg.ExecuteInProcessResult
) -> None:
    """Report tables that were neither written nor failed: skipped because their parent failed, or crashed."""
    told = outcome.written(portal) | {(one.table, one.month) for one in outcome.failures if one.portal == portal}
    for endpoint in group:
        if (endpoint.name, month) in told:
            continue
        step = step_of(endpoint)
        crash = next((e for e in result.all_events if e.step_key == step and e.is_step_failure), None)
        why = "left out, because the table it is read from failed"
        if crash and crash.step_failure_data.error:
            why = f"{crash.step_failure_data.error.cls_name}: a fault of this program; see run {result.run_id}"
        elif not endpoint.fan_out:
            why = f"did not run; see run {result.run_id}"
        outcome.left_out(portal, endpoint.name, month, why)
