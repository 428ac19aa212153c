"""The rows of the state database, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

REBUILD = "planday publish --rebuild"
"""The command that makes the warehouse from nothing, as it has to be typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A table, or one of its months, that failed for good and was not read since.

    Args:
        portal: config key, or the name that stands for the whole installation.
        table: full name, or what else failed, such as the warehouse.
        month: of facts, or None.
        cause: a name in `planday_io.monitoring.failures.CAUSES`, or one that another version knows.
        error: the error's text.
        run_id: Dagster's run, or empty.
        since: UTC instant of the first failure in a row.
    """

    portal: str
    table: str
    month: str | None
    cause: str
    error: str
    run_id: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIncident:
    """An incident that is open, or whose end some channel has not reported yet.

    Args:
        portal: config key, or the name that stands for the whole installation.
        cause: a name in `planday_io.monitoring.failures.CAUSES`, or one that another version knows.
        tables: what it is about now, or was at the end.
        since: UTC instant at which it began.
        error: text of the first error, or empty.
        run_id: Dagster's run of that error, or empty.
        noticed_at: UTC instant at which it was first noticed.
        all_tables: every table that it was ever about.
        ended_at: UTC instant of its end, or None while it is open.
        deliveries: channel -> tables that it reported. Of one that ended: channels that have not reported the end yet.
    """

    portal: str
    cause: str
    tables: tuple[str, ...]
    since: datetime
    error: str
    run_id: str
    noticed_at: datetime
    all_tables: tuple[str, ...]
    ended_at: datetime | None
    deliveries: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRequest:
    """A month that has to be read again.

    Args:
        portal: config key.
        month: `YYYY-MM`.
        endpoints: by name.
        requested_at: UTC instant; what was read later is up to date.
        share_gone: share of the month's rows that were found deleted or moved to another month.
    """

    portal: str
    month: str
    endpoints: tuple[str, ...]
    requested_at: datetime
    share_gone: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedCommand:
    """A command that was begun and has not ended.

    Args:
        command: as it has to be typed to finish it.
        portals: config keys it is about; empty where it concerns all.
        since: UTC instant at which it was first begun.
        step: the last step that it reached, in the command's own words, or empty.
    """

    command: str
    portals: tuple[str, ...]
    since: datetime
    step: str = ""
