"""The end of a run: its last step publishes what all steps wrote. If the publication fails, the run fails.

Dagster has no step that always runs after the others (dagster-io/dagster#15761), and a run succeeds whatever a resource's
teardown raises (dagster-io/dagster#10259). So the step that ends last also ends the run: it publishes, reports the
publication with its own results, and fails if that fails. Dagster's plan of the run says which steps there are, and which
are skipped after a failure. Steps run one after the other in the process of the run (`definitions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import dagster as dg

from pipelines.reporting import STEP, Event, report
from pipelines.resources import PlandayPortals
from planday_io.errors import PlandayError
from planday_io.faults import as_planday_error, trace_of

Result = TypeVar("Result")


def ending_run(
    context: dg.AssetExecutionContext, planday: PlandayPortals, results: Iterator[Result]
) -> Iterator[Result | Event]:
    """Pass on what a step yields and raises. If it is the run's last step, publish before it ends; it fails if that fails."""
    try:
        yield from results
    except dg.RetryRequested:
        raise
    except dg.Failure as failure:
        yield from _end(context, planday, failure)
        raise
    except BaseException as error:
        # Dagster refused a result, or this program has a fault: the run fails with that error.
        if isinstance(error, (KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
            planday.steps.end_all()
        _end_unheard(context, planday)
        raise
    else:
        yield from _end(context, planday, None)


def _end_unheard(context: dg.AssetExecutionContext, planday: PlandayPortals) -> None:
    """End a step that raises an unexpected error; failures here are reported by alerts and the run's log only."""
    try:
        for event in _end(context, planday, dg.Failure()):
            if isinstance(event, dg.AssetMaterialization):
                # Dagster accepts no more events from the step.
                context.instance.report_runless_asset_event(event)
    except dg.Failure as failure:
        context.log.error("%s", failure.description)  # noqa: TRY400 - the trace may quote a cell


def _end(context: dg.AssetExecutionContext, planday: PlandayPortals, failure: dg.Failure | None) -> Iterator[Event]:
    if not planday.steps.end(context.op_def.name, is_good=failure is None):
        return
    try:
        if done := planday.end_run(publishes=context.op_def.name == STEP):
            yield from report(context, planday.config, done)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run fails, and Dagster keeps the text
        told = as_planday_error(error)
        if not isinstance(error, PlandayError):
            context.log.error("%s", trace_of(error))  # noqa: TRY400 - see above
        both = f"{failure.description}. Besides, {told}" if failure and failure.description else str(told)
        raise dg.Failure(description=both, allow_retries=False) from None
