"""The rate limits of the local Planday: windows per portal and per client id, headers and 429s.

Facts: docs/api-facts.md#rate-limits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PORTAL_POLICY = ((20, 1.0), (750, 60.0))
CLIENT_POLICY = ((100, 1.0), (2000, 60.0))


@dataclass(slots=True)
class Decision:
    """Whether a request passes, and the rate-limit headers of the answer."""

    passes: bool
    headers: dict[str, str]


@dataclass(slots=True)
class _Bucket:
    policy: Sequence[tuple[int, float]]
    sent: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0

    def closest(self, now: float) -> tuple[int, int, float]:
        """Limit, remaining and reset of the window closest to its limit."""
        found = []
        for limit, seconds in self.policy:
            inside = [at for at in self.sent if at > now - seconds]
            reset = inside[0] + seconds - now if inside else 0.0
            found.append((limit - len(inside), limit, reset))
        remaining, limit, reset = min(found, key=lambda window: window[0] / window[1])
        return limit, remaining, reset


class Limits:
    """Counts requests. Sliding windows, the strictest reading of the facts.

    Args:
        portal: (requests, seconds) windows of each portal.
        client: the same of each client id.
        with_headers: whether answers carry `x-ratelimit-*`.
    """

    def __init__(
        self,
        portal: Sequence[tuple[int, float]] = PORTAL_POLICY,
        client: Sequence[tuple[int, float]] = CLIENT_POLICY,
        *,
        with_headers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._portal_policy, self._client_policy = portal, client
        self._with_headers = with_headers
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.refused = 0
        self.sent_before_reset = 0

    def count(self, portal: str, client: str) -> Decision:
        """Count a request in both buckets, or refuse it."""
        now = self._clock()
        buckets = [
            self._buckets.setdefault(("portal", portal), _Bucket(self._portal_policy)),
            self._buckets.setdefault(("client", client), _Bucket(self._client_policy)),
        ]
        for bucket in buckets:
            longest = max(seconds for _, seconds in bucket.policy)
            while bucket.sent and bucket.sent[0] <= now - longest:
                bucket.sent.popleft()
        self.sent_before_reset += any(now < bucket.blocked_until for bucket in buckets)
        worst = min(buckets, key=lambda bucket: bucket.closest(now)[1] / bucket.closest(now)[0])
        limit, remaining, reset = worst.closest(now)
        if remaining <= 0:
            self.refused += 1
            worst.blocked_until = now + reset
            return Decision(passes=False, headers=self._headers(limit, 0, reset))
        for bucket in buckets:
            bucket.sent.append(now)
        limit, remaining, reset = worst.closest(now)
        return Decision(passes=True, headers=self._headers(limit, remaining, reset))

    def _headers(self, limit: int, remaining: int, reset: float) -> dict[str, str]:
        if not self._with_headers:
            return {}
        policy = ", ".join(f"{n};w={seconds:g}" for n, seconds in (*self._portal_policy, *self._client_policy))
        return {
            "x-ratelimit-limit": f"{limit}, {policy}",
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(max(0, int(-(-reset // 1)))),
        }
