"""The rate limiter: how fast one app may call one portal, shared by all processes of an installation.

Planday counts each request in two buckets, per portal and per client id, each with a window of one second and one minute.
This module keeps the same count (`planday_io.state.budget`). A request may be sent when every window of both buckets has
room. It starts with a safe guess of 10 requests a second and then follows the policy that the API sends in
`x-ratelimit-limit`.

Stored values are checked as carefully as values from a header (`headers`): an older version may have written them, a clock
may have been set back, a disk may have changed a byte.

pyrate-limiter was tried and rejected: its rates are fixed when a bucket is created (ours arrive with the first answer), it
cannot reserve in two buckets in one transaction, and it cannot pause all processes until a 429's reset.

Times are seconds since the epoch: a monotonic clock means nothing to the next process after a reboot.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from planday_io.client.headers import LONGEST_SECONDS, count_of, is_plausible, parse_policy, split_policy, wait_of
from planday_io.state import RateWindow, State
from planday_io.state.budget import Booked, Bookings, RequestBudget

PORTAL_START = (RateWindow(10, 1.0), RateWindow(600, 60.0))
CLIENT_START = (RateWindow(100, 1.0), RateWindow(2000, 60.0))
"""Limits until the first answer. Portal: the lower of two figures that contradict each other. App: as documented."""

_BURST = 3
_CATCHING_UP = 3.0
_SHORT_SECONDS = 10.0
_SAFETY_MARGIN, _WIDEST_MARGIN = 0.025, 0.25
_LEAST_PART = 1 / 4
"""The part of an app's long windows that portals that give way have together, at least."""
_REMEMBERED_SECONDS = 3600.0
"""How long a refusal (429) keeps the safety margin wide."""
_LATE_SECONDS = 0.002
"""A request sent later than this after its reservation moves its reservation to the time of sending."""
_RECHECK_SECONDS = 0.5
"""How often to check for a policy that another process observed, and to delete sends that no window counts."""
_SOON_SECONDS = 0.001
"""When to try again after another process took the free place, or released one, in the meantime."""
_STEP_SECONDS = 1.0
"""A clock may be set back this far before a gate in the file counts as impossible."""
_NEARLY_NOTHING, _DOUBTED_WINDOWS = 20, 5
"""An answer that claims less than 1/20 of a window is left is believed once per 5 windows: it could stop every request."""
_MOST_OTHERS = 5_000
"""Most requests of other clients to record: each is one row, and a header may state any number."""


def paced(windows: Sequence[RateWindow], refusals: int = 0) -> list[RateWindow]:
    """The windows to keep to, with a safety margin, so that the server never counts more than it allows.

    The server counts arrivals, we count sends, and the network bunches them. Long windows get one more second, short
    windows 2.5 % (room for 25 ms of jitter). Each refusal doubles the margin, up to 25 %, because only the server can tell
    how much a network bunches. Within a short window at most three requests go together, at three times the even pace:
    that makes up for pauses while a page is decoded or a table is written.

    Args:
        windows: the policy.
        refusals: by a short window, in the last hour.
    """
    result: list[RateWindow] = []
    for window in windows:
        if window.seconds < _SHORT_SECONDS:
            seconds = window.seconds * (1 + min(_WIDEST_MARGIN, _SAFETY_MARGIN * 2 ** min(refusals, 8)))
            result.append(RateWindow(window.limit, seconds))
            if window.limit > _BURST:
                result.append(RateWindow(_BURST, seconds * _BURST / (window.limit * _CATCHING_UP)))
        else:
            result.append(RateWindow(window.limit, window.seconds + 1.0))
    return result


def _rest(app: Sequence[RateWindow], portal: Sequence[RateWindow]) -> list[RateWindow]:
    """What is left of an app's long windows beside a portal that uses all it can."""
    used = {window.seconds: window.limit for window in portal}
    return [
        RateWindow(
            max(window.limit - used.get(window.seconds, 0), math.ceil(window.limit * _LEAST_PART)), window.seconds
        )
        for window in app
        if window.seconds >= _SHORT_SECONDS
    ]


def rate(windows: Sequence[RateWindow]) -> float:
    """Requests per second that a policy allows in the long run."""
    return min(window.limit / window.seconds for window in windows)


def never() -> bool:
    """Gives way to nobody."""
    return False


class RateLimiter:
    """One process's handle on the request budget that all processes share, for one app on one portal.

    Args:
        budget: where requests are recorded.
        client: bucket name of the app.
        portal: bucket name of the portal.
        gives_way: whether to leave, at present, as many of the app's requests as one portal can use to limiters that do not.
        clock: seconds since the epoch.

    `reserved_at` is the instant of the latest reservation.

    Raises:
        StorageError: the budget cannot be written.
    """

    def __init__(
        self,
        budget: RequestBudget,
        *,
        client: str,
        portal: str,
        gives_way: Callable[[], bool] = never,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._gives_way = clock, gives_way
        self._client, self._portal = f"client {client}", f"portal {portal}"
        self._starts = {self._portal: PORTAL_START, self._client: CLIENT_START}
        # A bucket of our own, which no policy is about: what those that give way have sent together.
        self._rest = f"rest of {self._client}"
        self._counted = [*self._starts, self._rest]
        self._header_seen: str | None = None
        self._checked_at = -math.inf
        self._kept: dict[str, list[RateWindow]] = {}
        self._stopped_at: dict[str, float] = {}
        self.reserved_at = -math.inf
        self.waits_for = ""
        self._budget = budget
        # A budget that cannot be written is detected before anything is sent.
        self.windows()

    def close(self) -> None:
        """Close the budget."""
        self._budget.close()

    def reserve(self) -> float:
        """Reserve one request now, if both buckets have room.

        Returns:
            0.0 if it is reserved; otherwise the seconds after which to try again, and `waits_for` says why.
        """
        now = self._clock()
        if not 0 <= now - self._checked_at < _RECHECK_SECONDS:
            now = self._budget.transaction(self._recheck)
        if self._budget.reserve(self._kept, now):
            self.reserved_at = now
            return 0.0
        waits = [(_SOON_SECONDS, "another process was faster")]
        for bucket, (closed, *used_up) in self._budget.waits(self._kept, now).items():
            waits.append((closed, "the API asked to slow down (429)"))
            whose = {self._portal: "portal's", self._client: "app's"}.get(bucket, "app's remaining")
            waits += [
                (seconds, f"the {whose} {window.limit} requests in {window.seconds:.3g} s are used up")
                for window, seconds in zip(self._kept[bucket], used_up, strict=True)
            ]
        wait, self.waits_for = max(waits)
        return wait

    def confirm_sent(self, reserved_at: float) -> float:
        """Move a reservation to now, when the request is really sent: the server counts from then.

        Returns:
            The instant that the reservation now stands for.
        """
        now = self._clock()
        if now - reserved_at <= _LATE_SECONDS:
            return reserved_at
        self._budget.transaction(lambda bookings: bookings.move(self._counted, reserved_at, now))
        return now

    def observe(self, headers: Mapping[str, str]) -> None:
        """Adopt what an answer's headers say about the policy, and about how much of it other clients have used."""
        header = headers.get("x-ratelimit-limit", "")
        policy = parse_policy(header)
        if policy.windows and header.partition(",")[2] != self._header_seen:
            self._header_seen = header.partition(",")[2]
            self._checked_at = -math.inf
            portal, client = split_policy(policy.windows)
            learned = {self._portal: portal, self._client: client}
            self._budget.transaction(partial(self._follow, learned, keeps=not policy.is_whole))
        remaining = count_of(headers.get("x-ratelimit-remaining", ""))
        if policy.closest is not None and remaining is not None and remaining * 2 < policy.closest <= _MOST_OTHERS:
            self._count_others(policy.closest, remaining, policy.windows, wait_of(headers, self._clock()))

    def pause(self, seconds: float, closest: int | None = None) -> None:
        """After a 429, stop all processes from sending for that long, at most for the longest window.

        Args:
            seconds: until the window resets.
            closest: the limit that was hit; it identifies the bucket to close. Both are closed where it does not.
        """

        def work(bookings: Bookings) -> None:
            in_force = self._windows(bookings)
            hit = {bucket: [one for one in windows if one.limit == closest] for bucket, windows in in_force.items()}
            now = self._clock()
            until = now + min(max(seconds, 0.0), LONGEST_SECONDS)
            for bucket in [one for one, limits in hit.items() if limits] or hit:
                closed = _closed_seconds(bookings.closed_until(bucket), now)
                # Concurrent requests are refused together: that counts as one refusal.
                if closed <= 0 and any(window.seconds < _SHORT_SECONDS for window in hit[bucket]):
                    bookings.add_refusal(bucket, now)
                bookings.close(bucket, max(until, now + closed))

        self._budget.transaction(work)

    def windows(self) -> dict[str, tuple[RateWindow, ...]]:
        """The policy in force, per bucket."""
        return self._budget.transaction(self._windows)

    def policies(self) -> tuple[Sequence[RateWindow], Sequence[RateWindow]]:
        """The policies in force: the app's, and the portal's."""
        windows = self.windows()
        return windows[self._client], windows[self._portal]

    def _windows(self, bookings: Bookings) -> dict[str, tuple[RateWindow, ...]]:
        return {bucket: _plausible(bookings.policy(bucket)) or start for bucket, start in self._starts.items()}

    def _follow(self, learned: Mapping[str, tuple[RateWindow, ...]], bookings: Bookings, *, keeps: bool) -> None:
        """Store a policy. Where parts of it were impossible, the usual windows that it lacks keep their previous limits."""
        in_force = self._windows(bookings)
        for bucket, windows in learned.items():
            if not windows:
                continue
            missing = {start.seconds for start in self._starts[bucket]} - {window.seconds for window in windows}
            before = [one for one in in_force[bucket] if one.seconds in missing] if keeps else []
            bookings.set_policy(bucket, (*windows, *before))

    def _recheck(self, bookings: Bookings) -> float:
        """Find out which windows to keep to, and remove requests that no window counts. Returns the time."""
        # The clock is read inside the transaction: requests sent by another process while this one waited must not seem
        # to be in the future.
        now = self._clock()
        gates = LONGEST_SECONDS + _STEP_SECONDS
        bookings.prune(self._counted, now, sends=LONGEST_SECONDS + 1.0, refusals=_REMEMBERED_SECONDS, gates=gates)
        windows = self._windows(bookings)
        for bucket, in_force in windows.items():
            self._kept[bucket] = paced(in_force, bookings.refusals(bucket))
        self._kept.pop(self._rest, None)
        if self._gives_way():
            self._kept[self._rest] = paced(_rest(windows[self._client], windows[self._portal]))
        self._checked_at = now
        return now

    def _count_others(self, closest: int, remaining: int, windows: Sequence[RateWindow], reset: float | None) -> None:
        """Record requests that the server counted and we did not send: another machine or app uses the same portal."""
        portal, client = split_policy(windows)
        owned = [(self._portal, w) for w in portal if w.limit == closest]
        owned += [(self._client, w) for w in client if w.limit == closest]
        if not owned:
            return
        bucket, window = owned[0]
        if remaining * _NEARLY_NOTHING < closest:
            # The header is believed once. If it is still true after the reset, a 429 says so; otherwise requests
            # continue.
            now = self._clock()
            if 0 <= now - self._stopped_at.get(bucket, -math.inf) < _DOUBTED_WINDOWS * window.seconds:
                return
            self._stopped_at[bucket] = now

        def work(bookings: Bookings) -> None:
            now = self._clock()
            others = closest - remaining - bookings.count(bucket, now - window.seconds - 1.0)
            if others > 0:
                # These requests count until the reset, if the answer says when that is.
                at = now - max(0.0, window.seconds - reset) if reset is not None else now
                bookings.add([bucket], at, others)

        self._budget.transaction(work)


def _closed_seconds(closed_until: float | None, now: float) -> float:
    """Seconds until a bucket opens. A gate further away than any window is impossible and counts as open."""
    seconds = 0.0 if closed_until is None else closed_until - now
    return min(max(seconds, 0.0), LONGEST_SECONDS) if seconds <= LONGEST_SECONDS + _STEP_SECONDS else 0.0


def _plausible(stored: tuple[RateWindow, ...]) -> tuple[RateWindow, ...]:
    """A stored policy, or none if any of it is impossible."""
    return stored if all(is_plausible(window) for window in stored) else ()


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What one bucket has used.

    Args:
        bucket: `portal <address> <key>` or `client <address> <app id>`.
        sent: requests in the last minute.
        limit: of a minute, by the policy in force.
        closed_seconds: until the API takes requests again, after a 429.
    """

    bucket: str
    sent: int
    limit: int
    closed_seconds: float


def budget_use(state: State, now: float) -> list[BudgetUse]:
    """The use of each bucket that ever sent something.

    Raises:
        StorageError: the budget cannot be read.
    """

    def use(bucket: str, booked: Booked) -> BudgetUse:
        starts = PORTAL_START if bucket.startswith("portal ") else CLIENT_START
        longest = max(_plausible(booked.windows) or starts, key=lambda window: window.seconds)
        limit = round(longest.limit * 60 / longest.seconds)
        return BudgetUse(bucket, booked.sent, limit, _closed_seconds(booked.closed_until, now))

    with closing(state.budget) as budget:
        found = budget.read(lambda bookings: bookings.uses(now - 60))
    return [use(bucket, booked) for bucket, booked in found.items()]
