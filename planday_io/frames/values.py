"""One JSON value to one typed value, as the API really sends them (design decision 18).

An offset where a local time is declared is converted to the row's zone; no offset where an instant is declared is
UTC; a date alone is midnight; fractions beyond microseconds are cut; numbers are rounded half-even to four places. What
cannot be read as declared raises `Retyped`, which carries the type met and never the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import msgspec

from planday_io.catalogue.model import ColumnType, ScalarList, StructList

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?)?"
)
_PLACES = Decimal("0.0001")
_DECIMAL_LIMIT = Decimal(10) ** 14
_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
_INT64 = range(-(2**63), 2**63)


class Retyped(Exception):  # noqa: N818 - never leaves this package
    """A value is not of the declared type. `met` names its JSON type."""

    def __init__(self, met: str) -> None:
        super().__init__(met)
        self.met = met


def json_type(value: object) -> str:
    """The JSON type of a value, in words for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | Decimal() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def to_json(value: object) -> str:
    """Compact JSON text; Decimals as numbers, keys sorted."""
    return _ENCODER.encode(value).decode()


def convert(value: Any, kind: ColumnType, zone: tzinfo) -> Any:  # noqa: ANN401 - JSON in, typed value out
    """A JSON value that is not null, as the declared type.

    Args:
        value: what the API sent.
        kind: the declared type.
        zone: of the row, for offsets in local times.

    Raises:
        Retyped: it is something else.
    """
    match kind:
        case ScalarList(of=scalar):
            if not isinstance(value, list):
                raise Retyped(json_type(value))
            return [None if item is None else convert(item, scalar, zone) for item in value]
        case StructList(fields=fields):
            if not isinstance(value, list):
                raise Retyped(json_type(value))
            return [
                {
                    field.name: None
                    if (inner := _inner(_object(item), field.member)) is None
                    else convert(inner, field.type, zone)
                    for field in fields
                }
                for item in value
            ]
        case _:
            return _SCALARS[kind](value, zone)


def _object(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Retyped(f"array of {json_type(item)}")
    return item


def _inner(item: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON
    """What stands at a dotted path of an object, or None."""
    found: Any = item
    for part in path.split("."):
        if found is None:
            return None
        found = _object(found).get(part)
    return found


def _bigint(value: object, _: tzinfo) -> int:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Retyped(json_type(value))
    if value not in _INT64:
        raise Retyped("number beyond 64 bits")
    return value


def _varchar(value: object, _: tzinfo) -> str:
    if not isinstance(value, str):
        raise Retyped(json_type(value))
    return value


def _text(value: object, _: tzinfo) -> str:
    return value if isinstance(value, str) else to_json(value)


def _boolean(value: object, _: tzinfo) -> bool:
    if not isinstance(value, bool):
        raise Retyped(json_type(value))
    return value


def _decimal(value: object, _: tzinfo) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Retyped(json_type(value))
    try:
        rounded = Decimal(value).quantize(_PLACES, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        raise Retyped("number beyond DECIMAL(18,4)") from None
    if abs(rounded) >= _DECIMAL_LIMIT:
        raise Retyped("number beyond DECIMAL(18,4)")
    return rounded


def _date(value: object, _: tzinfo) -> date | None:
    parts = _parts(value)
    return date.fromisoformat(parts["date"]) if parts else None


def _timestamptz(value: object, _: tzinfo) -> datetime | None:
    stamp = _stamp(value)
    if stamp is None:
        return None
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _timestamp(value: object, zone: tzinfo) -> datetime | None:
    stamp = _stamp(value)
    if stamp is None or stamp.tzinfo is None:
        return stamp
    return stamp.astimezone(zone).replace(tzinfo=None)


def _parts(value: object) -> dict[str, str] | None:
    """The parts of a date or date-time; None for an empty text, which stands for an absent one."""
    if not isinstance(value, str):
        raise Retyped(json_type(value))
    if not value.strip():
        return None
    match = _STAMP.fullmatch(value.strip())
    if match is None:
        raise Retyped("string that is no date")
    try:
        date.fromisoformat(match["date"])
    except ValueError:
        raise Retyped("string that is no date") from None
    return {name: text for name, text in match.groupdict().items() if text is not None}


def _stamp(value: object) -> datetime | None:
    parts = _parts(value)
    if parts is None:
        return None
    day = date.fromisoformat(parts["date"])
    fraction = parts.get("fraction", "")[:6].ljust(6, "0")
    hour = int(parts.get("hour", 0))
    try:
        stamp = datetime(  # noqa: DTZ001 - whether there is an offset is the question here
            day.year,
            day.month,
            day.day,
            hour % 24 if hour == 24 else hour,
            int(parts.get("minute", 0)),
            int(parts.get("second", 0)),
            int(fraction),
        )
        if hour == 24:
            stamp += timedelta(days=1)
        return stamp.replace(tzinfo=_offset(parts["zone"])) if "zone" in parts else stamp
    except (ValueError, OverflowError):
        raise Retyped("string that is no time") from None


def _offset(zone: str) -> timezone:
    if zone in ("Z", "z"):
        return UTC
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])))


_SCALARS: dict[str, Callable[[Any, tzinfo], Any]] = {
    "BIGINT": _bigint,
    "VARCHAR": _varchar,
    "TEXT": _text,
    "BOOLEAN": _boolean,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "TIMESTAMPTZ": _timestamptz,
    "DECIMAL": _decimal,
    "JSON": lambda value, _: to_json(value),
}
