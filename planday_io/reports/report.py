"""`planday report`: one self-contained HTML page about freshness, completeness and content.

Rows, hours and failures come from the published warehouse; what is wrong now comes from the state of the installation
(`planday_io.reports.health`), so that a portal whose access was revoked never looks fresh. Counts, sums and names of tables
and portals; nothing about a person. jinja2 escapes what portals call themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from planday_io.config.grid import grid_months
from planday_io.config.model import Config
from planday_io.errors import StorageError
from planday_io.files import storage_errors, write_text
from planday_io.lake.installation import Installation
from planday_io.monitoring.messages import some
from planday_io.months import first_day
from planday_io.reports.health import LEVELS, Level, Remark, open_incidents, remarks, shown
from planday_io.state import Incident
from planday_io.warehouse.place import Place, set_aside_leftovers
from planday_io.warehouse.standing import attached

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
        months: month -> slices read, and slices that there should be.
        chart: planned and worked hours per week.
    """

    key: str
    name: str
    newest: datetime | None
    remarks: tuple[Remark, ...]
    months: dict[str, tuple[int, int]]
    chart: Chart | None

    @property
    def level(self) -> Level:
        """How bad the worst is."""
        return self.remarks[0].level


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Two lines over weeks, as coordinates of an SVG picture of `_CHART`'s size. Weeks whose hours are unknown are gaps.

    Args:
        planned: points of each unbroken part of the line of planned hours.
        worked: the same of worked hours.
        highest: hours at the top.
        first, last: the weeks at either end.
        sum_planned, sum_worked: of all weeks shown; None where nothing is known.
    """

    planned: list[str]
    worked: list[str]
    highest: float
    first: str
    last: str
    sum_planned: float | None
    sum_worked: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFailure:
    """Tables of a portal that failed for the same reason.

    Args:
        portal: key in portals.yaml.
        tables: with the months of facts.
        first, last: when the first and the last run that failed began.
        error: why.
        state: `open`, `ended` with when, or `not known`.
        is_open: whether something of it is open.
    """

    portal: str
    tables: list[str]
    first: datetime
    last: datetime
    error: str
    state: str
    is_open: bool


def write_report(installation: Installation, output: Path, now: datetime | None = None) -> None:
    """Write the page.

    Args:
        installation: the installation.
        output: the HTML file.
        now: UTC instant, the current one by default.

    Raises:
        StorageError: there is no warehouse yet, or the file cannot be written.
    """
    config = installation.config
    at = now or datetime.now(UTC)
    if not config.warehouse.exists():
        raise StorageError(f"there is no {config.warehouse} yet: run `planday sync` first")
    set_aside_leftovers(config.warehouse)
    try:
        with attached(config.warehouse) as db:
            page = _page(installation, db, at)
    except duckdb.Error as error:
        holder = Place(config.warehouse).holder()
        raise StorageError(
            f"{config.warehouse} cannot be read ({type(error).__name__}). "
            + (
                f"Close it in {holder}, which has it open for writing"
                if holder
                else "Write it again from the lake: `planday publish --rebuild`"
            )
        ) from None
    with storage_errors(output, "write the report"):
        write_text(output, page)


def _page(installation: Installation, db: duckdb.DuckDBPyConnection, at: datetime) -> str:
    config = installation.config
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda number: "unknown" if number is None else f"{number:,.0f}".replace(",", "\u202f"),
        "ago": lambda then: _ago(then, at),
        "month_name": lambda month: f"{first_day(month):%b %y}",
    }
    incidents, blind = open_incidents(installation, at)
    portals = [_portal(installation, db, key, at, incidents) for key in config.portals]
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
    template = environment.get_template("report.html.j2")
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
        failures=_past_failures(config, db, at),
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


def _past_failures(config: Config, db: duckdb.DuckDBPyConnection, at: datetime) -> list[PastFailure]:
    """What failed in the last days, by portal and reason, with whether it is over."""
    rows = _rows(
        db,
        """
        WITH failed AS (
            SELECT portal, of_month, started_at, unnest(failed) AS table_name, unnest(errors) AS error
            FROM sync.runs WHERE NOT is_complete AND started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 7 DAY
        )
        SELECT failed.*, (
            SELECT min(later.ended_at) FROM sync.runs AS later
            WHERE later.portal = failed.portal AND later.started_at > failed.started_at
                AND later.of_month IS NOT DISTINCT FROM failed.of_month
                AND list_contains(later.written, failed.table_name)
        ) AS ended_at
        FROM failed ORDER BY started_at DESC
        """,
        at,
    )
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["portal"], row["error"]), []).append(row)
    found = []
    for (portal, error), group in groups.items():
        open_rows = [row for row in group if row["ended_at"] is None]
        state = "open"
        if not open_rows:
            state = f"ended {max(row['ended_at'] for row in group):%d %b %H:%M}"
        elif portal not in config.portals:
            state = "not known: the portal is no longer configured"
        elif len(open_rows) < len(group):
            state = f"{len(open_rows)} of {len(group)} open"
        names = [f"{row['table_name']} {row['of_month'] or ''}".strip() for row in open_rows or group]
        found.append(
            PastFailure(
                portal=portal,
                tables=[*dict.fromkeys(names)],
                first=min(row["started_at"] for row in group),
                last=max(row["started_at"] for row in group),
                error=error,
                state=state,
                is_open=bool(open_rows) and portal in config.portals,
            )
        )
    return sorted(found, key=lambda one: (one.is_open, one.last), reverse=True)[:_FAILURES]


def _findings(db: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """What the marts could not take as it came. A file published by an older version does not know."""
    if not _rows(db, "SELECT view_name FROM duckdb_views() WHERE schema_name = 'sync' AND view_name = 'findings'"):
        return []
    return _rows(
        db,
        "SELECT portal, table_name, column_name, finding, consequence, min(month) AS first, max(month) AS last, "
        "CAST(sum(rows) AS BIGINT) AS rows FROM sync.findings GROUP BY ALL ORDER BY portal, rows DESC, table_name, finding",
    )


def _portal(
    installation: Installation,
    db: duckdb.DuckDBPyConnection,
    portal: str,
    at: datetime,
    incidents: Sequence[Incident],
) -> PortalState:
    endpoints = installation.endpoints_of(portal)
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
    said = remarks(installation, portal, at, incidents=incidents, published=published)
    return PortalState(
        key=portal,
        name=next((row["company_name"] or row["name"] or "" for row in names), ""),
        newest=max(published.values(), default=None),
        remarks=tuple(said),
        months={
            month: (read.get(month, 0), len(facts)) for month in grid_months(installation.config, portal, at)[-_MONTHS:]
        },
        chart=_chart(db, portal, at),
    )


def _chart(db: duckdb.DuckDBPyConnection, portal: str, at: datetime) -> Chart | None:
    """Planned and worked hours per week, the last full weeks."""
    weeks = _rows(
        db,
        "SELECT CAST(date_trunc('week', date) AS DATE) AS week, CAST(sum(planned_hours) AS DOUBLE) AS planned, "
        "CAST(sum(worked_hours) AS DOUBLE) AS worked FROM marts.labour_daily WHERE portal = ? "
        "AND date < date_trunc('week', CAST(? AS DATE)) GROUP BY ALL ORDER BY week DESC LIMIT ?",
        portal,
        at.date(),
        _WEEKS,
    )[::-1]
    if len(weeks) < 2:
        return None
    width, height = _CHART
    hours = {name: [row[name] for row in weeks] for name in ("planned", "worked")}
    known = {name: [value for value in values if value is not None] for name, values in hours.items()}
    highest = max([1.0, *known["planned"], *known["worked"]])

    def line(name: str) -> list[str]:
        step = width / (len(weeks) - 1)
        parts: list[list[str]] = [[]]
        for n, value in enumerate(hours[name]):
            if value is None:
                parts.append([])
            else:
                parts[-1].append(f"{n * step:.1f},{height - value / highest * height:.1f}")
        return [" ".join(part) for part in parts if part]

    return Chart(
        planned=line("planned"),
        worked=line("worked"),
        highest=highest,
        first=f"{weeks[0]['week']:%d %b %Y}",
        last=f"{weeks[-1]['week']:%d %b %Y}",
        sum_planned=sum(known["planned"]) if known["planned"] else None,
        sum_worked=sum(known["worked"]) if known["worked"] else None,
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
