"""Refreshing tables of one portal: read, type, guard, write. The one path from the API to the lake.

    identity of the portal ─► parents of a fan-out ─► EndpointReader ─► merge with the previous slice ─► guard ─► Lake

A `PortalSession` lives as long as one run. Dagster's assets, `planday sync` and a notebook all go through it.

Not here: schedules, step retries, publication.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import VERSION, Catalogue, Endpoint, Table
from planday_io.client.budget import Budget
from planday_io.client.http import Counters, PortalClient
from planday_io.client.tokens import RefreshTokenStore, TokenSource
from planday_io.config.model import Config
from planday_io.config.secrets import read_client_id, read_secret
from planday_io.errors import MissingScopeError, UnexpectedShapeError
from planday_io.frames.build import FrameContext, from_frame, to_frame
from planday_io.frames.privacy import PrivacyFilter
from planday_io.lake.guard import check_shrink
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.slices import Lake, Origin, SliceKey
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, TableRead, untold

_SETTLED = timedelta(minutes=2)
"""A row whose stamp is younger than this when it was read may have changed again within the same second."""
_SAFE = timedelta(days=1)
"""Zones of stamps are unknown, so a modification counts as seen only when it is this much older than the read."""


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
        warnings: what did not fit the catalogue.
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
    warnings: tuple[str, ...] = ()
    superseded: bool = False


@dataclass(slots=True)
class _Parents:
    """Ids to fan out over, and when each was last modified."""

    modified: dict[int, datetime | None] = field(default_factory=dict)


class PortalSession:
    """One portal during one run.

    Args:
        config: of the installation.
        catalogue: the endpoints there are.
        portal: config key.
        run_id: written into every slice.
        clock: the current UTC instant.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        portal: str,
        *,
        run_id: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.portal = portal
        self.run_id = run_id
        self.lake = Lake(config.lake, config.state)
        self._clock = clock
        self._settings = config.portals[portal]
        self._identities = PortalIdentities(config.lake, config.state)
        self._portal_id: int | None = None
        self._opt_in: dict[str, bool] = {}
        self._parents: dict[str, _Parents] = {}
        home = config.home
        self._tokens = TokenSource(
            identity_url=config.planday.identity_url,
            client_id=lambda: read_client_id(self._settings.client_id, home=home, portal=portal),
            store=RefreshTokenStore(
                config.state / "tokens",
                portal,
                lambda: read_secret(
                    self._settings.refresh_token, home=home, what=f"the refresh token of portal '{portal}'"
                ),
            ),
            portal=portal,
        )

    def refresh(
        self,
        table: str,
        *,
        full: bool = False,
        accept_shrink: bool = False,
        progress: Progress = untold,
    ) -> list[TableReport]:
        """Refresh a table and those that share its endpoint.

        Args:
            table: full name.
            full: read everything, also where only changes are due.
            accept_shrink: let a snapshot shrink this once.
            progress: told about each answer.

        Returns:
            One report per table of the endpoint.

        Raises:
            PlandayError: nothing of this endpoint was written, except where the error says so.
        """
        return asyncio.run(self._refresh(self.catalogue.endpoint_of(table), full, accept_shrink, progress))

    def read(self, table: str) -> pa.Table:
        """Read a table from the API, typed and under the privacy policy, without writing anything."""
        return asyncio.run(self._read_only(self.catalogue.endpoint_of(table))).tables[table].table

    @asynccontextmanager
    async def client(self) -> Any:  # noqa: ANN401 - an async context of PortalClient
        """An HTTP client within the shared budget, its portal's identity verified."""
        budget = Budget(
            self.config.state / "budget.sqlite",
            client=f"{self.config.planday.api_url} {self._tokens.client_id()}",
            portal=f"{self.config.planday.api_url} {self.portal}",
        )
        try:
            async with PortalClient(
                portal=self.portal,
                api_url=self.config.planday.api_url,
                tokens=self._tokens,
                budget=budget,
                tries=self._settings.retries.requests,
            ) as client:
                yield client
        finally:
            budget.close()

    async def identify(self, client: PortalClient, *, remember: bool = True) -> int:
        """The portal's id, verified against the one this key had before.

        Raises:
            PortalIdentityError: it is another one. Nothing was written.
        """
        if self._portal_id is None:
            answer = await client.get("/portal/v1.0/info", counters=Counters())
            found = answer.get("data", answer) if isinstance(answer, dict) else None
            portal_id = found.get("id") if isinstance(found, dict) else None
            if isinstance(portal_id, bool) or not isinstance(portal_id, int):
                raise UnexpectedShapeError(
                    f"/portal/v1.0/info told no portal id for portal '{self.portal}'; without it rows of two portals "
                    "could be mixed, so nothing was read"
                )
            if remember or self._identities.known(self.portal) is not None:
                self._identities.verify(self.portal, portal_id)
            self._portal_id = portal_id
        return self._portal_id

    async def _read_only(self, endpoint: Endpoint) -> EndpointRead:
        async with self.client() as client:
            context = await self._context(client, self._clock(), remember=False)
            reader = await self._reader(endpoint, client, context)
            if endpoint.fan_out is None:
                return await reader.read()
            parents = await self._parents_of(endpoint, client, context)
            return await reader.read_each(dict.fromkeys(parents.modified, True))

    async def _refresh(
        self, endpoint: Endpoint, full: bool, accept_shrink: bool, progress: Progress
    ) -> list[TableReport]:
        began = time.monotonic()
        fetched_at = self._clock()
        async with self.client() as client:
            context = await self._context(client, fetched_at)
            plan = _Plan(self, endpoint, fetched_at, full=full)
            reader = await self._reader(endpoint, client, context, since=plan.since, progress=progress)
            if endpoint.fan_out is None:
                read = await reader.read()
            else:
                parents = await self._parents_of(endpoint, client, context)
                read = await reader.read_each(plan.due(parents))
        self._remember_parents(read)
        reports = []
        # Children first: the parent's stamps say what is up to date, so it must never be ahead of them.
        for table in reversed(endpoint.tables):
            report = self._write(plan, table, read, began, accept_shrink=accept_shrink)
            reports.append(report)
        return reports[::-1]

    async def _context(self, client: PortalClient, fetched_at: datetime, *, remember: bool = True) -> FrameContext:
        portal_id = await self.identify(client, remember=remember)
        key = self.config.privacy.hash_key

        def hash_key() -> str:
            assert key is not None, "the configuration is refused when something is hashed without a key"  # noqa: S101
            return read_secret(key, home=self.config.home, what="privacy.hash_key")

        return FrameContext(
            portal=self.portal,
            portal_id=portal_id,
            zone=ZoneInfo(self._settings.timezone),
            fetched_at=fetched_at,
            privacy=PrivacyFilter(self.config.privacy, portal_id, hash_key),
        )

    async def _reader(
        self,
        endpoint: Endpoint,
        client: PortalClient,
        context: FrameContext,
        *,
        since: str | None = None,
        progress: Progress = untold,
    ) -> EndpointReader:
        opt_in = [value for value in self._wanted_opt_in(endpoint) if await self._is_granted(endpoint, value, client)]
        return EndpointReader(endpoint, client, context, opt_in=opt_in, since=since, progress=progress)

    def _wanted_opt_in(self, endpoint: Endpoint) -> list[str]:
        """Sensitive members the policy wants; the API is not even asked for the others."""
        if endpoint.opt_in is None:
            return []
        classes = {column.name: column.privacy for table in endpoint.tables for column in table.columns}
        policy = self.config.privacy.policy
        return [
            value
            for value, _, columns in endpoint.opt_in.values
            if any(policy(classes[column]) != "drop" for column in columns)
        ]

    async def _is_granted(self, endpoint: Endpoint, value: str, client: PortalClient) -> bool:
        """Whether the token may ask for a sensitive member: its scopes say so, or one row is tried."""
        if value in self._opt_in:
            return self._opt_in[value]
        assert endpoint.opt_in is not None  # noqa: S101 - values come from it
        scope = next(scope for name, scope, _ in endpoint.opt_in.values if name == value)
        token = await client.authorize()
        if token.scopes is not None:
            granted = scope in token.scopes
        else:
            listed = self.catalogue.endpoint_of(endpoint.fan_out.parent) if endpoint.fan_out else endpoint
            try:
                await client.get(
                    listed.path,
                    counters=Counters(),
                    params=[("limit", "1"), (endpoint.opt_in.param, value)],
                    scope=scope,
                )
                granted = True
            except MissingScopeError:
                granted = False
        self._opt_in[value] = granted
        return granted

    async def _parents_of(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> _Parents:
        """What to fan out over: read in this run already, or read now."""
        assert endpoint.fan_out is not None  # noqa: S101
        name = endpoint.fan_out.parent
        if name not in self._parents:
            parent = self.catalogue.endpoint_of(name)
            self._remember_parents(await EndpointReader(parent, client, context).read())
        return self._parents[name]

    def _remember_parents(self, read: EndpointRead) -> None:
        for child in self.catalogue.endpoints:
            fan_out = child.fan_out
            if fan_out is None or fan_out.parent not in read.tables:
                continue
            table = read.tables[fan_out.parent].table
            ids = table.column(fan_out.column).to_pylist()
            stamps = _instants(table, fan_out.changed_by) if fan_out.changed_by else [None] * len(ids)
            known = self._parents.setdefault(fan_out.parent, _Parents())
            for parent, stamp in zip(ids, stamps, strict=True):
                known.modified[parent] = stamp or known.modified.get(parent)

    def _write(
        self, plan: _Plan, table: Table, read: EndpointRead, began: float, *, accept_shrink: bool
    ) -> TableReport:
        endpoint = plan.endpoint
        part = read.tables[table.full_name]
        is_first = table is endpoint.tables[0]
        key = SliceKey.of(table.full_name, self.portal)
        with self.lake.locked(key):
            before = self.lake.origin(key)
            merged = plan.merged(table, part)
            superseded = before is not None and before.fetched > plan.fetched_at
            if not superseded:
                if before is not None and endpoint.is_snapshot and not accept_shrink:
                    guards = self._settings.guards
                    check_shrink(
                        f"{table.full_name} of portal '{self.portal}'",
                        before_rows=before.kept,
                        after_rows=merged.num_rows,
                        min_ratio=guards.min_ratio,
                        max_lost_rows=guards.max_lost_rows,
                    )
                self.lake.write(key, merged, self._origin(plan, table, part, read, is_first=is_first))
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
            path=str(self.lake.path(key).relative_to(self.config.lake)),
            warnings=tuple(part.oddities.warnings(table.full_name)),
            superseded=superseded,
        )

    def _origin(self, plan: _Plan, table: Table, part: TableRead, read: EndpointRead, *, is_first: bool) -> Origin:
        assert self._portal_id is not None  # noqa: S101 - verified before anything is read
        return Origin(
            run_id=self.run_id,
            portal_id=self._portal_id,
            fetched_at=plan.fetched_at.isoformat(),
            window=plan.window,
            requests=read.counters.requests if is_first else 0,
            expected_total=part.total,
            received=part.received,
            distinct_keys=part.distinct,
            kept=0,
            verdict=part.verdict,
            catalogue_version=VERSION,
            policies=policies_of(table, self.config),
            answered=plan.answered(read),
        )


class _Plan:
    """What of an endpoint is due, and how it is joined with what is there."""

    def __init__(self, session: PortalSession, endpoint: Endpoint, fetched_at: datetime, *, full: bool) -> None:
        self.endpoint = endpoint
        self.fetched_at = fetched_at
        self._session = session
        self._origins = {
            table.full_name: session.lake.origin(SliceKey.of(table.full_name, session.portal))
            for table in endpoint.tables
        }
        # What was read under another policy or catalogue cannot be carried over.
        comparable = all(
            origin is not None
            and origin.policies == policies_of(table, session.config)
            and origin.catalogue_version == VERSION
            for table in endpoint.tables
            for origin in (self._origins[table.full_name],)
        )
        self._is_partial = comparable and not full and (endpoint.feed is not None or _is_incremental(endpoint))
        self.since: str | None = None
        first = self._origins[endpoint.name]
        if endpoint.feed and self._is_partial and first:
            self.since = (first.fetched - timedelta(days=endpoint.feed.overlap_days)).date().isoformat()
        self.window = "all"
        self._kept: set[int] = set()

    def due(self, parents: _Parents) -> dict[int, bool]:
        """Parents to read -> whether everything of them is wanted."""
        everyone = dict.fromkeys(parents.modified, True)
        if not self._is_partial:
            return everyone
        if self.endpoint.feed:
            origin = self._origins[self.endpoint.name]
            known = set(origin.answered) if origin else set()
            self.window = f"since {self.since}"
            return {parent: parent not in known for parent in everyone}
        current = self._up_to_date(parents)
        self._kept = current & everyone.keys()
        due = {parent: True for parent in everyone if parent not in current}
        self.window = f"{len(due)} new or modified of {len(everyone)}"
        return due

    def merged(self, table: Table, part: TableRead) -> pa.Table:
        """The new slice: what came, and what is carried over from the previous one. Call it within the lock."""
        if not self._is_partial or self._origins[table.full_name] is None:
            return part.table
        key = SliceKey.of(table.full_name, self._session.portal)
        previous = _aligned(self._session.lake.read(key), part.table.schema)
        if self.endpoint.feed:
            return _merged_feed(table, previous, part.table)
        carried = previous.filter(pc.is_in(previous.column(table.key[0]), pa.array(self._kept, pa.int64())))
        return pa.concat_tables([carried, part.table])

    def answered(self, read: EndpointRead) -> list[int]:
        """Parents whose rows the new slice holds completely."""
        if not self.endpoint.feed:
            return []
        origin = self._origins[self.endpoint.name]
        before = set(origin.answered) if origin and self._is_partial else set()
        return sorted(before | set(read.answered))

    def _up_to_date(self, parents: _Parents) -> set[int]:
        """Parents whose previous row was read after their last modification."""
        fan_out = self.endpoint.fan_out
        assert fan_out is not None and fan_out.changed_by is not None  # noqa: S101, PT018 - see _is_incremental
        table = self.endpoint.tables[0]
        columns = [table.key[0], "_fetched_at"]
        has_stamp = any(column.name == fan_out.changed_by for column in table.columns)
        slice_key = SliceKey.of(table.full_name, self._session.portal)
        previous = self._session.lake.read(slice_key, [*columns, fan_out.changed_by] if has_stamp else columns)
        stamps = _instants(previous, fan_out.changed_by) if has_stamp else [None] * previous.num_rows
        current = set()
        rows = zip(previous.column(columns[0]).to_pylist(), stamps, _instants(previous, "_fetched_at"), strict=True)
        for parent, stamp, fetched in rows:
            modified = parents.modified.get(parent)
            if modified is None or fetched is None:
                continue
            same = stamp == modified and fetched - modified > _SETTLED
            if same or modified < fetched - _SAFE:
                current.add(parent)
        return current


def policies_of(table: Table, config: Config) -> dict[str, str]:
    """The policy of each privacy class that a table has, `unknown` included."""
    classes = {column.privacy for column in table.columns} | {"unknown"}
    return {name: config.privacy.policy(name) for name in sorted(classes)}


def _is_incremental(endpoint: Endpoint) -> bool:
    return endpoint.fan_out is not None and endpoint.fan_out.changed_by is not None


def _instants(table: pa.Table, column: str) -> list[datetime | None]:
    stamps: list[datetime | None] = table.column(column).to_pylist()
    return stamps


def _aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """An older slice in today's columns: new ones are null, dropped ones are left out."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _merged_feed(table: Table, previous: pa.Table, new: pa.Table) -> pa.Table:
    """Both, one row per key; where both have a key the new row stands. Nothing is taken away."""
    keys: Iterable[str] = ["portal", *table.key]
    joined = to_frame(pa.concat_tables([previous, new]))
    latest = joined.drop_duplicates(subset=list(keys), keep="last")
    return from_frame(latest, previous.schema)
