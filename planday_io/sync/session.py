"""One portal during one run: its tokens, its identity, its HTTP client, what is fanned out over, complete reads.

Not here: the lake (`planday_io.sync.refresh` writes what a session reads), schedules, step retries, publication.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.client.budget import RateLimiter
from planday_io.client.http import Counters, PortalClient
from planday_io.client.tokens import RefreshTokenStore, TokenSource
from planday_io.config.model import Config
from planday_io.config.secrets import read_client_id, read_secret
from planday_io.config.selection import endpoints_of
from planday_io.errors import (
    MissingScopeError,
    PlandayError,
    PortalIdentityError,
    UnexpectedShapeError,
)
from planday_io.frames.build import FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.lake.forgotten import Forgotten, ForgottenPeople, owner_link, parents_of_forgotten
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.slices import Lake
from planday_io.months import first_day, last_day
from planday_io.reading.calls import Call, Params, Parent, calls_of, days_of, more_parents, once_parents, parents_in
from planday_io.reading.read import EndpointRead, EndpointReader, Progress, untold
from planday_io.reading.rows import portal_info
from planday_io.sync.limits import answer_limits, list_limit
from planday_io.sync.parents import ParentTables
from planday_io.texts import visible

_LOG = logging.getLogger(__name__)


class PortalSession:
    """One portal during one run.

    Args:
        config: of the installation.
        catalogue: the endpoints there are.
        portal: config key.
        run_id: written into every slice.
        batch: name of the runs that this one was started together with; see `planday_io.sync.parents`.
        writer: what it writes is published when this has ended; see `planday_io.lake.writers`.
        clock: the current UTC instant.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        portal: str,
        *,
        run_id: str,
        batch: str | None = None,
        writer: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.portal = portal
        self.run_id = run_id
        self.lake = Lake(config.lake, config.state, writer)
        self.forgotten = ForgottenPeople(config.lake, config.state)
        self.clock = clock
        self.settings = config.portals[portal]
        self._identities = PortalIdentities(config)
        self.portal_id: int | None = None
        self._overhead = Counters()
        self._opt_in: dict[str, str] = {}  # value -> why the API refuses it, empty where it does not
        self._ahead: dict[tuple[str, str | None], tuple[EndpointRead, datetime]] = {}
        self.batch = batch
        self.tell: Callable[[str], None] = _LOG.warning
        """Called with a text for people when a read waits for long."""
        self._parents = ParentTables(catalogue, self.lake, config.state, portal, batch)
        home = config.home
        self.token_store = RefreshTokenStore(config.state / "tokens", portal, lambda: self._configured_token(portal))
        self.tokens = TokenSource(
            identity_url=config.planday.identity_url,
            client_id=lambda: read_client_id(self.settings.client_id, home=home, portal=portal),
            store=self.token_store,
            portal=portal,
        )

    def read(self, table: str, month: str | None = None) -> pa.Table:
        """Read a table from the API, typed and under the privacy policy, without writing anything."""
        endpoint = self.endpoint_of(table, month)
        return asyncio.run(self._read_only(endpoint, month)).tables[table].table

    @asynccontextmanager
    async def client(self, *, tries: int | None = None) -> Any:  # noqa: ANN401 - an async context of PortalClient
        """An HTTP client within the shared budget. `tries` of each request are those of the portal's settings by default."""
        budget = RateLimiter(
            self.config.state / "budget.sqlite",
            client=f"{self.config.planday.api_url} {self.tokens.client_id()}",
            portal=f"{self.config.planday.api_url} {self.portal}",
        )
        try:
            async with PortalClient(
                portal=self.portal,
                api_url=self.config.planday.api_url,
                tokens=self.tokens,
                budget=budget,
                tries=tries or self.settings.retries.requests,
                limits=answer_limits(self.config),
                tell=self.tell,
            ) as client:
                yield client
        finally:
            budget.close()

    async def identify(self, client: PortalClient, *, remember: bool = True) -> int:
        """The portal's id, verified: this key stands for no other portal, and no other key for this one.

        Raises:
            PortalIdentityError: it does not fit. Nothing was written.
        """
        if self.portal_id is None:
            portal_id = await self.ask_portal_id(client)
            self._identities.verify(self.portal, portal_id, remember=remember)
            self.portal_id = portal_id
        return self.portal_id

    async def ask_portal_id(self, client: PortalClient) -> int:
        """The id of the portal that the token opens, not compared with anything."""
        answer = await client.get("/portal/v1.0/info", counters=self._overhead, decode=portal_info)
        found = answer.get("data", answer) if isinstance(answer, dict) else None
        portal_id = found.get("id") if isinstance(found, dict) else None
        # As a text it is the same id, and must not be a portal of its own.
        if isinstance(portal_id, str) and portal_id.isascii() and portal_id.isdigit() and len(portal_id) < 20:
            portal_id = int(portal_id)
        if isinstance(portal_id, bool) or not isinstance(portal_id, int) or not 0 < portal_id < 2**63:
            raise UnexpectedShapeError(
                f"/portal/v1.0/info told no portal id for portal '{self.portal}'; without it rows of two portals "
                "could be mixed, so nothing was read"
            )
        return portal_id

    def confirm_identity(self) -> None:
        """Check that the key still stands for the portal that was read. Call it within the lock of what is to be written.

        Raises:
            PortalIdentityError: the key was renamed, forgotten or given another portal meanwhile.
        """
        if self.portal_id is not None:
            self._identities.confirm(self.portal, self.portal_id)

    def _refuse_copied_token(self) -> None:
        """A token that another key has as well opens the same portal; that needs no request.

        Only where neither key was read before: otherwise the ids tell, and the key that has the data stays as it is.

        Raises:
            PortalIdentityError: it is a copy.
        """
        if self._identities.known(self.portal) is not None:
            return
        mine = self._configured_token(self.portal)
        for key in self.config.portals:
            if key != self.portal and self._has_token(key, mine) and self._identities.known(key) is None:
                raise PortalIdentityError(
                    f"portals '{self.portal}' and '{key}' have the same refresh token, so both would be the same Planday "
                    f"portal and every figure would count twice. Nothing was written. Run `planday authorize` for the one "
                    f"whose token it is not, and log in to that portal, or put its own Token where {self.config.file.name} "
                    f"reads it"
                )

    def _has_token(self, portal: str, token: str) -> bool:
        try:
            return self._configured_token(portal) == token
        except PlandayError:
            # Its own runs report that it cannot be read.
            return False

    def _configured_token(self, portal: str) -> str:
        ref = self.config.portals[portal].refresh_token
        return read_secret(ref, home=self.config.home, what=f"the refresh token of portal '{portal}'")

    def endpoint_of(self, table: str, month: str | None) -> Endpoint:
        """The endpoint of a table. Raises ValueError when a month is given and there are none, or the reverse."""
        endpoint = self.catalogue.endpoint_of(table)
        if (endpoint.grid == "month") != (month is not None):
            raise ValueError(f"{table} has {'a slice per month' if month is None else 'no months'}")
        return endpoint

    def take_overhead(self) -> Counters:
        """What identity, scopes and parents cost since this was last asked."""
        taken, self._overhead = self._overhead, Counters()
        return taken

    async def _read_only(self, endpoint: Endpoint, month: str | None) -> EndpointRead:
        async with self.client() as client:
            context = await self.context(client, self.clock(), month, remember=False)
            return await self.read_whole(endpoint, client, context)

    async def read_whole(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> EndpointRead:
        """Everything of an endpoint, without a look at previous slices."""
        parents = await self.parents_of(endpoint, client, context)
        calls = calls_of(
            endpoint,
            days=self.days(endpoint, context),
            parents=parents,
            extra=await self.opt_in_params(endpoint, client),
        )
        return await self.read_calls(endpoint, client, context, calls)

    async def read_calls(
        self,
        endpoint: Endpoint,
        client: PortalClient,
        context: FrameContext,
        calls: Sequence[Call],
        progress: Progress = untold,
    ) -> EndpointRead:
        """Read some calls of an endpoint, without the people who are to be forgotten."""
        limit = list_limit(self.config, self.lake, self.portal, endpoint, context.month)
        read = await EndpointReader(endpoint, client, context, limit=limit, progress=progress).read(calls)
        people = self.forgotten.of(self.portal)
        for table in endpoint.tables if people.pseudonyms else ():
            part = read.tables[table.full_name]
            part.table = people.applied(part.table, table, self.forgotten_parents(table, context.month, people, read))
        return read

    def forgotten_parents(self, table: Table, month: str | None, people: Forgotten, read: EndpointRead) -> set[int]:
        """For rows that belong to another table's rows: ids there whose people are forgotten."""
        link = owner_link(table) if people.pseudonyms else None
        if link is None:
            return set()
        parent = self.catalogue.table(link[1])
        own = read.tables.get(parent.full_name)
        rows = own.table if own else self._parents.find(parent.full_name, month if parent.is_monthly else None)
        return parents_of_forgotten(self.catalogue, parent, rows, people) if rows is not None else set()

    def days(self, endpoint: Endpoint, context: FrameContext) -> tuple[date, date] | None:
        """First and last day that a slice of the endpoint wants, or None where it has no window."""
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
        """What all rows of one read share. See `identify` for what it raises."""
        if self.portal_id is None:
            self._refuse_copied_token()
        portal_id = await self.identify(client, remember=remember)
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

    async def opt_in_params(self, endpoint: Endpoint, client: PortalClient) -> Params:
        """The parameter that asks for the sensitive members that are wanted and granted."""
        granted = [value for value in self._wanted_opt_in(endpoint) if await self._is_granted(endpoint, value, client)]
        return ((endpoint.opt_in.param, ",".join(granted)),) if endpoint.opt_in and granted else ()

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

    def not_granted(self, endpoint: Endpoint, rows: pa.Table) -> list[str]:
        """What stays NULL although the policy wants it; known after a read.

        Args:
            endpoint: that was read.
            rows: of its first table.
        """
        found = []
        for value, scope, columns in endpoint.opt_in.values if endpoint.opt_in else ():
            if value not in self._opt_in:
                continue
            if why := self._opt_in[value]:
                found.append(
                    f"{endpoint.name}: NULL although the policy wants them: {', '.join(columns)}, because {why}"
                )
                continue
            empty = [name for name in columns if rows.num_rows and rows.column(name).null_count == rows.num_rows]
            if empty:
                found.append(
                    f"{endpoint.name}: {', '.join(empty)} came for none of {rows.num_rows} rows, although the API took the "
                    f"request for them: either Planday has none, or the app lacks scope {scope}"
                )
        return found

    async def _is_granted(self, endpoint: Endpoint, value: str, client: PortalClient) -> bool:
        """Whether the API gives a sensitive member to this token: one row is tried.

        The token's list of scopes decides nothing. No document says how the list is written or whether it is whole, and
        an administrator with less access may be refused what the list holds.
        """
        if value in self._opt_in:
            return not self._opt_in[value]
        assert endpoint.opt_in is not None  # noqa: S101 - values come from it
        scope = next(scope for name, scope, _ in endpoint.opt_in.values if name == value)
        listed = self.catalogue.endpoint_of(endpoint.fan_out.parent) if endpoint.fan_out else endpoint
        why = ""
        try:
            await client.get(
                listed.path,
                counters=self._overhead,
                params=[("limit", "1"), (endpoint.opt_in.param, value)],
                scope=scope,
            )
        except MissingScopeError:
            why = f"the app lacks scope {scope}"
            if scope in ((await client.authorize()).scopes or ()):
                why = (
                    f"the API refuses them, although the app has scope {scope}: the administrator who authorized it may "
                    "not see them"
                )
        self._opt_in[value] = why
        return not why

    async def parents_of(self, endpoint: Endpoint, client: PortalClient, context: FrameContext) -> list[Parent] | None:
        """What to fan out over: read already, or read now. None where the endpoint does not fan out."""
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
            # In a run the two are read in any order. `Plan` keeps who changed from one to the other in between.
            left = await self._second_rows(endpoint.fan_out.once.parent, client, context)
            parents += once_parents(endpoint.fan_out, parents, left) if left is not None else []
        return parents

    def has_both_lists(self, endpoint: Endpoint) -> bool:
        """Whether the parents of a fan-out are those that are listed and those that left."""
        once = endpoint.fan_out.once if endpoint.fan_out else None
        return once is not None and self.catalogue.endpoint_of(once.parent) in endpoints_of(
            self.catalogue, self.settings
        )

    async def _second_rows(self, table: str, client: PortalClient, context: FrameContext) -> pa.Table | None:
        """Rows of a second table with parents; None where the portal does not read that table."""
        endpoint = self.catalogue.endpoint_of(table)
        if endpoint not in endpoints_of(self.catalogue, self.settings):
            return None
        if (rows := self._parents.find(table, context.month)) is not None:
            return rows
        read = await self.read_whole(endpoint, client, context)
        self._keep(endpoint, read, context)
        return read.tables[table].table

    def _keep(self, endpoint: Endpoint, read: EndpointRead, context: FrameContext) -> None:
        """Keep a whole read that was made for the sake of another table, so that it is not made again."""
        self._overhead.add(read.counters)
        self._ahead[endpoint.name, context.month] = (replace(read, counters=Counters()), context.fetched_at)
        self.remember(read, context.month)

    def take_ahead(self, endpoint: Endpoint, month: str | None) -> tuple[EndpointRead, datetime] | None:
        """What this run read of an endpoint already, for the sake of another table, and when; once.

        Its requests were counted there.
        """
        return self._ahead.pop((endpoint.name, month), None)

    def remember(self, read: EndpointRead, month: str | None) -> None:
        """Keep what was read for the fan-outs of this run."""
        for name, part in read.tables.items():
            self._parents.remember(name, month, part.table)


def _today(context: FrameContext) -> date:
    return context.fetched_at.astimezone(context.zone).date()
