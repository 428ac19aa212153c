"""The request budget: what was sent, and what each bucket allows, shared by all processes of an installation.

It has a database of its own, because a request may not wait for a disk: its content matters for an hour at most, while the
state database has to survive a power cut (docs/decisions.md#requests-and-retries).

Not here: what fits into a bucket (`planday_io.client.budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Index,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.types import TypeDecorator

from planday_io.state.database import Database
from planday_io.state.locks import Locks
from planday_io.state.mapping import Stored
from planday_io.state.rows import BucketUse, RateWindow

T = TypeVar("T")


_EPOCH = Stored(float | None)
"""Seconds since the epoch."""


class _Windows(TypeDecorator[tuple[RateWindow, ...]]):
    """A policy, such as `20/1.0 750/60.0`. Anything else is none, so that the first guess applies again."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[RateWindow] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return " ".join(f"{window.limit}/{window.seconds}" for window in value or ())

    def process_result_value(self, value: object, dialect: Dialect) -> tuple[RateWindow, ...]:  # noqa: ARG002
        pairs = [part.partition("/") for part in str(value).split()]
        try:
            return tuple(RateWindow(int(limit), float(seconds)) for limit, _, seconds in pairs)
        except ValueError:
            return ()


_METADATA = MetaData()
"""As version 0.1 made them: a process of that version may use the file at the same time, during an upgrade."""
_SENDS = Table(
    "send",
    _METADATA,
    Column("bucket", Stored(str), nullable=False),
    Column("sent_at", _EPOCH, nullable=False),
    Index("send_by_time", "bucket", "sent_at"),
)
_POLICIES = Table(
    "policy", _METADATA, Column("bucket", Stored(str), primary_key=True), Column("windows", _Windows, nullable=False)
)
_GATES = Table(
    "gate", _METADATA, Column("bucket", Stored(str), primary_key=True), Column("closed_until", _EPOCH, nullable=False)
)
_REFUSALS = Table(
    "refusal", _METADATA, Column("bucket", Stored(str), nullable=False), Column("refused_at", _EPOCH, nullable=False)
)


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

    def transaction(self, work: Callable[[Bookings], T]) -> T:
        """Run a function while no other process reads or writes the budget; after damage, once more. Raises StorageError."""
        return self._database.write(lambda connection: work(Bookings(connection)))

    def reserve(self, windows: Mapping[str, Sequence[RateWindow]], now: float) -> bool:
        """Record a request in each bucket, if all are open and all of their windows have room. Raises StorageError.

        One statement, compiled once and given to the driver: it is on the path of every request, and other processes wait
        while it runs.
        """
        places = tuple((bucket, *rates) for bucket, rates in windows.items())

        def work(connection: Connection) -> bool:
            text, values = _reserve(places, connection.dialect)
            values = tuple(now if value is _NOW else value for value in values)
            return connection.exec_driver_sql(text, values).rowcount > 0

        return self._database.write_once(work)

    def waits(self, windows: Mapping[str, Sequence[RateWindow]], now: float) -> dict[str, list[float]]:
        """Seconds until buckets are open, and until each of their windows has room; negative where it has.

        Raises:
            StorageError: the budget cannot be read.
        """
        statement = _waits(tuple((bucket, *rates) for bucket, rates in windows.items()))
        found = iter(self._database.read(lambda connection: connection.execute(statement, {"now": now}).one()))
        return {bucket: [next(found) for _ in (None, *rates)] for bucket, rates in windows.items()}

    def use(self, since: float) -> list[BucketUse]:
        """What is known of each bucket, with what was sent after an instant. Raises StorageError."""

        def work(connection: Connection) -> list[BucketUse]:
            number = func.count().label("number")
            count = select(_SENDS.c.bucket, number).where(_SENDS.c.sent_at > since).group_by(_SENDS.c.bucket)
            sent = {row.bucket: row.number for row in connection.execute(count)}
            closed = {row.bucket: row.closed_until for row in connection.execute(select(_GATES))}
            policies = {row.bucket: row.windows for row in connection.execute(select(_POLICIES))}
            return [
                BucketUse(bucket, sent.get(bucket, 0), policies.get(bucket, ()), closed.get(bucket))
                for bucket in sorted({*sent, *closed, *policies})
            ]

        return self._database.read(work)


class Bookings:
    """The request budget inside one transaction.

    Args:
        connection: of the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, buckets: Collection[str], at: float, count: int = 1) -> None:
        """Record requests in each of some buckets."""
        rows = [{"bucket": bucket, "sent_at": at} for bucket in buckets]
        self._connection.execute(_ADD, rows * count)

    def move(self, buckets: Collection[str], at: float, to: float) -> None:
        """Move requests from one instant to another."""
        where = (_SENDS.c.bucket.in_(buckets), _SENDS.c.sent_at == at)
        self._connection.execute(update(_SENDS).where(*where).values(sent_at=to))

    def count(self, bucket: str, since: float) -> int:
        """How many requests were recorded after an instant."""
        where = (_SENDS.c.bucket == bucket, _SENDS.c.sent_at > since)
        return self._connection.execute(select(func.count()).select_from(_SENDS).where(*where)).scalar_one()

    def closed_until(self, bucket: str) -> float | None:
        """Until when a bucket is closed, or was."""
        return self._connection.execute(select(_GATES.c.closed_until).where(_GATES.c.bucket == bucket)).scalar()

    def rules(self, buckets: Collection[str]) -> dict[str, tuple[tuple[RateWindow, ...], int]]:
        """The stored policy of each of some buckets, or nothing, and how many refusals are recorded."""
        policies = {row.bucket: row.windows for row in self._connection.execute(_POLICIES_OF, {"buckets": [*buckets]})}
        refusals = {row.bucket: row.number for row in self._connection.execute(_REFUSALS_OF, {"buckets": [*buckets]})}
        return {bucket: (policies.get(bucket, ()), refusals.get(bucket, 0)) for bucket in buckets}

    def set_policy(self, bucket: str, windows: Sequence[RateWindow]) -> None:
        """Store the policy of a bucket."""
        self._put(_POLICIES, bucket, windows=windows)

    def close(self, bucket: str, until: float) -> None:
        """Close a bucket until an instant."""
        self._put(_GATES, bucket, closed_until=until)

    def add_refusal(self, bucket: str, at: float) -> None:
        """Record that the API refused a request."""
        self._connection.execute(insert(_REFUSALS).values(bucket=bucket, refused_at=at))

    def prune(self, buckets: Collection[str], now: float, *, sends: float, refusals: float, gates: float) -> None:
        """Remove what nobody counts, and what a clock that was set back has left in the future.

        Args:
            buckets: whose requests are removed.
            now: later than any request and refusal.
            sends: seconds that requests are kept.
            refusals: seconds that refusals are kept.
            gates: seconds that a bucket may be closed from now on.
        """
        self._connection.execute(_PRUNE_SENDS, {"buckets": [*buckets], "since": now - sends, "until": now})
        self._connection.execute(_PRUNE_REFUSALS, {"since": now - refusals, "until": now})
        self._connection.execute(_PRUNE_GATES, {"until": now + gates})

    def _put(self, table: Table, bucket: str, **values: object) -> None:
        self._connection.execute(delete(table).where(table.c.bucket == bucket))
        self._connection.execute(insert(table).values(bucket=bucket, **values))


_BUCKETS: BindParameter[Any] = bindparam("buckets", expanding=True)
_SINCE, _UNTIL = bindparam("since", type_=Float), bindparam("until", type_=Float)
_ADD = insert(_SENDS)
_POLICIES_OF = select(_POLICIES).where(_POLICIES.c.bucket.in_(_BUCKETS))
_REFUSALS_OF = (
    select(_REFUSALS.c.bucket, func.count().label("number"))
    .where(_REFUSALS.c.bucket.in_(_BUCKETS))
    .group_by(_REFUSALS.c.bucket)
)
_PRUNE_SENDS = delete(_SENDS).where(
    _SENDS.c.bucket.in_(_BUCKETS), or_(_SENDS.c.sent_at < _SINCE, _SENDS.c.sent_at > _UNTIL)
)
_PRUNE_REFUSALS = delete(_REFUSALS).where(or_(_REFUSALS.c.refused_at < _SINCE, _REFUSALS.c.refused_at > _UNTIL))
_PRUNE_GATES = delete(_GATES).where(_GATES.c.closed_until > _UNTIL)
"""Built once: building a statement costs more than running it."""


_NOW = bindparam("now", type_=Float)
_Places = tuple[tuple[Any, ...], ...]
"""A bucket and its windows, for each of some buckets."""


def _seconds_until_room(places: _Places) -> list[ColumnElement[float]]:
    found: list[ColumnElement[float]] = []
    for bucket, *rates in places:
        closed_until = select(_GATES.c.closed_until).where(_GATES.c.bucket == bucket).scalar_subquery()
        found.append(func.coalesce(closed_until - _NOW, 0.0, type_=_EPOCH))
        newest_first = select(_SENDS.c.sent_at).where(_SENDS.c.bucket == bucket).order_by(_SENDS.c.sent_at.desc())
        for rate in rates:
            sent_at = newest_first.limit(1).offset(rate.limit - 1).scalar_subquery()
            found.append(func.coalesce(sent_at + rate.seconds - _NOW, 0.0, type_=_EPOCH))
    return found


@lru_cache(maxsize=64)
def _waits(places: _Places) -> Select[*tuple[Any, ...]]:
    return select(*(one.label(f"n{number}") for number, one in enumerate(_seconds_until_room(places))))


@lru_cache(maxsize=64)
def _reserve(places: _Places, dialect: Dialect) -> tuple[str, tuple[object, ...]]:
    """The statement as the driver takes it, and its values, with `_NOW` where the time goes."""
    buckets = union_all(*(select(literal(bucket).label("bucket")) for bucket, *_ in places)).subquery()
    rows = select(buckets.c.bucket, _NOW).where(*(seconds <= 0 for seconds in _seconds_until_room(places)))
    compiled = insert(_SENDS).from_select(["bucket", "sent_at"], rows).compile(dialect=dialect)
    values = {**compiled.params, _NOW.key: _NOW}
    return compiled.string, tuple(values[name] for name in compiled.positiontup or ())
