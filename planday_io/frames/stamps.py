"""Converts dates and times as the API really sends them (docs/decisions.md#types), one by one or a column at a time.

A local time or date with an offset is converted to the row's zone. An instant without an offset is UTC. A date alone is
midnight. Fractions beyond microseconds are cut. `24:00` and second 60 are the next day or minute. An empty text is an absent
value. Times outside the years 1 to 9999, also after conversion, are `OutOfRange`: Arrow and DuckDB could hold some of them,
but Python, and so most readers, could not.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue.model import ColumnType
from planday_io.frames.type_mismatch import OutOfRange, TypeMismatch, json_type

STAMPS = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")

_STAMP = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?)?"
    r"\s?(?P<zone>Z|z|[+-]\d{2}(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
_OTHER_YEAR = re.compile(
    r"(?:[+-]\d{4,6}|0000|\d{5,6})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[Tt ][\d:.,]*\s?(?:Z|z|[+-][\d:]*)?)?",
    re.ASCII,
)


def to_date(value: object, zone: tzinfo) -> date | None:
    """The day of a date or local time; for an instant, the day in the zone.

    An instant that is midnight in UTC or with its own offset, but not in the zone, was written as a date, and that date is
    the day: the server was in another zone, or kept its offset when clocks changed.
    """
    stamp = _stamp(value)
    if stamp is None or stamp.tzinfo is None:
        return stamp.date() if stamp else None
    instant = _moved(stamp, UTC)
    written = next((one for one in (stamp, instant) if one.time() == time()), None)
    if written and not _is_midnight(stamp, zone):
        return written.date()
    return _moved(stamp, zone).date()


def to_timestamp(value: object, zone: tzinfo) -> datetime | None:
    """The local wall-clock time."""
    stamp = _stamp(value)
    if stamp is None or stamp.tzinfo is None:
        return stamp
    return _moved(stamp, zone).replace(tzinfo=None)


def to_timestamptz(value: object, _: tzinfo) -> datetime | None:
    """An instant in UTC."""
    stamp = _stamp(value)
    if stamp is None:
        return None
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else _moved(stamp, UTC)


def cast_stamps(texts: pa.Array, kind: ColumnType, target: pa.DataType) -> pa.Array:
    """Convert a column of plain texts at once.

    Raises:
        pa.ArrowInvalid: one of them has another form or is out of range, so they have to be converted one by one.
    """
    if kind == "TIMESTAMPTZ" and pc.max(pc.utf8_length(texts)).as_py() == len("2026-01-01"):
        # A date alone is its midnight.
        column = texts.cast(pa.date32()).cast(target)
    else:
        column = texts.cast(target)
    bounds = pc.min_max(column)
    if bounds["min"].is_valid:
        first, last = (bounds[end].cast(pa.date32()) for end in ("min", "max"))
        # Not made once for all, because the first scalar loads pandas, which `planday check` does without.
        if pc.less(first, pa.scalar(date.min)).as_py() or pc.greater(last, pa.scalar(date.max)).as_py():
            raise pa.ArrowInvalid("a date is out of range")
    return column


def _is_midnight(stamp: datetime, zone: tzinfo) -> bool:
    try:
        return stamp.astimezone(zone).time() == time()
    except (OverflowError, ValueError):
        return False


def _moved(stamp: datetime, zone: tzinfo) -> datetime:
    try:
        return stamp.astimezone(zone)
    except (OverflowError, ValueError):
        raise OutOfRange("string with a time outside the years 1 to 9999") from None


def _stamp(value: object) -> datetime | None:
    """A date or date-time (aware if it has an offset); None for an empty text."""
    if not isinstance(value, str):
        raise TypeMismatch(json_type(value))
    text = value.strip()
    if not text:
        return None
    if _OTHER_YEAR.fullmatch(text):
        raise OutOfRange("string with a date outside the years 1 to 9999")
    match = _STAMP.fullmatch(text)
    if match is None:
        raise TypeMismatch("string that is not a date")
    parts = {name: part for name, part in match.groupdict().items() if part is not None}
    try:
        day = date.fromisoformat(parts["date"])
    except ValueError:
        raise TypeMismatch("string that is not a date") from None
    return _timed(day, parts)


def _timed(day: date, parts: dict[str, str]) -> datetime:
    hour, minute, second = (int(parts.get(name, 0)) for name in ("hour", "minute", "second"))
    micro = int(parts.get("fraction", "")[:6].ljust(6, "0"))
    more = timedelta()
    if hour == 24 and minute == second == micro == 0:
        hour, more = 0, timedelta(days=1)
    elif second == 60:
        second, micro, more = 59, 0, timedelta(seconds=1)
    try:
        stamp = datetime(day.year, day.month, day.day, hour, minute, second, micro)  # noqa: DTZ001 - an offset is optional
        if "zone" in parts:
            stamp = stamp.replace(tzinfo=_offset(parts["zone"]))
    except ValueError:
        raise TypeMismatch("string that is not a time") from None
    try:
        return stamp + more
    except OverflowError:
        raise OutOfRange("string with a time outside the years 1 to 9999") from None


def _offset(zone: str) -> timezone:
    if zone in ("Z", "z"):
        return UTC
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].strip(":") or 0)))
