"""Where Dagster calls this program: ticks of sensors and schedules. Their errors are recorded.

A tick that raises shows in Dagster's UI only, and fails again a minute later unnoticed. So it is recorded as a failure of
the installation: alerts and `planday status` report it until a tick succeeds.

Not here: steps (`pipelines.assets`), commands (`pipelines.cli.main`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import dagster as dg

from pipelines.storage_faults import storage_fault
from planday_io.errors import PlandayError, StorageError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import INSTALLATION, failure_of

Tick = Callable[[dg.SensorEvaluationContext], dg.SkipReason | dg.SensorResult | Sequence[dg.RunRequest]]


def sensor(
    installation: Installation, seconds: int, job_name: str | None = None
) -> Callable[[Tick], dg.SensorDefinition]:
    """Make a function the tick of a sensor that is enabled by default and whose errors are recorded.

    The function's name and docstring are the sensor's.
    """

    def made(tick: Tick) -> dg.SensorDefinition:
        def evaluate(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult | Sequence[dg.RunRequest]:
            with recording(installation, f"sensor {tick.__name__}"):
                return tick(context)

        return dg.SensorDefinition(
            name=tick.__name__,
            evaluation_fn=evaluate,
            minimum_interval_seconds=seconds,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=inspect.getdoc(tick),
            job_name=job_name,
        )

    return made


@contextmanager
def recording(installation: Installation, what: str, run_id: str = "") -> Iterator[None]:
    """Record an error raised inside under a name, such as "sensor alerts"; without an error, resolve the earlier one.

    Raises:
        PlandayError: what was raised, without texts of other programs, because Dagster keeps them.
    """
    failures = installation.state.failures
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to know
        known_error = error if isinstance(error, PlandayError) else storage_fault(error) or as_planday_error(error)
        now = datetime.now(UTC)
        # Where nothing can be recorded, Dagster's UI still shows the failed tick.
        with suppress(StorageError):
            failures.record([failure_of(known_error, now, table=what, run_id=run_id)])
        if known_error is not error:
            dg.get_dagster_logger().error("%s", trace_of(error))
        raise known_error from None
    with suppress(StorageError):
        failures.resolve(INSTALLATION, [what])
