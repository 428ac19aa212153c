"""Telling runs whose process was killed from running ones, so that they block nobody (design decision 15).

After SIGKILL an in-process run stays STARTED for ever and its portal's runs stay queued behind it. So each run is tagged
with host, process id and the start time of that process, and whoever looks next ends the dead ones.
"""

from __future__ import annotations

import os
import socket

import dagster as dg

from planday_io.files import process_started

# Tags that begin with .dagster/ are kept out of the UI: they are for machines.
HOST, PID, STARTED = ".dagster/planday_host", ".dagster/planday_pid", ".dagster/planday_pid_started"
_ACTIVE = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


def process_tags() -> dict[str, str]:
    """The tags of a run in this process."""
    return {HOST: socket.gethostname(), PID: str(os.getpid()), STARTED: process_started(os.getpid()) or ""}


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs of this host whose process is gone.

    Returns:
        Ids of the runs that were ended.
    """
    ended = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_ACTIVE)):
        pid = run.tags.get(PID)
        if (
            pid is None
            or run.tags.get(HOST) != socket.gethostname()
            or process_started(int(pid)) == run.tags.get(STARTED)
        ):
            continue
        instance.report_run_failed(
            run, f"The process {pid} of this run was killed. What it had read completely is kept; run it again."
        )
        ended.append(run.run_id)
    return ended
