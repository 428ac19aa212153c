"""What runs will cost, portal by portal and all together: what `planday plan` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from planday_io.errors import PlandayError
from planday_io.lake.installation import Installation
from planday_io.sync.forecast import Forecast, Run, forecast
from planday_io.sync.session import PortalSession
from planday_io.sync.side_by_side import portals_at_once, seconds_together


@dataclass(frozen=True, slots=True)
class SyncForecast:
    """What runs of portals will cost.

    Args:
        portals: what each costs.
        unknown: portals whose cost cannot be predicted, and why.
        at_once: how many portals are read at once.
        seconds: wall time of all of it, with the publication.
    """

    portals: tuple[Forecast, ...]
    unknown: Mapping[str, PlandayError]
    at_once: int
    seconds: float

    @property
    def slices(self) -> int:
        """How many slices will be written."""
        return sum(table.slices for one in self.portals for table in one.tables.values())

    @property
    def requests(self) -> int:
        """How many requests will be made."""
        return sum(one.requests for one in self.portals)

    @property
    def is_known(self) -> bool:
        """Whether every table could be predicted."""
        return not self.unknown and not any(table.error for one in self.portals for table in one.tables.values())

    def told(self) -> dict[str, Any]:
        """What `--json` prints."""
        portals = [
            {**asdict(one), "requests": one.requests, "tables": [*map(asdict, one.tables.values())]}
            for one in self.portals
        ]
        unknown = {portal: str(error) for portal, error in self.unknown.items()}
        return {"portals": portals, "unknown": unknown, "at_once": self.at_once, "seconds": round(self.seconds, 1)}


def forecast_sync(
    installation: Installation,
    portals: Sequence[str],
    runs_of: Callable[[str], Sequence[Run]],
    processes: int | None,
    *,
    full: bool = False,
) -> SyncForecast:
    """What runs of portals will cost.

    Args:
        installation: of the portals.
        portals: config keys.
        runs_of: the runs of a portal, in the order in which they are made.
        processes: how many portals are read at once; None is as many as the budgets feed.
        full: read everything, not only changes.

    Raises:
        StorageError: the budget cannot be read.
    """
    found, unknown = [], dict[str, PlandayError]()
    for portal in portals:
        runs = runs_of(portal)
        try:
            found.append(forecast(PortalSession(installation, portal, run_id="plan"), runs, full=full))
        except PlandayError as error:
            unknown[portal] = error
    at_once = processes or portals_at_once(installation, portals)
    return SyncForecast(tuple(found), unknown, at_once, seconds_together(installation, found, at_once))
