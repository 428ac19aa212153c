"""Builds one typed Arrow table from the rows of one table, page by page, and a pandas frame from that.

Each page becomes a record batch as it arrives, so raw JSON is held for one page at a time. Whole columns are converted
by Arrow where every value has the plain form; the others go through `planday_io.frames.values` one by one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue.model import ChildArray, ChildMembers, Column, ColumnType, ScalarList, Table
from planday_io.catalogue.naming import camel_case
from planday_io.errors import UnexpectedShapeError
from planday_io.frames.bulk import Rows, RowShape
from planday_io.frames.members import PathParam, Row, member_values, nested_members, row_name, strangers
from planday_io.frames.privacy import PrivacyFilter
from planday_io.frames.schema_drift import ROW, SchemaDrift, named
from planday_io.frames.stamps import STAMPS, cast_stamps
from planday_io.frames.type_mismatch import OutOfRange, TypeMismatch, json_type, to_json
from planday_io.frames.types import MONTH, arrow_schema, arrow_type, head_of, replaced
from planday_io.frames.values import convert
from planday_io.frames.zones import meaning

if TYPE_CHECKING:
    import pandas as pd

_INTEGERS = {int, type(None)}
_STRICT = ("documented", "observed")
Extras = defaultdict[int, Row]
"""Members for `_extra`, by row number; only rows that have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameContext:
    """Values that all rows of one read share.

    Args:
        portal: config key.
        portal_id: Planday's id.
        zone: of the portal; rows with a `timeZone` of their own use that instead.
        fetched_at: UTC instant of the read.
        privacy: what is kept, hashed or dropped.
        month: of the slice (`YYYY-MM`), for tables that have one per month.
    """

    portal: str
    portal_id: int
    zone: ZoneInfo
    fetched_at: datetime
    privacy: PrivacyFilter
    month: str | None = None

    @property
    def today(self) -> date:
        """The portal's day at the time of the read."""
        return self.fetched_at.astimezone(self.zone).date()


class FrameBuilder:
    """Collects the rows of one table. The rows of `children` are inside them, so those members are known."""

    def __init__(self, table: Table, context: FrameContext, children: Sequence[Table] = ()) -> None:
        self.table = table
        self.schema = arrow_schema(table, context.privacy.policies)
        self.drift = SchemaDrift()
        self._place = 0
        self._context = context
        self._known = {column.member.partition(".")[0] for column in table.columns}
        self._nested = nested_members(table.columns)
        self._child_patterns = [re.compile(c.rows.pattern) for c in children if isinstance(c.rows, ChildMembers)]
        self._known.update(c.rows.member for c in children if isinstance(c.rows, ChildArray))
        # Rows may repeat ids of their request.
        self._known.update(camel_case(column.path_param) for column in table.columns if column.path_param)
        self._has_zone = any(column.member == "timeZone" for column in table.columns)
        self._watched = [
            (place, column, context.privacy.policy(column.privacy) == "keep" and bool(column.values))
            for place, column in enumerate(table.columns)
            if not (column.is_provided or column.path_param) and context.privacy.policy(column.privacy) != "drop"
        ]
        self.drift.watched = {column.member for _, column, _ in self._watched}
        hashed = any(context.privacy.policy(column.privacy) == "hash" for column in table.columns)
        needs_key = hashed or context.privacy.policies.policy("unknown") == "hash"
        self._hash: Callable[[str], str] | None = context.privacy.hasher() if needs_key else None
        self.shape = None if children or table.ordinal else self._row_shape()

    def batch(
        self, rows: Sequence[object], path_params: Mapping[str, PathParam] | None = None, place: int = 0
    ) -> pa.RecordBatch:
        """Convert some rows (JSON objects, with the `@names` of the row source) to a typed batch.

        `place` is that of the first row in its list, for messages.

        Raises:
            UnexpectedShapeError: a documented member, or a row, has the wrong type.
        """
        self._place, path_params = place, path_params or {}
        if isinstance(rows, Rows):
            if rows and (plain := self._plain_columns(rows, path_params)) is not None:
                return self._with_standard(plain, pa.nulls(len(rows), pa.string()))
            rows = list(rows)
        try:
            objects, extras = self._objects(rows, path_params)
            self._collect_unknown(objects, extras)
            columns = [self._column(column, objects, extras, path_params) for column in self.table.columns]
            texts = [to_json(extras[n]) if n in extras else None for n in range(len(objects))]
        except TypeMismatch as mismatch:
            # Other mismatches are reported with row and member. A mismatch that arrives here is a value nested too
            # deeply for JSON.
            raise self._unexpected(f"a row holds an {mismatch.met}") from None
        return self._with_standard(columns, pa.array(texts, pa.string()))

    def _with_standard(self, own: Sequence[pa.Array], extra: pa.Array) -> pa.RecordBatch:
        """A table's own columns between those that every table has."""
        context, count = self._context, len(extra)
        self._count(own, count)
        constants = [context.portal, context.portal_id, *([context.month] if self.table.is_monthly else [])]
        head = [
            pa.repeat(pa.scalar(value, kind), count)
            for value, (_, kind, _) in zip(constants, head_of(self.table), strict=True)
        ]
        known = [_without_empty(column, values) for column, values in zip(self.table.columns, own, strict=True)]
        fetched_at = pa.repeat(pa.scalar(context.fetched_at, self.schema.field("_fetched_at").type), count)
        return pa.RecordBatch.from_arrays([*head, *known, extra, fetched_at], schema=self.schema)

    def _count(self, own: Sequence[pa.Array], count: int) -> None:
        """Count which members came, and values that are new in enumerations."""
        self.drift.rows += count
        for place, column, has_values in self._watched:
            values = own[place]
            self.drift.present[column.member] += count - values.null_count
            if has_values:
                counts = pc.value_counts(values)
                self.drift.see_values(
                    column, zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)
                )

    def _row_shape(self) -> RowShape | None:
        """The shape of plain rows, or None if a column takes more than plain values."""
        members: dict[str, ColumnType | None] = {}
        for column in self.table.columns:
            if column.path_param is not None or column.member == "@zone":
                continue
            policy = self._context.privacy.policy(column.privacy)
            is_inside = "." in column.member
            if policy == "drop":
                # An object may have unknown members, so it is checked even if nothing of it is kept.
                members |= {} if is_inside else {column.member: None}
            elif policy != "keep" or is_inside or column.member.startswith("@") or not RowShape.takes(column.type):
                return None
            else:
                members[column.member] = column.type
        return RowShape({member: kind for member, kind in members.items() if member not in self._nested})

    def _plain_columns(self, rows: Rows, path_params: Mapping[str, PathParam]) -> list[pa.Array] | None:
        found = rows.columns()
        if found is None:
            return None
        nothing: Extras = defaultdict(dict)
        return [
            found[column.member] if column.member in found else self._column(column, rows, nothing, path_params)
            for column in self.table.columns
        ]

    def finish(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        """All batches as one table, with ordinals counted and keys checked for nulls.

        Raises:
            UnexpectedShapeError: rows of a documented table lack a key column, and no ordinal tells them apart.
        """
        table = pa.Table.from_batches(batches, schema=self.schema)
        if self.table.ordinal:
            return _with_ordinals(table, self.table, self.table.ordinal)
        for name in self.table.key:
            if name == MONTH[0]:
                continue
            missing = table.column(name).null_count
            if missing and self.table.confidence_of(self.table.column(name)) in _STRICT:
                self.drift.see("gone_member", self.table.column(name).member, is_fatal=True)
                raise self._unexpected(f"{missing} rows lack {self.table.column(name).member}, which identifies them")
        return table

    def repaired(
        self, clean: object, paths: Sequence[str], path_params: Mapping[str, PathParam], number: int, place: int
    ) -> object:
        """Record which members of a row had damaged text that was repaired."""
        for path in sorted(set(paths)):
            name = "a row that is not an object"
            if isinstance(clean, dict):
                name = row_name(self.table, clean, number, path_params, place)
            self.drift.add("damaged", named(path) if path else "a row", name)
        return clean

    def _objects(self, rows: Sequence[object], path_params: Mapping[str, PathParam]) -> tuple[list[Row], Extras]:
        """The rows as objects, and `_extra` for rows that are not objects."""
        objects: list[Row] = []
        extras: Extras = defaultdict(dict)
        for number, row in enumerate(rows):
            has_members = isinstance(row, dict) and any(not member.startswith("@") for member in row)
            if isinstance(row, dict) and (has_members or self.table.confidence not in _STRICT):
                objects.append(row)
                continue
            what = "an object without members" if isinstance(row, dict) else f"a {json_type(row)}"
            is_strict = self.table.confidence in _STRICT
            self.drift.see("retyped", ROW, found=json_type(row), expected="object", is_fatal=is_strict)
            if is_strict:
                raise self._unexpected(
                    f"{self._name_of({}, number, path_params)} is {what} where an object with members is documented"
                )
            self.drift.add("mismatched", f"rows are {json_type(row)} instead of object", self._name_of({}, number, {}))
            objects.append({})
            extras[number]["@row"] = self._guarded(row, "unknown")
        return objects, extras

    def _name_of(self, row: Row, number: int, path_params: Mapping[str, PathParam]) -> str:
        return row_name(self.table, row, number, path_params, self._place)

    def _unexpected(self, what: str) -> UnexpectedShapeError:
        return UnexpectedShapeError(
            f"{self.table.full_name}: {what}. Nothing was written; if the API changed, update the catalogue"
        )

    def _collect_unknown(self, objects: Sequence[Row], extras: Extras) -> None:
        # Check all members of a page at once, because most pages have no unknown ones.
        members: set[str] = set().union(*objects)
        unknown = {
            member
            for member in members - self._known
            if not member.startswith("@") and not any(p.match(member) for p in self._child_patterns)
        }
        nested = {member: known for member, known in self._nested.items() if member in members}
        if not unknown and not nested:
            return
        for number, row in enumerate(objects):
            for member in row.keys() & unknown:
                self._put_extra(extras[number], member, row[member])
            for member, known in nested.items():
                for path, value in strangers(row.get(member), member, known):
                    self._put_extra(extras[number], path, value)

    def _put_extra(self, extra: Row, path: str, value: object) -> None:
        self.drift.unknown[path] += 1
        extra[path] = self._guarded(value, "unknown")

    def _guarded(self, value: object, *classes: str) -> object:
        """A value for `_extra`, under the strictest policy of all classes."""
        policy = self._context.privacy.policy(*classes)
        if policy == "drop" or value is None:
            return None
        return self._hashed(to_json(value)) if policy == "hash" else value

    def _hashed(self, text: str) -> str:
        if self._hash is None:
            self._hash = self._context.privacy.hasher()
        return self._hash(text)

    def _column(
        self, column: Column, objects: Sequence[Row], extras: Extras, path_params: Mapping[str, PathParam]
    ) -> pa.Array:
        target = self.schema.field(column.name).type
        if column.path_param is not None:
            return pa.repeat(pa.scalar(path_params[column.path_param], target), len(objects))
        if column.member == "@zone":
            return pa.repeat(pa.scalar(self._context.zone.key, target), len(objects))
        policy = self._context.privacy.policy(column.privacy)
        if policy == "drop":
            return pa.nulls(len(objects), target)
        values = member_values(column, objects)
        if policy == "keep" and (fast := _whole(values, column)) is not None:
            return fast
        typed: list[Any] = []
        for number, (row, value) in enumerate(zip(objects, values, strict=True)):
            try:
                typed.append(None if value is None else convert(value, column.type, self._zone(row)))
            except TypeMismatch as mismatch:
                self._mismatched(column, mismatch, extras[number], value, self._name_of(row, number, path_params))
                typed.append(None)
        if policy == "hash":
            texts = (None if value is None else _canonical(value) for value in typed)
            return pa.array([None if text is None else self._hashed(text) for text in texts], pa.string())
        return pa.array(typed, target)

    def _mismatched(self, column: Column, mismatch: TypeMismatch, extra: Row, value: object, row: str) -> None:
        declared = mismatch.declared or (column.type if isinstance(column.type, str) else "array")
        what = f"{column.member}{mismatch.path} is {mismatch.met} instead of {declared}"
        is_unheld = isinstance(mismatch, OutOfRange)
        is_fatal = self.table.confidence_of(column) in _STRICT and not is_unheld
        if not is_unheld:
            path = f"{column.member}{mismatch.path}"
            self.drift.see("retyped", path, found=mismatch.met, expected=declared, is_fatal=is_fatal)
        self.drift.present[column.member] += column.member in self.drift.watched
        if is_fatal:
            raise self._unexpected(f"{what} in {row}") from None
        self.drift.add("unheld" if is_unheld else "mismatched", what, row)
        extra[column.member] = self._guarded(value, "unknown", column.privacy)

    def _zone(self, row: Row) -> tzinfo:
        name = row.get("timeZone") if self._has_zone else None
        if not isinstance(name, str):
            return self._context.zone
        zone = meaning(name, ((self._context.zone.key, "the portal's"),)).zone
        return zone.rules if zone else self._context.zone


def to_frame(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a pandas frame of Arrow-backed dtypes, without copying."""
    import pandas as pd  # importing pandas takes half a second, and most reads do not need it

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def distinct_keys(table: pa.Table, key: Sequence[str]) -> int:
    """The number of distinct keys; a row with a null in its key counts as distinct."""
    if len(key) == 1 and pa.types.is_integer(table.column(key[0]).type):
        # Sorting avoids a query engine (20 MiB) and a hash table (30 MiB at half a million rows).
        column = table.column(key[0])
        ids = np.sort(column.drop_null().to_numpy())
        return int(column.null_count) + min(int(ids.size), 1) + int(np.count_nonzero(ids[1:] != ids[:-1]))
    complete = table.select(key).drop_null()
    with_null: int = table.num_rows - complete.num_rows
    distinct: int = complete.group_by(list(key)).aggregate([]).num_rows
    return with_null + distinct


def _without_empty(column: Column, values: pa.Array) -> pa.Array:
    """A column with null instead of empty lists, where those mean that nothing is known."""
    if not column.empty_is_unknown:
        return values
    return pc.if_else(pc.equal(pc.list_value_length(values), 0), pa.scalar(None, values.type), values)


def _whole(values: list[Any], column: Column) -> pa.Array | None:
    """The column converted at once, or None if a value does not have the plain form."""
    kind = column.type
    try:
        if kind == "BIGINT" or kind == ScalarList(of="BIGINT"):
            # Arrow silently truncates 1.5 to 1, so the types are checked first.
            items = values if kind == "BIGINT" else [item for value in values if value is not None for item in value]
            return pa.array(values, arrow_type(kind)) if _INTEGERS.issuperset(map(type, items)) else None
        if kind in ("VARCHAR", "BOOLEAN") or kind == ScalarList(of="VARCHAR"):
            return pa.array(values, arrow_type(kind))
        if kind in STAMPS:
            return cast_stamps(pa.array(values, pa.string()), kind, arrow_type(kind))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, AttributeError):
        return None
    return None


def _canonical(value: object) -> str:
    """The text to hash: a text itself, or the JSON or ISO form of any other value."""
    if isinstance(value, str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else to_json(value)


def _with_ordinals(table: pa.Table, declaration: Table, ordinal: str) -> pa.Table:
    """Sort rows by their content and number those with otherwise equal keys from 0."""
    others = ["portal", *(name for name in declaration.key if name != ordinal)]
    rest = [name for name in table.schema.names if name not in (*others, ordinal, "_fetched_at")]
    rows = zip(*(table.column(name).to_pylist() for name in (*others, *rest)), strict=True)
    ranks = [tuple((value is not None, str(value)) for value in row) for row in rows]
    table = table.take(pa.array(sorted(range(len(ranks)), key=ranks.__getitem__), pa.int64()))
    counted = to_frame(table.select(others)).groupby(others, dropna=False, sort=False).cumcount()
    return replaced(table, ordinal, pa.array(counted.to_numpy(), pa.int64()))
