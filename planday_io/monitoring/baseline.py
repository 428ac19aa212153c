"""Since when the schedules of an installation have been reading each table as they do now: what was due before is no fault.

A portal or a table that is new, a schedule that was switched on or moved, a window that was widened: nobody could have read
it yet. So the instant at which a check first found each table read by the schedules it has now is remembered.

Not here: how old a table is (`planday_io.monitoring.freshness`), who is notified (`planday_io.monitoring.notifier`).
"""

from __future__ import annotations

from datetime import datetime

from planday_io.lake.installation import Installation


def observe(installation: Installation, now: datetime) -> None:
    """Remember what is new since the last check. Raises StorageError."""
    readings = {portal: _readings(installation, portal) for portal in installation.config.portals}
    installation.state.baselines.observe(readings, now)


def monitored_since(installation: Installation, portal: str) -> dict[str, datetime]:
    """Table -> UTC instant since when schedules have been reading it as they do now. Raises StorageError."""
    known, readings = installation.state.baselines.of(portal), _readings(installation, portal)
    return {table: since for table, (reading, since) in known.items() if readings.get(table) == reading}


def _readings(installation: Installation, portal: str) -> dict[str, str]:
    """When schedules read each table of a portal, and which months, as texts to compare; without those that none reads."""
    settings = installation.config.portals[portal]
    crons = installation.crons_by_endpoint(portal)
    window = f" {settings.window.past_months}/{settings.window.future_months}"
    return {
        table.full_name: "; ".join(crons[endpoint.name]) + (window if table.is_monthly else "")
        for endpoint in installation.endpoints_of(portal)
        if endpoint.name in crons
        for table in endpoint.tables
    }
