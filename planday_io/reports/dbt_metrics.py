"""The metrics of the dbt package (`dbt/`), as dbt's semantic layer and MetricFlow read them.

A metric adds up columns of a mart and divides sums; what a column means stays in the mart, which is read, never copied. It is
NULL where the mart's own figure is NULL, and rounded like it. A metric of a column that the mart does not have is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from planday_io.catalogue import ContradictionError
from planday_io.warehouse.mart_files import MARTS, marts

PREFIX = "planday_"
"""Of models and metrics, whose names have to differ from those of a company's own project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Adds up a column.

    Args:
        label: what people see.
        of: expression over the mart's columns.
        aggregate: how rows are aggregated.
    """

    label: str
    of: str
    aggregate: str = "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Computed from other metrics.

    Args:
        label: what people see.
        doc: one or two sentences.
        of: expression over metrics of the same mart, without prefix.
        where: only rows where this column has a value, or empty.
    """

    label: str
    doc: str
    of: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOf:
    """The metrics of one mart.

    Args:
        mart: name of the view.
        entity: what a row is.
        date: expression for the day that a row counts on.
        granularity: of that date: day or month.
        dimensions: columns to group by.
        rows: condition on the rows that count, or empty.
        metrics: name without prefix -> metric.
    """

    mart: str
    entity: str
    date: str
    granularity: str
    dimensions: tuple[str, ...]
    metrics: Mapping[str, Sum | Figure]
    rows: str = ""
    doc: str = field(init=False)
    columns: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        mart = marts()[MARTS.index(self.mart)]
        texts = [self.date, self.rows, *self.dimensions]
        texts += [metric.of for metric in self.metrics.values() if isinstance(metric, Sum)]
        texts += [metric.where for metric in self.metrics.values() if isinstance(metric, Figure)]
        named = {word for text in texts for word in _words(text)}
        if strange := named - {*mart.columns}:
            raise ContradictionError(f"metrics of marts.{self.mart} name {sorted(strange)}, which are not its columns")
        for name, metric in self.metrics.items():
            if isinstance(metric, Figure) and (strange := {*_words(metric.of)} - {*self.metrics}):
                raise ContradictionError(f"metric {name} is computed from {sorted(strange)}, which are not metrics")
        object.__setattr__(self, "doc", mart.doc)
        object.__setattr__(self, "columns", {name: doc for name, doc in mart.columns.items() if name in named})

    def inputs(self, figure: Figure) -> list[str]:
        """The metrics that a figure is computed from."""
        return [*dict.fromkeys(_words(figure.of))]


_SQL = frozenset("and case cast coalesce end is not null nullif or round then try_cast when".split())


def _words(expression: str) -> list[str]:
    """The names in an expression: no keywords, no texts, no types."""
    without = re.sub(r"'[^']*'| as (?:date|double)\b", "", expression)
    return [one for one in re.findall(r"[a-z_][a-z0-9_]*", without) if one not in _SQL]


_PLACE = ("portal", "department_id", "department")

METRICS = (
    MetricsOf(
        mart="labour_daily",
        entity="department_day",
        date="date",
        granularity="day",
        dimensions=(*_PLACE, "currency"),
        metrics={
            "worked_hours": Sum(label="Worked hours", of="worked_hours"),
            "planned_work_hours": Sum(label="Planned hours of work", of="planned_work_hours"),
            "sickness_hours": Sum(label="Planned hours of shifts that stand for sickness", of="sickness_hours"),
            "cost_known_hours": Sum(label="Worked hours whose cost is known", of="cost_known_hours"),
            "cost_unknown_hours": Sum(label="Worked hours whose cost is not known", of="cost_unknown_hours"),
            "labour_cost_currencies_mixed": Sum(label="Labour cost, currencies mixed", of="labour_cost"),
            "revenue_currencies_mixed": Sum(label="Revenue, currencies mixed", of="revenue"),
            "currencies": Sum(
                # A portal whose currency is not known counts as one of its own.
                label="Currencies",
                of="coalesce(currency, portal)",
                aggregate="count_distinct",
            ),
            "revenue_where_worked_currencies_mixed": Sum(
                label="Revenue of days with worked hours, currencies mixed",
                of="case when worked_hours > 0 then revenue end",
            ),
            "worked_hours_where_sold": Sum(
                label="Worked hours of days with revenue",
                of="case when revenue is not null then worked_hours end",
            ),
            "labour_cost": Figure(
                label="Labour cost",
                doc="Pay for shifts, supplements and salaries. NULL where several currencies would be added up.",
                of="case when currencies = 1 then labour_cost_currencies_mixed end",
            ),
            "revenue": Figure(
                label="Revenue",
                doc="Revenue of the departments' revenue units. NULL where several currencies would be added up.",
                of="case when currencies = 1 then revenue_currencies_mixed end",
            ),
            "labour_cost_percent": Figure(
                label="Labour cost %",
                doc="Labour cost of departments as a percentage of their revenue. NULL where either is missing, where "
                "revenue is not above 0, and where the cost of any worked hour is not known.",
                of="case when cost_unknown_hours is null and revenue > 0 "
                "then round(100.0 * cast(labour_cost as double) / cast(revenue as double), 2) end",
                where="department_id",
            ),
            "cost_known_percent": Figure(
                label="Worked hours whose cost is known, %",
                doc="Of worked hours, courses and standby included. NULL where nobody worked.",
                of="round(100.0 * cast(coalesce(cost_known_hours, 0) as double) "
                "/ cast(nullif(coalesce(cost_known_hours, 0) + coalesce(cost_unknown_hours, 0), 0) as double), 2)",
            ),
            "sales_per_labour_hour": Figure(
                label="Sales per labour hour",
                doc="Revenue per worked hour, of a department's days on which both are known.",
                of="case when currencies = 1 "
                "then round(revenue_where_worked_currencies_mixed / nullif(worked_hours_where_sold, 0), 2) end",
            ),
        },
    ),
    MetricsOf(
        mart="overtime",
        entity="person_month",
        date="period_start",
        granularity="month",
        dimensions=_PLACE,
        rows="period_of = 'month'",
        metrics={
            "overtime_hours": Sum(label="Hours beyond the contract", of="over_contract_hours"),
            "hours_under_contract": Sum(
                label="Worked hours of people whose contracted hours are known",
                of="case when over_contract_hours is not null then worked_hours end",
            ),
            "hours_without_contract": Sum(
                label="Worked hours of people whose contracted hours are not known",
                of="case when over_contract_hours is null then worked_hours end",
            ),
            "shifts_without_hours": Sum(
                label="Shifts whose worked hours are not known, or not whole", of="shifts_without_hours"
            ),
            "overtime_percent": Figure(
                label="Overtime %",
                doc="Hours beyond the contract as a percentage of the worked hours of people whose contracted hours are "
                "known; the others are `planday_hours_without_contract`.",
                of="round(100.0 * cast(overtime_hours as double) / cast(nullif(hours_under_contract, 0) as double), 1)",
            ),
        },
    ),
    MetricsOf(
        mart="absence_monthly",
        entity="person_month_of_absence",
        date="try_cast(month || '-01' as date)",
        granularity="month",
        dimensions=_PLACE,
        metrics={
            "planned_days": Sum(label="Planned days, absence taken off", of="planned_days"),
            "absent_days": Sum(label="Days of absence", of="absent_days"),
            "sickness_days": Sum(label="Days of sickness", of="sickness_days"),
            "vacation_days": Sum(label="Days of vacation", of="vacation_days"),
            "absence_percent": Figure(
                label="Absence rate, %",
                doc="Days of absence as a percentage of planned and absent days together.",
                of="round(100.0 * cast(absent_days as double) / cast(nullif(planned_days + absent_days, 0) as double), 1)",
            ),
            "sickness_percent": Figure(
                label="Sickness rate, %",
                doc="Days of sickness as a percentage of planned and absent days together.",
                of="round(100.0 * cast(sickness_days as double) / cast(nullif(planned_days + absent_days, 0) as double), 1)",
            ),
        },
    ),
)
