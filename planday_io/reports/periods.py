"""Which ISO weeks and months the managers' report is about, and what is known of how complete each is.

A week is complete if the tables that its figures come from were read after its last day, in the portal's time zone, and
nothing is missing, stale or failed. Anything else is said in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from planday_io.config.model import Config
from planday_io.monitoring.completeness import MonthState
from planday_io.months import first_day, last_day, month_of, months_between, shifted

_WEEKS, _CHECKED, _MONTHS = 8, 4, 2

Level = Literal["complete", "current", "partial", "incomplete"]
"""All of it; the part of the current week that is over; read before its end; something missing, stale or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """What the page is about. Days are the portals' local ones, both ends included.

    Args:
        weeks: Mondays of the last full weeks, the oldest first.
        current: Monday of the week that is not over.
        yesterday: the last day that is over everywhere; before `current` on a Monday.
        checked: Mondays of the weeks whose findings and overtime are counted.
        ahead: Mondays of the two weeks after the current one.
        months: the last full months, the oldest first.
    """

    weeks: tuple[date, ...]
    current: date
    yesterday: date
    checked: tuple[date, ...]
    ahead: tuple[date, date]
    months: tuple[str, ...]

    @property
    def shown(self) -> tuple[date, ...]:
        """Mondays of the full weeks, and of the current one where a day of it is over."""
        return (*self.weeks, self.current) if self.yesterday >= self.current else self.weeks


def periods_of(config: Config, portals: Sequence[str], now: datetime) -> Periods:
    """The periods at an instant, without those before `history_start`, except for the last full week and month.

    Where it is another day in another portal, a day counts as over once it is in all.
    """
    today = min(now.astimezone(ZoneInfo(config.portals[portal].timezone)).date() for portal in portals)
    current = today - timedelta(days=today.weekday())
    weeks = [current - timedelta(weeks=number) for number in range(_WEEKS, 0, -1)]
    begin, month = first_day(config.history_start), month_of(today)
    months = [shifted(month, -number) for number in range(_MONTHS, 0, -1)]
    known = tuple(week for week in weeks if week >= begin) or (weeks[-1],)
    return Periods(
        weeks=known,
        current=current,
        yesterday=today - timedelta(days=1),
        checked=known[-_CHECKED:],
        ahead=(current + timedelta(weeks=1), current + timedelta(weeks=2)),
        months=tuple(one for one in months if one >= config.history_start) or (months[-1],),
    )


@dataclass(frozen=True, slots=True)
class PeriodState:
    """How complete the figures of a week or month are, and in words why they are not."""

    level: Level
    words: tuple[str, ...] = ()


class Judge:
    """Judges the periods of one portal.

    Args:
        states: of its lists and months, from the tables that the figures come from.
        zone: of the portal.
        now: UTC.
    """

    def __init__(self, states: Sequence[MonthState], zone: str, now: datetime) -> None:
        self._states = {state.month: state for state in states}
        self._zone, self._now = ZoneInfo(zone), now

    @property
    def newest(self) -> datetime | None:
        """UTC instant of the newest read, or None."""
        return max((one.newest for one in self._states.values() if one.newest), default=None)

    def past(self, first: date, last: date, *, with_lists: bool = False) -> PeriodState:
        """A period that is over, or the part of one that is: local days, both included."""
        problems = [*self._problems(first, last, with_lists=with_lists)]
        if problems:
            return PeriodState("incomplete", tuple(problems))
        end = datetime.combine(last + timedelta(days=1), time(), self._zone)
        reads = [one.oldest for one in self._of(first, last) if one.oldest]
        if not reads:
            return PeriodState("incomplete", ("nothing of it was read",))
        if min(reads) < end:
            at = min(reads).astimezone(self._zone)
            return PeriodState("partial", (f"read {at:%d %b %H:%M}, before its last day was over",))
        return PeriodState("complete")

    def ahead(self, first: date, last: date) -> PeriodState:
        """A plan: complete if nothing is missing, stale or failed."""
        problems = tuple(self._problems(first, last))
        return PeriodState("incomplete", problems) if problems else PeriodState("complete")

    def _of(self, first: date, last: date) -> Iterator[MonthState]:
        for month in months_between(month_of(first), month_of(last)):
            if month in self._states:
                yield self._states[month]

    def _problems(self, first: date, last: date, *, with_lists: bool = False) -> Iterator[str]:
        if with_lists and None in self._states:
            yield from self._states[None].problems
        for month in months_between(month_of(first), month_of(last)):
            state = self._states.get(month)
            if state is None:
                yield f"{month}: not read, because it is outside the months of portals.yaml"
            else:
                yield from (f"{month}: {problem}" for problem in state.problems)


def days_of(month: str) -> tuple[date, date]:
    """First and last day of a month."""
    return first_day(month), last_day(month)
