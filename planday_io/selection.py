"""Which endpoints a portal has, and which of them a schedule or a command means."""

from __future__ import annotations

from collections.abc import Iterable

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.config.model import Config, PortalConfig


def endpoints_of(catalogue: Catalogue, portal: PortalConfig, names: Iterable[str] | None = None) -> list[Endpoint]:
    """Endpoints of a portal, in the catalogue's order.

    Args:
        catalogue: all endpoints.
        portal: its `resources` say what it has; there a domain means all of its tables.
        names: domains and tables wanted, where a domain means its tables that are not on request only; None is
            everything the portal has.

    Raises:
        KeyError: a name is neither a domain nor a table.
    """
    has = catalogue.select(portal.resources.include, on_request=True)
    has -= catalogue.select(portal.resources.exclude, on_request=True)
    if names is not None:
        has &= catalogue.select(names, on_request=False)
    return [endpoint for endpoint in catalogue.endpoints if any(table.full_name in has for table in endpoint.tables)]


def portals_of(endpoint: Endpoint, catalogue: Catalogue, config: Config) -> list[str]:
    """Portals whose resources include an endpoint."""
    return [key for key, portal in config.portals.items() if endpoint in endpoints_of(catalogue, portal)]
