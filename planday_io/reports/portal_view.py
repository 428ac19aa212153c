"""One portal of the managers' report as the template shows it: numbers as text, and what is not known with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from planday_io.reports.charts import Chart
from planday_io.reports.figures import Sums
from planday_io.reports.percent import UNKNOWN, Percent
from planday_io.reports.periods import PeriodState

_RULES = {
    "daily_rest": "daily rest too short",
    "weekly_rest": "weekly rest too short",
    "weekly_hours": "average week too long",
    "break_after": "too long without a break",
    "days_in_row": "too many days in a row",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text, and the number of its note below the tables, or 0."""

    text: str
    note: int = 0


@dataclass(frozen=True, slots=True)
class FindingCell:
    """Counts by rule in words; no lines where nothing was found. `unknown` where nothing could have been found."""

    lines: tuple[str, ...] = ()
    looked_at: str = ""
    unknown: Cell | None = None


@dataclass(frozen=True, slots=True)
class AheadCell:
    """The plan of a week: hours, open hours (empty where there are none) and cost."""

    hours: Cell
    open: str
    cost: Cell


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number with what it is and what stands below it."""

    what: str
    cell: Cell
    below: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekRow:
    """A week, how complete it is, and its numbers."""

    name: str
    days: str
    state: PeriodState
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentView:
    """A department: its chart, which only the largest have, and its weeks."""

    name: str
    chart: Chart | None
    weeks: tuple[WeekRow, ...]


@dataclass(slots=True, kw_only=True)
class PortalView:
    """A portal. Rows per department begin with one for all of them.

    Args:
        key: of portals.yaml.
        name: of the company.
        currency: of all amounts, or empty.
        is_read: whether anything was ever read.
        level: good, warn or bad.
        status: the same in words.
        short: the same in few words.
        details: what is missing, stale or failed.
        tiles: the last full week.
        percent: labour cost % per week, of all departments.
        hours: planned, worked and paid hours per week.
        weeks: cost and hours per week.
        departments: labour cost % per week; the largest first.
        hours_rows: hours of the last full week.
        people_rows: sickness per month, and overtime.
        people_state: what of that is not complete, in words.
        finding_rows: findings of working time and attendance.
        finding_state: what of that is not complete, in words.
        ahead_rows: the next two weeks.
        ahead_states: how complete the plan of each is.
        plan_findings: findings in that plan, in words.
        notes: why numbers are dashes, and what else to know about numbers.
        last: sums of the last full week by department, for totals of several portals.
        last_percent: labour cost % of that week.
        last_worked: worked hours of that week.
    """

    key: str
    name: str
    currency: str
    is_read: bool
    level: str = "good"
    status: str = ""
    short: str = ""
    details: list[str] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    percent: Chart | None = None
    hours: Chart | None = None
    weeks: list[WeekRow] = field(default_factory=list)
    departments: list[DepartmentView] = field(default_factory=list)
    hours_rows: list[tuple[str, list[Cell]]] = field(default_factory=list)
    people_rows: list[tuple[str, list[Cell]]] = field(default_factory=list)
    people_state: list[str] = field(default_factory=list)
    finding_rows: list[tuple[str, list[FindingCell]]] = field(default_factory=list)
    finding_state: list[str] = field(default_factory=list)
    ahead_rows: list[tuple[str, list[AheadCell]]] = field(default_factory=list)
    ahead_states: list[PeriodState] = field(default_factory=list)
    plan_findings: str = ""
    notes: list[str] = field(default_factory=list)
    last: list[tuple[str, Sums]] = field(default_factory=list)
    last_percent: Cell = Cell(UNKNOWN)
    last_worked: Cell = Cell(UNKNOWN)


class Notes:
    """What is said below the tables of a portal, each reason once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def of(self, reason: str) -> int:
        """The number of a reason, from 1."""
        text = f"{reason[0].upper()}{reason[1:]}."
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def cell(self, number: float | Decimal | None, reason: str, form: str = ",.0f", also: str = "") -> Cell:
        """A number, or a dash with its reason; `also` is what has to be known about a number."""
        if number is None:
            return Cell(UNKNOWN, self.of(reason))
        return Cell(spaced(f"{number:{form}}"), self.of(also) if also else 0)

    def percent(self, percent: Percent) -> Cell:
        """A percentage with what there is to know about it."""
        return Cell(percent.text, self.of("; ".join(percent.reasons)) if percent.reasons else 0)


def rule_text(rule: str, count: int) -> str:
    """A number of findings of a rule in words."""
    return f"{spaced(f'{count:,}')} {_RULES.get(rule, rule)}"


def spaced(text: str) -> str:
    """Thousands apart, without a line break, and a proper minus."""
    return text.replace(",", "\u202f").replace("-", "\u2212")


def week_name(monday: date) -> str:
    """The ISO week."""
    return f"W{monday.isocalendar().week:02d}"


def week_title(monday: date) -> str:
    """The ISO week with its days and their year, or years."""
    sunday = monday + timedelta(days=6)
    if monday.year == sunday.year:
        days = f"{days_text(monday, sunday)} {sunday.year}"
    else:
        days = f"{monday.day} {monday:%b %Y}\u2013{sunday.day} {sunday:%b %Y}"
    return f"Week {monday.isocalendar().week}, {days}"


def days_text(first: date, last: date) -> str:
    """Days as people write them."""
    if first == last:
        return f"{first.day} {first:%b}"
    if first.month == last.month:
        return f"{first.day}\u2013{last.day} {last:%b}"
    return f"{first.day} {first:%b}\u2013{last.day} {last:%b}"


def weeks_text(weeks: Sequence[date]) -> str:
    """Weeks from the first to the last."""
    if len(weeks) == 1:
        return week_name(weeks[0])
    return f"{week_name(weeks[0])}\u2013{week_name(weeks[-1])}"
