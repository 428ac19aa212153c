"""The rate limiter: how fast one app may call one portal, shared by all processes of an installation.

Planday counts each request in two buckets, per portal and per client id, each with a window of one second and one minute.
This module keeps the same count: a log of sends per bucket in one SQLite file. A request may be sent when every window of
both buckets has room. It starts with a safe guess of 10 requests a second and then follows the policy that the API sends in
`x-ratelimit-limit`.

Values from the file are checked as carefully as values from a header: an older version may have written them, a clock may
have been set back, a disk may have changed a byte.

pyrate-limiter was tried and rejected: its rates are fixed when a bucket is created (ours arrive with the first answer), it
cannot reserve in two buckets in one transaction, and it cannot pause all processes until a 429's reset.

Times are seconds since the epoch: a monotonic clock means nothing to the next process after a reboot. Headers are parsed in
`headers`; the SQLite file is in `ledger`.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from planday_io.client.headers import LONGEST_SECONDS, RateWindow, count_of, parse_policy, split_policy, wait_of
from planday_io.client.ledger import DamagedError, Ledger, read_only

PORTAL_START = (RateWindow(10, 1.0), RateWindow(600, 60.0))
CLIENT_START = (RateWindow(100, 1.0), RateWindow(2000, 60.0))
"""Limits until the first answer. Portal: the lower of two figures that contradict each other. App: as documented."""

_BURST = 3
_CATCHING_UP = 3.0
_SHORT_SECONDS = 10.0
_SAFETY_MARGIN, _WIDEST_MARGIN = 0.025, 0.25
_REMEMBERED_SECONDS = 3600.0
"""How long a refusal (429) keeps the safety margin wide."""
_LATE_SECONDS = 0.002
"""A request sent later than this after its reservation moves its reservation to the time of sending."""
_RECHECK_SECONDS = 0.5
"""How often to check for a policy that another process observed, and to delete sends that no window counts."""
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


class RateLimiter:
    """One process's handle on the request budget that all processes share, for one app on one portal.

    Args:
        file: the SQLite file all processes share; created.
        client: bucket name of the app.
        portal: bucket name of the portal.
        clock: seconds since the epoch.

    `reserved_at` is the instant of the latest reservation.

    Raises:
        StorageError: the file cannot be created or written.
    """

    def __init__(self, file: Path, *, client: str, portal: str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._client, self._portal = f"client {client}", f"portal {portal}"
        self._starts = {self._portal: PORTAL_START, self._client: CLIENT_START}
        self._header_seen: str | None = None
        self._known: dict[str, tuple[float, list[RateWindow]]] = {}
        self._stopped_at: dict[str, float] = {}
        self.reserved_at = -math.inf
        self.waits_for = ""
        self._ledger = Ledger(file)

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()

    def reserve(self) -> float:
        """Reserve one request now, if both buckets have room.

        Returns:
            0.0 when it is reserved; otherwise nothing is, and the seconds after which to ask again.
            `waits_for` says why.
        """

        def insert(db: sqlite3.Connection) -> float:
            now = self._clock()
            wait, why = max(self._wait(db, bucket, now) for bucket in self._starts)
            if wait <= 0:
                db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, now) for bucket in self._starts])
                self.reserved_at = now
            self.waits_for = why
            return max(wait, 0.0)

        return self._ledger.run(insert)

    def confirm_sent(self, reserved_at: float) -> float:
        """Move a reservation to now, when the request is really sent: the server counts from then.

        Returns:
            The instant that the reservation now stands for.
        """
        now = self._clock()
        if now - reserved_at <= _LATE_SECONDS:
            return reserved_at
        moved = [(now, bucket, reserved_at) for bucket in self._starts]
        self._ledger.run(
            lambda db: db.executemany("UPDATE send SET sent_at = ? WHERE bucket = ? AND sent_at = ?", moved)
        )
        return now

    def observe(self, headers: Mapping[str, str]) -> None:
        """Adopt what an answer's headers say about the policy, and about how much of it other clients have used."""
        header = headers.get("x-ratelimit-limit", "")
        policy = parse_policy(header)
        if policy.windows and header.partition(",")[2] != self._header_seen:
            self._header_seen = header.partition(",")[2]
            self._known = {}
            portal, client = split_policy(policy.windows)
            learned = {self._portal: portal, self._client: client}
            self._ledger.run(partial(self._follow, learned, keeps=not policy.is_whole))
        remaining = count_of(headers.get("x-ratelimit-remaining", ""))
        if policy.closest is not None and remaining is not None and remaining * 2 < policy.closest <= _MOST_OTHERS:
            self._count_others(policy.closest, remaining, policy.windows, wait_of(headers, self._clock()))

    def pause(self, seconds: float, closest: int | None = None) -> None:
        """After a 429, stop all processes from sending for that long, at most for the longest window.

        Args:
            seconds: until the window resets.
            closest: the limit that was hit; it identifies the bucket to close. Both are closed where it does not.
        """

        def close_gates(db: sqlite3.Connection) -> None:
            hit = {bucket: [w for w in self._windows(db, bucket) if w.limit == closest] for bucket in self._starts}
            now = self._clock()
            until = now + min(max(seconds, 0.0), LONGEST_SECONDS)
            for bucket in [one for one, limits in hit.items() if limits] or hit:
                closed = _gate_seconds(db, bucket, now)
                # Requests that were under way together are refused together: that is one refusal.
                if closed <= 0 and any(window.seconds < _SHORT_SECONDS for window in hit[bucket]):
                    db.execute("INSERT INTO refusal VALUES (?, ?)", (bucket, now))
                db.execute("INSERT OR REPLACE INTO gate VALUES (?, ?)", (bucket, max(until, now + closed)))

        self._ledger.run(close_gates)

    def windows(self) -> dict[str, tuple[RateWindow, ...]]:
        """The policy in force, per bucket."""
        return self._ledger.run(lambda db: {bucket: self._windows(db, bucket) for bucket in self._starts})

    def _windows(self, db: sqlite3.Connection, bucket: str) -> tuple[RateWindow, ...]:
        row = db.execute("SELECT windows FROM policy WHERE bucket = ?", (bucket,)).fetchone()
        return (_stored_windows(row[0]) if row else ()) or self._starts[bucket]

    def _follow(self, learned: Mapping[str, tuple[RateWindow, ...]], db: sqlite3.Connection, *, keeps: bool) -> None:
        """Store a policy. Where parts of it were impossible, the usual windows that it lacks keep their previous limits."""
        for bucket, windows in learned.items():
            if not windows:
                continue
            missing = {start.seconds for start in self._starts[bucket]} - {window.seconds for window in windows}
            before = [one for one in self._windows(db, bucket) if one.seconds in missing] if keeps else []
            text = " ".join(f"{window.limit}/{window.seconds}" for window in (*windows, *before))
            db.execute("INSERT OR REPLACE INTO policy VALUES (?, ?)", (bucket, text))

    def _wait(self, db: sqlite3.Connection, bucket: str, now: float) -> tuple[float, str]:
        checked_at, windows = self._known.get(bucket, (-math.inf, []))
        if not 0 <= now - checked_at < _RECHECK_SECONDS:
            # A clock that was set back leaves rows from the future.
            db.execute(
                "DELETE FROM refusal WHERE bucket = ? AND (refused_at < ? OR refused_at > ?)",
                (bucket, now - _REMEMBERED_SECONDS, now),
            )
            (refusals,) = db.execute("SELECT count(*) FROM refusal WHERE bucket = ?", (bucket,)).fetchone()
            windows = paced(self._windows(db, bucket), refusals)
            longest = max(window.seconds for window in windows)
            db.execute(
                "DELETE FROM send WHERE bucket = ? AND (sent_at < ? OR sent_at > ?)", (bucket, now - longest, now)
            )
            db.execute("DELETE FROM gate WHERE closed_until > ?", (now + LONGEST_SECONDS + _STEP_SECONDS,))
            self._known[bucket] = (now, windows)
        wait, why = _gate_seconds(db, bucket, now), "the API asked to slow down (429)"
        for window in windows:
            query = "SELECT sent_at FROM send WHERE bucket = ? ORDER BY sent_at DESC LIMIT 1 OFFSET ?"
            with closing(db.execute(query, (bucket, window.limit - 1))) as cursor:
                if row := cursor.fetchone():
                    room = _number(row[0]) + window.seconds - now
                    if room > wait:
                        whose = "portal" if bucket == self._portal else "app"
                        wait, why = room, f"the {whose}'s {window.limit} requests in {window.seconds:.3g} s are used up"
        return wait, why

    def _count_others(self, closest: int, remaining: int, windows: Sequence[RateWindow], reset: float | None) -> None:
        """Record requests that the server counted and we did not send: another machine or app uses the same portal."""
        portal, client = split_policy(windows)
        owned = [(self._portal, w) for w in portal if w.limit == closest]
        owned += [(self._client, w) for w in client if w.limit == closest]
        if not owned:
            return
        bucket, window = owned[0]
        if remaining * _NEARLY_NOTHING < closest:
            # Believed once. If it is still true after the reset, a 429 says so; if it is not, requests continue.
            now = self._clock()
            if 0 <= now - self._stopped_at.get(bucket, -math.inf) < _DOUBTED_WINDOWS * window.seconds:
                return
            self._stopped_at[bucket] = now

        def book(db: sqlite3.Connection) -> None:
            now = self._clock()
            (ours,) = db.execute(
                "SELECT count(*) FROM send WHERE bucket = ? AND sent_at > ?", (bucket, now - window.seconds - 1.0)
            ).fetchone()
            others = closest - remaining - ours
            if others > 0:
                # They should count until the reset, if the answer says when that is.
                at = now - max(0.0, window.seconds - reset) if reset is not None else now
                db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, at)] * others)

        self._ledger.run(book)


def _number(value: object) -> float:
    """A time from the file."""
    if not isinstance(value, float):
        raise DamagedError("a time was expected, but the file has a text")
    return value


def _gate_seconds(db: sqlite3.Connection, bucket: str, now: float) -> float:
    """Seconds until a bucket's gate opens. A gate further away than any window is impossible and counts as open."""
    gate = db.execute("SELECT closed_until FROM gate WHERE bucket = ?", (bucket,)).fetchone()
    return _closed_seconds(_number(gate[0]), now) if gate else 0.0


def _closed_seconds(closed_until: float, now: float) -> float:
    seconds = closed_until - now
    return min(max(seconds, 0.0), LONGEST_SECONDS) if seconds <= LONGEST_SECONDS + _STEP_SECONDS else 0.0


def _stored_windows(text: object) -> tuple[RateWindow, ...]:
    """Windows from the file, or none if any of them is impossible."""
    found = []
    for part in str(text).split():
        limit, _, seconds = part.partition("/")
        try:
            found.append(RateWindow(int(limit), float(seconds)))
        except ValueError:
            return ()
    return tuple(found) if all(window.is_plausible for window in found) else ()


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


def budget_use(file: Path, now: float) -> list[BudgetUse]:
    """The use of each bucket that ever sent something; empty if there is no file.

    Raises:
        StorageError: the file cannot be read.
    """
    if not file.exists():
        return []

    def query(db: sqlite3.Connection) -> list[BudgetUse]:
        sent = dict(db.execute("SELECT bucket, count(*) FROM send WHERE sent_at > ? GROUP BY 1", (now - 60,)))
        closed = dict(db.execute("SELECT bucket, closed_until FROM gate"))
        policies = dict(db.execute("SELECT bucket, windows FROM policy"))
        found = []
        for bucket in sorted({*sent, *closed, *policies}):
            starts = PORTAL_START if bucket.startswith("portal ") else CLIENT_START
            windows = _stored_windows(policies.get(bucket, "")) or starts
            longest = max(windows, key=lambda window: window.seconds)
            limit = round(longest.limit * 60 / longest.seconds)
            shut = _closed_seconds(float(closed.get(bucket, 0.0)), now)
            found.append(BudgetUse(bucket, sent.get(bucket, 0), limit, shut))
        return found

    return read_only(file, query)
