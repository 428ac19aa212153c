"""The figures of the managers' report: small queries over the marts, per portal, department and ISO week.

Each adds up columns of one mart as docs/recipes.md and docs/marts.md do; what a figure means is defined there. Sums leave out
what is not known, and are None where nothing is. Nothing here is about one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from planday_io.months import month_of
from planday_io.reports.page import rows
from planday_io.reports.periods import Periods
from planday_io.warehouse.definitions import literal

FEWEST_PEOPLE = 5
"""Sickness of fewer people is withheld, because it would be about persons; `marts.pay_gap` has the same limit."""

_SICKNESS = """
SELECT portal, department_id, any_value(department) AS department, month, count(DISTINCT employee_id) AS people,
    sum(sickness_days) AS sickness_days, sum(planned_days + absent_days) AS days
FROM marts.absence_monthly
WHERE month BETWEEN $first_month AND $last_month AND {where}
GROUP BY portal, department_id, month
"""
"""Recipe 6, by department."""

_OVERTIME = """
SELECT portal, department_id, any_value(department) AS department, sum(over_contract_hours) AS hours,
    count(over_contract_hours) AS known, count(*) AS person_weeks
FROM marts.overtime
WHERE period_of = 'week' AND period_start BETWEEN $first AND $last AND {where}
GROUP BY portal, department_id
"""
"""Recipe 2, by department."""

_LABOUR = """
SELECT portal, department_id, any_value(department) AS department, CAST(date_trunc('week', date) AS DATE) AS week,
    sum(labour_cost) AS labour_cost, sum(unallocated_cost) AS unallocated_cost, sum(revenue) AS revenue,
    sum(cost_known_hours) AS cost_known_hours, sum(cost_unknown_hours) AS cost_unknown_hours,
    count(DISTINCT date) FILTER (worked_hours > 0) AS days_worked,
    count(DISTINCT date) FILTER (worked_hours > 0 AND revenue IS NULL) AS days_without_revenue,
    sum(planned_work_hours) AS planned, sum(open_hours) AS open, sum(planned_cost) AS planned_cost,
    any_value(currency) AS currency
FROM marts.labour_daily
WHERE (date BETWEEN $first AND $yesterday OR date BETWEEN $ahead AND $last) AND month BETWEEN $first_month AND $last_month
    AND {where}
GROUP BY portal, department_id, week
"""
"""Recipes 1 (of weeks that began) and 14 (of weeks ahead), by week."""

_HOURS = """
SELECT portal, department_id, any_value(department) AS department, CAST(date_trunc('week', date) AS DATE) AS week,
    sum(planned_hours) AS planned, sum(worked_hours) AS worked, sum(paid_hours) AS paid,
    sum(worked_hours) FILTER (worked_by = 'paid') AS as_planned,
    sum(planned_hours) FILTER (worked_hours IS NULL AND worked_gap IS DISTINCT FROM 'not yet') AS not_worked,
    list_sort(list(DISTINCT paid_gap) FILTER (worked_hours > 0 AND paid_gap IS NOT NULL AND paid_gap <> 'salaried')) AS gaps
FROM marts.hours
WHERE kind = 'work' AND employee_id IS NOT NULL AND status IS DISTINCT FROM 'Draft'
    AND date BETWEEN $first AND $last AND month BETWEEN $first_month AND $last_month AND {where}
GROUP BY portal, department_id, week
"""
"""Recipe 8, by week."""

_FINDINGS = """
SELECT portal, department_id, rule, basis, count(*) AS findings
FROM marts.working_time_findings_between(from_date := $first, to_date := $last, look_back_weeks := $look_back)
WHERE (basis = 'worked' AND date <= $checked OR basis = 'planned' AND date >= $ahead) AND {where}
GROUP BY portal, department_id, rule, basis
"""

_EXCEPTIONS = """
SELECT portal, department_id, exception AS rule, count(*) AS findings
FROM marts.attendance_exceptions(from_date := $first, to_date := $last)
WHERE exception IN ('late', 'left early', 'long break', 'forgotten punch-out', 'no-show') AND {where}
GROUP BY portal, department_id, exception
"""

_SEEN_WORK = """
SELECT portal, department_id, count(*) AS seen FROM marts.work_periods
WHERE basis = 'worked' AND date BETWEEN $first AND $last AND month BETWEEN $first_month AND $last_month AND {where}
GROUP BY portal, department_id
"""
_SEEN_SHIFTS = """
SELECT portal, department_id, count(*) AS seen FROM marts.attendance
WHERE date BETWEEN $first AND $last AND month BETWEEN $first_month AND $last_month AND {where}
GROUP BY portal, department_id
"""
_DEPARTMENTS = "SELECT portal, id, any_value(name) FROM hr.departments GROUP BY ALL"
_NAMES = "SELECT portal, any_value(coalesce(company_name, name)) FROM portal.portals GROUP BY ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose rows are read.

    Args:
        portals: keys.
        departments: Planday's ids, of one portal; none for all.
    """

    portals: tuple[str, ...]
    departments: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The condition, as SQL."""
        conditions = [f"portal IN ({', '.join(map(literal, self.portals))})"]
        if self.departments:
            conditions.append(f"department_id IN ({', '.join(map(str, self.departments))})")
        return " AND ".join(conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums of a week, of one department or of several. None is not known. Hours are of work, and decimal.

    Args:
        planned: of the roster.
        worked: approved, else punched, else paid.
        paid: as payroll counts them.
        as_planned: of `worked`, those that nobody measured.
        not_worked: planned hours for which nothing is recorded.
        labour_cost: allocated to departments.
        unallocated_cost: that belongs to no department.
        revenue: of the departments' revenue units.
        cost_known_hours: worked hours whose cost is known.
        cost_unknown_hours: worked hours whose cost is not known.
        days_worked: days on which a department worked.
        days_without_revenue: of these, those without revenue.
        open: planned hours without an employee, of all kinds.
        planned_cost: what Planday says the plan costs.
    """

    planned: Decimal | None = None
    worked: Decimal | None = None
    paid: Decimal | None = None
    as_planned: Decimal | None = None
    not_worked: Decimal | None = None
    labour_cost: Decimal | None = None
    unallocated_cost: Decimal | None = None
    revenue: Decimal | None = None
    cost_known_hours: Decimal | None = None
    cost_unknown_hours: Decimal | None = None
    days_worked: int | None = None
    days_without_revenue: int | None = None
    open: Decimal | None = None
    planned_cost: Decimal | None = None
    gaps: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return all(getattr(self, name) is None for name in _SUMMED if not name.startswith("days"))


_SUMMED = tuple(one.name for one in fields(Sums) if one.name != "gaps")


def added(parts: Iterable[Sums]) -> Sums:
    """The sums of several parts; None where no part is known."""
    all_parts = [*parts]
    values: dict[str, Any] = {}
    for name in _SUMMED:
        known = [value for part in all_parts if (value := getattr(part, name)) is not None]
        values[name] = sum(known[1:], known[0]) if known else None
    return Sums(**values, gaps=tuple(sorted({gap for part in all_parts for gap in part.gaps})))


Department = int | None
Key = tuple[str, Department]
"""A portal and a department; None is what belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Sickness of a department in a month, in days."""

    people: int
    sickness_days: Decimal | None
    days: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtime:
    """Hours over the contract; in `known` of `person_weeks` a contract is known."""

    hours: Decimal | None
    known: int
    person_weeks: int


@dataclass(slots=True)
class Figures:
    """All figures of a page.

    Args:
        names: portal -> name of the company.
        departments: their names, None where they have none.
        currencies: portal -> currency of all its amounts.
        weeks: sums by department and Monday.
        ahead: the same of the weeks ahead.
        sickness: by department and month.
        overtime: by department.
        findings: breaches of working time in what was worked, by department and rule.
        planned_findings: the same in the plan of the weeks ahead.
        exceptions: of attendance.
        seen_work: pieces of work that findings can be found in.
        seen_shifts: shifts and punches that exceptions can be found in.
    """

    names: dict[str, str]
    departments: dict[Key, str | None]
    currencies: dict[str, str] = field(default_factory=dict)
    weeks: dict[Key, dict[date, Sums]] = field(default_factory=dict)
    ahead: dict[Key, dict[date, Sums]] = field(default_factory=dict)
    sickness: dict[Key, dict[str, Rate]] = field(default_factory=dict)
    overtime: dict[Key, Overtime] = field(default_factory=dict)
    findings: dict[Key, dict[str, int]] = field(default_factory=dict)
    planned_findings: dict[Key, dict[str, int]] = field(default_factory=dict)
    exceptions: dict[Key, dict[str, int]] = field(default_factory=dict)
    seen_work: dict[Key, int] = field(default_factory=dict)
    seen_shifts: dict[Key, int] = field(default_factory=dict)


def names_of_departments(db: duckdb.DuckDBPyConnection) -> dict[Key, str | None]:
    """All that the published file has."""
    return {(portal, number): name for portal, number, name in db.execute(_DEPARTMENTS).fetchall()}


def figures(db: duckdb.DuckDBPyConnection, scope: Scope, periods: Periods) -> Figures:
    """Ask all of it of the published file."""
    first, current, ahead = periods.weeks[0], periods.current, periods.ahead[0]
    last, checked = periods.ahead[-1] + timedelta(days=6), (periods.checked[0], periods.checked[-1] + timedelta(days=6))
    found = Figures(
        names={key: name or "" for key, name in db.execute(_NAMES).fetchall()}, departments=names_of_departments(db)
    )
    yesterday = periods.yesterday
    for row in _rows(db, _LABOUR, scope, **_of_days(first, last), yesterday=yesterday, ahead=ahead):
        key, week, currency = _key_of(found, row), row.pop("week"), row.pop("currency")
        if currency:
            found.currencies[key[0]] = currency
        if week > current:
            plan = Sums(planned=row["planned"], open=row["open"], planned_cost=row["planned_cost"])
            if not plan.is_empty:
                found.ahead.setdefault(key, {})[week] = plan
        else:
            # Planned hours of these weeks come with the worked ones, of the same shifts.
            found.weeks.setdefault(key, {})[week] = Sums(**row | {"planned": None, "open": None, "planned_cost": None})
    for row in _rows(db, _HOURS, scope, **_of_days(first, yesterday)):
        key, week = _key_of(found, row), row.pop("week")
        hours = Sums(**row | {"gaps": tuple(row["gaps"] or ())})
        weeks = found.weeks.setdefault(key, {})
        weeks[week] = added([weeks.get(week, Sums()), hours])
    for row in _rows(db, _SICKNESS, scope, first_month=periods.months[0], last_month=periods.months[-1]):
        key, month = _key_of(found, row), row.pop("month")
        found.sickness.setdefault(key, {})[month] = Rate(**row)
    for row in _rows(db, _OVERTIME, scope, first=periods.checked[0], last=periods.checked[-1]):
        key = _key_of(found, row)
        found.overtime[key] = Overtime(**row)
    days = {"first": checked[0], "last": last, "checked": checked[1], "ahead": ahead, "look_back": _look_back(db)}
    for row in _rows(db, _FINDINGS, scope, **days):
        counts = found.findings if row["basis"] == "worked" else found.planned_findings
        counts.setdefault((row["portal"], row["department_id"]), {})[row["rule"]] = row["findings"]
    for row in _rows(db, _EXCEPTIONS, scope, first=checked[0], last=checked[1]):
        found.exceptions.setdefault((row["portal"], row["department_id"]), {})[row["rule"]] = row["findings"]
    for sql, seen in ((_SEEN_WORK, found.seen_work), (_SEEN_SHIFTS, found.seen_shifts)):
        for row in _rows(db, sql, scope, **_of_days(*checked)):
            seen[row["portal"], row["department_id"]] = row["seen"]
    return found


def _key_of(found: Figures, row: dict[str, Any]) -> Key:
    """Portal and department of a row, which are taken out of it; the department's name is kept."""
    key, name = (row.pop("portal"), row.pop("department_id")), row.pop("department")
    if name is not None or key not in found.departments:
        found.departments[key] = name
    return key


def _look_back(db: duckdb.DuckDBPyConnection) -> int:
    """Weeks that the rules of any portal look back."""
    row = db.execute("SELECT max(over_weeks) FROM sync.working_time_rules").fetchone()
    return max(17, int(row[0] or 0)) if row else 17


def _of_days(first: date, last: date) -> dict[str, object]:
    """Days, and the months that their rows are in: pay may be in the payroll of the month before or after."""
    near = timedelta(days=31)
    return {"first": first, "last": last, "first_month": month_of(first - near), "last_month": month_of(last + near)}


def _rows(db: duckdb.DuckDBPyConnection, sql: str, scope: Scope, **values: object) -> list[dict[str, Any]]:
    return rows(db, sql.format(where=scope.where), **values)
