"""What reads of a roster see of shifts that change, and which changes can be known from that. Plain Python, no SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

ZONES = {"oslo": "Europe/Oslo", "stjohns": "America/St_Johns"}


@dataclass(frozen=True)
class State:
    """A shift as Planday shows it; times are wall clocks."""

    start: datetime
    length: timedelta
    employee: int | None
    department: int | None
    status: str

    @property
    def month(self) -> str:
        return f"{self.start:%Y-%m}"

    @property
    def end(self) -> datetime:
        return self.start + self.length

    @property
    def kind(self) -> str:
        if self.status == "Cancelled":
            return "gone"
        if self.status == "Draft":
            return "draft"
        return "open" if self.employee is None else "assigned"


def instant(clock: datetime, zone: str, after: datetime | None = None) -> datetime:
    """The first instant at which clocks show a time, or the first one after another instant."""
    both = [clock.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    return next((one for one in both if after is None or one > after), both[1])


def hours(state: State, zone: str) -> Decimal:
    start = instant(state.start, zone)
    return round(Decimal((instant(state.end, zone, start) - start) / timedelta(hours=1)), 4)


@dataclass
class Slice:
    """What the reads of one month found, and the versions that follow from it."""

    read_at: datetime | None = None
    found: dict[int, State] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)

    def read(self, rows: dict[int, State], at: datetime) -> None:
        for number in self.found.keys() | rows.keys():
            if self.found.get(number) == rows.get(number):
                continue
            for one in self.versions:
                if one["id"] == number and one["valid_to"] is None:
                    one |= {"valid_to": at, "ended_after": self.read_at, "is_current": False}
            if number in rows:
                version = {"id": number, "state": rows[number], "valid_from": at, "valid_to": None, "is_current": True}
                self.versions.append(version | {"changed_after": self.read_at, "ended_after": None})
        self.found, self.read_at = rows, at


@dataclass(frozen=True)
class Change:
    """A change of one shift between two reads."""

    shift: int
    old: State | None
    new: State | None
    after: datetime
    before: datetime


@dataclass
class _Seen:
    """What is known of a shift after some reads: its last state, when that was last seen, since when it is missing."""

    state: State
    at: datetime
    missing: datetime | None = None


def changes_seen(reads: list[tuple[datetime, str, dict[int, State]]]) -> Iterator[Change]:
    """The changes that follow from reads of months: (when, month, rows), in their order."""
    last_read: dict[str, datetime] = {}
    present: dict[str, set[int]] = {}
    seen: dict[int, _Seen] = {}
    for at, month, rows in reads:
        before = last_read.get(month)
        for number in sorted(rows.keys() | seen.keys()):
            now, known = rows.get(number), seen.get(number)
            if now is None:
                if known is not None and known.state.month == month and known.missing is None:
                    known.missing = at
            elif known is None:
                if before is not None:
                    yield Change(number, None, now, before, at)
                seen[number] = _Seen(now, at)
            else:
                if known.missing is not None and before is not None and before >= known.missing:
                    # In between it was neither here nor there.
                    yield Change(number, known.state, None, known.at, known.missing)
                    yield Change(number, None, now, before, at)
                elif now != known.state:
                    same = known.state.month == month
                    after = known.at if same or before is None else max(known.at, before)
                    yield Change(number, known.state, now, after, min(at, known.missing or at))
                seen[number] = _Seen(now, at)
        last_read[month], present[month] = at, {*rows}
    for number, known in seen.items():
        # Where another month still shows the shift, because it was not read again, it may be there.
        if known.missing is not None and not any(number in there for there in present.values()):
            yield Change(number, known.state, None, known.at, known.missing)


def names_of(change: Change, zone: str) -> list[str]:
    """What the change is called, the most important first; nothing where nobody had the shift."""
    old, new = change.old, change.new
    was, now = (old.kind if old else "gone"), (new.kind if new else "gone")
    if "assigned" not in (was, now):
        return []
    if now != "assigned":
        return [{"gone": "cancelled", "draft": "unpublished", "open": "unassigned"}[now]]
    if was != "assigned":
        return ["published" if was == "draft" else "assigned"]
    assert old is not None
    assert new is not None
    found = ["swapped"] if old.employee != new.employee else []
    if (old.start, old.department) != (new.start, new.department):
        found.append("moved")
    if (lost := hours(old, zone) - hours(new, zone)) != 0:
        found.append("shortened" if lost > 0 else "lengthened")
    return found


def of_it(change: Change) -> State:
    """The state that the change is measured by: the one that somebody had, or else the new one."""
    state = change.old if change.old and change.old.kind == "assigned" else change.new
    assert state is not None
    return state


def where(change: Change) -> State:
    """The state whose day and department the change belongs to: the former, if there was one."""
    state = change.old or change.new
    assert state is not None
    return state


def notice(change: Change, zone: str) -> tuple[Decimal, Decimal]:
    """Hours before the start: at least, at most."""
    start = instant(of_it(change).start, zone)
    return tuple(round(Decimal((start - at) / timedelta(hours=1)), 4) for at in (change.before, change.after))  # type: ignore[return-value]


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
