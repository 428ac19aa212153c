"""Refreshing the tables of an endpoint: read, merge, guard, write. The one path from the API to the lake.

    PortalSession: parents of a fan-out ─► calls ─► EndpointReader ─► merge with the previous slice ─► guard ─► Lake

Dagster's assets, `planday sync` and tests all go through it. Not here: requests (`planday_io.sync.session`), publication.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import pyarrow as pa

from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.catalogue.endpoint import Watch
from planday_io.client.http import Counters, PortalClient
from planday_io.config.grid import grid_months
from planday_io.config.selection import endpoints_of
from planday_io.errors import DamagedSliceError, LostSliceError, ShrunkSnapshotError
from planday_io.frames.build import FrameContext
from planday_io.lake.guard import check_shrink
from planday_io.lake.history import Histories
from planday_io.lake.policies import policies_of
from planday_io.lake.published import lost_text
from planday_io.lake.slices import Origin, SliceKey
from planday_io.reading.calls import calls_of
from planday_io.reading.read import EndpointRead, Progress, untold
from planday_io.sync.changes import ChangedMonths, months_to_read, touched_months
from planday_io.sync.incremental import Plan
from planday_io.sync.session import PortalSession
from planday_io.warehouse.standing import require_lake

# Arrow's own allocator holds on to what was freed; with the system's a read of half a million rows peaks a tenth lower.
pa.set_memory_pool(pa.system_memory_pool())


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
    require_lake(session.lake, session.config.warehouse, session.config.state)
    for one in endpoint.tables:
        key = SliceKey.of(one.full_name, session.portal, month)
        if lost := session.lake.lost(key):
            raise LostSliceError(lost_text(key, lost))
    plan = Plan(endpoint, session.lake, session.portal, month, session.config.privacy, fetched_at, full=full)
    marked: tuple[str, ...] = ()
    async with session.client() as client:
        context = await session.context(client, fetched_at, month)
        if ahead := session.take_ahead(endpoint, month):
            read, plan.fetched_at = ahead
            days = session.days(endpoint, context)
            plan.window = f"{days[0]} to {days[1]}" if days else plan.window
            return _finish(session, plan, read, began, marked, accept_shrink=accept_shrink)
        parents = await session.parents_of(endpoint, client, context)
        extra = await session.opt_in_params(endpoint, client)
        calls = plan.calls(
            days=session.days(endpoint, context),
            parents=parents,
            extra=extra,
            has_both_lists=session.has_both_lists(endpoint),
        )
        read = await session.read_calls(endpoint, client, context, calls, progress)
        if endpoint.watch:
            marked = await _watch(session, plan, endpoint.watch, read, client, context)
    read.counters.add(session.take_overhead())
    session.remember(read, month)
    return _finish(session, plan, read, began, marked, accept_shrink=accept_shrink)


def _finish(
    session: PortalSession,
    plan: Plan,
    read: EndpointRead,
    began: float,
    marked: tuple[str, ...],
    *,
    accept_shrink: bool,
) -> list[TableReport]:
    """Merge, guard and write all tables of an endpoint, or none."""
    endpoint = plan.endpoint
    with ExitStack() as locks:
        for table in endpoint.tables:
            locks.enter_context(session.lake.locked(plan.key(table)))
        # The key may have been renamed or forgotten while this was read; then it must not come back.
        session.confirm_identity()
        news = {table.full_name: _New(session, plan, table, read) for table in endpoint.tables}
        for new in news.values():
            new.guard(accept_shrink=accept_shrink)
        # Children first: the parent's stamps say what is up to date, so it must never be ahead of them.
        for new in reversed(news.values()):
            new.write()
    return [replace(new.report(began), marked=marked) for new in news.values()]


async def _watch(
    session: PortalSession, plan: Plan, watch: Watch, read: EndpointRead, client: PortalClient, context: FrameContext
) -> tuple[str, ...]:
    """Mark the months of the watched table that are not as the API has them, and those never read."""
    endpoint = session.catalogue.endpoint_of(watch.table)
    table = session.catalogue.table(watch.table)
    fetched = [
        origin.fetched
        for key in session.lake.slices(watch.table, session.portal)
        if (origin := session.lake.usable_origin(key)) is not None
    ]
    due = endpoints_of(session.catalogue, session.settings, session.catalogue.domains())
    months = [one for one in due if one.grid == "month"]
    touched: dict[str, float] = {}
    if fetched and endpoint in months:
        since = plan.since or min(fetched) - timedelta(days=1)
        extra = ((watch.since_param, since.strftime("%Y-%m-%dT%H:%M:%SZ")),)
        changed = await session.read_calls(endpoint, client, context, calls_of(endpoint, extra=extra))
        read.counters.add(changed.counters)
        deleted = read.tables[plan.endpoint.name].table.column(watch.deleted_by).to_pylist()
        touched = touched_months(session.lake, session.portal, table, changed.tables[watch.table].table, deleted)
    changed_months = ChangedMonths(session.config.state)
    left = changed_months.settle(session.lake, session.catalogue, session.config, session.portal)
    grid = grid_months(session.config, session.portal, context.fetched_at)
    found = months_to_read(session.lake, session.portal, grid, months, touched, left, context.fetched_at)
    changed_months.mark(session.portal, found, touched, context.fetched_at)
    return tuple(sorted(found))


class _New:
    """The slice of one table that is about to be written. Make and use it within the lock of the slice."""

    def __init__(self, session: PortalSession, plan: Plan, table: Table, read: EndpointRead) -> None:
        self._session = session
        self._plan = plan
        self._table = table
        self._read = read
        self._is_first = table is plan.endpoint.tables[0]
        self._part = read.tables[table.full_name]
        self._before = session.lake.usable_origin(plan.key(table))
        # Somebody may have been forgotten since this read began.
        people = session.forgotten.of(session.portal)
        parents = session.forgotten_parents(table, plan.month, people, read)
        self._rows = people.applied(plan.merged(table, read), table, parents)
        self._histories = Histories(session.lake, session.config.state, session.catalogue, session.config.privacy)
        self._is_superseded = self._before is not None and self._before.fetched > plan.fetched_at

    def guard(self, *, accept_shrink: bool) -> None:
        """Refuse a suspicious snapshot. Raises ShrunkSnapshotError; then nothing of the endpoint may be written."""
        plan, session = self._plan, self._session
        # Where the previous file is damaged, what was published of it is the measure.
        mark = session.lake.marks.of(plan.key(self._table)) if self._before is None else None
        before_rows = self._before.kept if self._before else mark.kept if mark else None
        if before_rows is None or self._is_superseded or accept_shrink or not plan.endpoint.is_snapshot:
            return
        if self._read.is_absent and before_rows:
            raise ShrunkSnapshotError(
                f"{self._table.full_name} of portal '{session.portal}' had {before_rows} rows, and the API answers now that "
                "there is no such list. Nothing was written and the previous data stays. If it is true: --accept-shrink"
            )
        # Deletions and moves that were seen in the month explain as large a part of every table.
        since = self._before.fetched if self._before else mark.read_at if mark else plan.fetched_at
        gone = ChangedMonths(session.config.state).share_gone(session.portal, plan.month, since)
        guard = session.settings.guards.of(self._table.full_name)
        check_shrink(
            f"{self._table.full_name} of portal '{session.portal}'" + (f" in {plan.month}" if plan.month else ""),
            before_rows=math.floor(before_rows * (1 - gone)),
            after_rows=self._rows.num_rows,
            min_ratio=guard.min_ratio,
            max_lost_rows=guard.max_lost_rows,
            explain=self._vanished,
        )

    def _vanished(self) -> str:
        """How the new rows differ from the previous ones, in counts."""
        key = ["portal", *self._table.key]
        try:
            previous = self._session.lake.read(self._plan.key(self._table), key)
        except DamagedSliceError:
            return "the previous file is damaged, so they cannot be compared"
        before, after = (set(zip(*(t.column(n).to_pylist() for n in key), strict=True)) for t in (previous, self._rows))
        gone, stayed, new = len(before - after), len(before & after), len(after - before)
        return f"of {len(before)} keys {gone} vanished, {stayed} stayed, {new} are new"

    def write(self) -> None:
        """Write it, unless a later read was written meanwhile. Raises StorageError."""
        if self._is_superseded:
            return
        key = self._plan.key(self._table)
        self._histories.begin(key)
        self._session.lake.write(key, self._rows, self._origin())
        self._histories.try_to_follow(key, self._rows)

    def report(self, began: float) -> TableReport:
        """What was done."""
        before, part, read = self._before, self._part, self._read
        lake = self._session.lake
        return TableReport(
            table=self._table.full_name,
            rows=before.kept if self._is_superseded and before else self._rows.num_rows,
            received=part.received,
            previous_rows=before.kept if before else None,
            expected_total=part.total,
            verdict=part.verdict,
            window=self._plan.window,
            counters=read.counters if self._is_first else Counters(),
            seconds=time.monotonic() - began,
            rereads=read.rereads if self._is_first else 0,
            gone=read.gone if self._is_first else 0,
            path=str(lake.path(self._plan.key(self._table)).relative_to(lake.root)),
            month=self._plan.month,
            warnings=(
                *part.oddities.warnings(self._table.full_name),
                *(self._session.not_granted(self._plan.endpoint, self._rows) if self._is_first else ()),
                *self._set_aside(),
            ),
            superseded=self._is_superseded,
        )

    def _set_aside(self) -> Iterator[str]:
        lake = self._session.lake
        if (file := lake.set_aside.pop(self._plan.key(self._table), None)) is not None:
            yield (
                f"the previous file of {self._table.full_name} was damaged. All of it was read again, and the damaged "
                "file was kept "
                f"as {file.name}: remove it when nobody needs it"
            )

    def _origin(self) -> Origin:
        session, part = self._session, self._part
        portal_id = session.portal_id
        assert portal_id is not None  # noqa: S101 - verified before anything is read
        return Origin(
            run_id=session.run_id,
            portal_id=portal_id,
            fetched_at=self._plan.fetched_at.isoformat(),
            window=self._plan.window,
            requests=self._read.counters.requests if self._is_first else 0,
            expected_total=part.total,
            received=part.received,
            distinct_keys=part.distinct,
            kept=0,
            verdict=part.verdict,
            catalogue_version=VERSION,
            policies=policies_of(self._table, session.config.privacy),
            covered=self._plan.covers(self._read, self._table),
            batch=session.batch or "",
        )
