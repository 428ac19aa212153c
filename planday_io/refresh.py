"""Refreshing tables of one portal: read, type, guard, write. The one path from the API to the lake.

    identity of the portal ─► parents of a fan-out ─► EndpointReader ─► merge with the previous slice ─► guard ─► Lake

A `PortalSession` lives as long as one run. Dagster's assets, `planday sync` and a notebook all go through it.

Not here: schedules, step retries, publication.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue import VERSION, Catalogue, Endpoint, Table
from planday_io.client.budget import Budget
from planday_io.client.http import Counters, PortalClient
from planday_io.client.tokens import RefreshTokenStore, TokenSource
from planday_io.config.model import Config
from planday_io.config.secrets import read_client_id, read_secret
from planday_io.errors import MissingScopeError, UnexpectedShapeError
from planday_io.frames.build import FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.lake.guard import check_shrink
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.slices import Lake, Origin, SliceKey
from planday_io.plan import Parents, Plan, instants, policies_of
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, TableRead, untold


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
        self._parents: dict[str, Parents] = {}
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
            plan = Plan(endpoint, self.lake, self.portal, self.config.privacy, fetched_at, full=full)
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

    async def _parents_of(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> Parents:
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
            stamps = instants(table, fan_out.changed_by) if fan_out.changed_by else [None] * len(ids)
            known = self._parents.setdefault(fan_out.parent, Parents())
            for parent, stamp in zip(ids, stamps, strict=True):
                known.modified[parent] = stamp or known.modified.get(parent)

    def _write(self, plan: Plan, table: Table, read: EndpointRead, began: float, *, accept_shrink: bool) -> TableReport:
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

    def _origin(self, plan: Plan, table: Table, part: TableRead, read: EndpointRead, *, is_first: bool) -> Origin:
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
            policies=policies_of(table, self.config.privacy),
            answered=plan.answered(read),
        )
