"""Tables made from the frozen dataclasses of their rows, and what can be done with rows.

Not here: which tables there are (`schema`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.types import TypeDecorator, TypeEngine

from planday_io.state.rows import Count, Instant, Share, SliceKey

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
V = TypeVar("V", bound="DataclassInstance")


class DamagedValueError(Exception):
    """A stored value is none that this program could have written there."""


def _checked(kind: type[T], is_valid: Callable[[T], bool] = lambda _: True) -> Callable[[object], T]:
    def check(value: object) -> T:
        if not isinstance(value, kind) or not is_valid(value):
            raise TypeError
        return value

    return check


def _instant(value: object) -> datetime | None:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if found is None or (isinstance(found, datetime) and found.tzinfo):
        return found and found.astimezone(UTC)
    raise TypeError


def _listed(kind: type[T]) -> Callable[[object], T]:
    decode = msgspec.json.Decoder(kind).decode
    return lambda value: decode(_TEXT(value))


_TEXT = _checked(str)
_STORED: dict[Any, tuple[type[TypeEngine[Any]], str, Callable[[object], Any]]] = {
    str: (Text, "a text", _TEXT),
    str | None: (Text, "a text", lambda value: _TEXT(value) or None),
    bool: (Boolean, "yes or no", _checked(bool)),
    int: (BigInteger, "a number", _checked(int)),
    float | None: (Float, "a number", lambda value: None if value is None else _checked(float)(value)),
    Count: (Integer, "a number of things", _checked(int, lambda value: value >= 0)),
    Share: (Float, "a share", _checked(float, lambda value: 0 <= value <= 1)),
    Instant: (Text, "an instant", lambda value: _instant(_TEXT(value) if value is None else value)),
    Instant | None: (Text, "an instant", _instant),
    **{kind: (Text, "a list", _listed(kind)) for kind in (tuple[str, ...], tuple[int, ...], frozenset[int])},
}
"""Annotation of a member -> the type of its column, what it is, and what checks it: SQLite gives back whatever is there."""


class Stored(TypeDecorator[Any]):
    """A member of a row.

    Instants are UTC, to the microsecond, so that SQLite's texts sort by time. Lists are JSON. No text is the empty one.

    Args:
        kind: the annotation.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Text
    cache_ok = True

    def __init__(self, kind: object) -> None:
        super().__init__()
        self.kind = kind
        implementation, self._what, self._decode = _STORED[kind]
        self.impl = implementation()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A type of its own for instants, where the database has one."""
        is_instant = self.kind in (Instant, Instant | None) and dialect.name != "sqlite"
        return DateTime(timezone=True) if is_instant else self.impl_instance

    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        """Raises ValueError for a time without a zone: nobody could tell which instant it is."""
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError("a time without a zone is no instant")
            utc = value.astimezone(UTC)
            return utc.isoformat(timespec="microseconds") if dialect.name == "sqlite" else utc
        if isinstance(value, (tuple, frozenset)):
            return json.dumps(sorted(value) if isinstance(value, frozenset) else value, ensure_ascii=False)
        return "" if value is None and self.kind == str | None else value

    def process_result_value(self, value: object, dialect: Dialect) -> object:  # noqa: ARG002
        """The value. Raises DamagedValueError."""
        try:
            return self._decode(value)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
            raise DamagedValueError(f"something else is stored where {self._what} should be") from None


_COLUMNS = {"table": "table_name"}
"""Members whose names are words of SQL."""


def _columns(kind: type[DataclassInstance]) -> Iterator[Column[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for member in fields(kind):
        hint = hints[member.name]
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _columns(hint)
        elif not member.metadata.get("is_elsewhere"):
            yield _column(member.name, hint, is_key=member.metadata.get("is_key", False))


def _column(name: str, hint: object, *, is_key: bool = False) -> Column[Any]:
    is_nullable = hint == Instant | None
    return Column(_COLUMNS.get(name, name), Stored(hint), primary_key=is_key, nullable=is_nullable, autoincrement=False)


def _flat(value: DataclassInstance) -> dict[str, object]:
    found: dict[str, object] = {}
    for member in fields(value):
        one = getattr(value, member.name)
        if is_dataclass(one) and not isinstance(one, type):
            found |= _flat(one)
        elif not member.metadata.get("is_elsewhere"):
            found[_COLUMNS.get(member.name, member.name)] = one
    return found


def _maker(kind: type[V]) -> Callable[[Iterator[Any]], V]:
    """Makes a value from those of its columns."""
    hints = get_type_hints(kind)
    members = [one.name for one in fields(kind) if not one.metadata.get("is_elsewhere")]
    parts = [(name, _maker(hints[name]) if is_dataclass(hints[name]) else next) for name in members]
    return lambda values: kind(**{name: take(values) for name, take in parts})


class Rows(Generic[T]):
    """A table whose rows are values of one class. Conditions go by names of members.

    Args:
        name: of the table.
        metadata: that it belongs to.
        columns: of the table.
        to_row: from a value to what the columns hold.
        to_value: the other way.
    """

    def __init__(
        self,
        name: str,
        metadata: MetaData,
        columns: Iterable[Column[Any]],
        to_row: Callable[[T], dict[str, object]],
        to_value: Callable[[Sequence[Any]], T],
    ) -> None:
        self.name = name
        self.table = Table(name, metadata, *columns)
        self.c = self.table.c
        self._to_row, self._to_value = to_row, to_value
        self._key = [*self.table.primary_key]
        new = insert(self.table)
        self._add = new.on_conflict_do_nothing()
        others = {column.name: new.excluded[column.name] for column in self.c if not column.primary_key}
        self._put = new.on_conflict_do_update(index_elements=self._key, set_=others)

    @staticmethod
    def of(name: str, metadata: MetaData, kind: type[V]) -> Rows[V]:
        """A table of values that know their key. Where a member is a dataclass, its members are columns."""
        make = _maker(kind)
        return Rows(name, metadata, _columns(kind), _flat, lambda row: make(iter(row)))

    def all(self, connection: Connection, /, *where: ColumnElement[bool], **equal: object) -> list[T]:
        """All rows, or those that conditions hold for, in the order of their keys."""
        statement = select(self.table).where(*where, *self._equal(equal)).order_by(*self._key)
        return [self._to_value(row) for row in connection.execute(statement)]

    def get(self, connection: Connection, /, **key: object) -> T | None:
        """The row with a key, or None."""
        return next(iter(self.all(connection, **key)), None)

    def has(self, connection: Connection, /, *where: ColumnElement[bool], **equal: object) -> bool:
        """Whether there is a row that conditions hold for."""
        statement = select(*self._key).where(*where, *self._equal(equal)).limit(1)
        return connection.execute(statement).first() is not None

    def put(self, connection: Connection, /, *values: T) -> None:
        """Store rows, each in place of the one with the same key."""
        if values:
            connection.execute(self._put, [self._to_row(one) for one in values])

    def add(self, connection: Connection, /, *values: T) -> None:
        """Store rows, except those whose key is there already."""
        if values:
            connection.execute(self._add, [self._to_row(one) for one in values])

    def delete(self, connection: Connection, /, *where: ColumnElement[bool], **equal: object) -> int:
        """Remove all rows, or those that conditions hold for. Returns how many."""
        return connection.execute(delete(self.table).where(*where, *self._equal(equal))).rowcount

    def _equal(self, values: Mapping[str, object]) -> Iterator[ColumnElement[bool]]:
        for name, value in values.items():
            column = self.c[_COLUMNS.get(name, name)]
            # With its type: without, None would be looked for as NULL.
            yield column == bindparam(None, value, type_=column.type, unique=True)


class SliceRows(Rows[tuple[SliceKey, V]]):
    """A table with a value for each of some slices."""

    def __init__(self, name: str, metadata: MetaData, kind: type[V]) -> None:
        make = _maker(kind)
        members = {"portal": str, "table": str, "month": str | None}
        key = [_column(one, hint, is_key=True) for one, hint in members.items()]
        super().__init__(
            name,
            metadata,
            [*key, *_columns(kind)],
            lambda item: of_slice(item[0]) | _flat(item[1]),
            lambda row: (SliceKey.of(row[1], row[0], row[2]), make(iter(row[3:]))),
        )

    def remove(self, connection: Connection, /, keys: Iterable[SliceKey]) -> None:
        """Remove the values of slices."""
        is_slice = [column == bindparam(f"of_{column.name}", type_=column.type) for column in self._key]
        if found := [{f"of_{name}": value for name, value in of_slice(key).items()} for key in keys]:
            connection.execute(delete(self.table).where(*is_slice), found)


def of_slice(key: SliceKey) -> dict[str, object]:
    """The columns that say which slice a row is about."""
    return {"portal": key.portal, "table_name": key.full_name, "month": key.month}
