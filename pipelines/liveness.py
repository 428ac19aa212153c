"""Telling runs whose process was killed from running ones, so that they block nobody (docs/decisions.md#dagster).

After SIGKILL an in-process run stays STARTED for ever and its portal's runs stay queued behind it. So each run is tagged
with the mark of its process, a locked file in the state folder, and whoever looks next ends those whose mark is free.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from planday_io.files import is_process_alive, mark_process

# Tags that begin with .dagster/ are kept out of the UI: they are for machines.
PROCESS = ".dagster/planday_process"
_ACTIVE = [
    # `planday sync` marks a run when it makes it: it may be killed before the run has begun.
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tags(state: Path) -> dict[str, str]:
    """The tags of a run in this process. Raises StorageError."""
    return {PROCESS: mark_process(state / "processes")}


def end_dead_runs(instance: dg.DagsterInstance, state: Path) -> list[str]:
    """Fail the runs whose process is gone.

    Args:
        instance: Dagster's.
        state: the installation's state folder.

    Returns:
        Ids of the runs that were ended.

    Raises:
        StorageError: the marks cannot be looked at.
    """
    ended = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_ACTIVE)):
        mark = run.tags.get(PROCESS)
        if mark is None or is_process_alive(state / "processes", mark):
            continue
        instance.report_run_failed(
            run, "The process of this run was killed. What it had read completely is kept; run it again."
        )
        ended.append(run.run_id)
    return ended
