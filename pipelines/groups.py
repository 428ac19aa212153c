"""Endpoints in groups that one run can materialize: a run holds assets with equal partitions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planday_io.catalogue import Endpoint
from planday_io.lake.installation import Installation


def same_partitions(endpoints: Sequence[Endpoint], installation: Installation) -> list[list[Endpoint]]:
    """Endpoints in groups that one run can materialize, in order."""
    return grouped(endpoints, partition_kinds(installation))


def partition_kinds(installation: Installation) -> dict[str, tuple[str, int]]:
    """Endpoint's name -> grid and a number per set of portals, equal for endpoints with equal partitions."""
    numbers: dict[tuple[str, ...], int] = {}
    portals = {name: tuple(keys) for name, keys in installation.portals_by_endpoint().items()}
    return {
        endpoint.name: (endpoint.grid, numbers.setdefault(portals[endpoint.name], len(numbers)))
        for endpoint in installation.catalogue.endpoints
    }


def grouped(endpoints: Sequence[Endpoint], partitions: Mapping[str, tuple[str, int]]) -> list[list[Endpoint]]:
    groups: dict[tuple[str, int], list[Endpoint]] = {}
    for endpoint in endpoints:
        groups.setdefault(partitions[endpoint.name], []).append(endpoint)
    return list(groups.values())
