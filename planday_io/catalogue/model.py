"""The types that declare a table; a contradictory value is refused at construction.

The tables themselves are in the modules of the domains; requests are declared with `endpoint`.

Source: docs/api-facts.md, which also says what the grades of confidence mean; the machine form is
`planday_io/sandbox/openapi.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from planday_io.catalogue.naming import camel_case

PrivacyClass = Literal["none", "identity", "contact", "sensitive", "pay", "free_text"]
"""The privacy class of a column; the configuration's `privacy` says what happens to each class."""

Confidence = Literal["documented", "observed", "inferred", "unknown"]
"""How well a shape is known. A type mismatch fails the read for the first two, and goes to `_extra` for the others."""

ScalarType = Literal["BIGINT", "VARCHAR", "TEXT", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DECIMAL", "JSON"]
"""DuckDB's names. DECIMAL is DECIMAL(18,4). TEXT is a VARCHAR column that takes any value, written as text (custom field
values, durations of unknown format); VARCHAR takes strings only."""

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
PATH_PARAM = re.compile(r"\{([a-z_]+)\}")
RESERVED = frozenset({"portal", "portal_id", "month", "_extra", "_fetched_at"})
"""Columns that every table has and no declaration names; `month` only those with a slice per month."""


class ContradictionError(ValueError):
    """A catalogue entry contradicts itself. Raised when the catalogue is imported, never during a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructList:
    """An array of objects that has no table of its own: a LIST of STRUCT."""

    fields: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.fields:
            raise ContradictionError("a LIST of STRUCT needs fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarList:
    """An array of scalars: a LIST."""

    of: ScalarType


ColumnType = ScalarType | ScalarList | StructList


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: snake_case, Planday's own name.
        type: a scalar type, `ScalarList` or `StructList`.
        doc: one sentence; units and zones included.
        privacy: class of the values.
        member: dotted JSON path of the value in a row, by default the name in camelCase.
            `{path_param}` takes the value of that path parameter, for rows that do not repeat their parent's id.
            `@name` takes a value that the row source provides (`@parent`, the key of a map); `@zone` is the
            portal's time zone, for rows that do not say theirs.
        confidence: how well type and meaning are known; None inherits the table's.
        references: full name of the table whose ids these are, or empty.
        empty_is_unknown: an empty list means that the value is unknown, so it is NULL.
        values: of an enumeration, every value that Planday documents; empty where the set is open or not known. Other
            values are kept as they come, and counted as schema drift.
    """

    name: str
    type: ColumnType
    doc: str
    privacy: PrivacyClass = "none"
    member: str = ""
    confidence: Confidence | None = None
    references: str = ""
    empty_is_unknown: bool = False
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values and self.type != "VARCHAR":
            raise ContradictionError(f"column {self.name!r} is no text, so it has no enumeration")
        if self.empty_is_unknown and not isinstance(self.type, ScalarList):
            raise ContradictionError(f"column {self.name!r} is no list, so it cannot be empty")
        if not _NAME.match(self.name) or self.name in RESERVED:
            raise ContradictionError(f"column name {self.name!r} is not snake_case, or reserved")
        if not self.doc:
            raise ContradictionError(f"column {self.name!r} has no doc")
        if not self.member:
            object.__setattr__(self, "member", camel_case(self.name))

    @property
    def path_param(self) -> str | None:
        """The path parameter that fills this column, or None."""
        match = PATH_PARAM.fullmatch(self.member)
        return match.group(1) if match else None

    @property
    def is_provided(self) -> bool:
        """True when the row source provides the value, not the row."""
        return self.member.startswith("@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Rows are in a member of the answer: an array, one object, or the answer itself.

    Wrappers are read leniently: a bare array where `data` was expected, and the reverse, both work. An answer that says
    nothing (null, an empty object, an error with status 200) is not an empty list: only an empty array or a total of 0 is.

    Args:
        member: dotted path of the rows.
        form: the documented shape. `object_or_none`: one object; an empty answer means that there is none.
        envelope: `@name` -> dotted path of a value that is in the answer once and belongs to each row (a currency).
    """

    member: str = "data"
    form: Literal["list", "object", "object_or_none"] = "list"
    envelope: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMap:
    """Rows are the values of an object, its keys are `@key`.

    Args:
        member: dotted path of the object.
        flags: `@name` -> dotted path of an array of keys; true for the keys it lists.
        lookups: `@name` -> dotted path of an object with the same keys (or what `$ref` of the row names).
    """

    member: str
    flags: tuple[tuple[str, str], ...] = ()
    lookups: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildMembers:
    """Rows are the object-valued members of each parent row whose names match; the name is `@member`.

    `@parent` is the parent's id.
    """

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildArray:
    """Rows are the objects of an array member of each parent row. `@parent` is the parent's id.

    Their order is not reliable, so the table numbers them itself (`Table.ordinal`).
    """

    member: str


RowSource = Document | ObjectMap | ChildMembers | ChildArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A column with the id of an employee, and the employee's role. Forgetting a person uses it.

    Args:
        column: holds the employee's id.
        role: `owner`: the row is about the person alone (a record, a rate) and goes. `worker`: what happened with the person
            (a shift, a payment): the row stays for the sums, its id becomes a pseudonym and other personal data in it
            is removed. `actor`: somebody who changed another's row: the row and the id stay, `texts` are removed.
        texts: for an actor, the columns with text about the person.
    """

    column: str
    role: Literal["owner", "worker", "actor"]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: asset key, lake folder, DuckDB table and docs anchor are all `domain.name`.

    Args:
        key: the natural key within a portal; `portal` is always in front of it and not repeated here.
        rows: where its rows are in the answer. Children take `ChildArray` or `ChildMembers`, and their first key
            column is the parent's id (`@parent`).
        confidence: of the whole shape.
        on_request: read only if a schedule or a command names it.
        ordinal: the key column that numbers rows with otherwise equal keys, from 0. Rows are sorted by content first, so the
            number does not depend on the API's order.
        month_by: None for tables with one slice per portal. For those with a slice per month, the date columns that
            say which month a row belongs to (the first that is not null); with none, or where all are null, it is
            the month that was asked for.
        aged_by: the date columns that say how old a row is (the first that is not null); none means those of `month_by`.
            Rows without such a day are as old as the last day of their month, so payroll goes by whole months; without
            a month they are in force: a person's record, a rate, an absence without an end.
        people: the people its rows are about. Without any: nobody, or the people of its parent's rows.
        logs_changes: for tables with a slice per month: a history is kept. Snapshots always have one.
        published_as: the DuckDB table's name, `schema.name`, where it is another one.
    """

    domain: str
    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: RowSource = field(default_factory=Document)
    confidence: Confidence = "documented"
    on_request: bool = False
    ordinal: str | None = None
    month_by: tuple[str, ...] | None = None
    aged_by: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()
    logs_changes: bool = False
    published_as: str = ""

    def __post_init__(self) -> None:
        where = f"table {self.full_name}"
        names = [column.name for column in self.columns]
        if not _NAME.match(self.domain) or not _NAME.match(self.name):
            raise ContradictionError(f"{where}: names are snake_case")
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ContradictionError(f"{where}: columns {sorted(repeated)} are declared twice")
        if not self.key:
            raise ContradictionError(f"{where}: it needs a key")
        known = {*names, "month"} if self.is_monthly else set(names)
        if missing := [name for name in (*self.key, *self.day_columns) if name not in known]:
            raise ContradictionError(f"{where}: key {missing} is not a column")
        if self.ordinal is not None and self.ordinal not in self.key:
            raise ContradictionError(f"{where}: ordinal {self.ordinal!r} is not in the key")
        provided = {"@ordinal", "@zone", *provided_names(self.rows)}
        if strange := [column.name for column in self.columns if column.is_provided and column.member not in provided]:
            raise ContradictionError(f"{where}: its rows do not provide {strange}")
        if not self.doc:
            raise ContradictionError(f"{where}: it has no doc")
        told = [name for person in self.people for name in (person.column, *person.texts)]
        if missing := [name for name in told if name not in names]:
            raise ContradictionError(f"{where}: {missing}, which describe people, are not columns")

    @property
    def full_name(self) -> str:
        """`domain.name`."""
        return f"{self.domain}.{self.name}"

    @property
    def published_name(self) -> str:
        """`schema.name` in the warehouse."""
        return self.published_as or self.full_name

    @property
    def is_monthly(self) -> bool:
        """True when the table has a slice per month."""
        return self.month_by is not None

    @property
    def day_columns(self) -> tuple[str, ...]:
        """The date columns that say how old a row is; the first that is not null counts."""
        return self.aged_by or self.month_by or ()

    @property
    def is_child(self) -> bool:
        """True if the rows are inside another table's rows."""
        return isinstance(self.rows, ChildMembers | ChildArray)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def confidence_of(self, column: Column) -> Confidence:
        """The column's own confidence, or the table's."""
        return column.confidence or self.confidence


def provided_names(rows: RowSource) -> tuple[str, ...]:
    """The `@names` a row source gives each of its rows."""
    match rows:
        case ObjectMap():
            return ("@key", *(name for name, _ in rows.flags), *(name for name, _ in rows.lookups))
        case ChildMembers():
            return ("@parent", "@member")
        case ChildArray():
            return ("@parent",)
        case Document():
            return tuple(name for name, _ in rows.envelope)
