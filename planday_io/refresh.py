"""Refreshing the tables of an endpoint: read, merge, guard, write. The one path from the API to the lake.

    PortalSession: parents of a fan-out ─► calls ─► EndpointReader ─► merge with the previous slice ─► guard ─► Lake

Dagster's assets, `planday sync` and tests all go through it. Not here: requests (`planday_io.session`), publication.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta

from planday_io.calls import calls_of
from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.catalogue.endpoint import Watch
from planday_io.changes import ChangedMonths, never_read, touched_months
from planday_io.client.http import Counters, PortalClient
from planday_io.frames.build import FrameContext
from planday_io.grid import grid_months
from planday_io.lake.guard import check_shrink
from planday_io.lake.slices import Origin
from planday_io.plan import Plan, policies_of
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, TableRead, untold
from planday_io.selection import endpoints_of
from planday_io.session import PortalSession


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """What refreshing one table did; counts and names only, no personal data.

    Args:
        table: full name.
        rows: of the slice now.
        received: rows that came.
        previous_rows: of the slice before, or None.
        expected_total: what the API stated, or None.
        verdict: why the read counts as complete.
        window: what was asked for.
        counters: requests and waiting of the whole endpoint; zero for tables that share another one's calls.
        seconds: from the first request to the file.
        rereads: lists that had to be read again.
        gone: parents that vanished between list and detail.
        path: of the slice file, relative to the lake.
        month: of the slice, or None.
        warnings: what did not fit the catalogue.
        marked: months that were found to need another read.
        superseded: another process wrote a later read meanwhile, so this one was not written.
    """

    table: str
    rows: int
    received: int
    previous_rows: int | None
    expected_total: int | None
    verdict: str
    window: str
    counters: Counters
    seconds: float
    rereads: int
    gone: int
    path: str
    month: str | None = None
    warnings: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    superseded: bool = False


def refresh(
    session: PortalSession,
    table: str,
    *,
    month: str | None = None,
    full: bool = False,
    accept_shrink: bool = False,
    progress: Progress = untold,
) -> list[TableReport]:
    """Refresh a table and those that share its endpoint.

    Args:
        session: of the portal.
        table: full name.
        month: `YYYY-MM`, for tables with a slice per month and only for those.
        full: read everything, also where only changes are due.
        accept_shrink: let a snapshot shrink this once.
        progress: told about each answer.

    Returns:
        One report per table of the endpoint.

    Raises:
        PlandayError: nothing of this endpoint was written, except where the error says so.
    """
    endpoint = session.endpoint_of(table, month)
    return asyncio.run(_refresh(session, endpoint, month, full, accept_shrink, progress))


async def _refresh(
    session: PortalSession, endpoint: Endpoint, month: str | None, full: bool, accept_shrink: bool, progress: Progress
) -> list[TableReport]:
    began = time.monotonic()
    fetched_at = session.clock()
    plan = Plan(endpoint, session.lake, session.portal, month, session.config.privacy, fetched_at, full=full)
    marked: tuple[str, ...] = ()
    async with session.client() as client:
        context = await session.context(client, fetched_at, month)
        parents = await session.parents_of(endpoint, client, context)
        extra = await session.opt_in_params(endpoint, client)
        calls = plan.calls(days=session.days(endpoint, context), parents=parents, extra=extra)
        read = await EndpointReader(endpoint, client, context, progress=progress).read(calls)
        if endpoint.watch:
            marked = await _watch(session, plan, endpoint.watch, read, client, context)
    read.counters.add(session.take_overhead())
    session.remember(read, month)
    reports = []
    # Children first: the parent's stamps say what is up to date, so it must never be ahead of them.
    for table in reversed(endpoint.tables):
        report = _write(session, plan, table, read, began, accept_shrink=accept_shrink)
        reports.append(replace(report, marked=marked))
    return reports[::-1]


async def _watch(
    session: PortalSession, plan: Plan, watch: Watch, read: EndpointRead, client: PortalClient, context: FrameContext
) -> tuple[str, ...]:
    """Mark the months of the watched table that are not as the API has them, and those never read."""
    endpoint = session.catalogue.endpoint_of(watch.table)
    table = session.catalogue.table(watch.table)
    fetched = [
        origin.fetched
        for key in session.lake.slices(watch.table, session.portal)
        if (origin := session.lake.origin(key)) is not None
    ]
    found: dict[str, list[str]] = {}
    due = endpoints_of(session.catalogue, session.settings, session.catalogue.domains())
    months = [one for one in due if one.grid == "month"]
    if fetched and endpoint in months:
        since = plan.since or min(fetched) - timedelta(days=1)
        extra = ((watch.since_param, since.strftime("%Y-%m-%dT%H:%M:%SZ")),)
        reader = EndpointReader(endpoint, client, context)
        changed = await reader.read(calls_of(endpoint, extra=extra))
        read.counters.add(reader.counters)
        deleted = read.tables[plan.endpoint.name].table.column(watch.deleted_by).to_pylist()
        touched = touched_months(session.lake, session.portal, table, changed.tables[watch.table].table, deleted)
        found = {month: [one.name for one in months] for month in sorted(touched)}
    grid = grid_months(session.config, session.portal, context.fetched_at)
    changed_months = ChangedMonths(session.config.state)
    marks = changed_months.settle(session.lake, session.catalogue, session.config, session.portal)
    found = never_read(session.lake, session.portal, grid, months, marks, context.fetched_at) | found
    found = {month: names for month, names in found.items() if month in grid}
    changed_months.mark(session.portal, found, context.fetched_at)
    return tuple(sorted(found))


def _write(
    session: PortalSession, plan: Plan, table: Table, read: EndpointRead, began: float, *, accept_shrink: bool
) -> TableReport:
    endpoint = plan.endpoint
    part = read.tables[table.full_name]
    is_first = table is endpoint.tables[0]
    key = plan.key(table)
    with session.lake.locked(key):
        before = session.lake.origin(key)
        merged = plan.merged(table, part)
        superseded = before is not None and before.fetched > plan.fetched_at
        if not superseded:
            # Where a month is marked, deletions were seen there: that explains a smaller slice.
            changed = ChangedMonths(session.config.state)
            if (
                before is not None
                and endpoint.is_snapshot
                and not accept_shrink
                and not changed.is_due(session.portal, plan.month, endpoint.name, before.fetched)
            ):
                guards = session.settings.guards
                check_shrink(
                    f"{table.full_name} of portal '{session.portal}'" + (f" in {plan.month}" if plan.month else ""),
                    before_rows=before.kept,
                    after_rows=merged.num_rows,
                    min_ratio=guards.min_ratio,
                    max_lost_rows=guards.max_lost_rows,
                )
            session.lake.write(key, merged, _origin(session, plan, table, part, read))
    return TableReport(
        table=table.full_name,
        rows=before.kept if superseded and before else merged.num_rows,
        received=part.received,
        previous_rows=before.kept if before else None,
        expected_total=part.total,
        verdict=part.verdict,
        window=plan.window,
        counters=read.counters if is_first else Counters(),
        seconds=time.monotonic() - began,
        rereads=read.rereads if is_first else 0,
        gone=read.gone if is_first else 0,
        path=str(session.lake.path(key).relative_to(session.config.lake)),
        month=plan.month,
        warnings=tuple(part.oddities.warnings(table.full_name)),
        superseded=superseded,
    )


def _origin(session: PortalSession, plan: Plan, table: Table, part: TableRead, read: EndpointRead) -> Origin:
    portal_id = session.portal_id
    assert portal_id is not None  # noqa: S101 - verified before anything is read
    return Origin(
        run_id=session.run_id,
        portal_id=portal_id,
        fetched_at=plan.fetched_at.isoformat(),
        window=plan.window,
        requests=read.counters.requests if table is plan.endpoint.tables[0] else 0,
        expected_total=part.total,
        received=part.received,
        distinct_keys=part.distinct,
        kept=0,
        verdict=part.verdict,
        catalogue_version=VERSION,
        policies=policies_of(table, session.config.privacy),
        covered=plan.covers(read),
        batch=session.batch or "",
    )
