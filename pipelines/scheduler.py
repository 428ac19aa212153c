"""What Dagster's instance knows of the schedules: heartbeats of the daemon, and what somebody switched off in the UI.

Dagster keeps a row per schedule and sensor that somebody switched, or that once ran; without one, the definition's default
counts, which is that of portals.yaml. A row is by name and code location, and stays when either is gone.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.dagster_files import DagsterState, state_in_files
from pipelines.schedule_names import RETENTION, SENSORS, schedule_names
from planday_io.config import Config
from planday_io.lake.installation import Installation
from planday_io.monitoring.health import Scheduler

if TYPE_CHECKING:
    import dagster as dg

_STOPPED = "STOPPED"


def scheduler(installation: Installation, *, is_known: bool = False) -> Scheduler:
    """What Dagster says of the schedules of an installation.

    Args:
        installation: the one to inspect.
        is_known: whether Dagster took its settings as they are now before, so that its files may be read without it.

    Raises:
        ConfigError: DAGSTER_HOME is not a folder.
        StorageError: Dagster's storage cannot be used.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or installation.config.home)
    found = state_in_files(home) if is_known else None
    return scheduler_of(found or _ask(installation), installation.config)


def _ask(installation: Installation) -> DagsterState:
    from pipelines.cli.instance import open_instance
    from pipelines.storage_faults import dagster_storage

    with open_instance(installation) as instance, dagster_storage():
        return state_of(instance)


def state_of(instance: dg.DagsterInstance) -> DagsterState:
    """What an instance says. Raises what Dagster's storage raises."""
    daemons = instance.get_daemon_statuses().values()
    return DagsterState(
        heartbeats=[beat.timestamp for one in daemons if (beat := one.last_heartbeat)],
        instigators=[(one.name, one.status.name) for one in instance.all_instigator_state()],
    )


def switched_off(instance: dg.DagsterInstance) -> set[str]:
    """Names of schedules and sensors that are switched off. Raises what Dagster's storage raises."""
    return _switched_off(state_of(instance))


def _switched_off(state: DagsterState) -> set[str]:
    is_off: dict[str, bool] = {}
    for name, status in state.instigators:
        # If two code locations have a schedule of this name, one of them no longer exists; nothing says which.
        is_off[name] = is_off.get(name, True) and status == _STOPPED
    return {name for name, value in is_off.items() if value}


def scheduler_of(state: DagsterState, config: Config) -> Scheduler:
    """What that means for the schedules of a configuration."""
    off = _switched_off(state)
    return Scheduler(
        heartbeat=datetime.fromtimestamp(max(state.heartbeats), UTC) if state.heartbeats else None,
        off=frozenset(
            (portal, schedule, grid)
            for (portal, schedule), names in schedule_names(config).items()
            for grid, name in (("portal", names.snapshots), ("month", names.months))
            if name in off
        ),
        sensors_off=tuple(sorted(off & SENSORS)),
        is_retention_off=RETENTION in off and config.has_retention,
    )
