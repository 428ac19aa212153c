"""The log of runs: one row per run and portal, in the lake, so that a rebuilt warehouse has it too."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from planday_io.catalogue import RUNS
from planday_io.lake.logs import add_to_log
from planday_io.lake.slices import Lake
from planday_io.months import month_of


@dataclass(slots=True, kw_only=True)
class Run:
    """What one run did for one portal. Counts and names only, and error texts, which hold no personal data.

    Args:
        run_id: Dagster's run.
        portal: config key.
        portal_id: Planday's id of the portal, or None when the run did not get as far.
        of_month: month of facts that it read, or None.
        started_by: schedule, backfill, sensor or command.
        started_at: UTC instant.
        written: tables.
        failures: table -> why.
        rows: of the slices written.
        requests: calls, as `sync.slices` counts them.
        retries: calls that were made again.
        throttled_seconds: seconds waited for the budget.
    """

    run_id: str
    portal: str
    started_by: str
    started_at: datetime
    portal_id: int | None = None
    of_month: str | None = None
    written: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    requests: int = 0
    retries: int = 0
    throttled_seconds: float = 0.0


def log_run(lake: Lake, run: Run, ended_at: datetime) -> None:
    """Add a run to the log of the month it began in. A run that is already there is replaced. Raises StorageError."""
    month = month_of(run.started_at.date())
    row = {
        "portal": run.portal,
        "portal_id": run.portal_id,
        "month": month,
        "run_id": run.run_id,
        "of_month": run.of_month,
        "started_by": run.started_by,
        "started_at": run.started_at,
        "ended_at": ended_at,
        "is_complete": not run.failures,
        "written": sorted(run.written),
        "failed": list(run.failures),
        "errors": list(run.failures.values()),
        "rows_written": run.rows,
        "requests": run.requests,
        "retries": run.retries,
        "throttled_seconds": Decimal(f"{run.throttled_seconds:.4f}"),
        "_extra": None,
        "_fetched_at": ended_at,
    }
    add_to_log(lake, RUNS, run.portal, [row], ended_at)
