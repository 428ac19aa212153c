"""Which runs the commands make, portal by portal: snapshots, then the latest month first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pipelines.groups import same_partitions
from planday_io.catalogue import Endpoint
from planday_io.config import Schedule
from planday_io.config.grid import grid_months, window_months
from planday_io.lake.installation import Installation
from planday_io.sync.changes import months_to_read, settle


def due(
    installation: Installation, portal: str, resources: Sequence[str] | None, months: Sequence[str] | None
) -> dict[str | None, list[Endpoint]]:
    """Month, or None for snapshots -> endpoints that are read, before it is known in which other months shifts changed."""
    wanted = installation.endpoints_of(portal, resources if resources is not None else installation.catalogue.domains())
    found: dict[str | None, list[Endpoint]] = {}
    if resources is not None or months is None:
        found[None] = [endpoint for endpoint in wanted if endpoint.grid == "portal"]
    facts = [endpoint for endpoint in wanted if endpoint.grid == "month"]
    return found | dict.fromkeys(months or window_months(installation.config, portal, datetime.now(UTC)), facts)


def runs_of(
    installation: Installation, portal: str, resources: Sequence[str] | None, months: Sequence[str] | None
) -> Iterator[tuple[str | None, list[Endpoint]]]:
    """The runs of a portal, one after the other: snapshots, then the latest month first.

    Refresh requests are looked up after the snapshots, because reading those creates them.
    """
    wanted = due(installation, portal, resources, months)
    snapshots = wanted.pop(None, [])
    for group in same_partitions(snapshots, installation):
        yield None, group
    if months is None and any(endpoint.change_detection for endpoint in snapshots):
        for request in settle(installation, portal):
            requested = installation.endpoints_of(portal, request.endpoints)
            both = [*wanted.get(request.month, []), *requested]
            wanted[request.month] = [one for one in installation.catalogue.endpoints if one in both]
    for month in sorted(filter(None, wanted), reverse=True):
        for group in same_partitions(wanted[month], installation):
            yield month, group


def planned_runs(
    installation: Installation,
    portal: str,
    *,
    resources: Sequence[str] | None = None,
    months: Sequence[str] | None = None,
) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs that `sync` would start now, as far as is known before the API reports changes."""
    now = datetime.now(UTC)
    runs = list(runs_of(installation, portal, resources, months))
    facts = [one for one in installation.endpoints_of(portal, installation.catalogue.domains()) if one.grid == "month"]
    if months is None and any(one.change_detection for _, group in runs for one in group):
        grid = grid_months(installation.config, portal, now)
        known = {(month, one.name) for month, group in runs for one in group}
        for month, names in months_to_read(installation.lake, portal, grid, facts, (), (), now).items():
            missing = [one for one in facts if one.name in names and (month, one.name) not in known]
            runs += [(month, group) for group in same_partitions(missing, installation)]
    return runs


def scheduled_runs(
    installation: Installation, portal: str, schedule: Schedule
) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs of one tick of a schedule."""
    wanted = due(installation, portal, schedule.resources, None)
    return [(month, group) for month, some in wanted.items() for group in same_partitions(some, installation)]
