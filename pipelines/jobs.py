"""Which jobs there are: selections of assets with equal partitions, which an operator launches in one dialog and schedules
target.

The UI shows at each asset which schedules target a job with it. So the jobs of a schedule hold what schedules of that name
read in any portal, and a run selects what its portal has of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from planday_io.catalogue import Endpoint
from planday_io.catalogue.endpoint import Grid
from planday_io.lake.installation import Installation

CHANGED_MONTHS = "changed_months"
"""The job of the sensor with this name."""
_NAMES: dict[Grid, str] = {"portal": "snapshots", "month": "facts"}
_TABLES: dict[Grid, str] = {"portal": "tables with a slice per portal", "month": "tables with a slice per month"}


@dataclass(frozen=True, slots=True)
class Job:
    """A selection of assets: those of some endpoints, at least one."""

    name: str
    endpoints: Sequence[Endpoint]
    description: str


def job_of(schedule: str, grid: Grid) -> str:
    """The job that schedules of a name target. It equals no other job's name, whatever schedules are called."""
    return f"{schedule}_{_NAMES[grid]}"


def jobs_of(installation: Installation) -> Iterator[Job]:
    """All jobs over assets."""
    for grid, name in _NAMES.items():
        dimensions = "portals and months" if grid == "month" else "portals"
        yield from _job(
            name,
            _used(installation, grid, set(installation.catalogue.domains())),
            f"All {_TABLES[grid]}, except those that are read on request only. Materialize all, then choose {dimensions}: "
            "each becomes a run. If Dagster asks whether you are sure because an upstream asset was never materialized, "
            "confirm: the run reads it as well. A portal that lacks a table is no error; the run says so.",
        )
    configured: dict[str, set[str]] = {}
    for settings in installation.config.portals.values():
        for schedule, one in settings.schedules.items():
            configured.setdefault(schedule, set()).update(one.resources)
    for schedule, resources in configured.items():
        for grid in _NAMES:
            what = f"The {_TABLES[grid]} that schedules `{schedule}` read."
            yield from _job(job_of(schedule, grid), _used(installation, grid, resources), what)
    what = f"All {_TABLES['month']}. The sensor `{CHANGED_MONTHS}` reads those months again that changed."
    yield from _job(CHANGED_MONTHS, _used(installation, "month"), what)


def _job(name: str, endpoints: Sequence[Endpoint], description: str) -> Iterator[Job]:
    if endpoints:
        yield Job(name, endpoints, description)


def _used(installation: Installation, grid: Grid, resources: set[str] | None = None) -> list[Endpoint]:
    """Endpoints of a grid that some portal has, in the catalogue's order; where resources are given, among those."""
    used = {
        endpoint.name
        for portal in installation.config.portals
        for endpoint in installation.endpoints_of(portal, None if resources is None else sorted(resources))
    }
    return [one for one in installation.catalogue.endpoints if one.grid == grid and one.name in used]
