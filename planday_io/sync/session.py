"""One portal during one run, and the only path from the API to the lake: read, request refreshes, write.

    PortalConnection: tokens, identity, HTTP ─► PortalReader: parents, calls, rows ─► changes: months to read again
    ─► SliceWriter: merge, guard, lake

Dagster's assets, `planday sync` and tests all use it. Schedules, retries of steps and publication are in `pipelines`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.client.budget import never
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.reading.read import Progress, no_progress
from planday_io.sync import drift
from planday_io.sync.changes import request_refreshes
from planday_io.sync.connection import PortalConnection
from planday_io.sync.reader import PortalReader
from planday_io.sync.writer import SliceWriter, TableReport

# Arrow's allocator keeps freed memory; with the system's, a read of half a million rows peaks a tenth lower.
pa.set_memory_pool(pa.system_memory_pool())


class PortalSession:
    """One portal during one run.

    Args:
        installation: the installation.
        portal: config key.
        run_id: written into every slice.
        batch: name of the runs that this one was started together with; see `planday_io.sync.parents`.
        writer: id of the run as a writer; its slices are published when it ends, see `planday_io.state.runs`.
        gives_way: whether other portals of its app come first at present.
        clock: the current UTC instant.
    """

    def __init__(
        self,
        installation: Installation,
        portal: str,
        *,
        run_id: str,
        batch: str | None = None,
        writer: str = "",
        gives_way: Callable[[], bool] = never,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.installation = installation
        self.portal = portal
        self.clock = clock
        self.lake = Lake(installation.config.lake, installation.state, writer)
        self.connection = PortalConnection(installation, portal, gives_way=gives_way)
        self.reader = PortalReader(installation, self.lake, self.connection, batch)
        self.writer = SliceWriter(installation, self.reader, run_id=run_id, batch=batch)

    def endpoint_of(self, table: str, month: str | None) -> Endpoint:
        """The endpoint of a table. Raises ValueError if a month is given and the table has none, or the reverse."""
        endpoint = self.installation.catalogue.endpoint_of(table)
        if (endpoint.grid == "month") != (month is not None):
            raise ValueError(f"{table} has {'a slice per month' if month is None else 'no months'}")
        return endpoint

    def read(self, table: str, month: str | None = None) -> pa.Table:
        """Read a table from the API, typed and under the privacy policy, without writing anything."""
        read = asyncio.run(self.reader.read_only(self.endpoint_of(table, month), month, self.clock()))
        # This read is not remembered, not even by the next one of this session.
        self.reader.take_observations()
        return read.result.tables[table].table


def refresh(
    session: PortalSession,
    table: str,
    *,
    month: str | None = None,
    full: bool = False,
    accept_shrink: bool = False,
    replaces_lost: bool = False,
    progress: Progress = no_progress,
) -> list[TableReport]:
    """Refresh a table and all others of its endpoint.

    Args:
        session: of the portal.
        table: full name.
        month: `YYYY-MM`, for tables with a slice per month and only for those.
        full: read everything, not only changes.
        accept_shrink: skip the guard against shrinking this once.
        replaces_lost: read slices again that were published and are lost; see `SliceWriter.require`.
        progress: called after each answer.

    Returns:
        One report per table of the endpoint.

    Raises:
        PlandayError: nothing of this endpoint was written, unless the error says otherwise.
    """
    began, fetched_at = time.monotonic(), session.clock()
    endpoint = session.endpoint_of(table, month)
    session.writer.require(endpoint, month, replaces_lost=replaces_lost)
    try:
        read = asyncio.run(session.reader.read(endpoint, month, fetched_at, full=full, progress=progress))
    finally:
        drift.record(session.installation, session.portal, session.reader.take_observations())
    # Before the slices are written: a kill in between costs a needless read, never a missed change.
    requested_months = request_refreshes(session.installation, read)
    return session.writer.write(read, began=began, requested_months=requested_months, accept_shrink=accept_shrink)
