"""The log of runs: one row per run and portal, in the lake, so that a rebuilt warehouse has it too."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import RUNS, VERSION
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import DamagedSliceError
from planday_io.frames.types import arrow_schema, replaced
from planday_io.lake.policies import aligned
from planday_io.lake.slices import Lake, Provenance, SliceKey
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
    key = SliceKey(RUNS.domain, RUNS.name, run.portal, month)
    schema = arrow_schema(RUNS, PrivacyPolicy())
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
    new = pa.Table.from_pylist([row], schema=schema)
    with lake.locked(key):
        # A damaged log is set aside and started again: it must not fail a run.
        with suppress(DamagedSliceError):
            if lake.provenance(key) is not None:
                before = aligned(lake.read(key), schema)
                others = before.filter(pc.not_equal(before.column("run_id"), run.run_id))
                new = pa.concat_tables([others, new])
        lake.write(
            key,
            new,
            Provenance(
                run_id=run.run_id,
                portal_id=run.portal_id or 0,
                fetched_at=ended_at.isoformat(),
                window="runs",
                requests=0,
                expected_total=None,
                received=0,
                distinct_keys=new.num_rows,
                kept=0,
                verdict="run",
                catalogue_version=VERSION,
                policies={"none": "keep", "unknown": "drop"},
            ),
        )


def move_runs(lake: Lake, key: SliceKey, target: SliceKey, provenance: Provenance) -> None:
    """Add the runs of a month of one key to those of another one. Call it within the locks of both. Raises StorageError."""
    schema = arrow_schema(RUNS, PrivacyPolicy())
    moved = aligned(lake.read(key), schema)
    moved = replaced(moved, "portal", pa.repeat(target.portal, moved.num_rows))
    there = aligned(lake.read(target), schema)
    others = there.filter(pc.invert(pc.is_in(there.column("run_id"), moved.column("run_id").combine_chunks())))
    rows = pa.concat_tables([moved, others])
    lake.write(target, rows, replace(provenance, distinct_keys=rows.num_rows))
