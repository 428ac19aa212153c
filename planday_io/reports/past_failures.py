"""What failed in the last seven days, and whether it is over, from the runs of the published file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb

from planday_io.config.model import Config
from planday_io.reports.page import rows


def past_failures(config: Config, db: duckdb.DuckDBPyConnection, at: datetime) -> list[dict[str, Any]]:
    """Failures of the last seven days by portal and reason, and whether each is over: open ones first, then the newest."""
    groups = rows(
        db,
        """
        WITH known AS (
            SELECT failed.*, concat_ws(' ', table_name, month) AS name, CASE WHEN is_over THEN coalesce((
                SELECT min(later.ended_at) FROM sync.runs AS later
                WHERE later.portal = failed.portal AND later.started_at > failed.started_at
                    AND later.of_month IS NOT DISTINCT FROM failed.month
                    AND list_contains(later.written, failed.table_name)
            ), read_at) END AS over_at
            FROM sync.failures AS failed WHERE started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 7 DAY
        )
        SELECT portal, error, min(started_at) AS first, max(started_at) AS last, max(over_at) AS ended,
            count(*) AS failures, count(*) FILTER (NOT is_over) AS open,
            list_sort(coalesce(list(DISTINCT name) FILTER (NOT is_over), list(DISTINCT name))) AS tables
        FROM known GROUP BY portal, error ORDER BY last DESC
        """,
        at,
    )
    for row in groups:
        row["is_open"] = row["open"] > 0 and row["portal"] in config.portals
        if not row["open"]:
            row["state"] = f"ended {row['ended']:%d %b %H:%M}"
        elif not row["is_open"]:
            row["state"] = "not known: the portal is no longer configured"
        else:
            row["state"] = "open" if row["open"] == row["failures"] else f"{row['open']} of {row['failures']} open"
    return sorted(groups, key=lambda row: not row["is_open"])
