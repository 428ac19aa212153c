"""The request budget: how fast one app and one portal may be asked, shared by every process of an installation.

Planday counts each request in two buckets, per portal and per client id, each with a window of a second and of a minute
(docs/api-facts.md#rate-limits). This keeps the same count on our side: a log of sends per bucket in one SQLite file,
and a request may go out when in each window of each of its buckets there is room. It begins with the safe guess of 10 a
second and then follows the policy the API sends in `x-ratelimit-limit`.

What is read from the file is doubted like what is read from a header: an older version may have written it, a clock may have
been set back, a disk may have changed a byte.

pyrate-limiter was tried and left: its rates are fixed when a bucket is made (ours arrive with the first answer), two
buckets cannot be taken in one transaction, and nothing in it holds all processes until a 429's reset.

Times are seconds since the epoch: a monotonic clock means nothing to the next process after a reboot. Not here: what a header
says (`headers`), the file (`ledger`).
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
"""Before the first answer: the slower of the contradicting figures for a portal, the documented ones for an app."""

_BURST = 3
_CATCHING_UP = 3.0
_SHORT_SECONDS = 10.0
_DISTANCE, _WIDEST = 0.025, 0.25
_REMEMBERED_SECONDS = 3600.0
"""For so long a refusal keeps the distance wide."""
_LATE_SECONDS = 0.002
"""A request that goes out later than so many seconds after it was booked is booked anew."""
_LOOK_AGAIN_SECONDS = 0.5
"""After which this looks whether another process learned of another policy, and clears what no window counts any more."""
_STEP_SECONDS = 1.0
"""By so much a clock may be set back without a gate counting as one that cannot be true."""
_NEARLY_NOTHING, _DOUBTED_WINDOWS = 20, 5
"""That less than a twentieth of a window is left is not believed again for so many windows: it could stop every request."""
_MOST_OTHERS = 5_000
"""So many requests of others are booked at most: one row each, and a header may state any number."""


def paced(windows: Sequence[RateWindow], refusals: int = 0) -> list[RateWindow]:
    """The windows we hold ourselves to so that the server never counts more than it allows.

    The server counts arrivals, we count sends, and the network bunches them. Long windows are stretched by a second, short
    ones by 2.5 %, which 25 ms of jitter fit into, and twice as much after each refusal, up to 25 %: how much a network
    bunches, only the server can tell. Within a short window sends go three at a time at most and three times as fast as
    evenly, so that a pause of ours, while a page is decoded or a table is written, is made up for.

    Args:
        windows: the policy.
        refusals: by a short window, in the last hour.
    """
    result: list[RateWindow] = []
    for window in windows:
        if window.seconds < _SHORT_SECONDS:
            seconds = window.seconds * (1 + min(_WIDEST, _DISTANCE * 2 ** min(refusals, 8)))
            result.append(RateWindow(window.limit, seconds))
            if window.limit > _BURST:
                result.append(RateWindow(_BURST, seconds * _BURST / (window.limit * _CATCHING_UP)))
        else:
            result.append(RateWindow(window.limit, window.seconds + 1.0))
    return result


class Budget:
    """One process's handle on the shared budget of one app on one portal.

    Args:
        file: the SQLite file all processes share; created.
        client: bucket name of the app.
        portal: bucket name of the portal.
        clock: seconds since the epoch.

    `booked_at` is the instant of the latest booking.

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
        self.booked_at = -math.inf
        self.waits_for = ""
        self._ledger = Ledger(file)

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()

    def take(self) -> float:
        """Book one request now, if both buckets have room.

        Returns:
            0.0 when it is booked; otherwise the seconds after which it is worth asking again, and nothing is booked.
            `waits_for` says why.
        """

        def book(db: sqlite3.Connection) -> float:
            now = self._clock()
            wait, why = max(self._wait(db, bucket, now) for bucket in self._starts)
            if wait <= 0:
                db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, now) for bucket in self._starts])
                self.booked_at = now
            self.waits_for = why
            return max(wait, 0.0)

        return self._ledger.run(book)

    def went_out(self, booked_at: float) -> float:
        """What was booked then goes out now. On a busy machine that is later, and the server counts from then on.

        Returns:
            The instant that it is booked for by now.
        """
        now = self._clock()
        if now - booked_at <= _LATE_SECONDS:
            return booked_at
        moved = [(now, bucket, booked_at) for bucket in self._starts]
        self._ledger.run(
            lambda db: db.executemany("UPDATE send SET sent_at = ? WHERE bucket = ? AND sent_at = ?", moved)
        )
        return now

    def learn(self, headers: Mapping[str, str]) -> None:
        """Follow what an answer says about the policy and about what others have used of it."""
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

    def hold(self, seconds: float, closest: int | None = None) -> None:
        """Let no process send for that long, or for the longest window at most: a 429 came.

        Args:
            seconds: until the window resets.
            closest: the limit that was hit; it tells whose bucket is closed, and both are when it does not.
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
        """Take down a policy. Where part of it could not be true, a window of the usual lengths that it lacks stays."""
        for bucket, windows in learned.items():
            if not windows:
                continue
            missing = {start.seconds for start in self._starts[bucket]} - {window.seconds for window in windows}
            before = [one for one in self._windows(db, bucket) if one.seconds in missing] if keeps else []
            text = " ".join(f"{window.limit}/{window.seconds}" for window in (*windows, *before))
            db.execute("INSERT OR REPLACE INTO policy VALUES (?, ?)", (bucket, text))

    def _wait(self, db: sqlite3.Connection, bucket: str, now: float) -> tuple[float, str]:
        looked_at, windows = self._known.get(bucket, (-math.inf, []))
        if not 0 <= now - looked_at < _LOOK_AGAIN_SECONDS:
            # Rows from the future are left by a clock that was set back.
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
        """Book what the server counted and we did not send: another machine or another app uses the same portal."""
        portal, client = split_policy(windows)
        owned = [(self._portal, w) for w in portal if w.limit == closest]
        owned += [(self._client, w) for w in client if w.limit == closest]
        if not owned:
            return
        bucket, window = owned[0]
        if remaining * _NEARLY_NOTHING < closest:
            # Believed once: where it is true again after the reset, a 429 says so, and where it is not, nothing stops us.
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
                # So that they count until the reset, where the answer tells when that is.
                at = now - max(0.0, window.seconds - reset) if reset is not None else now
                db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, at)] * others)

        self._ledger.run(book)


def _number(value: object) -> float:
    """A time from the file."""
    if not isinstance(value, float):
        raise DamagedError("a text stands where a time should be")
    return value


def _gate_seconds(db: sqlite3.Connection, bucket: str, now: float) -> float:
    """Seconds until a bucket's gate opens; a gate that is further away than any window cannot be true."""
    gate = db.execute("SELECT closed_until FROM gate WHERE bucket = ?", (bucket,)).fetchone()
    return _closed_seconds(_number(gate[0]), now) if gate else 0.0


def _closed_seconds(closed_until: float, now: float) -> float:
    seconds = closed_until - now
    return min(max(seconds, 0.0), LONGEST_SECONDS) if seconds <= LONGEST_SECONDS + _STEP_SECONDS else 0.0


def _stored_windows(text: object) -> tuple[RateWindow, ...]:
    """Windows from the file, or none where one of them cannot be true."""
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
    """The use of each bucket that ever sent something; none where the file is not there.

    Raises:
        StorageError: it cannot be read.
    """
    if not file.exists():
        return []

    def look(db: sqlite3.Connection) -> list[BudgetUse]:
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

    return read_only(file, look)
