"""Rows of a page straight from JSON text to columns, by Arrow's own reader, without an object per row.

Only where it is sure to give what `FrameBuilder` gives: plain types, no value of another form, no member that is unknown.
Everything else is refused here and goes the long way; a property test compares both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, overload

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from planday_io.errors import UnexpectedShapeError

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_STAMPS = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")


class RawRows(Sequence[Any]):
    """Rows of a list as they came; each is decoded when it is looked at.

    Args:
        texts: JSON of each row, checked for syntax and encoding.
    """

    def __init__(self, texts: Sequence[msgspec.Raw]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, place: int) -> Any: ...  # noqa: ANN401 - JSON

    @overload
    def __getitem__(self, place: slice) -> RawRows: ...

    def __getitem__(self, place: int | slice) -> Any:
        return RawRows(self.texts[place]) if isinstance(place, slice) else _decoded(self.texts[place])

    def __iter__(self) -> Iterator[Any]:
        return map(_decoded, self.texts)


class _RawPage(msgspec.Struct):
    data: list[msgspec.Raw]
    paging: Any = None


_PAGES = msgspec.json.Decoder(_RawPage)


def page_of(content: bytes) -> Any:  # noqa: ANN401 - JSON
    """A page with its rows as `RawRows`, or the decoded document where it has another form.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is no JSON document.
    """
    # Raw texts are looked at for syntax only: encoding, and halves of surrogate pairs, are not.
    if b"\\ud" in content or b"\\uD" in content:
        return _DECODER.decode(content)
    content.decode()
    try:
        page = _PAGES.decode(content)
    except msgspec.ValidationError:
        return _DECODER.decode(content)
    return {"data": RawRows(page.data), "paging": page.paging}


def columns_of(
    rows: RawRows, kinds: Mapping[str, tuple[str | None, pa.DataType]], ignored: frozenset[str]
) -> dict[str, pa.Array] | None:
    """The members of some rows as arrays, or None where the long way has to be gone.

    Args:
        rows: of one page.
        kinds: member -> (the declared type where it is a date or time, the Arrow type).
        ignored: other members that may be there.
    """
    text = b"\n".join(rows.texts)
    if not rows or text.count(b"\n") != len(rows) - 1:
        return None
    schema = pa.schema([(member, pa.string() if stamp else kind) for member, (stamp, kind) in kinds.items()])
    try:
        table = pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
        )
        if table.num_rows != len(rows) or not ignored.issuperset(set(table.schema.names) - kinds.keys()):
            return None
        return {
            member: _typed(table.column(member).combine_chunks(), stamp, kind)
            for member, (stamp, kind) in kinds.items()
        }
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def is_stamp(kind: object) -> bool:
    """Whether a type is read as a text and converted."""
    return kind in _STAMPS


def _typed(values: pa.Array, stamp: str | None, kind: pa.DataType) -> pa.Array:
    if stamp is None:
        return values
    if stamp == "TIMESTAMPTZ" and pc.max(pc.utf8_length(values)).as_py() == len("2026-01-01"):
        # A date alone is its midnight.
        return values.cast(pa.date32()).cast(kind)
    return values.cast(kind)


def _decoded(text: msgspec.Raw) -> Any:  # noqa: ANN401 - JSON
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnexpectedShapeError("a row is no valid JSON. Nothing was written") from None
