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
        """The query parameter for the sensitive members that the policy keeps and the API grants."""
        opt_in = endpoint.opt_in
        if opt_in is None:
            return ()
        classes = {column.name: column.privacy for table in endpoint.tables for column in table.columns}
        granted = []
        for value, scope, columns in opt_in.values:
            if any(self._policies.policy(classes[column]) != "drop" for column in columns):
                if value not in self.refused:
                    self.refused[value] = await self._refusal(endpoint, client, (opt_in.param, value), scope)
                if not self.refused[value]:
                    granted.append(value)
        return ((opt_in.param, ",".join(granted)),) if granted else ()

    async def _refusal(self, endpoint: Endpoint, client: PortalClient, param: tuple[str, str], scope: str) -> str:
        """Why the API refuses a sensitive member, found out by asking for one row with it; empty if it does not.

        The token's list of scopes is not enough: its format and completeness are not documented, and an administrator
        with less access may be refused something that the list holds.
        """
        listed = self._catalogue.endpoint_of(endpoint.fan_out.parent) if endpoint.fan_out else endpoint
        try:
            await client.get(
                listed.path, counters=self._connection.overhead, params=[("limit", "1"), param], scope=scope
            )
        except PageForbiddenError:
            # An error page, whoever sent it, must not turn members that were read before into NULL.
            raise
        except MissingScopeError:
            if scope in ((await client.authorize()).scopes or ()):
                return (
                    f"the API refuses them, although the app has scope {scope}: the administrator who authorized it may "
                    "not see them"
                )
            return f"the app lacks scope {scope}"
        return ""


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
                f"{endpoint.name}: {', '.join(empty)} came for none of {rows.num_rows} rows, although the API accepted "
                f"the request for them: either Planday has none, or the app lacks scope {scope}"
            )
    return found
