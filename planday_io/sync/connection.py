"""The connection to one portal: its app and refresh token, its HTTP client within the shared budget, its identity.

Reading is in `planday_io.sync.reader`; the budget and the token exchange are in `planday_io.client`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from planday_io.client.asking import AnswerLimits
from planday_io.client.budget import RateLimiter, never
from planday_io.client.http import Counters, PortalClient
from planday_io.client.tokens import TokenSource
from planday_io.config.model import Config
from planday_io.config.secrets import read_client_id, read_secret
from planday_io.errors import PlandayError, PortalIdentityError, UnexpectedShapeError
from planday_io.frames.build import FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.installation import Installation
from planday_io.reading.rows import portal_info
from planday_io.state import RateWindow
from planday_io.texts import visible

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """A portal whose identity was verified, for one read: a client to ask it with, and what all rows of the read share."""

    client: PortalClient
    context: FrameContext

    def of_month(self, month: str | None) -> OpenPortal:
        """This portal, for slices of another month."""
        return replace(self, context=replace(self.context, month=month))


def answer_limits(config: Config) -> AnswerLimits:
    """The limits of one answer, from the section `planday` of the configuration."""
    hosts = config.planday
    return AnswerLimits(
        silence_seconds=hosts.timeout_seconds,
        whole_seconds=hosts.answer_seconds or 2 * hosts.timeout_seconds,
        most_bytes=hosts.answer_mib * 2**20,
    )


class PortalConnection:
    """A connection to one portal. Nothing is sent before a client is opened.

    Args:
        installation: the installation.
        portal: config key.
        gives_way: whether others of its app come first at present, see `planday_io.client.budget`.
    """

    def __init__(self, installation: Installation, portal: str, *, gives_way: Callable[[], bool] = never) -> None:
        self.portal = portal
        self._gives_way = gives_way
        self.portal_id: int | None = None
        """Planday's id, once it was verified."""
        self.tell: Callable[[str], None] = _LOG.warning
        """Called with a message for people when a request waits for a long time."""
        self.overhead = Counters()
        """The cost of identity, scopes and parents: requests that belong to no table."""
        self._installation = installation
        self._config = config = installation.config
        self._state = installation.state
        self._identities = PortalIdentities(installation)
        self.token_store = self._state.refresh_token(portal, lambda: installation.configured_token(portal))
        self.tokens = TokenSource(
            identity_url=config.planday.identity_url,
            client_id=lambda: read_client_id(config.portals[portal].client_id, home=config.home, portal=portal),
            store=self.token_store,
            portal=portal,
        )

    @asynccontextmanager
    async def open(self, *, tries: int | None = None) -> AsyncIterator[PortalClient]:
        """An HTTP client within the shared budget. `tries` of each request are those of the portal's settings by default."""
        budget = self._budget()
        try:
            async with PortalClient(
                portal=self.portal,
                api_url=self._config.planday.api_url,
                tokens=self.tokens,
                budget=budget,
                tries=tries or self._config.portals[self.portal].retries.requests,
                limits=answer_limits(self._config),
                tell=self.tell,
            ) as client:
                yield client
        finally:
            budget.close()

    def _budget(self) -> RateLimiter:
        """Raises SecretError where the app's id is missing."""
        url = self._config.planday.api_url
        return RateLimiter(
            self._state.budget,
            client=f"{url} {self.tokens.client_id()}",
            portal=f"{url} {self.portal}",
            gives_way=self._gives_way,
        )

    def policies(self) -> tuple[Sequence[RateWindow], Sequence[RateWindow]]:
        """The rate limits in force: the app's, and the portal's.

        Raises:
            SecretError: the app's id is missing.
            StorageError: the budget cannot be read.
        """
        with closing(self._budget()) as budget:
            return budget.policies()

    async def verified(
        self, client: PortalClient, fetched_at: datetime, month: str | None, *, remember: bool = True
    ) -> OpenPortal:
        """The portal with its identity verified, for one read.

        Args:
            client: of this connection.
            fetched_at: UTC instant at which the read began.
            month: of the slices, or None.
            remember: record which portal the key stands for.

        Raises:
            PortalIdentityError: this key stands for another portal, or another key for this one. Nothing was written.
        """
        if self.portal_id is None:
            self._refuse_copied_token()
        portal_id = await self.identify(client, remember=remember)
        context = FrameContext(
            portal=self.portal,
            portal_id=portal_id,
            zone=ZoneInfo(self._config.portals[self.portal].timezone),
            fetched_at=fetched_at,
            privacy=PrivacyFilter(self._config.privacy, portal_id, self._hash_key),
            month=month,
        )
        return OpenPortal(client, context)

    def _hash_key(self) -> str:
        key = self._config.privacy.hash_key
        assert key is not None, "the configuration is refused when something is hashed without a key"  # noqa: S101
        return read_secret(key, home=self._config.home, what="privacy.hash_key", check=visible)

    def take_overhead(self) -> Counters:
        taken, self.overhead = self.overhead, Counters()
        return taken

    async def identify(self, client: PortalClient, *, remember: bool = True) -> int:
        """The portal's id, verified. Raises PortalIdentityError; see `verified`."""
        if self.portal_id is None:
            portal_id = await self.ask_portal_id(client)
            self._identities.verify(self.portal, portal_id, remember=remember)
            self.portal_id = portal_id
        return self.portal_id

    async def ask_portal_id(self, client: PortalClient) -> int:
        """The id of the portal that the token opens, not compared with anything."""
        answer = await client.get("/portal/v1.0/info", counters=self.overhead, decode=portal_info)
        found = answer.get("data", answer) if isinstance(answer, dict) else None
        portal_id = found.get("id") if isinstance(found, dict) else None
        # An id sent as text is the same portal, not another one.
        if isinstance(portal_id, str) and portal_id.isascii() and portal_id.isdigit() and len(portal_id) < 20:
            portal_id = int(portal_id)
        if isinstance(portal_id, bool) or not isinstance(portal_id, int) or not 0 < portal_id < 2**63:
            raise UnexpectedShapeError(
                f"/portal/v1.0/info gave no portal id for portal '{self.portal}'; without it rows of two portals "
                "could be mixed, so nothing was read"
            )
        return portal_id

    def confirm_identity(self) -> None:
        """Check that the key still stands for the portal that was read; see `PortalIdentities.confirm`."""
        if self.portal_id is not None:
            self._identities.confirm(self.portal, self.portal_id)

    def _refuse_copied_token(self) -> None:
        """Refuse a token that another key has as well: it opens the same portal, and no request is needed to know that.
        Only if neither key was read before: otherwise the recorded ids decide, and the key that has the data stays.
        """
        if self._identities.known(self.portal) is not None:
            return
        mine = self._installation.configured_token(self.portal)
        for key in self._config.portals:
            if key != self.portal and self._has_token(key, mine) and self._identities.known(key) is None:
                raise PortalIdentityError(
                    f"portals '{self.portal}' and '{key}' have the same refresh token, so both would be the same Planday "
                    f"portal and every figure would count twice. Nothing was written. Run `planday authorize` for the "
                    f"portal that the token does not belong to, and log in to that portal, or put its own Token where "
                    f"{self._config.file.name} reads it"
                )

    def _has_token(self, portal: str, token: str) -> bool:
        try:
            return self._installation.configured_token(portal) == token
        except PlandayError:
            # The runs of that portal report that its token cannot be read.
            return False
