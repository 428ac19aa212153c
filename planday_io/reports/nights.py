"""What each portal's nights took and what failed in them, from the runs of the published file.

A night is the 24 hours from noon to noon on the portal's clock, called by the day it ends on, so that a run that begins at
22:00 and one that begins at 02:00 are of the same. Runs of a portal may overlap; its minutes are those in which at least
one was in progress. A run that was killed has no row, so a night may have read less than it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb

from planday_io.config.model import Config
from planday_io.reports.page import rows

NIGHTS = 30
_NOON = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A portal's night.

    Args:
        portal: config key.
        night: local day that it ends on.
        minutes: in which at least one run was in progress.
        runs: that began in it.
        requests: calls to the API.
        throttled_seconds: waited for the budget, summed over requests, so it may be more than the night.
        failures: tables and months that a run failed to read, each as often as it failed.
        reasons: the different errors, the most frequent first.
    """

    portal: str
    night: date
    minutes: float
    runs: int
    requests: int
    throttled_seconds: float
    failures: int
    reasons: tuple[str, ...]

    @property
    def words(self) -> str:
        """What happened, for people."""
        said = f"{self.minutes:.0f} minutes, {self.runs} runs, {self.requests} requests"
        return f"{said}, {self.failures} failures: {'; '.join(self.reasons)}" if self.failures else said


_QUERY = """
WITH zones AS (SELECT unnest($portals) AS portal, unnest($zones) AS zone),
own AS (
    SELECT r.*, CAST(timezone(z.zone, r.started_at) + INTERVAL 12 HOUR AS DATE) AS night
    FROM sync.runs AS r JOIN zones AS z USING (portal)
    WHERE r.started_at > CAST($at AS TIMESTAMPTZ) - INTERVAL 32 DAY AND r.started_at <= CAST($at AS TIMESTAMPTZ)
),
placed AS (
    SELECT *, max(ended_at) OVER (PARTITION BY portal, night ORDER BY started_at, ended_at, run_id
                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM own
),
why AS (
    SELECT portal, night, list(error ORDER BY times DESC, error) AS reasons FROM (
        SELECT portal, night, error, count(*) AS times
        FROM (SELECT portal, night, unnest(errors) AS error FROM own) GROUP BY ALL
    ) GROUP BY ALL
)
SELECT portal, night, count(*) AS runs, CAST(sum(requests) AS BIGINT) AS requests,
    CAST(sum(throttled_seconds) AS DOUBLE) AS throttled_seconds, CAST(sum(len(failed)) AS BIGINT) AS failures,
    sum(greatest(0, epoch(ended_at) - epoch(greatest(started_at, coalesce(before, started_at))))) / 60 AS minutes,
    coalesce(any_value(reasons), []) AS reasons
FROM placed LEFT JOIN why USING (portal, night) GROUP BY ALL ORDER BY portal, night
"""


def nights(config: Config, db: duckdb.DuckDBPyConnection, at: datetime) -> dict[str, dict[date, Night]]:
    """Portal -> day -> its night, of the last 30 until an instant (UTC); nights without a run are left out.

    Args:
        config: its portals and their zones.
        db: connected to the published file.
        at: UTC instant.
    """
    found: dict[str, dict[date, Night]] = {portal: {} for portal in config.portals}
    zones = [settings.timezone for settings in config.portals.values()]
    for row in rows(db, _QUERY, portals=[*config.portals], zones=zones, at=at):
        newest = _newest(config.portals[row["portal"]].timezone, at)
        if newest - row["night"] < timedelta(days=NIGHTS):
            row["reasons"] = tuple(row["reasons"])
            found[row["portal"]][row["night"]] = Night(**row)
    return found


def days(config: Config, at: datetime) -> list[date]:
    """The days that the nights of any portal end on, the oldest first; zones may be a day apart."""
    newest = {_newest(settings.timezone, at) for settings in config.portals.values()}
    count = (max(newest) - min(newest)).days + NIGHTS
    return [max(newest) - timedelta(days=n) for n in reversed(range(count))]


def _newest(zone: str, at: datetime) -> date:
    """The day that the night of an instant ends on, in a time zone."""
    return (at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + _NOON).date()
