"""Reads complete endpoints of one portal, with the rows of other tables that their fan-outs run over.

Nothing is written here. `incremental` decides which calls are due, `writer` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pyarrow as pa

from planday_io.catalogue import Endpoint, Table
from planday_io.catalogue.endpoint import ChangeDetection
from planday_io.client.http import Counters
from planday_io.errors import MissingScopeError, PlandayError, StorageError
from planday_io.frames.build import FrameContext
from planday_io.lake.expiry import Expired
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.installation import Installation
from planday_io.lake.persons import owner_link, rows_of_people
from planday_io.lake.retention import PortalRetention, held_rows
from planday_io.lake.slices import Lake
from planday_io.reading.calls import Call, Parent, calls_of, days_of, more_parents, once_parents, parents_in
from planday_io.reading.pages import ListLimit
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, no_progress
from planday_io.state import SliceKey
from planday_io.sync.connection import OpenPortal, PortalConnection
from planday_io.sync.drift import Observation
from planday_io.sync.incremental import IncrementalRead, ReadPlan, window_of
from planday_io.sync.parents import ParentTables
from planday_io.sync.sensitive import SensitiveMembers


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteRead:
    """A complete read of an endpoint that is not written yet.

    Args:
        endpoint: its declaration.
        context: portal, month and time of the read.
        plan: what was read, and what is carried over from the previous slices.
        result: the tables as they came.
        refused: see `SensitiveMembers`.
        modified: of an endpoint that detects changes of another table: that table's rows that were modified; None where
            nothing of it was ever read.
    """

    endpoint: Endpoint
    context: FrameContext
    plan: ReadPlan
    result: EndpointRead
    refused: Mapping[str, str]
    modified: pa.Table | None = None

    def key(self, table: Table) -> SliceKey:
        return SliceKey.of(table.full_name, self.context.portal, self.context.month)


class PortalReader:
    """Reads endpoints of one portal in one run, and keeps the rows that fan-outs run over."""

    def __init__(self, installation: Installation, lake: Lake, connection: PortalConnection, batch: str | None) -> None:
        self._config = installation.config
        self._catalogue = installation.catalogue
        self._endpoints = installation.endpoints_of(connection.portal)
        self.lake = lake
        self.connection = connection
        self._parents = ParentTables(installation, lake, connection.portal, batch)
        self._people = ForgottenPeople(installation.config.lake, installation.state)
        self.retention = PortalRetention(installation.config, lake, connection.portal)
        self._sensitive = SensitiveMembers(installation, connection)
        self._observations: list[Observation] = []
        self._ahead: dict[tuple[str, str | None], CompleteRead] = {}
        """Reads made for another table of this run, by endpoint and month."""

    async def read(
        self,
        endpoint: Endpoint,
        month: str | None,
        fetched_at: datetime,
        *,
        full: bool = False,
        progress: Progress = no_progress,
    ) -> CompleteRead:
        """Read what is due of an endpoint. What was read for another table of this run is not read again.

        Args:
            endpoint: its declaration.
            month: of the slices, or None.
            fetched_at: UTC instant at which the read began.
            full: read everything, not only changes.
            progress: called after each answer.

        Returns:
            The read; its counters include the cost of identity, scopes and parents since the last one.

        Raises:
            PlandayError: it is not complete.
        """
        if ahead := self._ahead.pop((endpoint.name, month), None):
            return ahead
        async with self.connection.open() as client:
            portal = await self.connection.verified(client, fetched_at, month)
            policies = self._config.privacy
            previous = IncrementalRead(endpoint, self.lake, portal.context.portal, month, policies, full=full)
            once = endpoint.fan_out.once if endpoint.fan_out else None
            plan = previous.plan(
                days=self._days(endpoint, portal),
                parents=await self.parents_of(endpoint, portal),
                extra=await self._sensitive.params(endpoint, client),
                has_both_lists=once is not None and self._has(once.parent),
            )
            read = await self._complete(endpoint, portal, plan, progress)
            if endpoint.change_detection:
                read = await self._with_modified(read, endpoint.change_detection, portal, previous.since)
        read.result.counters.add(self.connection.take_overhead())
        return read

    async def read_only(self, endpoint: Endpoint, month: str | None, fetched_at: datetime) -> CompleteRead:
        """Read everything of an endpoint without recording anything. Arguments are those of `read`."""
        async with self.connection.open() as client:
            portal = await self.connection.verified(client, fetched_at, month, remember=False)
            return await self._whole(endpoint, portal)

    async def _whole(self, endpoint: Endpoint, portal: OpenPortal) -> CompleteRead:
        """Read everything of an endpoint, ignoring previous slices."""
        days, parents = self._days(endpoint, portal), await self.parents_of(endpoint, portal)
        extra = await self._sensitive.params(endpoint, portal.client)
        calls = calls_of(endpoint, days=days, parents=parents, extra=extra)
        return await self._complete(endpoint, portal, ReadPlan(calls=calls, window=window_of(days)))

    async def parents_of(self, endpoint: Endpoint, portal: OpenPortal) -> list[Parent] | None:
        """The parents to fan out over, reading them if necessary. None if the endpoint does not fan out."""
        fan_out = endpoint.fan_out
        if fan_out is None:
            return None
        parents = parents_in(fan_out, await self._rows(fan_out.parent, portal), portal.context.today)
        if fan_out.extra_parents and self._has(fan_out.extra_parents[0]):
            with suppress(MissingScopeError):  # that table's own read reports it
                parents += more_parents(fan_out, parents, await self._rows(fan_out.extra_parents[0], portal))
        if fan_out.once and self._has(fan_out.once.parent):
            # The two tables are read in any order. `IncrementalRead` keeps people who moved from one to the other in
            # between.
            parents += once_parents(fan_out, parents, await self._rows(fan_out.once.parent, portal))
        return parents

    def _has(self, table: str) -> bool:
        return self._catalogue.endpoint_of(table) in self._endpoints

    async def _rows(self, table: str, portal: OpenPortal) -> pa.Table:
        """Rows of a table with parents. Where they are read here, the whole read is kept, so that it is not repeated."""
        month = portal.context.month if self._catalogue.table(table).is_monthly else None
        rows = self._parents.find(table, month)
        if rows is None:
            endpoint = self._catalogue.endpoint_of(table)
            read = await self._whole(endpoint, portal.of_month(month))
            self.connection.overhead.add(read.result.counters)
            self._ahead[endpoint.name, month] = replace(read, result=replace(read.result, counters=Counters()))
            rows = read.result.tables[table].table
        return rows

    async def _complete(
        self, endpoint: Endpoint, portal: OpenPortal, plan: ReadPlan, progress: Progress = no_progress
    ) -> CompleteRead:
        """Carry out a plan, and keep the rows for the fan-outs of this run."""
        result = await self._calls(endpoint, portal, plan.calls, progress)
        for name, part in result.tables.items():
            self._parents.remember(name, portal.context.month, part.table, portal.context.fetched_at)
        refused = dict(self._sensitive.refused)
        return CompleteRead(endpoint=endpoint, context=portal.context, plan=plan, result=result, refused=refused)

    async def _calls(
        self, endpoint: Endpoint, portal: OpenPortal, calls: Sequence[Call], progress: Progress = no_progress
    ) -> EndpointRead:
        month, limit = portal.context.month, self.limit_of(endpoint, portal.context.month)
        reader = EndpointReader(endpoint, portal.client, portal.context, limit=limit, progress=progress)
        error: Exception | None = None
        try:
            read = await reader.read(calls)
        except PlandayError as why:
            error = why
            raise
        finally:
            self._observations.append(
                Observation(
                    endpoint=endpoint,
                    month=month,
                    at=portal.context.fetched_at,
                    drift=reader.drift,
                    refused=dict(self._sensitive.refused),
                    error=error,
                )
            )
        whole = read.rows()
        for table in endpoint.tables:
            part = read.tables[table.full_name]
            part.table = self.without_forgotten(table, part.table, month, whole)
        # Who left is known from the lists as they were read, so nothing is removed before all rows are there.
        kept = {
            table: self.without_expired(table, read.tables[table.full_name].table, portal.context, whole)
            for table in endpoint.tables
        }
        for table, found in kept.items():
            part = read.tables[table.full_name]
            part.expired, part.table = part.table.num_rows - found.rows.num_rows, found.rows
        return read

    def take_observations(self) -> list[Observation]:
        """Return the observations since the last call, and forget them."""
        taken, self._observations = self._observations, []
        return taken

    def limit_of(self, endpoint: Endpoint, month: str | None) -> ListLimit:
        """How long a list of an endpoint may be, given its previous read."""
        hosts, before = self._config.planday, None
        # An unreadable slice counts as missing here; whoever needs it reports the error.
        with suppress(StorageError):
            keys = [SliceKey.of(table.full_name, self.connection.portal, month) for table in endpoint.tables]
            before = max((one.rows for one in self.lake.indexed(keys).entries.values()), default=None)
        if before is None:
            return ListLimit(hosts.list_rows * hosts.list_growth)
        return ListLimit(max(hosts.list_rows, hosts.list_growth * before), before)

    def require_forgotten(self) -> None:
        """Check the list of people who are to be forgotten, without which nothing can be written. Raises StorageError."""
        self._people.of(self.connection.portal)

    def without_forgotten(
        self, table: Table, rows: pa.Table, month: str | None, read: Mapping[str, pa.Table]
    ) -> pa.Table:
        """Some rows of a slice without the people who are to be forgotten; their list is read at each call.

        `read` has the rows of the tables that were read together with it, by full name.
        """
        people = self._people.of(self.connection.portal)
        if not people.pseudonyms:
            return rows
        gone: set[int] = set()
        for name, parents in self._rows_above(table, month, read).items():
            gone = rows_of_people(self._catalogue, self._catalogue.table(name), parents, people.ids_in)
        return people.applied(rows, table, gone)

    def without_expired(
        self, table: Table, rows: pa.Table, context: FrameContext, read: Mapping[str, pa.Table]
    ) -> Expired:
        """Some rows of a slice without what is too old; `read` as of `without_forgotten`. Raises StorageError."""
        expiry = self.retention.at(context.fetched_at, read)
        if not expiry:
            return Expired(rows, {})
        above = self._rows_above(table, context.month, read) if expiry.held else {}
        return expiry.applied(rows, table, context.month, held_rows(expiry, self._catalogue, table, above))

    def _rows_above(self, table: Table, month: str | None, read: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        """The rows that a table's rows belong to and that name the person, by full name of their table; empty if not read."""
        link = owner_link(table)
        if link is None:
            return {}
        parent = self._catalogue.table(link[1])
        rows = read.get(parent.full_name)
        if rows is None:
            rows = self._parents.find(parent.full_name, month if parent.is_monthly else None)
        return {} if rows is None else {parent.full_name: rows}

    async def _with_modified(
        self, read: CompleteRead, detection: ChangeDetection, portal: OpenPortal, since: datetime | None
    ) -> CompleteRead:
        """The read, with rows of another table that were modified since the last one, where any of it was ever read."""
        provenances = map(self.lake.usable_provenance, self.lake.slices(detection.table, portal.context.portal))
        fetched = [provenance.fetched for provenance in provenances if provenance is not None]
        if not fetched or not self._has(detection.table):
            return read
        begin = since or min(fetched) - timedelta(days=1)
        endpoint = self._catalogue.endpoint_of(detection.table)
        extra = ((detection.since_param, begin.strftime("%Y-%m-%dT%H:%M:%SZ")),)
        modified = await self._calls(endpoint, portal, calls_of(endpoint, extra=extra))
        read.result.counters.add(modified.counters)
        return replace(read, modified=modified.tables[detection.table].table)

    def _days(self, endpoint: Endpoint, portal: OpenPortal) -> tuple[date, date] | None:
        context = portal.context
        return days_of(endpoint, context.month, history_start=self._config.history_start, today=context.today)
