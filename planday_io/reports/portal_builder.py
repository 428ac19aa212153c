"""Makes the view of one portal of the managers' report from its figures and from how complete they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from planday_io.reports import charts
from planday_io.reports.charts import Chart, Value
from planday_io.reports.figures import FEWEST_PEOPLE, Figures, Key, Overtime, Rate, Sums, added
from planday_io.reports.percent import UNKNOWN, Percent, percent_of, percent_of_all
from planday_io.reports.periods import Judge, Periods, PeriodState, days_of
from planday_io.reports.portal_view import (
    AheadCell,
    Cell,
    DepartmentView,
    FindingCell,
    Notes,
    PortalView,
    Tile,
    WeekRow,
    days_text,
    rule_text,
    spaced,
    week_name,
    weeks_text,
)

_ALL = "All departments"
_CHART_HEIGHT, _HOURS_HEIGHT = 112, 170
_HOURS = ("planned", "worked", "paid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Of one portal: who says how complete cost and hours, the plan ahead, sickness, and findings with overtime are."""

    labour: Judge
    plan: Judge
    absence: Judge
    findings: Judge


class PortalBuilder:
    """Makes one view.

    Args:
        key: of the portal.
        figures: of all portals.
        periods: of the page.
        judges: of this portal.
        charted: how many departments have a chart.
        has_weeks: whether departments have tables of weeks.
    """

    def __init__(
        self, key: str, figures: Figures, periods: Periods, judges: Judges, *, charted: int, has_weeks: bool
    ) -> None:
        self._key, self._figures, self._periods, self._judges = key, figures, periods, judges
        self._charted, self._has_weeks = charted, has_weeks
        self._notes = Notes()
        people = (figures.sickness, figures.overtime)
        parts = (figures.weeks, figures.ahead, *people, figures.findings, figures.exceptions)
        everything = {one for part in parts for one in part if one[0] == key}
        self._keys = sorted(everything, key=self._size)
        self._departments = [key for key in self._keys if key[1] is not None]
        self._money = figures.currencies.get(key, "")
        self._states = {week: self._state(week) for week in periods.shown}

    def view(self) -> PortalView:
        """All of it, in the order of the page, in which notes are numbered."""
        view = PortalView(
            key=self._key,
            name=self._figures.names.get(self._key, ""),
            currency=self._money,
            is_read=bool(self._keys),
        )
        if view.is_read:
            self._tiles(view)
            self._weeks(view)
            self._hours(view)
            self._people(view)
            self._findings(view)
            self._ahead(view)
        view.notes = self._notes.texts
        return view

    def _size(self, key: Key) -> tuple[bool, float, float, str]:
        """Orders departments: the largest cost first, or the most hours; what belongs to no department last."""
        sums = added(self._figures.weeks.get(key, {}).values())
        return key[1] is None, -float(sums.labour_cost or 0), -float(sums.worked or sums.planned or 0), self._name(key)

    def _name(self, key: Key) -> str:
        if key[1] is None:
            return "No department"
        return self._figures.departments.get(key) or f"Department {key[1]} (no name)"

    def _last_day(self, week: date) -> date:
        end = week + timedelta(days=6)
        return min(end, self._periods.yesterday) if week == self._periods.current else end

    def _state(self, week: date) -> PeriodState:
        state = self._judges.labour.past(week, self._last_day(week))
        if state.level == "complete" and week == self._periods.current:
            return PeriodState("current", (f"not over, figures until {self._periods.yesterday:%A, %d %b}",))
        return state

    def _sums(self, key: Key, week: date) -> Sums:
        return self._figures.weeks.get(key, {}).get(week, Sums())

    def _of_departments(self, *weeks: date) -> list[tuple[str, Sums]]:
        """What each department has in some weeks, without what belongs to none."""
        return [(self._name(key), added(self._sums(key, week) for week in weeks)) for key in self._departments]

    def _tiles(self, view: PortalView) -> None:
        """The last full week, and in words what of its cost belongs nowhere."""
        week = self._periods.weeks[-1]
        view.last = self._of_departments(week)
        weeks_before = self._periods.weeks[-5:-1]
        now, earlier = percent_of_all(view.last), percent_of_all(self._of_departments(*weeks_before))
        total = added(self._sums(key, week) for key in self._keys)
        view.last_percent = self._notes.percent(now)
        planned, view.last_worked, _ = self._hours_cells(total)
        before = "" if earlier.number is None else f"{earlier.text} % in {weeks_text(weeks_before)}"
        text = f"{now.text} %" if now.number is not None else UNKNOWN
        view.tiles = [
            Tile("Labour cost, % of revenue", Cell(text, view.last_percent.note), before),
            Tile("Labour cost", self._cost(total), self._money),
            Tile("Revenue", self._revenue(total), self._money),
            Tile("Worked hours", view.last_worked, f"{planned.text} planned"),
        ]
        view.details += [f"{week_name(week)}: {one}" for one in now.figures]
        if total.unallocated_cost:
            cost = f"{spaced(f'{total.unallocated_cost:,.0f}')} {self._money}".strip()
            view.details.append(f"{week_name(week)}: {cost} of cost belongs to no department and is in no figure")

    def _cost(self, sums: Sums) -> Cell:
        return self._notes.cell(sums.labour_cost, "no labour cost is known")

    def _revenue(self, sums: Sums) -> Cell:
        return self._notes.cell(sums.revenue, "no revenue is recorded")

    def _hours_cells(self, sums: Sums) -> list[Cell]:
        more = "more hours were planned for which nothing is recorded" if sums.not_worked else ""
        return [
            self._notes.cell(sums.planned, "nothing is planned"),
            self._notes.cell(sums.worked, "nothing is punched, approved or paid", also=more),
            self._notes.cell(sums.paid, "payroll has no hours"),
        ]

    def _weeks(self, view: PortalView) -> None:
        """Charts and tables of weeks. All charts of percentages have one scale."""
        weeks = self._periods.shown
        of_all = {week: percent_of_all(self._of_departments(week)) for week in weeks}
        own = {key: {week: percent_of(self._sums(key, week)) for week in weeks} for key in self._departments}
        numbers = [one.number for of_key in (of_all, *own.values()) for one in of_key.values()]
        scale = charts.scale_of(numbers, is_cut=True)
        view.percent = self._percents(of_all, _ALL, scale)
        totals = {week: added(self._sums(key, week) for key in self._keys) for week in weeks}
        view.weeks = [self._row(week, totals[week], of_all[week], hours=True) for week in weeks]
        for key, of_key in own.items():
            is_charted = len(view.departments) < self._charted
            has_chart = is_charted and any(one.number is not None for one in of_key.values())
            has_rows = self._has_weeks and any(not self._sums(key, week).is_empty for week in weeks)
            if has_chart or has_rows:
                view.departments.append(
                    DepartmentView(
                        name=self._name(key),
                        chart=self._percents(of_key, self._name(key), scale) if has_chart else None,
                        weeks=tuple(self._row(week, self._sums(key, week), of_key[week]) for week in weeks if has_rows),
                    )
                )
        series = [[self._hours_bar(week, name, getattr(totals[week], name)) for week in weeks] for name in _HOURS]
        most = charts.scale_of([value.number for values in series for value in values])
        view.hours = charts.chart(self._labels(), series, scale=most, height=_HOURS_HEIGHT, lines=2)

    def _labels(self) -> list[str]:
        return [f"{week_name(week)}{'' if one.level == 'complete' else '*'}" for week, one in self._states.items()]

    def _percents(self, of: Mapping[date, Percent], name: str, scale: float) -> Chart:
        values = []
        for week, percent in of.items():
            words = [f"{percent.text} %" if percent.number is not None else "not known", *percent.figures]
            words += self._state_words(week)
            title = f"{name}, {week_name(week)}: {'; '.join(words)}"
            is_open = self._states[week].level != "complete"
            values.append(Value(number=percent.number, text=percent.text, title=title, is_open=is_open))
        return charts.chart(self._labels(), [values], scale=scale, height=_CHART_HEIGHT)

    def _hours_bar(self, week: date, what: str, hours: Decimal | None) -> Value:
        text = "not known" if hours is None else spaced(f"{hours:,.0f}")
        title = "; ".join([f"{week_name(week)}: {text} hours {what}", *self._state_words(week)])
        is_open = self._states[week].level != "complete"
        return Value(number=None if hours is None else float(hours), title=title, is_open=is_open)

    def _state_words(self, week: date) -> list[str]:
        state = self._states[week]
        return [] if state.level == "complete" else ["not over" if state.level == "current" else state.level]

    def _row(self, week: date, sums: Sums, percent: Percent, *, hours: bool = False) -> WeekRow:
        cells = [self._cost(sums), self._revenue(sums), self._notes.percent(percent)]
        if hours:
            cells += self._hours_cells(sums)
        days = days_text(week, self._last_day(week))
        return WeekRow(name=week_name(week), days=days, state=self._states[week], cells=tuple(cells))

    def _hours(self, view: PortalView) -> None:
        week = self._periods.weeks[-1]
        own = [(key, sums) for key in self._keys if not (sums := self._sums(key, week)).is_empty]
        view.hours_rows = [(_ALL, self._hours_cells(added(sums for _, sums in own)))]
        view.hours_rows += [(self._name(key), self._hours_cells(sums)) for key, sums in own]

    def _people(self, view: PortalView) -> None:
        """Sickness and overtime by main department. Withheld sickness is in no total, so that it cannot be worked out."""
        months, sickness, overtime = self._periods.months, self._figures.sickness, self._figures.overtime
        keys = [key for key in self._keys if key in sickness or key in overtime]
        if keys:
            parts = [overtime[key] for key in keys if key in overtime]
            hours = [part.hours for part in parts if part.hours is not None]
            whole = Overtime(
                hours=sum(hours[1:], hours[0]) if hours else None,
                known=sum(part.known for part in parts),
                person_weeks=sum(part.person_weeks for part in parts),
            )
            rates = [[rate for key in keys if (rate := sickness.get(key, {}).get(month))] for month in months]
            large = [[rate for rate in of_month if rate.people >= FEWEST_PEOPLE] for of_month in rates]
            view.people_rows.append((_ALL, [*map(self._rate, large), self._overtime(whole)]))
        for key in keys:
            cells = [self._sickness(sickness.get(key, {}).get(month)) for month in months]
            view.people_rows.append((self._name(key), [*cells, self._overtime(overtime.get(key))]))
        for month in months:
            view.people_state += self._judges.absence.past(*days_of(month), with_lists=True).words

    def _sickness(self, rate: Rate | None) -> Cell:
        if rate is not None and rate.people < FEWEST_PEOPLE:
            reason = f"withheld, and not in the total: fewer than {FEWEST_PEOPLE} people"
            return self._notes.cell(None, reason)
        return self._rate([rate] if rate else [])

    def _rate(self, rates: Sequence[Rate]) -> Cell:
        """Days of sickness as a percentage of planned and absent days."""
        known = [(one.sickness_days, one.days) for one in rates if one.sickness_days is not None and one.days]
        days = sum(of for _, of in known if of)
        percent = 100 * float(sum(sick for sick, _ in known if sick)) / float(days) if days else None
        return self._notes.cell(percent, "no planned or absent days are known", ".1f")

    def _overtime(self, one: Overtime | None) -> Cell:
        if one is None or not one.person_weeks:
            return self._notes.cell(None, "no hours were worked in these weeks")
        also = "contracted hours are not known of everybody" if one.known < one.person_weeks else ""
        return self._notes.cell(one.hours, "no contracted hours are known", also=also)

    def _findings(self, view: PortalView) -> None:
        figures = self._figures
        parts = (figures.weeks, figures.findings, figures.exceptions)
        keys = [key for key in self._keys if any(key in part for part in parts)]
        for name, of in [(_ALL, keys), *((self._name(key), [key]) for key in keys)] if keys else []:
            cells = [
                self._finding_cell(of, figures.findings, figures.seen_work, "nobody punches and nothing is approved"),
                self._finding_cell(of, figures.exceptions, figures.seen_shifts, "nobody punches"),
            ]
            view.finding_rows.append((name, cells))
        first, last = self._periods.checked[0], self._periods.checked[-1] + timedelta(days=6)
        view.finding_state += self._judges.findings.past(first, last).words
        rules = _by_rule(figures.planned_findings.get(key, {}) for key in self._keys)
        view.plan_findings = ", ".join(rule_text(rule, count) for rule, count in rules)

    def _finding_cell(
        self, of: Sequence[Key], counts: Mapping[Key, Mapping[str, int]], seen: Mapping[Key, int], unseen: str
    ) -> FindingCell:
        rules, looked_at = _by_rule(counts.get(key, {}) for key in of), sum(seen.get(key, 0) for key in of)
        if not looked_at and not rules:
            return FindingCell(unknown=self._notes.cell(None, f"not known: {unseen}"))
        lines = tuple(rule_text(rule, count) for rule, count in rules)
        return FindingCell(lines=lines, looked_at=f"in {spaced(f'{looked_at:,}')} shifts")

    def _ahead(self, view: PortalView) -> None:
        keys = [key for key in self._keys if key in self._figures.ahead]
        if keys:
            view.ahead_rows = [(_ALL, self._ahead_cells(keys))]
            view.ahead_rows += [(self._name(key), self._ahead_cells([key])) for key in keys]
        view.ahead_states = [self._judges.plan.ahead(week, week + timedelta(days=6)) for week in self._periods.ahead]

    def _ahead_cells(self, of: Sequence[Key]) -> list[AheadCell]:
        cells = []
        for week in self._periods.ahead:
            sums = added(weeks[week] for key in of if week in (weeks := self._figures.ahead[key]))
            hours = self._notes.cell(sums.planned, "nothing is planned")
            cost = self._notes.cell(sums.planned_cost, "Planday has no cost for this plan")
            cells.append(AheadCell(hours, spaced(f"{sums.open:,.0f}") if sums.open else "", cost))
        return cells


def _by_rule(parts: Iterable[Mapping[str, int]]) -> list[tuple[str, int]]:
    """Counts by rule, the most first."""
    counts: dict[str, int] = {}
    for part in parts:
        for rule, count in part.items():
            counts[rule] = counts.get(rule, 0) + count
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))
