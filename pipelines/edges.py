"""Where Dagster calls this program: ticks of sensors and schedules. What they raise is recorded.

A tick that raises shows in Dagster's UI only, and fails again a minute later unnoticed. So it is recorded as a failure of
the installation: alerts and `planday status` report it until a tick succeeds.

Not here: steps (`pipelines.assets`), publication (`pipelines.resources`), commands (`pipelines.cli.main`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import dagster as dg

from pipelines.storage_faults import storage_fault
from planday_io.errors import PlandayError, StorageError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import INSTALLATION, failure_of


@contextmanager
def recording(installation: Installation, tick: str, portal: str = INSTALLATION) -> Iterator[None]:
    """Record what a tick raises, and resolve that when it succeeds.

    Args:
        installation: where it is recorded.
        tick: name of the tick, such as "sensor alerts".
        portal: config key, where it is about one.

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
            failures.record([failure_of(known_error, now, portal=portal, table=tick)])
        if known_error is not error:
            dg.get_dagster_logger().error("%s", trace_of(error))
        raise known_error from None
    with suppress(StorageError):
        failures.resolve(portal, [tick])
