"""What an endpoint is: values, refused at construction when they contradict themselves.

Belongs here: the vocabulary of the catalogue. Does not belong here: any table (see the modules beside this one)
and anything that reads, types or writes data (client, frames, lake: each is a function of these values).

Source: shared facts on the Planday API, summarised in `docs/tables.md`; the machine form is
`planday_io/sandbox/openapi.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from planday_io.naming import camel_case

Privacy = Literal["none", "identity", "contact", "sensitive", "pay", "free_text"]
"""Class of a column; what is done with each class is the configuration's `privacy`."""

Confidence = Literal["documented", "observed", "inferred", "unknown"]
"""How well the shape is known. A retyped member is fatal for the first two, soft for the others."""

ScalarType = Literal["BIGINT", "VARCHAR", "TEXT", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DECIMAL", "JSON"]
"""DuckDB's names. DECIMAL is DECIMAL(18,4). TEXT is a VARCHAR column that takes any scalar, written as text
(custom field values); VARCHAR takes strings only."""

Grid = Literal["portal"]
"""What one slice of a table covers: one portal."""

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_HOLE = re.compile(r"\{([a-z_]+)\}")
RESERVED = frozenset({"portal", "portal_id", "_extra", "_fetched_at"})
"""Columns that every table has and no declaration names."""


class ContradictionError(ValueError):
    """A catalogue entry contradicts itself. Raised while the catalogue is imported, never at night."""


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
        member: where the value stands in a row: dotted JSON path, by default the name in camelCase.
            `{hole}` takes the value of the path's hole, for rows that do not repeat their parent's id.
            `@name` takes a value that the row source itself provides (`ordinal`, the key of a map).
        confidence: how well type and meaning are known; None inherits the table's.
    """

    name: str
    type: ColumnType
    doc: str
    privacy: Privacy = "none"
    member: str = ""
    confidence: Confidence | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or self.name in RESERVED:
            raise ContradictionError(f"column name {self.name!r} is not snake_case, or reserved")
        if not self.doc:
            raise ContradictionError(f"column {self.name!r} has no doc")
        if not self.member:
            object.__setattr__(self, "member", camel_case(self.name))

    @property
    def hole(self) -> str | None:
        """The path hole this column is filled from, or None."""
        match = _HOLE.fullmatch(self.member)
        return match.group(1) if match else None

    @property
    def is_provided(self) -> bool:
        """True when the row source provides the value, not the row."""
        return self.member.startswith("@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Rows stand in a member of the answer: an array, one object, or the answer itself.

    The answer is taken leniently: a bare array where `data` was expected, and the reverse, are both read.
    """

    member: str = "data"


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
    """Rows are the object-valued members of each parent row whose names match; the name is `@member`."""

    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildArray:
    """Rows are the objects of an array member of each parent row; their position is `@ordinal`."""

    member: str


RowSource = Document | ObjectMap | ChildMembers | ChildArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: asset key, lake folder, DuckDB table and docs anchor are all `domain.name`.

    Args:
        key: the natural key within a portal; `portal` is always in front of it and not repeated here.
        rows: where its rows stand in the answer. Children take `ChildArray` or `ChildMembers`, and their first key
            column repeats the parent's key.
        confidence: of the whole shape.
        on_request: read only where a schedule or a command names it.
        ordinal: the key column that counts equal keys from 0 in the order received, or None.
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

    def __post_init__(self) -> None:
        where = f"table {self.full_name}"
        names = [column.name for column in self.columns]
        if not _NAME.match(self.domain) or not _NAME.match(self.name):
            raise ContradictionError(f"{where}: names are snake_case")
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ContradictionError(f"{where}: columns {sorted(repeated)} are declared twice")
        if not self.key:
            raise ContradictionError(f"{where}: it needs a key")
        if missing := [name for name in self.key if name not in names]:
            raise ContradictionError(f"{where}: key {missing} is no column")
        if self.ordinal is not None and self.ordinal not in self.key:
            raise ContradictionError(f"{where}: ordinal {self.ordinal!r} is not in the key")
        provided = {"@ordinal", *provided_names(self.rows)}
        if strange := [column.name for column in self.columns if column.is_provided and column.member not in provided]:
            raise ContradictionError(f"{where}: its rows do not provide {strange}")
        if not self.doc:
            raise ContradictionError(f"{where}: it has no doc")

    @property
    def full_name(self) -> str:
        """`domain.name`."""
        return f"{self.domain}.{self.name}"

    @property
    def is_child(self) -> bool:
        """True when the rows stand inside another table's rows."""
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
            return ("@member",)
        case _:
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Offset paging: `limit` rows at most are asked for, and stepping follows the rows received."""

    limit: int
    limit_param: str = "limit"
    offset_param: str = "offset"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ContradictionError("a page holds at least one row")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn:
    """Values of one query parameter that ask for sensitive members.

    Sent only for columns that the privacy policy does not drop, and only where the token has the scope.

    Args:
        param: the query parameter; several values are joined by commas (observed).
        values: value -> (scope, columns it fills).
    """

    param: str
    values: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """One read per row of another table.

    Args:
        parent: full name of the table whose rows are fanned out over.
        column: its column that fills the hole.
        hole: the hole in the path.
        gone: statuses that mean the parent vanished between the list and this call; counted, not fatal.
        changed_by: parent column that tells when a row was last modified; then only new and modified rows are
            read and the others are carried over from the previous slice. None reads all of them.
    """

    parent: str
    column: str
    hole: str
    gone: tuple[int, ...] = (400, 404)
    changed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Rows are only ever added: reads are merged by key into what is there, and nothing is taken away.

    Args:
        since_param: query parameter for the earliest row wanted, a date.
        overlap_days: how far before the last complete read the next one begins, because zones are unknown.
    """

    since_param: str
    overlap_days: int = 1

    def __post_init__(self) -> None:
        if self.overlap_days < 1:
            raise ContradictionError("a feed overlaps by a day at least: the zone of its stamps is unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One GET operation and the tables that its answers fill. Several tables share one request.

    Args:
        path: with `{holes}` that `fan_out` fills.
        scope: the scope a token needs, or None where none is documented.
        tables: the first is the parent of the others, where they are children.
        docs: anchor in the API documentation.
        pages: None reads one unpaged document.
        params: fixed query parameters.
        opt_in: sensitive members on request.
        none_statuses: statuses that mean "no rows", not an error.
    """

    path: str
    scope: str | None
    tables: tuple[Table, ...]
    docs: str
    pages: Pages | None = None
    params: tuple[tuple[str, str], ...] = ()
    opt_in: OptIn | None = None
    fan_out: FanOut | None = None
    feed: Feed | None = None
    none_statuses: tuple[int, ...] = ()
    grid: Grid = "portal"

    def __post_init__(self) -> None:
        where = f"endpoint {self.path}"
        if not self.path.startswith("/"):
            raise ContradictionError(f"{where}: a path starts with /")
        if not self.tables:
            raise ContradictionError(f"{where}: it fills no table")
        holes = set(_HOLE.findall(self.path))
        filled = {self.fan_out.hole} if self.fan_out else set()
        if holes != filled:
            raise ContradictionError(f"{where}: holes {sorted(holes)} but the fan-out fills {sorted(filled)}")
        for table in self.tables:
            for column in table.columns:
                if column.hole is not None and column.hole not in holes:
                    raise ContradictionError(f"{where}: {table.full_name}.{column.name} reads a hole the path has not")
        parent = self.tables[0]
        if parent.is_child:
            raise ContradictionError(f"{where}: its first table is a child without a parent")
        for child in (table for table in self.tables if table.is_child):
            link, target = child.columns[0], parent.columns[0]
            if link.name != child.key[0] or link.member != target.member or link.type != target.type:
                raise ContradictionError(f"{where}: {child.full_name} must begin with its parent's key")
        if self.feed and any(table.is_child for table in self.tables):
            raise ContradictionError(f"{where}: a feed has no child tables")
        if self.opt_in:
            names = {column.name for table in self.tables for column in table.columns}
            for value, _, columns in self.opt_in.values:
                if strange := set(columns) - names:
                    raise ContradictionError(f"{where}: {value} fills {sorted(strange)}, which are no columns")

    @property
    def name(self) -> str:
        """Full name of its first table, which names the endpoint in logs and commands."""
        return self.tables[0].full_name

    @property
    def is_snapshot(self) -> bool:
        """True when a complete read is the whole truth, so that rows missing from it are gone."""
        return self.feed is None
