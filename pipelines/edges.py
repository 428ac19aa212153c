"""The edges at which Dagster calls this program: ticks of sensors and schedules. Whatever is raised there is noted.

A tick that raises shows in Dagster's UI only, and fails again a minute later without anybody hearing of it. So it is a
failure of the installation like any other: alerts and `planday status` report it until a tick ends well.

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
    """Note what a tick raises, and that it does so no longer.

    Args:
        config: of the installation.
        tick: what ticks, such as "sensor alerts".
        portal: config key, where it is about one.

    Raises:
        PlandayError: what was raised, without a text that is not ours: Dagster keeps it.
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
