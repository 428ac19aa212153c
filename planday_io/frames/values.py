"""Converts one JSON value to one typed value, for what the API really sends (docs/decisions.md#types).

Numbers are rounded half-even to four places; dates and times are converted in `planday_io.frames.stamps`. A value that
does not have the declared type raises `TypeMismatch`, which carries the JSON type found and never the value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from planday_io.catalogue.model import ColumnType, ScalarList, StructList
from planday_io.frames.members import value_at
from planday_io.frames.stamps import to_date, to_timestamp, to_timestamptz
from planday_io.frames.type_mismatch import TypeMismatch, json_type, to_json

_PLACES = Decimal("0.0001")
_DECIMAL_LIMIT = Decimal(10) ** 14
_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 19


def convert(value: Any, kind: ColumnType, zone: tzinfo) -> Any:  # noqa: ANN401 - JSON in, typed value out
    """Convert a JSON value that is not null to the declared type. `zone` is the row's, for offsets in local times.

    Raises:
        TypeMismatch: the value does not have that type.
    """
    match kind:
        case ScalarList(of=scalar):
            return [_item(item, scalar, zone, "[]") for item in _checked(value, list)]
        case StructList(fields=fields):
            return [
                {
                    field.name: _item(value_at(_object(item), field.member), field.type, zone, f"[].{field.member}")
                    for field in fields
                }
                for item in _checked(value, list)
            ]
        case _:
            return _SCALARS[kind](value, zone)


def _checked(value: Any, kind: type) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(value, kind):
        raise TypeMismatch(json_type(value))
    return value


def _item(value: Any, kind: ColumnType, zone: tzinfo, path: str) -> Any:  # noqa: ANN401
    """Convert a value inside another one; an error gets the path to it."""
    try:
        return None if value is None else convert(value, kind, zone)
    except TypeMismatch as mismatch:
        raise mismatch.within(path, kind if isinstance(kind, str) else "array") from None


def _object(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise TypeMismatch(json_type(item)).within("[]", "object")
    return item


def _bigint(value: object, _: tzinfo) -> int:
    if isinstance(value, Decimal):
        # Checked before rounding: 1E+999999999999 would get that many digits.
        if not value.is_finite() or value.adjusted() > _INT64_DIGITS:
            raise TypeMismatch("number beyond 64 bits")
        if value == value.to_integral_value():
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeMismatch(json_type(value))
    if value not in _INT64:
        raise TypeMismatch("number beyond 64 bits")
    return value


def _text(value: object, _: tzinfo) -> str:
    return value if isinstance(value, str) else to_json(value)


def _decimal(value: object, _: tzinfo) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeMismatch(json_type(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise TypeMismatch("a number that is not finite")
    try:
        rounded = Decimal(value).quantize(_PLACES, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        raise TypeMismatch("number beyond DECIMAL(18,4)") from None
    if abs(rounded) >= _DECIMAL_LIMIT:
        raise TypeMismatch("number beyond DECIMAL(18,4)")
    return rounded


_SCALARS: dict[str, Callable[[Any, tzinfo], Any]] = {
    "BIGINT": _bigint,
    "VARCHAR": lambda value, _: _checked(value, str),
    "TEXT": _text,
    "BOOLEAN": lambda value, _: _checked(value, bool),
    "DATE": to_date,
    "TIMESTAMP": to_timestamp,
    "TIMESTAMPTZ": to_timestamptz,
    "DECIMAL": _decimal,
    "JSON": lambda value, _: to_json(value),
}
