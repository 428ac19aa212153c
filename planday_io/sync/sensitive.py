"""Sensitive members, which the API sends only if they are requested and the token has access to them.

Applying the privacy policy to their values is another matter (`planday_io.frames.privacy`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.client.http import PortalClient
from planday_io.errors import MissingScopeError, PageForbiddenError
from planday_io.lake.installation import Installation
from planday_io.reading.calls import Params
from planday_io.sync.connection import PortalConnection


class SensitiveMembers:
    """Finds out which sensitive members one portal's token has access to."""

    def __init__(self, installation: Installation, connection: PortalConnection) -> None:
        self._catalogue = installation.catalogue
        self._policies = installation.config.privacy
        self._connection = connection
        self.refused: dict[str, str] = {}
        """Value -> why the API refuses it, empty if it does not; of those that were tried."""

    async def params(self, endpoint: Endpoint, client: PortalClient) -> Params:
        """The query parameter for the sensitive members that are both wanted and granted."""
        granted = [value for value in self._wanted(endpoint) if await self._is_granted(endpoint, value, client)]
        return ((endpoint.opt_in.param, ",".join(granted)),) if endpoint.opt_in and granted else ()

    def _wanted(self, endpoint: Endpoint) -> list[str]:
        """Sensitive members that the policy keeps; the others are not requested."""
        if endpoint.opt_in is None:
            return []
        classes = {column.name: column.privacy for table in endpoint.tables for column in table.columns}
        policy = self._policies.policy
        return [
            value
            for value, _, columns in endpoint.opt_in.values
            if any(policy(classes[column]) != "drop" for column in columns)
        ]

    async def _is_granted(self, endpoint: Endpoint, value: str, client: PortalClient) -> bool:
        """Try to read a sensitive member with one row, to see whether the token has access.

        The token's list of scopes is not enough: its format and completeness are not documented, and an administrator
        with less access may be refused something that the list holds.
        """
        if value in self.refused:
            return not self.refused[value]
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
            # An error page, whoever sent it, must not turn members that were read before into NULL.
            raise
        except MissingScopeError:
            why = f"the app lacks scope {scope}"
            if scope in ((await client.authorize()).scopes or ()):
                why = (
                    f"the API refuses them, although the app has scope {scope}: the administrator who authorized it may "
                    "not see them"
                )
        self.refused[value] = why
        return not why


def not_granted(endpoint: Endpoint, refused: Mapping[str, str], rows: pa.Table) -> list[str]:
    """Warnings about columns of an endpoint's first table that stay NULL although the policy keeps them."""
    found = []
    for value, scope, columns in endpoint.opt_in.values if endpoint.opt_in else ():
        if value not in refused:
            continue
        if why := refused[value]:
            found.append(f"{endpoint.name}: NULL although the policy wants them: {', '.join(columns)}, because {why}")
            continue
        empty = [name for name in columns if rows.num_rows and rows.column(name).null_count == rows.num_rows]
        if empty:
            found.append(
                f"{endpoint.name}: {', '.join(empty)} came for none of {rows.num_rows} rows, although the API took the "
                f"request for them: either Planday has none, or the app lacks scope {scope}"
            )
    return found
