"""What the demo prints last: five questions about a published warehouse that an analyst would ask first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

_QUERIES = (
    (
        "Employees per department",
        """
        SELECT d.portal, d.id AS department_id, coalesce(d.name, '(no name)') AS department, count(e.id) AS employees
        FROM hr.departments AS d
        LEFT JOIN hr.employees AS e ON e.portal = d.portal AND list_contains(e.departments, d.id)
        GROUP BY ALL ORDER BY portal, employees DESC, department
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
        "Hours of work and cost per department and week, salaries included, and what came in (the last two full weeks)",
        """
        SELECT portal, department_id, coalesce(any_value(department), '(no name)') AS department,
               date_trunc('week', date)::DATE AS week,
               sum(planned_work_hours)::DECIMAL(9, 1) AS planned_h, sum(worked_hours)::DECIMAL(9, 1) AS worked_h,
               sum(sickness_hours)::DECIMAL(9, 1) AS sick_h, sum(labour_cost)::DECIMAL(11, 2) AS cost,
               round(100 * sum(cost_known_hours) / (sum(cost_known_hours) + coalesce(sum(cost_unknown_hours), 0)), 1)
                   AS known_percent,
               sum(revenue)::DECIMAL(11, 2) AS revenue, any_value(currency) AS currency,
               CASE WHEN sum(cost_unknown_hours) IS NULL
                   THEN round(100 * sum(labour_cost)::DOUBLE / nullif(sum(revenue), 0), 1)
               END AS cost_percent
        FROM marts.labour_daily
        WHERE department_id IS NOT NULL
          AND date >= date_trunc('week', current_date) - INTERVAL 14 DAY AND date < date_trunc('week', current_date)
        GROUP BY portal, department_id, week ORDER BY portal, department, department_id, week
        """,
    ),
    (
        "Why were shifts of the last full month not paid?",
        """
        SELECT portal, paid_gap AS reason, count(*) AS shifts, sum(planned_hours)::DECIMAL(9, 1) AS hours
        FROM marts.hours
        WHERE paid_gap IS NOT NULL AND date >= date_trunc('month', current_date) - INTERVAL 1 MONTH
          AND date < date_trunc('month', current_date)
        GROUP BY ALL ORDER BY portal, shifts DESC
        """,
    ),
    (
        "Is it complete? One row per portal and verdict (sync.slices)",
        """
        SELECT portal, verdict, count(DISTINCT table_name) AS tables, count(*) AS slices,
               sum(kept)::BIGINT AS rows, sum(requests)::BIGINT AS requests
        FROM sync.slices GROUP BY ALL ORDER BY ALL
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
