"""Can each portal be read? Token, identity, and one row behind every scope. Writes nothing but a rotated token."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.client.http import NONE, Counters, PortalClient
from planday_io.config.model import Config
from planday_io.errors import ApiError, PlandayError
from planday_io.reading.rows import primary, rows_of
from planday_io.refresh import PortalSession
from planday_io.selection import endpoints_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Args:
        portal: config key.
        subject: `token`, `portal`, or a table.
        is_good: whether it works.
        detail: what was found, or what to do.
    """

    portal: str
    subject: str
    is_good: bool
    detail: str


def check(config: Config, catalogue: Catalogue, portals: list[str]) -> list[Finding]:
    """Check some portals, all at once."""

    async def all_of_them() -> list[list[Finding]]:
        return await asyncio.gather(*(_check_portal(config, catalogue, portal) for portal in portals))

    return [finding for findings in asyncio.run(all_of_them()) for finding in findings]


async def _check_portal(config: Config, catalogue: Catalogue, portal: str) -> list[Finding]:
    session = PortalSession(config, catalogue, portal, run_id="check")
    findings: list[Finding] = []
    try:
        async with session.client() as client:
            await client.authorize()
            findings.append(Finding(portal, "token", is_good=True, detail="exchanged for an access token"))
            portal_id = await session.identify(client, remember=False)
            findings.append(Finding(portal, "portal", is_good=True, detail=f"Planday portal {portal_id}"))
            endpoints = endpoints_of(catalogue, config.portals[portal])
            findings += [await _probe(endpoint, catalogue, client, portal) for endpoint in endpoints]
    except PlandayError as error:
        findings.append(Finding(portal, "portal" if findings else "token", is_good=False, detail=str(error)))
    return findings


async def _probe(endpoint: Endpoint, catalogue: Catalogue, client: PortalClient, portal: str) -> Finding:
    """Ask for one row."""
    try:
        holes: dict[str, object] = {}
        if fan_out := endpoint.fan_out:
            parent = catalogue.endpoint_of(fan_out.parent)
            rows = await _rows(parent, client, {})
            first = rows[0] if rows else None
            member = primary(parent).column(fan_out.column).member
            if not isinstance(first, dict) or member not in first:
                return Finding(portal, endpoint.name, is_good=True, detail=f"no {fan_out.parent} to try it with")
            holes = {fan_out.hole: first[member]}
        await _rows(endpoint, client, holes)
    except PlandayError as error:
        gone = endpoint.fan_out.gone if endpoint.fan_out else ()
        if not (isinstance(error, ApiError) and error.status in gone):
            return Finding(portal, endpoint.name, is_good=False, detail=str(error))
    return Finding(portal, endpoint.name, is_good=True, detail=endpoint.scope or "no scope documented")


async def _rows(endpoint: Endpoint, client: PortalClient, holes: dict[str, object]) -> list[object]:
    params = list(endpoint.params)
    if endpoint.pages:
        params += [(endpoint.pages.limit_param, "1"), (endpoint.pages.offset_param, "0")]
    answer = await client.get(
        endpoint.path,
        counters=Counters(),
        holes=holes,
        params=params,
        scope=endpoint.scope,
        none_statuses=endpoint.none_statuses,
    )
    return [] if answer is NONE else rows_of(primary(endpoint), answer)
