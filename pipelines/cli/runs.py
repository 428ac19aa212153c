"""Which runs the commands make, portal by portal: snapshots, then the latest month first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from planday_io.catalogue import Endpoint
from planday_io.config import Schedule
from planday_io.config.grid import grid_months, window_months
from planday_io.lake.installation import Installation
from planday_io.sync.changes import months_to_read, settle


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read of a portal.

    Args:
        resources: domains and tables; None is each portal's default tables, or its facts where months are given.
        months: of facts; None is each portal's window, months with changes, and months never read.
        slices: exactly what is read instead: month, or None for snapshots -> names of endpoints.
    """

    resources: Sequence[str] | None = None
    months: Sequence[str] | None = None
    slices: Mapping[str | None, Sequence[str]] | None = None

    @property
    def follows_changes(self) -> bool:
        """Whether months in which something changed are read as well."""
        return self.months is None and self.slices is None


def due(installation: Installation, portal: str, wanted: Wanted) -> dict[str | None, list[Endpoint]]:
    """Month, or None for snapshots -> endpoints that are read, before it is known in which other months shifts changed."""
    if wanted.slices is not None:
        return {month: installation.endpoints_of(portal, names) for month, names in wanted.slices.items()}
    resources = wanted.resources if wanted.resources is not None else installation.catalogue.domains()
    endpoints = installation.endpoints_of(portal, resources)
    found: dict[str | None, list[Endpoint]] = {}
    if wanted.resources is not None or wanted.months is None:
        found[None] = [endpoint for endpoint in endpoints if endpoint.grid == "portal"]
    facts = [endpoint for endpoint in endpoints if endpoint.grid == "month"]
    months = wanted.months or window_months(installation.config, portal, datetime.now(UTC))
    return found | dict.fromkeys(months, facts)


def runs_of(installation: Installation, portal: str, wanted: Wanted) -> Iterator[tuple[str | None, list[Endpoint]]]:
    """The runs of a portal, one after the other: snapshots, then the latest month first.

    Refresh requests are looked up after the snapshots, because reading those creates them.
    """
    months = due(installation, portal, wanted)
    snapshots = months.pop(None, [])
    if snapshots:
        yield None, snapshots
    if wanted.follows_changes and any(endpoint.change_detection for endpoint in snapshots):
        for request in settle(installation, portal):
            requested = installation.endpoints_of(portal, request.endpoints)
            both = [*months.get(request.month, []), *requested]
            months[request.month] = [one for one in installation.catalogue.endpoints if one in both]
    for month in sorted(filter(None, months), reverse=True):
        if months[month]:
            yield month, months[month]


def planned_runs(installation: Installation, portal: str, wanted: Wanted) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs that `sync` would start now, as far as is known before the API reports changes."""
    now = datetime.now(UTC)
    runs = list(runs_of(installation, portal, wanted))
    facts = [one for one in installation.endpoints_of(portal, installation.catalogue.domains()) if one.grid == "month"]
    if wanted.follows_changes and any(one.change_detection for _, group in runs for one in group):
        grid = grid_months(installation.config, portal, now)
        known = {(month, one.name) for month, group in runs for one in group}
        for month, names in months_to_read(installation.lake, portal, grid, facts, (), (), now).items():
            missing = [one for one in facts if one.name in names and (month, one.name) not in known]
            runs += [(month, missing)] if missing else []
    return runs


def scheduled_runs(
    installation: Installation, portal: str, schedule: Schedule
) -> list[tuple[str | None, list[Endpoint]]]:
    """The runs of one tick of a schedule."""
    months = due(installation, portal, Wanted(resources=schedule.resources))
    return [(month, endpoints) for month, endpoints in months.items() if endpoints]
