"""Sensitive members, which an API endpoint sends only where they are asked for and the token may see them.

Not here: what a policy makes of their values (`planday_io.frames.privacy`).
"""

from __future__ import annotations

import pyarrow as pa

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.client.http import PortalClient
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import MissingScopeError, PageForbiddenError
from planday_io.reading.calls import Params
from planday_io.sync.connection import PortalConnection


class SensitiveMembers:
    """Which sensitive members one portal's token is given.

    Args:
        catalogue: the endpoints there are.
        policies: what is dropped is not even asked for.
        connection: of the portal.
    """

    def __init__(self, catalogue: Catalogue, policies: PrivacyPolicy, connection: PortalConnection) -> None:
        self._catalogue = catalogue
        self._policies = policies
        self._connection = connection
        self._refused: dict[str, str] = {}
        """Value -> why the API refuses it, empty where it does not."""

    async def params(self, endpoint: Endpoint, client: PortalClient) -> Params:
        """The parameter that asks for the sensitive members that are wanted and granted."""
        granted = [value for value in self._wanted(endpoint) if await self._is_granted(endpoint, value, client)]
        return ((endpoint.opt_in.param, ",".join(granted)),) if endpoint.opt_in and granted else ()

    def _wanted(self, endpoint: Endpoint) -> list[str]:
        """Sensitive members the policy wants; the API is not even asked for the others."""
        if endpoint.opt_in is None:
            return []
        classes = {column.name: column.privacy for table in endpoint.tables for column in table.columns}
        policy = self._policies.policy
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
            if value not in self._refused:
                continue
            if why := self._refused[value]:
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
        if value in self._refused:
            return not self._refused[value]
        assert endpoint.opt_in is not None  # noqa: S101 - values come from it
        scope = next(scope for name, scope, _ in endpoint.opt_in.values if name == value)
        listed = self._catalogue.endpoint_of(endpoint.fan_out.parent) if endpoint.fan_out else endpoint
        why = ""
        try:
            await client.get(
                listed.path,
                counters=self._connection.overhead,
                params=[("limit", "1"), (endpoint.opt_in.param, value)],
                scope=scope,
            )
        except PageForbiddenError:
            # Whoever sent the page, members that came before must not become NULL because of it.
            raise
        except MissingScopeError:
            why = f"the app lacks scope {scope}"
            if scope in ((await client.authorize()).scopes or ()):
                why = (
                    f"the API refuses them, although the app has scope {scope}: the administrator who authorized it may "
                    "not see them"
                )
        self._refused[value] = why
        return not why
