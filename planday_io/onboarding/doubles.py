"""Finds two keys for one Planday portal before anything of either is read.

The lake remembers which portal a key stands for from its first run on (`planday_io.lake.identity`). It knows nothing about
keys that were never read, so commands ask Planday which portal each of their tokens opens: one exchange and one call per
key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from planday_io.config.secrets import read_client_id
from planday_io.errors import PlandayError, PortalIdentityError, StorageError, TokenRejectedError
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.installation import Installation
from planday_io.sync.connection import PortalConnection

_AT_ONCE = 10


def never_read(installation: Installation) -> list[str]:
    """Keys of the configuration whose portal the lake does not know, in the file's order."""
    identities = PortalIdentities(installation)
    found = []
    for key in installation.config.portals:
        # If a portal's files cannot be read, its own run reports that; the other portals are still read.
        with suppress(StorageError):
            if identities.known(key) is None:
                found.append(key)
    return found


async def ask_portal_ids(installation: Installation, portals: Iterable[str]) -> dict[str, int | None]:
    """Look up which portal the token of each key opens, once, without retries. Only a rotated token is written.

    Returns key -> Planday's id, or None if that is unknown: the portal's runs and `planday check` report why.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(portal: str) -> int | None:
        connection = PortalConnection(installation, portal)
        try:
            async with places, connection.open(tries=1) as client:
                return await connection.ask_portal_id(client)
        except PlandayError:
            return None

    keys = list(portals)
    return dict(zip(keys, await asyncio.gather(*map(ask, keys)), strict=True))


def refused_as_doubles(installation: Installation, portals: Collection[str]) -> dict[str, PortalIdentityError]:
    """Keys that must not be read, each with why: another key that was never read opens the same portal.

    Which of the two is right cannot be known, so both are refused. A key that was read before keeps its portal.
    """
    new = never_read(installation)
    if len(new) < 2:
        return {}
    found = asyncio.run(ask_portal_ids(installation, [key for key in new if key in portals]))
    if any(found.values()):
        # Without a usable token among `portals` there is nothing to compare, so no other portal is asked.
        found |= asyncio.run(ask_portal_ids(installation, [key for key in new if key not in found]))
    return doubles(installation, found)


def doubles(installation: Installation, found: Mapping[str, int | None]) -> dict[str, PortalIdentityError]:
    """The keys that open the same portal as another of these keys, each with the error message."""
    identities = PortalIdentities(installation)
    refused = {}
    for key, portal_id in found.items():
        others = [other for other, theirs in found.items() if other != key and theirs == portal_id]
        if portal_id is not None and others:
            refused[key] = PortalIdentityError(identities.double(key, others[0], portal_id))
    return refused


def claim(installation: Installation, portal: str, portal_id: int, asked: Mapping[str, int | None]) -> None:
    """Verify which portal a consent opened, and record it. New keys are compared with what their tokens opened before it.

    Raises:
        PortalIdentityError: it does not fit. The text says what the consent may have changed for others.
    """
    identities = PortalIdentities(installation)
    same = next((key for key, theirs in asked.items() if theirs == portal_id), None)
    try:
        identities.verify(portal, portal_id, remember=False)
        if same is None:
            identities.verify(portal, portal_id)
            return
        refused = identities.double(portal, same, portal_id)
    except PortalIdentityError as error:
        refused = str(error)
    owner = same or identities.owner(portal_id, besides=portal)
    after = _after_consent(installation, portal, portal_id, owner)
    raise PortalIdentityError(f"{refused}. The token that this consent gave was not kept. {after}")


def _after_consent(installation: Installation, portal: str, portal_id: int, owner: str | None) -> str:
    """What a consent that is refused here may have changed for others: it is not known whether it ends earlier tokens."""

    async def exchange_once(connection: PortalConnection) -> None:
        async with connection.open(tries=1) as client:
            await client.authorize()

    config = installation.config
    if owner is None or owner not in config.portals:
        return (
            f"If this app was authorized on portal {portal_id} before, its older token may have stopped working with this "
            f"consent: authorize again where that token is used. If the app is to have no access to that portal, an "
            f"administrator of it revokes it there under Settings > Integrations > API Access"
        )
    try:
        ids = {read_client_id(config.portals[key].client_id, home=config.home, portal=key) for key in (portal, owner)}
        if len(ids) > 1:
            return f"Portal '{owner}' is read through another app, so its token is not affected"
        asyncio.run(exchange_once(PortalConnection(installation, owner)))
    except TokenRejectedError:
        return (
            f"The older token of portal '{owner}' no longer works, perhaps because of this consent: run `planday authorize "
            f"{owner}` and log in to that portal"
        )
    except PlandayError as error:
        return (
            f"The older token of portal '{owner}' may have stopped working with this consent; the token could not be tried "
            f"({error}): run `planday check {owner}`, and if the token is refused `planday authorize {owner}`"
        )
    return f"The token of portal '{owner}' was tried and still works"
