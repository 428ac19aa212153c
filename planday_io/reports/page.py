"""What both pages share: template engine, filters, health, rows. A page is one file without scripts or requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from planday_io.errors import PlandayError
from planday_io.lake.installation import Installation
from planday_io.monitoring.health import Health, Scheduler, health_of
from planday_io.months import first_day


def environment(at: datetime) -> Environment:
    """Templates beside this file; what they show is escaped. Ages are those at the instant (UTC)."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "thousands": lambda number: "unknown" if number is None else f"{number:,.0f}".replace(",", "\u202f"),
        "with_code": _with_code,
        "ago": lambda then: _ago(then, at),
        "month_name": lambda month: f"{first_day(month):%b %y}",
    }
    return made


def rows(db: duckdb.DuckDBPyConnection, sql: str, *values: Any, **named: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL values
    """The rows of a query with `?` or `$name`, each by name of its columns."""
    found = db.execute(sql, named or [*values])
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def health_at(
    installation: Installation, at: datetime, portals: Sequence[str] | None = None
) -> tuple[Health | None, str]:
    """How everything is at an instant (UTC), or None and why that cannot be known. Dagster is not asked."""
    try:
        return health_of(installation, at, Scheduler(fault="pages do not ask Dagster"), portals), ""
    except (PlandayError, OSError) as error:
        return None, str(error)


def _with_code(text: str) -> Markup:
    """A text of messages as HTML: what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts)
    )


def _ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "never"
    hours = (now - then).total_seconds() / 3600
    if hours < 1:
        return f"{max(0, round(hours * 60))} min ago"
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} days ago"
