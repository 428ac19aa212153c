"""Finds runs whose process was killed, so that they do not block others (docs/decisions.md#dagster).

After a SIGKILL a run stays STARTED, and its portal's other runs stay queued behind it. So each run is tagged with
the lease of its process, and the next check ends runs whose lease is free.
"""

from __future__ import annotations

import dagster as dg

from planday_io.state import State

# The Dagster UI hides tags that begin with .dagster/.
LEASE = ".dagster/planday_lease"
OLD_PROCESS = ".dagster/planday_process"
"""The tag of runs that an older version began. Runs of this version have another tag, or the older version would end them."""
_ACTIVE = [
    # `planday sync` marks a run when it makes it: it may be killed before the run has begun.
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tags(state: State) -> dict[str, str]:
    """The tags of a run in this process. Raises StorageError."""
    return {LEASE: state.runs.process()}


def end_dead_runs(instance: dg.DagsterInstance, state: State) -> list[str]:
    """Fail the runs whose process is gone. Returns their ids. Raises StorageError where the leases cannot be read."""
    ended = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_ACTIVE)):
        lease = _lease_of(run)
        if lease and not state.runs.is_alive(lease):
            parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
            if parent and _lease_of(parent) == lease:
                # Dagster gives a retry the tags of the killed run, and its process has not replaced them yet.
                continue
            why = "The process of this run was killed. What it had read completely is kept; run it again."
            instance.report_run_failed(run, why)
            ended.append(run.run_id)
    return ended


def _lease_of(run: dg.DagsterRun) -> str | None:
    return run.tags.get(LEASE) or run.tags.get(OLD_PROCESS)
