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
from planday_io.config import Config
from planday_io.errors import PlandayError, StorageError
from planday_io.faults import known, trace_of
from planday_io.monitoring.failures import INSTALLATION, failure_of
from planday_io.state import State


@contextmanager
def noting(config: Config, tick: str, portal: str = INSTALLATION) -> Iterator[None]:
    """Record what a tick raises, and resolve that when it succeeds.

    Args:
        config: of the installation.
        tick: name of the tick, such as "sensor alerts".
        portal: config key, where it is about one.

    Raises:
        PlandayError: what was raised, without texts of other programs, because Dagster keeps them.
    """
    failures = State(config.state).failures
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to hear of it
        told = error if isinstance(error, PlandayError) else storage_fault(error) or known(error)
        now = datetime.now(UTC)
        # Where nothing can be noted, Dagster's UI still shows the failed tick.
        with suppress(StorageError):
            failures.record([failure_of(told, now, portal=portal, table=tick)])
        if told is not error:
            dg.get_dagster_logger().error("%s", trace_of(error))
        raise told from None
    with suppress(StorageError):
        failures.resolve(portal, [tick])
