"""What Dagster's instance knows of the schedules: heartbeats of the daemon, and what somebody switched off in the UI.

Dagster keeps a row per schedule and sensor that somebody switched, or that once ran; without one, the definition's default
counts, which is that of portals.yaml. A row is by name and code location, and stays when either is gone.
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from pipelines.schedule_names import TAKEN_NAMES, schedule_names
from planday_io.config import Config
from planday_io.monitoring.health import Scheduler

_STOPPED = "STOPPED"


def scheduler_of(instance: dg.DagsterInstance, config: Config) -> Scheduler:
    """What an instance says of the schedules of a configuration. Raises what Dagster's storage raises."""
    beats = [beat.timestamp for one in instance.get_daemon_statuses().values() if (beat := one.last_heartbeat)]
    is_off: dict[str, bool] = {}
    for state in instance.all_instigator_state():
        # Of two code locations with a schedule of this name, one is no longer there; nothing says which.
        is_off[state.name] = is_off.get(state.name, True) and state.status.value == _STOPPED
    off = {name for name, value in is_off.items() if value}
    return Scheduler(
        heartbeat=datetime.fromtimestamp(max(beats), UTC) if beats else None,
        off=frozenset(
            (portal, schedule, grid)
            for (portal, schedule), names in schedule_names(config).items()
            for grid, name in (("portal", names.snapshots), ("month", names.months))
            if name in off
        ),
        sensors_off=tuple(sorted(off & TAKEN_NAMES)),
    )
