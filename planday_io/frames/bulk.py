"""Decodes the rows of a page straight from JSON text to columns, checking the declared types on the way.

Works for pages without unknown members in which every value has the declared type in its plain form. All other pages are
converted row by row (`planday_io.frames.build`); a property test compares both. Arrow's own JSON reader is a little faster
and was rejected: it crashes on rows that do not have the declared shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

import msgspec
import pyarrow as pa

from planday_io.catalogue.model import ColumnType, ScalarList
from planday_io.documents import ANY_DECODER, to_number
from planday_io.frames.stamps import STAMPS, cast_stamps
from planday_io.frames.types import arrow_type

_PLAIN: dict[ColumnType, Any] = {
    "BIGINT": int | None,
    "VARCHAR": str | None,
    "BOOLEAN": bool | None,
    "DATE": str | None,
    "TIMESTAMP": str | None,
    "TIMESTAMPTZ": str | None,
    ScalarList(of="BIGINT"): list[int | None] | None,
    ScalarList(of="VARCHAR"): list[str | None] | None,
}

T = TypeVar("T")


class _Page(msgspec.Struct, Generic[T], forbid_unknown_fields=True):
    """A page of rows. An answer with other members, which may be an error, is decoded as a plain document."""

    data: list[T]
    paging: Any = None


class Rows(Sequence[Any]):
    """Rows whose members all have the declared types of a shape. Indexing gives a dict."""

    def __init__(self, rows: Sequence[msgspec.Struct], shape: RowShape) -> None:
        self._rows = rows
        self._shape = shape

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, place: slice) -> Rows: ...

    def __getitem__(self, place: int | slice) -> dict[str, Any] | Rows:
        return Rows(self._rows[place], self._shape) if isinstance(place, slice) else self._dict(self._rows[place])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._dict, self._rows)

    def _dict(self, row: msgspec.Struct) -> dict[str, Any]:
        return dict(zip(self._shape.members, msgspec.structs.astuple(row), strict=True))

    def columns(self) -> dict[str, pa.Array] | None:
        """The members as arrays of their declared types, or None if a value does not have the plain form."""
        try:
            return {
                member: _array(list(map(attrgetter(f"m{number}"), self._rows)), kind)
                for number, (member, kind) in enumerate(self._shape.members.items())
                if kind is not None
            }
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return None


class RowShape:
    """The members of a table's rows and their types, for decoding. None accepts any value, because it is not kept."""

    def __init__(self, members: Mapping[str, ColumnType | None]) -> None:
        self.members = dict(members)
        fields = [
            (f"m{number}", _PLAIN[kind] if kind is not None else Any, None)
            for number, kind in enumerate(self.members.values())
        ]
        names = {f"m{number}": member for number, member in enumerate(self.members)}
        row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(_Page[row], float_hook=to_number).decode  # type: ignore[valid-type]

    @staticmethod
    def takes(kind: ColumnType) -> bool:
        """Whether a declared type has a plain form."""
        return kind in _PLAIN

    def page(self, content: bytes) -> Any:  # noqa: ANN401 - JSON
        """Decode a page: its rows as `Rows`, or the document if it has another form. Raises as the decoder does."""
        try:
            page = self._decode(content)
        except msgspec.ValidationError:
            return ANY_DECODER.decode(content)
        return {"data": Rows(page.data, self), "paging": page.paging}


def _array(values: list[Any], kind: ColumnType) -> pa.Array:
    target = arrow_type(kind)
    if kind not in STAMPS:
        return pa.array(values, target)
    return cast_stamps(pa.array(values, pa.string()), kind, target)
