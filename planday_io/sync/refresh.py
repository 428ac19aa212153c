"""Refreshes the tables of an endpoint: read, request what else changed, write. The only path from the API to the lake.

    PortalReader: parents, calls, rows ─► changes: months to read again ─► SliceWriter: merge, guard, lake

Dagster's assets, `planday sync` and tests all use it.
"""

from __future__ import annotations

import asyncio
import time

import pyarrow as pa

from planday_io.reading.read import Progress, no_progress
from planday_io.sync.changes import request_refreshes
from planday_io.sync.session import PortalSession
from planday_io.sync.writer import TableReport

# Arrow's allocator keeps freed memory; with the system's, a read of half a million rows peaks a tenth lower.
pa.set_memory_pool(pa.system_memory_pool())


def refresh(
    session: PortalSession,
    table: str,
    *,
    month: str | None = None,
    full: bool = False,
    accept_shrink: bool = False,
    progress: Progress = no_progress,
) -> list[TableReport]:
    """Refresh a table and all others of its endpoint.

    Args:
        session: of the portal.
        table: full name.
        month: `YYYY-MM`, for tables with a slice per month and only for those.
        full: read everything, not only changes.
        accept_shrink: skip the guard against shrinking this once.
        progress: called after each answer.

    Returns:
        One report per table of the endpoint.

    Raises:
        PlandayError: nothing of this endpoint was written, unless the error says otherwise.
    """
    began, fetched_at = time.monotonic(), session.clock()
    endpoint = session.endpoint_of(table, month)
    session.writer.require(endpoint, month)
    read = asyncio.run(session.reader.read(endpoint, month, fetched_at, full=full, progress=progress))
    # Before the slices: a kill in between costs a read that was not needed, never a change that is not seen.
    requested_months = request_refreshes(session.installation, read)
    return session.writer.write(read, began=began, requested_months=requested_months, accept_shrink=accept_shrink)
