"""Tables made from the frozen dataclasses of their rows, and what can be done with rows.

A member is a column; if it is a dataclass, each of its members is one. Numbers are stored as numbers and all else as
text: instants in UTC to the microsecond, so that they sort by time, None as the empty text, lists as JSON.

Not here: which tables there are (`schema`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_type_hints

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.types import TypeEngine

from planday_io.state.rows import SliceKey

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
V = TypeVar("V", bound="DataclassInstance")

_NUMBERS: dict[Any, type[TypeEngine[Any]]] = {int: sa.BigInteger, float: sa.Float}
_PLAIN = {str, str | None, datetime, datetime | None, *_NUMBERS}
"""Types that are not stored as JSON."""


class DamagedValueError(Exception):
    """A stored value that this program could not have written there."""


@contextmanager
def damage_raised() -> Iterator[None]:
    """Raises DamagedValueError for stored values that cannot be converted: SQLite gives back whatever is there."""
    try:
        yield
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        raise DamagedValueError("a row holds values that this program does not write") from None


def stored(value: object) -> str | float:
    """A member as it is stored. Raises ValueError for a time without a zone: nobody could tell which instant it is."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without a zone is not an instant")
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return msgspec.json.encode(value, order="sorted").decode()


def _members(kind: type[DataclassInstance]) -> Iterator[tuple[str, Any, bool]]:
    """The name of each column, its type, and whether it is part of the key."""
    hints = get_type_hints(kind)
    for member in fields(kind):
        hint: Any = hints[member.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _members(hint)
        else:
            yield member.name, hint, member.metadata.get("is_key", False)


def flat(value: DataclassInstance) -> dict[str, str | float]:
    """The columns of a value."""
    found: dict[str, str | float] = {}
    for member in fields(value):
        one = getattr(value, member.name)
        found |= flat(one) if is_dataclass(one) and not isinstance(one, type) else {member.name: stored(one)}
    return found


class Rows(Generic[T]):
    """A table whose rows are values of one class, or tuples of values. Conditions go by names of members.

    Args:
        name: of the table.
        metadata: that it belongs to.
        kinds: the classes.
    """

    def __init__(self, name: str, metadata: sa.MetaData, *kinds: type[DataclassInstance]) -> None:
        members = [member for kind in kinds for member in _members(kind)]
        columns = (
            sa.Column(one, _NUMBERS.get(hint, sa.Text), primary_key=is_key, nullable=False)
            for one, hint, is_key in members
        )
        self.name = name
        self.table = sa.Table(name, metadata, *columns)
        self.c = self.table.c
        self._many: list[Any] = [list[kind] for kind in kinds]  # type: ignore[valid-type]
        self._names = [one for one, *_ in members]
        self._hints = {one: hint for one, hint, _ in members}
        self._nested = [one.name for kind in kinds for one in fields(kind) if one.name not in self.c]
        self._optional = [one for one, hint, _ in members if type(None) in get_args(hint)]
        self._json = [one for one, hint, _ in members if hint not in _PLAIN]
        self._key = [*self.table.primary_key]
        self._select = sa.select(self.table).order_by(*self._key)
        new = insert(self.table)
        self._add = new.on_conflict_do_nothing()
        others = {column.name: new.excluded[column.name] for column in self.c if not column.primary_key}
        self._put = new.on_conflict_do_update(index_elements=self._key, set_=others)

    def all(self, connection: sa.Connection, /, *where: sa.ColumnElement[bool], **equal: object) -> list[T]:
        """All rows, or those that conditions hold for, in the order of their keys. Raises DamagedValueError."""
        statement = self._select.where(*where, *self._equal(equal))
        with damage_raised():
            return self._values(
                [dict(zip(self._names, row, strict=True)) for row in connection.execute(statement).all()]
            )

    def some(
        self, connection: sa.Connection, names: Sequence[str], /, *where: sa.ColumnElement[bool]
    ) -> list[tuple[Any, ...]]:
        """Some members of all rows, or of those that conditions hold for, in any order; texts that are None are empty.

        It takes a fifth of the time of `all`, for callers that ask for tens of thousands of rows. Raises DamagedValueError.
        """
        hints = tuple(str if hint == str | None else hint for hint in (self._hints[name] for name in names))
        kind: Any = list[tuple[hints]]  # type: ignore[valid-type]
        statement = sa.select(*(self.c[name] for name in names)).where(*where)
        with damage_raised():
            found: Any = msgspec.convert([*map(tuple, connection.execute(statement).all())], kind)
        return cast("list[tuple[Any, ...]]", found)

    def get(self, connection: sa.Connection, /, **key: object) -> T | None:
        """The row with a key, or None. Raises DamagedValueError."""
        return next(iter(self.all(connection, **key)), None)

    def has(self, connection: sa.Connection, /, *where: sa.ColumnElement[bool], **equal: object) -> bool:
        """Whether there is a row that conditions hold for."""
        statement = sa.select(*self._key).where(*where, *self._equal(equal)).limit(1)
        return connection.execute(statement).first() is not None

    def put(self, connection: sa.Connection, /, *values: T) -> None:
        """Store rows, each in place of the one with the same key."""
        if values:
            connection.execute(self._put, [self._columns(one) for one in values])

    def add(self, connection: sa.Connection, /, *values: T) -> None:
        """Store rows, except those whose key is there already."""
        if values:
            connection.execute(self._add, [self._columns(one) for one in values])

    def delete(self, connection: sa.Connection, /, *where: sa.ColumnElement[bool], **equal: object) -> int:
        """Remove all rows, or those that conditions hold for. Returns how many."""
        return connection.execute(sa.delete(self.table).where(*where, *self._equal(equal))).rowcount

    def _equal(self, values: Mapping[str, object]) -> Iterator[sa.ColumnElement[bool]]:
        return (self.c[name] == stored(value) for name, value in values.items())

    def _columns(self, value: T) -> dict[str, str | float]:
        parts: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
        return {name: one for part in parts for name, one in flat(part).items()}

    def _values(self, found: list[dict[str, Any]]) -> list[T]:
        """The values of rows, which are changed. One conversion of all rows takes a third of one per row."""
        for row in found:
            for name in self._optional:
                row[name] = None if row[name] == "" else row[name]
            for name in self._json:
                row[name] = msgspec.json.decode(row[name])
            # Each class takes its own members from the row.
            for name in self._nested:
                row[name] = row
        parts: list[Any] = [msgspec.convert(found, many) for many in self._many]
        values: Any = [*zip(*parts, strict=True)] if len(parts) > 1 else parts[0]
        return cast("list[T]", values)


class SliceRows(Rows[tuple[SliceKey, V]]):
    """A table with one value per slice."""

    def __init__(self, name: str, metadata: sa.MetaData, kind: type[V]) -> None:
        super().__init__(name, metadata, SliceKey, kind)

    def remove(self, connection: sa.Connection, /, keys: Iterable[SliceKey]) -> None:
        """Remove the values of slices."""
        is_slice = [column == sa.bindparam(f"of_{column.name}") for column in self._key]
        if found := [{f"of_{name}": value for name, value in flat(key).items()} for key in keys]:
            connection.execute(sa.delete(self.table).where(*is_slice), found)
