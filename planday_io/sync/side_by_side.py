"""How many portals are read side by side, as many as the budgets of their apps feed, and how long all of them take."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Sequence

from planday_io.client.budget import rate
from planday_io.errors import SecretError
from planday_io.lake.installation import Installation
from planday_io.state import RateWindow
from planday_io.sync.connection import PortalConnection
from planday_io.sync.forecast import Forecast, seconds_for

_PER_PROCESSOR = 2
"""Processes for each processor, because a process waits for answers most of the time."""
_START_SECONDS, _PUBLICATION_SECONDS = 3.0, 3.0
"""From the command to the first request, and from the last table to the new warehouse, as measured."""


def portals_at_once(installation: Installation, portals: Sequence[str]) -> int:
    """How many of some portals to read at once, at least 1.

    One app's 2,000 requests a minute feed three portals of 750. More would only wait for each other.

    Raises:
        StorageError: the budget cannot be read.
    """
    fed = 0
    for app, policies in _apps(installation, portals).values():
        slowest = min(rate(windows) for windows in policies.values())
        fed += min(len(policies), math.ceil(rate(app) / slowest))
    return max(1, min(fed, _PER_PROCESSOR * _processors()))


def seconds_together(installation: Installation, forecasts: Sequence[Forecast], at_once: int) -> float:
    """How long it takes to read portals side by side and to publish once, by the clock.

    The longest of three: the portals in turn, at the pace of each, because the one with the most left to read need not wait
    for others; what each app's budget imposes on all of its portals; the work of the processors.

    Raises:
        StorageError: the budget cannot be read.
    """
    ends = [0.0] * at_once
    for one in forecasts:
        heapq.heapreplace(ends, ends[0] + one.seconds)
    requests = {one.portal: one.requests for one in forecasts}
    imposed = [
        seconds_for(sum(requests[key] for key in policies), app)
        for app, policies in _apps(installation, [*requests]).values()
    ]
    work = sum(one.own_seconds for one in forecasts) / _processors()
    return _START_SECONDS + max(*ends, *imposed, work) + _PUBLICATION_SECONDS


def _processors() -> int:
    return os.cpu_count() or 1


def _apps(
    installation: Installation, portals: Sequence[str]
) -> dict[str, tuple[Sequence[RateWindow], dict[str, Sequence[RateWindow]]]]:
    """The app's policy and those of its portals, by client id; without portals whose app is not known, which fail at once."""
    found: dict[str, tuple[Sequence[RateWindow], dict[str, Sequence[RateWindow]]]] = {}
    for key in portals:
        connection = PortalConnection(installation, key)
        try:
            client = connection.tokens.client_id()
        except SecretError:
            continue
        app, portal = connection.policies()
        found.setdefault(client, (app, {}))[1][key] = portal
    return found
