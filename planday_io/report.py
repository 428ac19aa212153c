"""`planday report`: one HTML page that stands alone, for people who look: is it fresh, is it complete, what is in it.

Everything on it comes from the published warehouse and from what the schedules allow. Counts, sums and names of tables and
portals; nothing about a person. jinja2 escapes what portals call themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from planday_io.catalogue import Catalogue
from planday_io.config.model import Config
from planday_io.errors import StorageError
from planday_io.files import storage_errors, write_text
from planday_io.freshness import portal_freshness
from planday_io.grid import grid_months
from planday_io.months import first_day
from planday_io.selection import endpoints_of

_MONTHS = 24
_WEEKS = 26
_CHART = (640, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalState:
    """One portal of the page.

    Args:
        key: in portals.yaml.
        name: what the company calls itself.
        newest: last complete read of anything, or None.
        stale: tables that a schedule should have read and did not.
        never: tables that were never read.
        tables: that it has.
        months: for each month of the page, (month, slices read, slices that there should be).
        chart: planned and worked hours per week.
    """

    key: str
    name: str
    newest: datetime | None
    stale: tuple[str, ...]
    never: tuple[str, ...]
    tables: int
    months: tuple[tuple[str, int, int], ...]
    chart: Chart | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Two lines over weeks, as coordinates of an SVG picture of `_CHART`'s size.

    Args:
        planned: points of the line of planned hours.
        worked: the same of worked hours.
        highest: hours at the top.
        first, last: the weeks at either end.
        sum_planned, sum_worked: of all weeks shown.
    """

    planned: str
    worked: str
    highest: float
    first: str
    last: str
    sum_planned: float
    sum_worked: float


def write_report(config: Config, catalogue: Catalogue, output: Path, now: datetime | None = None) -> None:
    """Write the page.

    Args:
        config: of the installation.
        catalogue: its tables.
        output: the HTML file.
        now: UTC instant, the current one by default.

    Raises:
        StorageError: there is no warehouse yet, or the file cannot be written.
    """
    at = now or datetime.now(UTC)
    if not config.warehouse.exists():
        raise StorageError(f"there is no {config.warehouse} yet: run `planday sync` first")
    with duckdb.connect(str(config.warehouse), read_only=True) as db:
        page = _page(config, catalogue, db, at)
    with storage_errors(output, "write the report"):
        write_text(output, page)


def _page(config: Config, catalogue: Catalogue, db: duckdb.DuckDBPyConnection, at: datetime) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda number: f"{number:,.0f}".replace(",", "\u202f"),
        "ago": lambda then: _ago(then, at),
    }
    environment.filters |= {"month_name": lambda month: f"{first_day(month):%b %y}"}
    portals = [_portal(config, catalogue, db, key, at) for key in config.portals]
    tables = _rows(
        db,
        "SELECT table_name, count(DISTINCT portal) AS portals, count(*) AS slices, sum(kept) AS kept, "
        "sum(requests) AS requests FROM sync.slices GROUP BY ALL ORDER BY kept DESC, table_name",
    )
    runs = _rows(
        db,
        "SELECT portal, count(*) AS runs, count(*) FILTER (NOT is_complete) AS failed, "
        "coalesce(sum(requests), 0) AS requests "
        "FROM sync.runs WHERE started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 7 DAY GROUP BY ALL",
        at,
    )
    failures = _rows(
        db,
        "SELECT portal, started_at, unnest(failed) AS table_name, unnest(errors) AS error FROM sync.runs "
        "WHERE NOT is_complete AND started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 7 DAY ORDER BY started_at DESC LIMIT 20",
        at,
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        at=at,
        portals=portals,
        tables=tables,
        runs=runs,
        run_of={row["portal"]: row for row in runs},
        failures=failures,
        most_rows=max([1, *(row["kept"] for row in tables)]),
        chart_size=_CHART,
        is_good=not any(one.stale or one.never for one in portals) and not any(row["failed"] for row in runs),
    )


def _portal(
    config: Config, catalogue: Catalogue, db: duckdb.DuckDBPyConnection, portal: str, at: datetime
) -> PortalState:
    endpoints = endpoints_of(catalogue, config.portals[portal])
    states = portal_freshness(config, catalogue, portal, at, endpoints)
    facts = [
        table.full_name for one in endpoints if one.grid == "month" for table in one.tables if not table.on_request
    ]
    read = {
        row["month"]: row["slices"]
        for row in _rows(
            db,
            "SELECT month, count(*) AS slices FROM sync.slices WHERE portal = ? AND month IS NOT NULL "
            "AND list_contains(?, table_name) GROUP BY ALL",
            portal,
            facts,
        )
    }
    published = {
        row["table_name"]: row["newest"]
        for row in _rows(
            db, "SELECT table_name, max(fetched_at) AS newest FROM sync.slices WHERE portal = ? GROUP BY ALL", portal
        )
    }
    names = _rows(db, "SELECT company_name, name FROM portal.portals WHERE portal = ?", portal)
    on_request = {table.full_name for table in catalogue.tables() if table.on_request}
    return PortalState(
        key=portal,
        name=next((row["company_name"] or row["name"] or "" for row in names), ""),
        newest=max(published.values(), default=None),
        stale=tuple(name for name, state in states.items() if state.is_stale),
        never=tuple(name for name in states if name not in published and name not in on_request),
        tables=len(states),
        months=tuple((month, read.get(month, 0), len(facts)) for month in grid_months(config, portal, at)[-_MONTHS:]),
        chart=_chart(db, portal, at),
    )


def _chart(db: duckdb.DuckDBPyConnection, portal: str, at: datetime) -> Chart | None:
    """Planned and worked hours per week, the last full weeks."""
    weeks = _rows(
        db,
        "SELECT CAST(date_trunc('week', date) AS DATE) AS week, CAST(coalesce(sum(planned_hours), 0) AS DOUBLE) AS planned, "
        "CAST(coalesce(sum(worked_hours), 0) AS DOUBLE) AS worked FROM marts.labour_daily WHERE portal = ? "
        "AND date < date_trunc('week', CAST(? AS DATE)) GROUP BY ALL ORDER BY week DESC LIMIT ?",
        portal,
        at.date(),
        _WEEKS,
    )[::-1]
    if len(weeks) < 2:
        return None
    width, height = _CHART
    highest = max(1.0, *(max(row["planned"], row["worked"]) for row in weeks))

    def line(name: str) -> str:
        step = width / (len(weeks) - 1)
        return " ".join(f"{n * step:.1f},{height - row[name] / highest * height:.1f}" for n, row in enumerate(weeks))

    return Chart(
        planned=line("planned"),
        worked=line("worked"),
        highest=highest,
        first=f"{weeks[0]['week']:%d %b %Y}",
        last=f"{weeks[-1]['week']:%d %b %Y}",
        sum_planned=sum(row["planned"] for row in weeks),
        sum_worked=sum(row["worked"] for row in weeks),
    )


def _rows(db: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL values
    found = db.execute(sql, [*values])
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "never"
    hours = (now - then).total_seconds() / 3600
    if hours < 1:
        return f"{max(0, round(hours * 60))} min ago"
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} days ago"
