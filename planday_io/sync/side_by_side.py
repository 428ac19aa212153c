"""How many portals are read side by side, as many as the budgets of their apps feed, and how long all of them take."""

from __future__ import annotations

import math
import os
from collections import deque
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

    The longest of three: the portals in turn, each at its own pace or, while their app's budget does not feed all of them,
    at an equal share less; what each app's budget imposes on all of its portals; the work of the processors.

    Raises:
        StorageError: the budget cannot be read.
    """
    requests = {one.portal: one.requests for one in forecasts}
    apps = _apps(installation, [*requests])
    imposed = [seconds_for(sum(requests[key] for key in policies), app) for app, policies in apps.values()]
    work = sum(one.own_seconds for one in forecasts) / _processors()
    together = _shared_seconds(forecasts, at_once, [(rate(app), {*policies}) for app, policies in apps.values()])
    return _START_SECONDS + max(together, *imposed, work) + _PUBLICATION_SECONDS


def _shared_seconds(forecasts: Sequence[Forecast], at_once: int, apps: Sequence[tuple[float, set[str]]]) -> float:
    """How long portals take that share apps: `apps` are requests per second, and the portals.

    Nobody knows beforehand which portal has the most to read, so the largest one has no more of the app than the others until
    they have ended.
    """
    waiting = deque(forecasts)
    left: dict[str, float] = {}
    wants = {one.portal: one.requests / one.seconds if one.seconds else 0.0 for one in forecasts}
    passed = 0.0
    while waiting or left:
        while waiting and len(left) < at_once:
            one = waiting.popleft()
            left[one.portal] = one.seconds
        slowed = dict.fromkeys(left, 1.0)
        for gives, portals in apps:
            wanted = sum(wants[key] for key in portals & left.keys())
            slowed |= {key: max(1.0, wanted / gives) for key in portals & left.keys()}
        step = min(seconds * slowed[key] for key, seconds in left.items())
        passed += step
        left = {key: seconds - step / slowed[key] for key, seconds in left.items() if seconds * slowed[key] > step}
    return passed


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
