"""Selects endpoints: which ones a portal has, and which a schedule or a command means."""

from __future__ import annotations

from collections.abc import Iterable

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.config.model import Config, PortalConfig


def endpoints_of(catalogue: Catalogue, portal: PortalConfig, names: Iterable[str] | None = None) -> list[Endpoint]:
    """Endpoints of a portal, in the catalogue's order.

    Args:
        catalogue: all endpoints.
        portal: its `resources` decide what it has; there a domain means all of its tables.
        names: domains and tables wanted, where a domain means its tables that are not on request only; None is
            everything the portal has.

    Raises:
        KeyError: a name is neither a domain nor a table.
    """
    resources = portal.resources
    wanted = None if names is None else tuple(names)
    return [*catalogue.endpoints_with(tuple(resources.include), tuple(resources.exclude), wanted)]


def portals_of(endpoint: Endpoint, catalogue: Catalogue, config: Config) -> list[str]:
    """Portals whose resources include an endpoint."""
    return portals_by_endpoint(catalogue, config)[endpoint.name]


def portals_by_endpoint(catalogue: Catalogue, config: Config) -> dict[str, list[str]]:
    """Endpoint's name -> portals whose resources include it, for all endpoints at once."""
    found: dict[str, list[str]] = {endpoint.name: [] for endpoint in catalogue.endpoints}
    for key, portal in config.portals.items():
        for endpoint in endpoints_of(catalogue, portal):
            found[endpoint.name].append(key)
    return found
