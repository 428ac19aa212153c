"""Which of the portals that `planday sync` reads side by side give way to others of their app.

An app's 2,000 requests a minute do not quite feed three portals of 750. With equal shares the largest portal would be left
over, and read alone at its 750. So the portal with the most left to read takes what it can use, and the others the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipelines.cli.outcome import Outcome
from pipelines.cli.runs import Wanted, due
from planday_io.lake.installation import Installation


class Priorities:
    """What is left to read of some portals, estimated from what was read of them so far.

    Args:
        installation: of the portals.
        work: keys of portals with what to read of each.
        outcome: what was read so far.
    """

    def __init__(self, installation: Installation, work: Sequence[tuple[str, Wanted]], outcome: Outcome) -> None:
        portals = installation.config.portals
        self._app = {portal: portals[portal].client_id for portal, _ in work}
        self._slices = {
            portal: sum(
                len(one.tables) for endpoints in due(installation, portal, wanted).values() for one in endpoints
            )
            for portal, wanted in work
        }
        self._outcome = outcome

    def gives_way(self, portal: str, others: Collection[str]) -> bool:
        """Whether another portal of the same app has more left to read."""
        mine = self._left(portal)
        return any(self._left(other) > mine for other in others if self._app[other] == self._app[portal])

    def _left(self, portal: str) -> float:
        """Requests, at as many per slice as until now; 0 as long as nothing is known."""
        done = self._outcome.slices[portal]
        left = max(0, self._slices[portal] - done)
        return left * self._outcome.requests[portal] / done if done else 0.0
