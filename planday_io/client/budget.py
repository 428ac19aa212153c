"""The request budget: how fast one app and one portal may be asked, shared by every process of an installation.

Planday counts each request in two buckets, per portal and per client id, each with a window of a second and of a
minute (facts, section 5). This keeps the same count on our side: a log of sends per bucket in one SQLite file, and a
request may go out when in each window of each of its buckets there is room. It begins with the safe guess of 10 a second
and then follows the policy the API sends in `x-ratelimit-limit`.

pyrate-limiter was tried and left: its rates are fixed when a bucket is made (ours arrive with the first answer), two
buckets cannot be taken in one transaction, and nothing in it holds all processes until a 429's reset.

Times are seconds since the epoch: a monotonic clock means nothing to the next process after a reboot.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from planday_io.errors import StorageError
from planday_io.files import locked


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most `limit` requests in any `seconds`."""

    limit: int
    seconds: float


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
_SCHEMA = """
CREATE TABLE IF NOT EXISTS send (bucket TEXT NOT NULL, sent_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS send_by_time ON send (bucket, sent_at);
CREATE TABLE IF NOT EXISTS policy (bucket TEXT PRIMARY KEY, windows TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gate (bucket TEXT PRIMARY KEY, closed_until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS refusal (bucket TEXT NOT NULL, refused_at REAL NOT NULL);
"""


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


def parse_policy(header: str) -> tuple[int | None, tuple[RateWindow, ...]]:
    """Read `x-ratelimit-limit`: `100, 20;w=1, 750;w=60` -> the limit closest to exhaustion, and all windows.

    What cannot be read is left out; an unreadable header gives (None, ()).
    """
    closest: int | None = None
    windows: list[RateWindow] = []
    for part in header.split(","):
        amount, _, rest = part.strip().partition(";")
        if not amount.isdigit() or int(amount) < 1:
            continue
        name, _, seconds = rest.strip().partition("=")
        if not rest:
            closest = int(amount) if closest is None else closest
        elif name.strip() == "w" and _positive(seconds):
            windows.append(RateWindow(int(amount), float(seconds)))
    return closest, tuple(windows)


def split_policy(windows: Sequence[RateWindow]) -> tuple[tuple[RateWindow, ...], tuple[RateWindow, ...]]:
    """Whose windows they are: of two windows of one length the smaller is the portal's, the larger the app's."""
    portal: dict[float, RateWindow] = {}
    client: dict[float, RateWindow] = {}
    for window in sorted(windows, key=lambda w: w.limit):
        (client if window.seconds in portal else portal)[window.seconds] = window
    return tuple(portal.values()), tuple(client.values())


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


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
        self._file = file
        self._clock = clock
        self._client, self._portal = f"client {client}", f"portal {portal}"
        self._starts = {self._portal: PORTAL_START, self._client: CLIENT_START}
        self._header_seen: str | None = None
        self._known: dict[str, tuple[float, list[RateWindow]]] = {}
        self.booked_at = -math.inf
        with locked(file.with_suffix(".lock")):
            try:
                self._db = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
                self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {_SCHEMA}")
            except sqlite3.Error as error:
                raise StorageError(f"the request budget {file} cannot be opened ({error}): remove the file") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def take(self) -> float:
        """Book one request now, if both buckets have room.

        Returns:
            0.0 when it is booked; otherwise the seconds after which it is worth asking again, and nothing is booked.
        """
        with self._transaction():
            now = self._clock()
            wait = max(self._wait(bucket, now) for bucket in self._starts)
            if wait <= 0:
                self._db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, now) for bucket in self._starts])
                self.booked_at = now
            return max(wait, 0.0)

    def went_out(self, booked_at: float) -> float:
        """What was booked then goes out now. On a busy machine that is later, and the server counts from then on.

        Returns:
            The instant that it is booked for by now.
        """
        now = self._clock()
        if now - booked_at <= _LATE_SECONDS:
            return booked_at
        with self._transaction():
            self._db.executemany(
                "UPDATE send SET sent_at = ? WHERE bucket = ? AND sent_at = ?",
                [(now, bucket, booked_at) for bucket in self._starts],
            )
        return now

    def learn(self, headers: Mapping[str, str]) -> None:
        """Follow what an answer says about the policy and about what others have used of it."""
        header = headers.get("x-ratelimit-limit", "")
        closest, windows = parse_policy(header)
        if windows and header.partition(",")[2] != self._header_seen:
            self._header_seen = header.partition(",")[2]
            self._known = {}
            portal, client = split_policy(windows)
            with self._transaction():
                for bucket, learned in ((self._portal, portal), (self._client, client)):
                    if learned:
                        text = " ".join(f"{window.limit}/{window.seconds}" for window in learned)
                        self._db.execute("INSERT OR REPLACE INTO policy VALUES (?, ?)", (bucket, text))
        remaining = headers.get("x-ratelimit-remaining", "")
        if closest is not None and remaining.isdigit() and int(remaining) * 2 < closest:
            self._count_others(closest, int(remaining), windows)

    def hold(self, seconds: float, closest: int | None = None) -> None:
        """Let no process send for that long: a 429 came.

        Args:
            seconds: until the window resets.
            closest: the limit that was hit; it tells whose bucket is closed, and both are when it does not.
        """
        hit = {bucket: [w for w in self._windows(bucket) if w.limit == closest] for bucket in self._starts}
        with self._transaction():
            now = self._clock()
            until = now + seconds
            for bucket in [one for one, limits in hit.items() if limits] or hit:
                # Requests that were under way together are refused together: that is one refusal.
                is_new = self._closed_until(bucket) <= now
                if is_new and any(window.seconds < _SHORT_SECONDS for window in hit[bucket]):
                    self._db.execute("INSERT INTO refusal VALUES (?, ?)", (bucket, now))
                self._db.execute(
                    "INSERT INTO gate VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE "
                    "SET closed_until = max(closed_until, excluded.closed_until)",
                    (bucket, until),
                )

    def windows(self) -> dict[str, tuple[RateWindow, ...]]:
        """The policy in force, per bucket."""
        return {bucket: self._windows(bucket) for bucket in self._starts}

    def _transaction(self) -> _Immediate:
        return _Immediate(self._db)

    def _windows(self, bucket: str) -> tuple[RateWindow, ...]:
        row = self._db.execute("SELECT windows FROM policy WHERE bucket = ?", (bucket,)).fetchone()
        if row is None:
            return self._starts[bucket]
        pairs = (part.split("/") for part in row[0].split())
        return tuple(RateWindow(int(limit), float(seconds)) for limit, seconds in pairs)

    def _closed_until(self, bucket: str) -> float:
        gate = self._db.execute("SELECT closed_until FROM gate WHERE bucket = ?", (bucket,)).fetchone()
        return gate[0] if gate else -math.inf

    def _wait(self, bucket: str, now: float) -> float:
        looked_at, windows = self._known.get(bucket, (-math.inf, []))
        if not 0 <= now - looked_at < _LOOK_AGAIN_SECONDS:
            # Rows from the future are left by a clock that was set back.
            self._db.execute(
                "DELETE FROM refusal WHERE bucket = ? AND (refused_at < ? OR refused_at > ?)",
                (bucket, now - _REMEMBERED_SECONDS, now),
            )
            (refusals,) = self._db.execute("SELECT count(*) FROM refusal WHERE bucket = ?", (bucket,)).fetchone()
            windows = paced(self._windows(bucket), refusals)
            longest = max(window.seconds for window in windows)
            self._db.execute(
                "DELETE FROM send WHERE bucket = ? AND (sent_at < ? OR sent_at > ?)", (bucket, now - longest, now)
            )
            self._known[bucket] = (now, windows)
        wait = self._closed_until(bucket) - now
        for window in windows:
            query = "SELECT sent_at FROM send WHERE bucket = ? ORDER BY sent_at DESC LIMIT 1 OFFSET ?"
            with closing(self._db.execute(query, (bucket, window.limit - 1))) as cursor:
                if row := cursor.fetchone():
                    wait = max(wait, row[0] + window.seconds - now)
        return wait

    def _count_others(self, closest: int, remaining: int, windows: Sequence[RateWindow]) -> None:
        """Book what the server counted and we did not send: another machine or another app uses the same portal."""
        portal, client = split_policy(windows)
        owned = [(self._portal, w) for w in portal if w.limit == closest]
        owned += [(self._client, w) for w in client if w.limit == closest]
        if not owned:
            return
        bucket, window = owned[0]
        with self._transaction():
            now = self._clock()
            (ours,) = self._db.execute(
                "SELECT count(*) FROM send WHERE bucket = ? AND sent_at > ?", (bucket, now - window.seconds - 1.0)
            ).fetchone()
            others = closest - remaining - ours
            if others > 0:
                self._db.executemany("INSERT INTO send VALUES (?, ?)", [(bucket, now)] * others)


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
    """The use of each bucket that ever sent something; none where the file is not there or cannot be read."""
    if not file.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
            sent = dict(db.execute("SELECT bucket, count(*) FROM send WHERE sent_at > ? GROUP BY 1", (now - 60,)))
            closed = dict(db.execute("SELECT bucket, closed_until FROM gate"))
            policies = dict(db.execute("SELECT bucket, windows FROM policy"))
    except sqlite3.Error:
        return []
    found = []
    for bucket in sorted({*sent, *closed, *policies}):
        starts = PORTAL_START if bucket.startswith("portal ") else CLIENT_START
        pairs = [part.split("/") for part in policies.get(bucket, "").split()]
        windows = [RateWindow(int(limit), float(seconds)) for limit, seconds in pairs] or [*starts]
        longest = max(windows, key=lambda window: window.seconds)
        limit = round(longest.limit * 60 / longest.seconds)
        found.append(BudgetUse(bucket, sent.get(bucket, 0), limit, max(0.0, closed.get(bucket, 0.0) - now)))
    return found


class _Immediate:
    """`BEGIN IMMEDIATE` ... `COMMIT`: takes the write lock at once, so that two processes never read one free place."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")
