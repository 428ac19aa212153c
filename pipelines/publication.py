"""Publishing, with its failures recorded for alerts, and resolved by the next success.

Not here: when a run publishes (`run_end`), how a publication is made (`planday_io.warehouse`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg

from pipelines.edges import recording
from pipelines.schedule_names import PUBLISHER
from pipelines.scheduler import switched_off
from planday_io.errors import PublicationError, StorageError
from planday_io.faults import as_planday_error
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.failures import INSTALLATION, WAREHOUSE, failure_of
from planday_io.state import State
from planday_io.warehouse import Publication, publish
from planday_io.warehouse.pace import next_due

_BEGIN_SOON = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]


def left_to_others(installation: Installation, instance: dg.DagsterInstance) -> datetime | None:
    """Until when (UTC) a run that has ended may leave its publication to another run, or None if it has to publish.

    A run in progress that has written something publishes when it ends, and so does one that is queued, whatever its job. If
    they do not, because they are killed or removed, the sensor `unpublished_slices` does; where that is switched off,
    nothing is left to others. The caller has released its own lease before, so of several runs that end at once, one
    publishes.
    """
    until = next_due(installation.state, datetime.now(UTC))
    if until is None:
        return None
    follow = installation.lake.held() or instance.get_runs_count(dg.RunsFilter(statuses=_BEGIN_SOON))
    return until if follow and PUBLISHER not in switched_off(instance) else None


def publish_pending(
    installation: Installation, *, rebuild: bool = False, compare_all: bool = False, run_id: str = ""
) -> Publication:
    """Bring the warehouse up to date, and record for alerts whether that failed. Raises PublicationError."""
    with recording(installation, WAREHOUSE, run_id=run_id):
        try:
            done = publish(installation, rebuild=rebuild, compare_all=compare_all)
        except PublicationError:
            raise
        except Exception as error:  # noqa: BLE001 - it may quote a cell, and Dagster keeps the text of what leaves here
            told = f"{installation.config.warehouse} was not renewed: {as_planday_error(error)}"
            raise PublicationError(told) from None
    with suppress(StorageError):
        _note_problems(installation.state, done, run_id)
    for notice in (*done.notices, *map(str, done.problems.values())) if run_id else ():
        dg.get_dagster_logger().warning(notice)
    return done


def _note_problems(state: State, done: Publication, run_id: str) -> None:
    """Record for alerts which slices a publication left out, and resolve those that it no longer leaves out."""
    failures = state.failures
    left_out = {str(key): (key, error) for key, error in done.problems.items()}
    noted = [note.table for note in failures.of(INSTALLATION) if SliceKey.parse(note.table)]
    failures.resolve(INSTALLATION, [name for name in noted if name not in left_out])
    now = datetime.now(UTC)
    failures.record(
        failure_of(error, now, table=name, run_id=run_id)
        for name, (key, error) in left_out.items()
        # The run that failed to read the table is already an incident.
        if not any((note.table, note.month) == (key.full_name, key.month) for note in failures.of(key.portal))
    )
