"""Random rosters and punches of two portals, as plain values, and rows of a warehouse made from them.

They lie around both nights on which clocks change, and in the weeks before and after.
 Departments 10 and 11 may have a clock, 12 has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from hypothesis import strategies as st

from planday_io.warehouse.zones import write_zones
from tests.support.tables import put_all

ZONES = {"oslo": "Europe/Oslo", "perth": "America/St_Johns"}
KINDS = {None: "work", 51: "sickness", 52: "course", 53: "standby"}
NIGHTS = (datetime(2025, 3, 30), datetime(2025, 10, 26))  # noqa: DTZ001 - wall clocks
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Punch:
    """A punch; `begin` and `end` are its scheduled or approved times."""

    number: int
    came: datetime
    left: datetime | None
    is_approved: bool
    begin: datetime
    end: datetime
    breaks: Sequence[Span] = ()


@dataclass(frozen=True)
class Shift:
    """A shift with its punches; without a status it is no shift, and the punches have none."""

    portal: str
    number: int
    department: int
    person: int | None
    begin: datetime
    end: datetime
    status: str | None
    type: int | None
    punches: Sequence[Punch] = ()

    @property
    def zone(self) -> str:
        return ZONES[self.portal]

    @property
    def month(self) -> str:
        return f"{self.begin:%Y-%m}"

    @property
    def is_assigned(self) -> bool:
        return self.person is not None and self.status not in ("Draft", None)


def instants(begin: datetime, end: datetime, zone: str) -> Span:
    """Instants of two wall clock times. Of an hour that comes twice, an end is the first after the start."""
    rules = ZoneInfo(zone)
    first = begin.replace(tzinfo=rules).astimezone(UTC)
    ends = [end.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return first, next((one for one in ends if one > first), ends[1])


def hours(length: timedelta) -> Decimal:
    return round(Decimal(length / timedelta(hours=1)), 4)


def punched_hours(punch: Punch, zone: str) -> Decimal | None:
    """Hours from coming to leaving without breaks; None while somebody is in."""
    if not punch.left:
        return None
    came, left = instants(punch.came, punch.left, zone)
    return hours(left - came) - sum(hours(end - begin) for begin, end in (instants(*one, zone) for one in punch.breaks))


def minutes(length: timedelta) -> Decimal:
    return round(Decimal(length / timedelta(minutes=1)), 4)


_BREAKS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=2)
_PUNCH = st.tuples(st.integers(-40, 40), st.none() | st.integers(-60, 60), st.booleans(), _BREAKS)
_SHIFT = st.tuples(
    st.sampled_from([*ZONES]),
    st.sampled_from([10, 10, 11, 12]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from(NIGHTS),
    st.one_of(st.integers(-4, 4), st.integers(-30, 20)),
    st.integers(0, 47),
    st.one_of(st.integers(8, 40), st.integers(30, 96)),
    st.sampled_from(["Assigned", "Assigned", "Approved", "Draft", "Open", None]),
    st.sampled_from([None, None, None, None, *KINDS]),
    st.lists(_PUNCH, max_size=2),
)
ROSTERS = st.lists(_SHIFT, min_size=12, max_size=40).map(
    lambda drawn: [_shift(n, one) for n, one in enumerate(drawn, 1)]
)


def _shift(number: int, drawn: Any) -> Shift:
    portal, department, person, night, day, half_hours, quarters, status, kind, punches = drawn
    begin = night + timedelta(days=day, minutes=30 * half_hours)
    end = begin + timedelta(minutes=15 * quarters)
    made = []
    for index, (early, late, is_approved, breaks) in enumerate(punches if department != 12 else ()):
        came = begin + timedelta(minutes=early)
        left = None if late is None else max(end + timedelta(minutes=late), came + timedelta(minutes=90))
        pauses = [
            (came + timedelta(minutes=after), came + timedelta(minutes=after + size))
            for after, size in breaks
            if left and came + timedelta(minutes=after + size) <= left
        ]
        made.append(Punch(10 * number + index, came, left, is_approved, begin, end, pauses))
    who = None if status == "Open" else person
    return Shift(portal, number, department, who if status else person, begin, end, status, kind, made)


def day_off(shift: Shift, days: int) -> Shift:
    """The same shift on another day, without punches."""
    delta = timedelta(days=days)
    return replace(shift, begin=shift.begin + delta, end=shift.end + delta, punches=())


def plant(db: duckdb.DuckDBPyConnection, shifts: Sequence[Shift]) -> None:
    """Put the rows, the kinds of shift types, and when punches were read: of oslo after all of them, of perth never."""
    rows: list[tuple[str, dict[str, Any]]] = [
        ("sync.shift_kinds", {"portal": portal, "shift_type_id": number, "kind": kind})
        for portal in ZONES
        for number, kind in KINDS.items()
        if number
    ]
    read = {"portal": "oslo", "table_name": "punchclock.punch_clock_shifts", "fetched_at": "2026-01-01 00:00+00"}
    rows += [("sync.slices", read | {"month": month}) for month in sorted({shift.month for shift in shifts})]
    for shift in shifts:
        whose = {"portal": shift.portal, "department_id": shift.department}
        if shift.status:
            times = {"date": shift.begin.date(), "start_date_time": shift.begin, "end_date_time": shift.end}
            kind = {"time_zone": shift.zone, "status": shift.status, "shift_type_id": shift.type}
            who = {"month": shift.month, "id": shift.number, "employee_id": shift.person}
            rows.append(("scheduling.shifts", whose | who | times | kind))
        # The shift's zone counts where it has one; a punch without a shift has its own.
        zone = {"time_zone": "UTC" if shift.status else shift.zone}
        for punch in shift.punches:
            who = {"shift_id": shift.number if shift.status else None, "employee_id": shift.person or 1}
            times = {"start_date_time": punch.came, "end_date_time": punch.left, "is_approved": punch.is_approved}
            planned = {"shift_start_date_time": punch.begin, "shift_end_date_time": punch.end}
            one = {"month": f"{punch.came:%Y-%m}", "id": punch.number}
            rows.append(("punchclock.punch_clock_shifts", whose | one | who | times | planned | zone))
            for index, (begin, end) in enumerate(punch.breaks):
                pause = {"id": 10 * punch.number + index, "punch_clock_shift_id": punch.number}
                times = {"start_date_time": begin, "end_date_time": end}
                month = {"portal": shift.portal, "month": shift.month}
                rows.append(("punchclock.punch_clock_breaks", month | pause | times | zone))
    put_all(db, rows)
    write_zones(db, again=False)


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
