"""The parameters of the local Planday's endpoints: how their values are read, and which rows each filter keeps.

Names and kinds are those of the OpenAPI document; what a filter means is in docs/api-facts.md. Where
it does not say, the narrower meaning is taken: a client that relies on the wider one would lose rows of the real API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from planday_io.sandbox.endpoint import Asked, Param
from planday_io.sandbox.people import Json

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_STAMP = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_LARGEST_ID = 2**63 - 1


def whole(text: str) -> int:
    """An id."""
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > _LARGEST_ID:
        raise ValueError(text)
    return int(text)


def flag(text: str) -> bool:
    """`true` or `false`, in any case."""
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)


def text_of(text: str) -> str:
    """Any text."""
    return text


def day(text: str) -> str:
    """`yyyy-mm-dd`; a time of day behind it is cut off."""
    if not _STAMP.fullmatch(text) or not (found := _DAY.match(text)):
        raise ValueError(text)
    return date.fromisoformat(found[0]).isoformat()


def day_or_time(text: str) -> str:
    """`yyyy-mm-dd` or a wall clock, as text that sorts; a zone behind it is cut off, because none is documented."""
    at = local(text)
    return day(text) if len(text) == len("yyyy-mm-dd") else at.isoformat(timespec="seconds")


def local(text: str) -> datetime:
    """A wall clock; a zone behind it is cut off, because none is documented."""
    if not _STAMP.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text).replace(tzinfo=None)


@lru_cache(maxsize=65_536)
def moment(text: str) -> datetime:
    """An instant; UTC where no zone is given."""
    if not _STAMP.fullmatch(text):
        raise ValueError(text)
    told = datetime.fromisoformat(text)
    try:
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except OverflowError:
        # The time is within hours of the limits, year 1 and 9999.
        return told.replace(tzinfo=UTC)


def one_of(values: Sequence[str]) -> Callable[[str], str]:
    """Reads one of some values, in any case."""
    known = {value.lower(): value for value in values}

    def read(text: str) -> str:
        return known.get(text.lower()) or _refuse(text)

    return read


def _refuse(text: str) -> Any:  # noqa: ANN401 - never returns
    raise ValueError(text)


def ids(name: str) -> Param:
    """Rows whose member of this name is one of some ids."""
    return Param(name=name, read=whole, is_list=True, keeps=lambda row, wanted, _: row.get(name) in wanted)


def one_id(name: str) -> Param:
    """Rows whose member of this name is an id."""
    return Param(name=name, read=whole, keeps=lambda row, wanted, _: row.get(name) == wanted)


def is_true(name: str) -> Param:
    """Rows whose member of this name is true, or is not."""
    return Param(name=name, read=flag, keeps=lambda row, wanted, _: bool(row.get(name)) == wanted)


def status(name: str, values: Sequence[str] | None, member: str = "status", *, many: bool = False) -> Param:
    """Rows with a status, of which `values` may be asked for; None is any text."""
    read = text_of if values is None else one_of(values)
    if many:
        return Param(name=name, read=read, is_list=True, keeps=lambda row, wanted, _: row.get(member) in wanted)
    return Param(name=name, read=read, keeps=lambda row, wanted, _: row.get(member) == wanted)


def stamps(name: str, *members: str, is_from_inclusive: bool = False) -> tuple[Param, Param]:
    """`<name>From` and `<name>To`: rows one of whose stamps lies between them; the former means after."""

    def within(row: Json, _: object, asked: Asked) -> bool:
        first, last = asked.values.get(f"{name}From"), asked.values.get(f"{name}To")
        return any(
            (first is None or at > first or (is_from_inclusive and at == first)) and (last is None or at <= last)
            for at in (moment(row[member]) for member in members if row.get(member))
        )

    return Param(name=f"{name}From", read=moment, keeps=within), Param(name=f"{name}To", read=moment, keeps=within)


def period(first: str, last: str, of: Callable[[Json], tuple[str | None, str | None]]) -> tuple[Param, Param]:
    """Rows whose period overlaps that from one parameter's day to the other's; a side without an end is open."""
    return (
        Param(name=first, read=day, keeps=lambda row, wanted, _: (of(row)[1] or "9999-12-31") >= wanted),
        Param(name=last, read=day, keeps=lambda row, wanted, _: (of(row)[0] or "") <= wanted),
    )


SHIFT_IDS = tuple(ids(n) for n in ("departmentId", "employeeGroupId", "shiftTypeId", "positionId", "employeeId"))
CREATED = stamps("created", "dateTimeCreated")
MODIFIED = stamps("modified", "dateTimeModified")
FROM_AND_TO = (
    Param(name="from", read=day, is_required=True),
    Param(name="to", read=day, is_required=True),
)
"""Days, both included, for documents that are made for them."""
