"""Reads one portal during one run: complete reads of endpoints, and the parents of fan-outs.

    PortalConnection: tokens, identity, HTTP ─► PortalSession: parents, calls, rows ─► SliceWriter: lake

Schedules, retries of steps and publication are `pipelines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.client.http import Counters, PortalClient
from planday_io.config.secrets import read_secret
from planday_io.errors import MissingScopeError
from planday_io.frames.build import FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.months import first_day, last_day
from planday_io.reading.calls import Call, Parent, calls_of, days_of, more_parents, once_parents, parents_in
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, no_progress
from planday_io.state import State
from planday_io.sync.connection import PortalConnection
from planday_io.sync.erased import ErasedRows
from planday_io.sync.limits import list_limit
from planday_io.sync.parents import ParentTables
from planday_io.sync.sensitive import SensitiveMembers
from planday_io.sync.writer import SliceWriter
from planday_io.texts import visible


class PortalSession:
    """One portal during one run.

    Args:
        installation: the installation.
        catalogue: the endpoints there are.
        portal: config key.
        run_id: written into every slice.
        batch: name of the runs that this one was started together with; see `planday_io.sync.parents`.
        writer: id of the run as a writer; its slices are published when it ends, see `planday_io.state.runs`.
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
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        config, catalogue = installation.config, installation.catalogue
        self.installation = installation
        self.config = config
        self.catalogue = catalogue
        self.portal = portal
        self.clock = clock
        self.settings = config.portals[portal]
        self.lake = Lake(config.lake, State(config.state), writer)
        self.connection = PortalConnection(config, portal)
        self.sensitive = SensitiveMembers(catalogue, config.privacy, self.connection)
        self._parents = ParentTables(catalogue, self.lake, portal, batch)
        people = ForgottenPeople(config.lake, self.lake.state)
        self._erased = ErasedRows(catalogue, people, self._parents, portal)
        self.writer = SliceWriter(
            installation,
            self.connection,
            self.lake,
            self._erased,
            self.sensitive,
            run_id=run_id,
            batch=batch or "",
        )
        self._ahead: dict[tuple[str, str | None], tuple[EndpointRead, datetime]] = {}

    def read(self, table: str, month: str | None = None) -> pa.Table:
        """Read a table from the API, typed and under the privacy policy, without writing anything."""
        endpoint = self.endpoint_of(table, month)
        return asyncio.run(self._read_only(endpoint, month)).tables[table].table

    def endpoint_of(self, table: str, month: str | None) -> Endpoint:
        """The endpoint of a table. Raises ValueError when a month is given and there are none, or the reverse."""
        endpoint = self.catalogue.endpoint_of(table)
        if (endpoint.grid == "month") != (month is not None):
            raise ValueError(f"{table} has {'a slice per month' if month is None else 'no months'}")
        return endpoint

    async def _read_only(self, endpoint: Endpoint, month: str | None) -> EndpointRead:
        async with self.connection.open() as client:
            context = await self.context(client, self.clock(), month, remember=False)
            return await self.read_whole(endpoint, client, context)

    async def read_whole(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> EndpointRead:
        """Read everything of an endpoint, ignoring previous slices."""
        parents = await self.parents_of(endpoint, client, context)
        calls = calls_of(
            endpoint,
            days=self.days(endpoint, context),
            parents=parents,
            extra=await self.sensitive.params(endpoint, client),
        )
        return await self.read_calls(endpoint, client, context, calls)

    async def read_calls(
        self,
        endpoint: Endpoint,
        client: PortalClient,
        context: FrameContext,
        calls: Sequence[Call],
        progress: Progress = no_progress,
    ) -> EndpointRead:
        """Read some calls of an endpoint, and remove forgotten people."""
        limit = list_limit(self.config, self.lake, self.portal, endpoint, context.month)
        read = await EndpointReader(endpoint, client, context, limit=limit, progress=progress).read(calls)
        whole = read.rows()
        for table in endpoint.tables:
            part = read.tables[table.full_name]
            part.table = self._erased.of(table, part.table, context.month, whole)
        return read

    def days(self, endpoint: Endpoint, context: FrameContext) -> tuple[date, date] | None:
        """First and last day of a slice of the endpoint, or None if it has no window."""
        if endpoint.window is None:
            return None
        month = context.month
        return days_of(
            endpoint.window,
            month=(first_day(month), last_day(month)) if month else None,
            history_start=first_day(self.config.history_start),
            today=_today(context),
        )

    async def context(
        self, client: PortalClient, fetched_at: datetime, month: str | None, *, remember: bool = True
    ) -> FrameContext:
        """The values that all rows of one read share. Raises like `PortalConnection.identify`."""
        if self.connection.portal_id is None:
            self.connection.refuse_copied_token()
        portal_id = await self.connection.identify(client, remember=remember)
        key = self.config.privacy.hash_key

        def hash_key() -> str:
            assert key is not None, "the configuration is refused when something is hashed without a key"  # noqa: S101
            return read_secret(key, home=self.config.home, what="privacy.hash_key", check=visible)

        return FrameContext(
            portal=self.portal,
            portal_id=portal_id,
            zone=ZoneInfo(self.settings.timezone),
            fetched_at=fetched_at,
            privacy=PrivacyFilter(self.config.privacy, portal_id, hash_key),
            month=month,
        )

    async def parents_of(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> list[Parent] | None:
        """The parents to fan out over, reading them if necessary. None if the endpoint does not fan out."""
        if endpoint.fan_out is None:
            return None
        name = endpoint.fan_out.parent
        month = context.month if self.catalogue.table(name).is_monthly else None
        rows = self._parents.find(name, month)
        if rows is None:
            read = await self.read_whole(self.catalogue.endpoint_of(name), client, replace(context, month=month))
            self._keep(self.catalogue.endpoint_of(name), read, replace(context, month=month))
            rows = read.tables[name].table
        parents = parents_in(endpoint.fan_out, rows, _today(context))
        if endpoint.fan_out.extra_parents:
            try:
                more = await self._second_rows(endpoint.fan_out.extra_parents[0], client, context)
            except MissingScopeError:
                more = None  # that table's own read reports it
            parents += more_parents(endpoint.fan_out, parents, more) if more is not None else []
        if endpoint.fan_out.once:
            # In a run the two are read in any order. `IncrementalRead` keeps who changed from one to the other in between.
            left = await self._second_rows(endpoint.fan_out.once.parent, client, context)
            parents += once_parents(endpoint.fan_out, parents, left) if left is not None else []
        return parents

    def has_both_lists(self, endpoint: Endpoint) -> bool:
        """Whether the parents of a fan-out come from both lists: those that are listed and those that left."""
        once = endpoint.fan_out.once if endpoint.fan_out else None
        return once is not None and self.catalogue.endpoint_of(once.parent) in self.installation.endpoints_of(
            self.portal
        )

    async def _second_rows(self, table: str, client: PortalClient, context: FrameContext) -> pa.Table | None:
        """Rows of a second table with parents; None if the portal does not read that table."""
        endpoint = self.catalogue.endpoint_of(table)
        if endpoint not in self.installation.endpoints_of(self.portal):
            return None
        if (rows := self._parents.find(table, context.month)) is not None:
            return rows
        read = await self.read_whole(endpoint, client, context)
        self._keep(endpoint, read, context)
        return read.tables[table].table

    def _keep(self, endpoint: Endpoint, read: EndpointRead, context: FrameContext) -> None:
        """Keep a complete read that was made for another table, so that it is not repeated."""
        self.connection.overhead.add(read.counters)
        self._ahead[endpoint.name, context.month] = (replace(read, counters=Counters()), context.fetched_at)
        self.remember(read, context.month)

    def take_ahead(self, endpoint: Endpoint, month: str | None) -> tuple[EndpointRead, datetime] | None:
        """A read of an endpoint that this run made for another table, and its time; returned once.

        Its requests are counted already.
        """
        return self._ahead.pop((endpoint.name, month), None)

    def take_overhead(self) -> Counters:
        """The cost of identity, scopes and parents since the last call."""
        taken, self.connection.overhead = self.connection.overhead, Counters()
        return taken

    def remember(self, read: EndpointRead, month: str | None) -> None:
        """Keep rows for the fan-outs of this run."""
        for name, part in read.tables.items():
            self._parents.remember(name, month, part.table)


def _today(context: FrameContext) -> date:
    return context.fetched_at.astimezone(context.zone).date()
