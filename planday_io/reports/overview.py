"""What the demo prints last: what an area manager would ask first about a published warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

_LAST_MONTH = "date >= date_trunc('month', today()) - INTERVAL 1 MONTH AND date < date_trunc('month', today())"
_SINCE = "date >= date_trunc('month', today()) - INTERVAL 1 MONTH AND date <= today()"

_QUERIES = (
    (
        "Is it complete? One row per portal and verdict (sync.slices)",
        """
        SELECT portal, verdict, count(DISTINCT table_name) AS tables, count(*) AS slices,
               sum(kept)::BIGINT AS rows, sum(requests)::BIGINT AS requests
        FROM sync.slices GROUP BY ALL ORDER BY ALL
        """,
    ),
    (
        "Who works and who left, per portal",
        """
        SELECT p.portal, p.company_name, p.time_zone,
               (SELECT count(*) FROM hr.employees AS e WHERE e.portal = p.portal) AS active,
               (SELECT count(*) FROM hr.deactivated_employees AS e WHERE e.portal = p.portal) AS left_us
        FROM portal.portals AS p ORDER BY p.portal
        """,
    ),
    (
        "What was labour cost last month, salaries included, as a percentage of revenue? A lower bound where not all of it "
        "is known (the departments with most revenue)",
        f"""
        SELECT portal, department_id, coalesce(any_value(department), '(no name)') AS department,
               sum(worked_hours)::DECIMAL(9, 0) AS worked_h, sum(labour_cost)::DECIMAL(11, 0) AS cost,
               sum(revenue)::DECIMAL(11, 0) AS revenue, any_value(currency) AS currency,
               CASE WHEN sum(revenue) > 0 THEN round(100 * sum(labour_cost)::DOUBLE / sum(revenue)::DOUBLE, 1) END
                   AS cost_percent,
               round(100 * sum(cost_known_hours) / (sum(cost_known_hours) + coalesce(sum(cost_unknown_hours), 0)), 1)
                   AS known_percent
        FROM marts.labour_daily
        WHERE department_id IS NOT NULL AND {_LAST_MONTH}
        GROUP BY portal, department_id
        QUALIFY row_number() OVER (PARTITION BY portal ORDER BY sum(revenue) DESC NULLS LAST, department_id) <= 4
        ORDER BY portal, revenue DESC
        """,
    ),
    (
        "Planned and worked hours of work last month, and paid hours of all kinds",
        f"""
        SELECT portal, sum(planned_work_hours)::DECIMAL(9, 0) AS planned_h, sum(worked_hours)::DECIMAL(9, 0) AS worked_h,
               sum(paid_hours)::DECIMAL(9, 0) AS paid_h, sum(sickness_hours)::DECIMAL(9, 0) AS sickness_h,
               sum(open_hours)::DECIMAL(9, 0) AS open_h
        FROM marts.labour_daily WHERE {_LAST_MONTH} GROUP BY portal ORDER BY portal
        """,
    ),
    (
        "How many were away last month? Days of sickness as a percentage of planned and absent days",
        """
        SELECT portal, sum(planned_days)::DECIMAL(9, 0) AS planned_days, sum(sickness_days)::DECIMAL(9, 0) AS sick_days,
               sum(vacation_days)::DECIMAL(9, 0) AS vacation_days,
               round(100 * sum(sickness_days)::DOUBLE / nullif(sum(planned_days + absent_days), 0)::DOUBLE, 1)
                   AS sickness_percent
        FROM marts.absence_monthly
        WHERE month = strftime(date_trunc('month', today()) - INTERVAL 1 MONTH, '%Y-%m') GROUP BY portal ORDER BY portal
        """,
    ),
    (
        "Who was the most late since the beginning of last month, by the punch clock?",
        f"""
        SELECT portal, department, employee_id, employee, start_local AS planned, first_punch_in AS came,
               late_minutes::DECIMAL(9, 0) AS late_minutes
        FROM marts.attendance WHERE late_minutes > 5 AND {_SINCE}
        QUALIFY row_number() OVER (PARTITION BY portal ORDER BY late_minutes DESC, shift_id) <= 2
        ORDER BY portal, late_minutes DESC
        """,
    ),
    (
        "Who rested less than 11 hours between two days of work, since then?",
        f"""
        SELECT portal, employee_id, employee, start_local AS began, value::DECIMAL(9, 1) AS rest_hours,
               limit_value::DECIMAL(9, 0) AS at_least, shift_ids
        FROM marts.working_time_findings
        WHERE rule = 'daily_rest' AND basis = 'worked' AND {_SINCE}
        QUALIFY row_number() OVER (PARTITION BY portal ORDER BY value, period_start, employee_id) <= 2
        ORDER BY portal, rest_hours
        """,
    ),
    (
        "Which shifts changed within a day before they began, as two reads saw it?",
        """
        SELECT portal, coalesce(department, '(no name)') AS department, shift_id, change, old_employee, new_employee,
               coalesce(old_start_local, new_start_local) AS begins,
               hours_before_at_least::DECIMAL(9, 1) AS at_least_hours_before, hours_before_at_most::DECIMAL(9, 1) AS at_most
        FROM marts.roster_changes WHERE hours_before_at_least >= 0 AND hours_before_at_most <= 24
        QUALIFY row_number() OVER (PARTITION BY portal ORDER BY hours_before_at_most, shift_id) <= 3
        ORDER BY portal, at_most
        """,
    ),
    (
        "Why do shifts of last month have no cost in payroll?",
        f"""
        SELECT portal, paid_gap AS reason, count(*) AS shifts, sum(planned_hours)::DECIMAL(9, 1) AS hours
        FROM marts.hours WHERE paid_gap IS NOT NULL AND {_LAST_MONTH} GROUP BY ALL ORDER BY portal, shifts DESC
        """,
    ),
    (
        "What is planned for the next two weeks, and what does Planday say it costs?",
        """
        SELECT portal, sum(planned_work_hours)::DECIMAL(9, 0) AS planned_h, sum(open_hours)::DECIMAL(9, 0) AS open_h,
               sum(planned_cost)::DECIMAL(11, 0) AS planned_cost, any_value(currency) AS currency
        FROM marts.labour_daily WHERE date BETWEEN today() + 1 AND today() + 14 GROUP BY portal ORDER BY portal
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and the rows that answer it."""

    question: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


def overview(warehouse: Path) -> Iterator[Answer]:
    """Answer the questions, one after the other. The file must have the tables of the demo."""
    with duckdb.connect(str(warehouse), read_only=True) as db:
        for question, query in _QUERIES:
            found = db.execute(query)
            columns = tuple(column[0] for column in found.description or ())
            yield Answer(question, columns, found.fetchall())
