"""Keeps an installation small: removes old runs of Dagster, and what killed processes left behind. Looks at all files.

Dagster removes old ticks (`retention` in dagster.yaml) but never a run: each is a file of 0.2 to 0.6 MB, 300 a night for
ten portals.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from pipelines.edges import sensor
from pipelines.schedule_names import schedule_names
from pipelines.tags import SCHEDULE_TAG
from planday_io.config import Config
from planday_io.files import sweep
from planday_io.lake.installation import Installation
from planday_io.monitoring.older_files import note_older_files
from planday_io.warehouse.ledger import runs_shown

_SECONDS = 20.0
"""The longest time that one tick spends on deleting; the next tick continues."""
_DAMAGED_KEPT = timedelta(days=30)
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """How many runs, and how many files left behind by dead processes, were removed."""

    runs: int
    files: int


def build_housekeeping_sensor(installation: Installation) -> dg.SensorDefinition:
    """Cleans up every ten minutes."""

    @sensor(installation, 600)
    def housekeeping(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Removes runs that are older than `retention` in portals.yaml, except those that wrote what the warehouse shows, and
        temporary files of killed processes. Records for alerts whether the lake has older files than were published.
        """
        present, now = installation.reloaded(), datetime.now(UTC)
        note_older_files(present, now)
        done = clean(present, context.instance, now)
        return dg.SkipReason(f"removed {done.runs} runs and {done.files} temporary files")

    return housekeeping


def clean(installation: Installation, instance: dg.DagsterInstance, now: datetime) -> Cleaned:
    """Remove what is no longer needed. Raises StorageError."""
    config = installation.config
    files = sweep(config.lake, deep=True) + sweep(config.warehouse.parent)
    files += installation.state.sweep(now - _DAMAGED_KEPT)
    return Cleaned(_old_runs(config, instance, now), files)


def _old_runs(config: Config, instance: dg.DagsterInstance, now: datetime) -> int:
    shown = runs_shown(config.warehouse)
    if shown is None:
        return 0
    began = time.monotonic()
    removed = 0
    names = schedule_names(config).items()
    changes = [name for (_, schedule), both in names if schedule == "changes" for name in both]
    filters = [dg.RunsFilter(statuses=_ENDED, created_before=now - timedelta(days=config.retention.runs_days))]
    if changes:
        before = now - timedelta(days=config.retention.changes_days)
        filters.append(dg.RunsFilter(statuses=_ENDED, tags={SCHEDULE_TAG: changes}, created_before=before))
    for which in filters:
        for run_id in instance.get_run_ids(filters=which):
            if run_id in shown:
                continue
            if time.monotonic() - began > _SECONDS:
                return removed
            _delete(instance, run_id)
            removed += 1
    return removed


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    # SQLite storage has a file per run; deleting the run only empties the file.
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard is not None:
        shard = Path(path_for_shard(run_id))
        for path in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
