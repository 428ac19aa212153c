"""On which day people left: of the people of one portal, who is gone and since when.

Planday says it in two lists. Whoever is in `hr.employees` is there, whatever date their record has (it may be in the future,
and people come back). Whoever is in `hr.deactivated_employees` left on the later of `deactivation_date` and the day of
`date_time_deleted`; without either, on the day a read first found them there. Whoever is no longer in either left on the day
a read first missed them: Planday deleted them.

A day that is not known is never guessed to be earlier than it was. Of somebody who is in no list and in no history nothing is
known, so nothing of them expires.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.errors import DamagedSliceError
from planday_io.lake.slices import Lake
from planday_io.state import SliceKey

ACTIVE, GONE = "hr.employees", "hr.deactivated_employees"
FIRST_DAY = date(1900, 1, 1)
"""An earlier day, such as that of the year 1, means that there is none."""
LISTS = (ACTIVE, GONE, f"{ACTIVE}_history", f"{GONE}_history")


@dataclass(frozen=True, slots=True)
class Lists:
    """The two lists of a portal and their histories, as Arrow tables; None where they were never read."""

    active: pa.Table | None
    gone: pa.Table | None
    active_versions: pa.Table | None
    gone_versions: pa.Table | None

    @classmethod
    def in_lake(cls, lake: Lake, portal: str) -> Lists:
        """As they are in the lake. Raises StorageError where a file cannot be read, unless it is damaged."""
        found = [_read(lake, portal, name) for name in LISTS]
        return cls(*found)

    def with_rows(self, name: str, rows: pa.Table) -> Lists:
        """With the rows of a list that was read just now."""
        return replace(self, **{{ACTIVE: "active", GONE: "gone"}[name]: rows})

    @property
    def is_known(self) -> bool:
        """Whether who left can be told: both lists were read."""
        return self.active is not None and self.gone is not None

    def ids(self) -> set[int]:
        """The ids of everybody who is or was in one of them."""
        every = (self.active, self.gone, self.active_versions, self.gone_versions)
        return {one.id for rows in every for one in _records(rows)}

    def left(self, zone: ZoneInfo) -> dict[int, date]:
        """The day on which each person left who is not there, in the zone of the portal."""
        if not self.is_known:
            return {}
        ended: dict[int, date] = {}
        for one in (*_records(self.active_versions), *_records(self.gone_versions)):
            if one.valid_to is not None:
                day = _local(one.valid_to, zone)
                ended[one.id] = max(ended.get(one.id, day), day)
        said: dict[int, date] = {}
        since: dict[int, date] = {}
        for one in _records(self.gone_versions):
            if (day_said := one.left(zone)) is not None:
                said[one.id] = max(said.get(one.id, day_said), day_said)
            if one.valid_from is not None:
                # The last version: somebody may have come back in between, and left again.
                begun = _local(one.valid_from, zone)
                since[one.id] = max(since.get(one.id, begun), begun)
        found = ended | said
        for one in _records(self.gone):
            day_now = one.left(zone) or since.get(one.id)
            if day_now is None:
                found.pop(one.id, None)
            else:
                found[one.id] = day_now
        there = {one.id for one in _records(self.active)}
        return {number: day for number, day in found.items() if number not in there}


class _Record(NamedTuple):
    """What a row of a list, or of its history, says about when somebody left."""

    id: int
    deactivation_date: date | None
    date_time_deleted: datetime | None
    valid_from: datetime | None
    valid_to: datetime | None

    def left(self, zone: ZoneInfo) -> date | None:
        deleted = None if self.date_time_deleted is None else _local(self.date_time_deleted, zone)
        days = (self.deactivation_date, deleted)
        return max((day for day in days if day is not None and day >= FIRST_DAY), default=None)


def _records(rows: pa.Table | None) -> Iterator[_Record]:
    if rows is None:
        return
    nothing = [None] * rows.num_rows
    columns = [rows.column(name).to_pylist() if name in rows.schema.names else nothing for name in _Record._fields]
    for values in zip(*columns, strict=True):
        if values[0] is not None:
            yield _Record(*values)


def _local(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()


def _read(lake: Lake, portal: str, name: str) -> pa.Table | None:
    key = SliceKey.of(name, portal, None)
    with suppress(DamagedSliceError):
        if lake.provenance(key) is not None:
            there = {*lake.columns(key).names}
            return lake.read(key, [name for name in _Record._fields if name in there])
    return None
