"""The request budget: what was sent, and what each bucket allows, shared by all processes of an installation.

It has a database of its own, because a request may not wait for a disk: its content matters for an hour at most, while the
state database has to survive a power cut (docs/decisions.md#requests-and-retries).

Not here: what fits into a bucket (`planday_io.client.budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from planday_io.state.database import Database
from planday_io.state.locks import Locks
from planday_io.state.mapping import damage_raised
from planday_io.state.rows import RateWindow

T = TypeVar("T")

_METADATA = sa.MetaData()
"""As version 0.1 made them: a process of that version may use the file at the same time, during an upgrade."""
_SENDS = sa.Table(
    "send",
    _METADATA,
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("sent_at", sa.Float, nullable=False),
    sa.Index("send_by_time", "bucket", "sent_at"),
)
_POLICIES = sa.Table(
    "policy", _METADATA, sa.Column("bucket", sa.Text, primary_key=True), sa.Column("windows", sa.Text, nullable=False)
)
"""Windows such as `20/1.0 750/60.0`."""
_GATES = sa.Table(
    "gate",
    _METADATA,
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("closed_until", sa.Float, nullable=False),
)
_REFUSALS = sa.Table(
    "refusal",
    _METADATA,
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("refused_at", sa.Float, nullable=False),
)
_MOVE = (
    sa.update(_SENDS)
    .where(_SENDS.c.bucket == sa.bindparam("of"), _SENDS.c.sent_at == sa.bindparam("reserved_at"))
    .values(sent_at=sa.bindparam("to"))
)
"""Built once: on a busy machine it is on the path of every request."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What is recorded of a bucket.

    Args:
        sent: requests since the instant that was asked for.
        windows: the stored policy; none where there is none, or it is damaged.
        closed_until: seconds since the epoch until which it is closed, or was, or None.
    """

    sent: int
    windows: tuple[RateWindow, ...]
    closed_until: float | None


def _windows(stored: object) -> tuple[RateWindow, ...]:
    pairs = [part.partition("/") for part in str(stored or "").split()]
    try:
        return tuple(RateWindow(int(limit), float(seconds)) for limit, _, seconds in pairs)
    except ValueError:
        return ()


def budget_file(folder: Path) -> Path:
    """Where the request budget of a state folder is."""
    return folder / "budget.sqlite"


class RequestBudget:
    """One process's handle on the request budget. Times are seconds since the epoch.

    Args:
        folder: the state folder.
        locks: of the installation.
    """

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._database = Database(budget_file(folder), locks, _METADATA, name="the request budget", is_durable=False)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def read(self, work: Callable[[Bookings], T]) -> T:
        """Run a function that only reads. Raises StorageError."""
        return self._database.read(lambda connection: work(Bookings(connection)))

    def transaction(self, work: Callable[[Bookings], T]) -> T:
        """Run a function while no other process reads or writes the budget; after damage, once more. Raises StorageError."""
        return self._database.write(lambda connection: work(Bookings(connection)))

    def reserve(self, windows: Mapping[str, Sequence[RateWindow]], now: float) -> bool:
        """Record a request in each bucket, if all are open and all of their windows have room. Raises StorageError.

        One statement, built once: it is on the path of every request, and other processes wait while it runs.
        """
        statement = _reserve(tuple((bucket, *rates) for bucket, rates in windows.items()))
        return self._database.write(lambda connection: connection.execute(statement, {"now": now}).rowcount > 0)

    def waits(self, windows: Mapping[str, Sequence[RateWindow]], now: float) -> dict[str, list[float]]:
        """Seconds until buckets are open, and until each of their windows has room; negative if it has room already.

        Raises:
            StorageError: the budget cannot be read.
        """
        statement = _waits(tuple((bucket, *rates) for bucket, rates in windows.items()))
        found = iter(self._database.read(lambda connection: connection.execute(statement, {"now": now}).one()))
        return {bucket: [next(found) for _ in (None, *rates)] for bucket, rates in windows.items()}


class Bookings:
    """The request budget inside one transaction.

    Args:
        connection: of the transaction.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def uses(self, since: float) -> dict[str, Booked]:
        """What is recorded of each bucket, by name; `since` is the instant after which requests count.

        Raises:
            DamagedValueError: a row holds what this program does not write.
        """
        sent = sa.select(_SENDS.c.bucket, sa.func.sum(sa.case((_SENDS.c.sent_at > since, 1), else_=0)))
        with damage_raised():
            counts = msgspec.convert(self._pairs(sent.group_by(_SENDS.c.bucket)), dict[str, int])
            policies = self._pairs(sa.select(_POLICIES.c.bucket, _POLICIES.c.windows))
            gates = msgspec.convert(self._pairs(sa.select(_GATES.c.bucket, _GATES.c.closed_until)), dict[str, float])
        return {
            bucket: Booked(counts.get(bucket, 0), _windows(policies.get(bucket)), gates.get(bucket))
            for bucket in sorted({*counts, *policies, *gates})
        }

    def _pairs(self, query: sa.Select[tuple[str, Any]]) -> dict[str, Any]:
        return {bucket: value for bucket, value in self._connection.execute(query)}  # noqa: C416 - rows are no pairs to dict

    def add(self, buckets: Collection[str], at: float, count: int = 1) -> None:
        """Record requests in each of some buckets."""
        self._connection.execute(sa.insert(_SENDS), [{"bucket": bucket, "sent_at": at} for bucket in buckets] * count)

    def move(self, buckets: Collection[str], at: float, to: float) -> None:
        """Move requests from one instant to another."""
        self._connection.execute(_MOVE, [{"of": bucket, "reserved_at": at, "to": to} for bucket in buckets])

    def count(self, bucket: str, since: float) -> int:
        """How many requests were recorded after an instant."""
        where = (_SENDS.c.bucket == bucket, _SENDS.c.sent_at > since)
        return self._connection.execute(sa.select(sa.func.count()).select_from(_SENDS).where(*where)).scalar_one()

    def closed_until(self, bucket: str) -> float | None:
        """The time until which a bucket is closed, or was. Raises DamagedValueError."""
        found = self._connection.execute(sa.select(_GATES.c.closed_until).where(_GATES.c.bucket == bucket)).scalar()
        with damage_raised():
            return msgspec.convert(found, float | None)

    def policy(self, bucket: str) -> tuple[RateWindow, ...]:
        """The stored policy of a bucket; nothing where there is none, or it is damaged, so that the first guess applies."""
        found = self._connection.execute(sa.select(_POLICIES.c.windows).where(_POLICIES.c.bucket == bucket)).scalar()
        return _windows(found)

    def set_policy(self, bucket: str, windows: Sequence[RateWindow]) -> None:
        """Store the policy of a bucket."""
        self._put(_POLICIES, bucket, windows=" ".join(f"{window.limit}/{window.seconds}" for window in windows))

    def close(self, bucket: str, until: float) -> None:
        """Close a bucket until an instant."""
        self._put(_GATES, bucket, closed_until=until)

    def refusals(self, bucket: str) -> int:
        """How many refusals are recorded."""
        number = sa.select(sa.func.count()).select_from(_REFUSALS).where(_REFUSALS.c.bucket == bucket)
        return self._connection.execute(number).scalar_one()

    def add_refusal(self, bucket: str, at: float) -> None:
        """Record that the API refused a request."""
        self._connection.execute(sa.insert(_REFUSALS).values(bucket=bucket, refused_at=at))

    def prune(self, buckets: Collection[str], now: float, *, sends: float, refusals: float, gates: float) -> None:
        """Remove records that are no longer counted, and those that a clock set back has left in the future.

        Args:
            buckets: whose requests are removed.
            now: later than any request and refusal.
            sends: seconds that requests are kept.
            refusals: seconds that refusals are kept.
            gates: seconds that a bucket may be closed from now on.
        """
        sent, refused = _SENDS.c.sent_at, _REFUSALS.c.refused_at
        is_over = sa.or_(sent < now - sends, sent > now)
        self._connection.execute(_SENDS.delete().where(_SENDS.c.bucket.in_(buckets), is_over))
        self._connection.execute(_REFUSALS.delete().where(sa.or_(refused < now - refusals, refused > now)))
        self._connection.execute(_GATES.delete().where(_GATES.c.closed_until > now + gates))

    def _put(self, table: sa.Table, bucket: str, **values: object) -> None:
        self._connection.execute(table.delete().where(table.c.bucket == bucket))
        self._connection.execute(sa.insert(table).values(bucket=bucket, **values))


_NOW = sa.bindparam("now", type_=sa.Float)
_Places = tuple[tuple[Any, ...], ...]
"""A bucket and its windows, for each of some buckets."""


def _seconds_until_room(places: _Places) -> list[sa.ColumnElement[float]]:
    found: list[sa.ColumnElement[float]] = []
    for bucket, *rates in places:
        closed_until = sa.select(_GATES.c.closed_until).where(_GATES.c.bucket == bucket).scalar_subquery()
        found.append(sa.func.coalesce(closed_until - _NOW, 0.0, type_=sa.Float))
        newest_first = sa.select(_SENDS.c.sent_at).where(_SENDS.c.bucket == bucket).order_by(_SENDS.c.sent_at.desc())
        for rate in rates:
            sent_at = newest_first.limit(1).offset(rate.limit - 1).scalar_subquery()
            found.append(sa.func.coalesce(sent_at + rate.seconds - _NOW, 0.0, type_=sa.Float))
    return found


@lru_cache(maxsize=64)
def _waits(places: _Places) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*(one.label(f"n{number}") for number, one in enumerate(_seconds_until_room(places))))


@lru_cache(maxsize=64)
def _reserve(places: _Places) -> sa.Insert:
    buckets = sa.union_all(*(sa.select(sa.literal(bucket).label("bucket")) for bucket, *_ in places)).subquery()
    rows = sa.select(buckets.c.bucket, _NOW).where(*(seconds <= 0 for seconds in _seconds_until_room(places)))
    return sa.insert(_SENDS).from_select(["bucket", "sent_at"], rows)
