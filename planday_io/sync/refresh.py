"""Refreshes the tables of an endpoint: read, merge, guard, write. The only path from the API to the lake.

    PortalSession: parents of a fan-out ─► calls ─► EndpointReader ─► SliceWriter: merge, guard, write ─► Lake

Dagster's assets, `planday sync` and tests all use it. Reading is `planday_io.sync.session`, writing `writer`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.catalogue.endpoint import ChangeDetection
from planday_io.client.http import PortalClient
from planday_io.config.grid import grid_months
from planday_io.errors import LostSliceError
from planday_io.frames.build import FrameContext
from planday_io.lake.published import lost_text
from planday_io.lake.slices import SliceKey
from planday_io.reading.calls import calls_of
from planday_io.reading.read import EndpointRead, Progress, no_progress
from planday_io.sync.changes import months_to_read, settle, touched_months
from planday_io.sync.incremental import IncrementalRead
from planday_io.sync.session import PortalSession
from planday_io.sync.writer import TableReport
from planday_io.warehouse.standing import require_lake

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
    endpoint = session.endpoint_of(table, month)
    return asyncio.run(_refresh(session, endpoint, month, full, accept_shrink, progress))


async def _refresh(
    session: PortalSession, endpoint: Endpoint, month: str | None, full: bool, accept_shrink: bool, progress: Progress
) -> list[TableReport]:
    began = time.monotonic()
    fetched_at = session.clock()
    require_lake(session.lake, session.config.warehouse)
    for one in endpoint.tables:
        key = SliceKey.of(one.full_name, session.portal, month)
        if lost := session.lake.lost(key):
            raise LostSliceError(lost_text(key, lost))
    full = full or (endpoint.change_detection is not None and _were_requests_lost(session, endpoint))
    plan = IncrementalRead(endpoint, session.lake, session.portal, month, session.config.privacy, fetched_at, full=full)
    marked: tuple[str, ...] = ()
    async with session.connection.open() as client:
        context = await session.context(client, fetched_at, month)
        days = session.days(endpoint, context)
        if ahead := session.take_ahead(endpoint, month):
            read, read_at = ahead
            plan.take_over(read_at, days)
        else:
            calls = plan.calls(
                days=days,
                parents=await session.parents_of(endpoint, client, context),
                extra=await session.sensitive.params(endpoint, client),
                has_both_lists=session.has_both_lists(endpoint),
            )
            read = await session.read_calls(endpoint, client, context, calls, progress)
            if endpoint.change_detection:
                marked = await _find_changed_months(session, plan, endpoint.change_detection, read, client, context)
            read.counters.add(session.take_overhead())
            session.remember(read, month)
    reports = session.writer.write(plan, read, began, accept_shrink=accept_shrink)
    return [replace(report, marked=marked) for report in reports]


def _were_requests_lost(session: PortalSession, feed: Endpoint) -> bool:
    """Whether refresh requests that followed from the last read of a feed were lost: then it is read from the beginning."""
    lost_at = session.lake.state.refresh_requests.lost_at()
    before = session.lake.usable_provenance(SliceKey.of(feed.tables[0].full_name, session.portal))
    return lost_at is not None and before is not None and before.fetched <= lost_at


async def _find_changed_months(
    session: PortalSession,
    plan: IncrementalRead,
    detection: ChangeDetection,
    read: EndpointRead,
    client: PortalClient,
    context: FrameContext,
) -> tuple[str, ...]:
    """Request a refresh of months whose rows changed in Planday, and of months that were never read."""
    endpoint = session.catalogue.endpoint_of(detection.table)
    table = session.catalogue.table(detection.table)
    fetched = [
        provenance.fetched
        for key in session.lake.slices(detection.table, session.portal)
        if (provenance := session.lake.usable_provenance(key)) is not None
    ]
    due = session.installation.endpoints_of(session.portal, session.catalogue.domains())
    months = [one for one in due if one.grid == "month"]
    touched: dict[str, float] = {}
    if fetched and endpoint in months:
        since = plan.since or min(fetched) - timedelta(days=1)
        extra = ((detection.since_param, since.strftime("%Y-%m-%dT%H:%M:%SZ")),)
        changed = await session.read_calls(endpoint, client, context, calls_of(endpoint, extra=extra))
        read.counters.add(changed.counters)
        deleted = read.tables[plan.endpoint.name].table.column(detection.deleted_by).to_pylist()
        touched = touched_months(session.lake, session.portal, table, changed.tables[detection.table].table, deleted)
    left = settle(session.installation, session.portal)
    grid = grid_months(session.config, session.portal, context.fetched_at)
    found = months_to_read(session.lake, session.portal, grid, months, touched, left, context.fetched_at)
    session.lake.state.refresh_requests.add(session.portal, found, touched, context.fetched_at)
    return tuple(sorted(found))
