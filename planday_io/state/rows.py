"""The rows of the state database, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
