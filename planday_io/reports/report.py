"""`planday report`: one self-contained HTML page about freshness, completeness and content.

Rows, hours and failures come from the published warehouse; what is wrong now comes from the state of the installation
(`planday_io.reports.health`), so that a portal whose access was revoked never looks fresh. Counts, sums and names of tables
and portals; nothing about a person. jinja2 escapes the names of portals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from planday_io.config.grid import grid_months
from planday_io.files import storage_errors, write_text
from planday_io.lake.installation import Installation
from planday_io.monitoring.completeness import Completeness, MonthState
from planday_io.monitoring.health import PortalHealth
from planday_io.monitoring.messages import some
from planday_io.months import first_day
from planday_io.reports.health import LEVELS, Level, Remark, remarks, shown
from planday_io.reports.nights import days, nights
from planday_io.reports.page import environment, health_at, rows
from planday_io.reports.past_failures import past_failures
from planday_io.warehouse.standing import reading

_MONTHS = 24
_WEEKS = 26
_FAILURES = 20
_CHART = (640, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalState:
    """One portal of the page.

    Args:
        key: in portals.yaml.
        name: what the company calls itself.
        newest: last complete read of anything, or None.
        remarks: how it is, the worst first.
        months: month -> how complete its tables of facts are.
        chart: planned and worked hours per week.
    """

    key: str
    name: str
    newest: datetime | None
    remarks: list[Remark]
    months: dict[str, MonthState]
    chart: dict[str, Any] | None

    @property
    def level(self) -> Level:
        """How bad the worst is."""
        return self.remarks[0].level


def write_report(installation: Installation, output: Path, now: datetime | None = None) -> None:
    """Write the page about an instant, which is the current one by default.

    Raises:
        StorageError: there is no warehouse yet, or the file cannot be written.
    """
    config = installation.config
    at = now or datetime.now(UTC)
    with reading(config.warehouse) as db:
        page = _page(installation, db, at)
    with storage_errors(output, "write the report"):
        write_text(output, page)


def _page(installation: Installation, db: duckdb.DuckDBPyConnection, at: datetime) -> str:
    config = installation.config
    health, blind = health_at(installation, at)
    incidents = health.all_incidents if health else ()
    judged = Completeness(installation, db, at, health)
    found = {one.portal: one for one in health.portals} if health else {}
    portals = [_portal(installation, db, key, at, found.get(key) or blind, judged) for key in config.portals]
    tables = rows(
        db,
        "SELECT table_name, count(DISTINCT portal) AS portals, count(*) AS slices, sum(kept) AS kept, "
        "sum(requests) AS requests FROM sync.slices GROUP BY ALL ORDER BY kept DESC, table_name",
    )
    runs = rows(
        db,
        "SELECT portal, count(*) AS runs, count(*) FILTER (NOT is_complete) AS failed, "
        "coalesce(sum(requests), 0) AS requests "
        "FROM sync.runs WHERE started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 7 DAY GROUP BY ALL",
        at,
    )
    template = environment(at).get_template("report.html.j2")
    return template.render(
        at=at,
        verdict=_verdict(portals, len(incidents), blind),
        blind=blind,
        incidents=shown(config, incidents),
        portals=portals,
        months=sorted({month for one in portals for month in one.months})[-_MONTHS:],
        tables=tables,
        runs=runs,
        run_of={row["portal"]: row for row in runs},
        failures=past_failures(config, db, at)[:_FAILURES],
        nights=nights(config, db, at),
        days=days(config, at),
        findings=_findings(db),
        most_rows=max([1, *(row["kept"] for row in tables)]),
        chart_size=_CHART,
    )


def _verdict(portals: list[PortalState], incidents: int, blind: str) -> tuple[Level, str]:
    """The badge: how bad the worst is, and a sentence."""
    level = max((one.level for one in portals), key=LEVELS.index)
    bad = [one.key for one in portals if one.level == "bad"]
    if incidents or bad:
        what = f"{incidents} incident{'s' if incidents != 1 else ''} open" if incidents else f"see {some(bad, 3)}"
        return "bad", f"Something needs a look: {what}"
    if blind:
        return "warn", "Something needs a look: what is wrong cannot be known"
    if level == "warn":
        return "warn", "Something needs a look: not everything was read"
    if level == "unknown":
        return "unknown", "No incident is open, but not everything can be known"
    return "good", "Everything fresh and complete"


def _findings(db: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Values that the marts could not use as received. A file published by an older version does not list them."""
    if not rows(db, "SELECT view_name FROM duckdb_views() WHERE schema_name = 'sync' AND view_name = 'findings'"):
        return []
    return rows(
        db,
        "SELECT portal, table_name, column_name, finding, consequence, min(month) AS first, max(month) AS last, "
        "CAST(sum(rows) AS BIGINT) AS rows FROM sync.findings GROUP BY ALL ORDER BY portal, rows DESC, table_name, finding",
    )


def _portal(
    installation: Installation,
    db: duckdb.DuckDBPyConnection,
    portal: str,
    at: datetime,
    health: PortalHealth | str,
    judged: Completeness,
) -> PortalState:
    newest = "SELECT table_name, max(fetched_at) FROM sync.slices WHERE portal = ? GROUP BY ALL"
    published = dict(db.execute(newest, [portal]).fetchall())
    names = rows(db, "SELECT company_name, name FROM portal.portals WHERE portal = ?", portal)
    months = grid_months(installation.config, portal, at)[-_MONTHS:]
    states = judged.states(None, portals=[portal], first=first_day(months[0]), last=first_day(months[-1]))
    return PortalState(
        key=portal,
        name=next((row["company_name"] or row["name"] or "" for row in names), ""),
        newest=max(published.values(), default=None),
        remarks=[Remark("bad", "How fresh it is cannot be known.", health)]
        if isinstance(health, str)
        else remarks(installation.catalogue, health, published=published),
        months={state.month: state for state in states if state.month},
        chart=_chart(db, portal, at),
    )


def _chart(db: duckdb.DuckDBPyConnection, portal: str, at: datetime) -> dict[str, Any] | None:
    """Planned and worked hours per week, the last full weeks: a line of each in a picture of `_CHART`'s size.

    Weeks whose hours are unknown are gaps, so a line is the points of each unbroken part; `highest` is the hours at the top.
    """
    weeks = rows(
        db,
        "SELECT CAST(date_trunc('week', date) AS DATE) AS week, CAST(sum(planned_work_hours) AS DOUBLE) AS planned, "
        "CAST(sum(worked_hours) AS DOUBLE) AS worked FROM marts.labour_daily WHERE portal = ? "
        "AND date < date_trunc('week', CAST(? AS DATE)) GROUP BY ALL ORDER BY week DESC LIMIT ?",
        portal,
        at.date(),
        _WEEKS,
    )[::-1]
    if len(weeks) < 2:
        return None
    hours = {name: [row[name] for row in weeks] for name in ("planned", "worked")}
    known = {name: [value for value in values if value is not None] for name, values in hours.items()}
    highest = max([1.0, *known["planned"], *known["worked"]])

    def line(name: str) -> list[str]:
        step, height = _CHART[0] / (len(weeks) - 1), _CHART[1]
        parts: list[list[str]] = [[]]
        for n, value in enumerate(hours[name]):
            if value is None:
                parts.append([])
            else:
                parts[-1].append(f"{n * step:.1f},{height - value / highest * height:.1f}")
        return [" ".join(part) for part in parts if part]

    return {
        "planned": line("planned"),
        "worked": line("worked"),
        "highest": highest,
        "first": f"{weeks[0]['week']:%d %b %Y}",
        "last": f"{weeks[-1]['week']:%d %b %Y}",
        "sum_planned": sum(known["planned"]) if known["planned"] else None,
        "sum_worked": sum(known["worked"]) if known["worked"] else None,
    }
