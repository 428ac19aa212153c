"""What Dagster's instance knows of the schedules: heartbeats of the daemon, and what somebody switched off in the UI.

Dagster keeps a row per schedule and sensor that somebody switched, or that once ran; without one, the definition's default
counts, which is that of portals.yaml. A row is by name and code location, and stays when either is gone.

Run as a program, this module answers a question (`pipelines.question`).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pipelines.question import Question
from pipelines.schedule_names import RETENTION, SENSORS, schedule_names
from planday_io.config import Config
from planday_io.config.model import STATE
from planday_io.config.places import refuse_home
from planday_io.lake.installation import Installation
from planday_io.monitoring.health import Scheduler
from planday_io.state import State

if TYPE_CHECKING:
    import dagster as dg

_STOPPED = "STOPPED"


class Facts(TypedDict):
    """What Dagster's instance is asked.

    Args:
        heartbeat: seconds since the epoch of the daemon's newest one, or None if it never ran.
        off: names of schedules and sensors that are switched off.
    """

    heartbeat: float | None
    off: list[str]


def scheduler(installation: Installation, question: Question | None = None) -> Scheduler:
    """What Dagster says of the schedules of an installation, from the answer to a question, or asked now.

    Raises:
        StorageError: Dagster's storage cannot be used.
    """
    home = installation.config.home
    # A process that failed said nothing; the error of asking again here says what to do.
    line = question.answer() if question else None
    return scheduler_of(_ask(home) if line is None else json.loads(line), installation.config)


def _ask(home: Path) -> Facts:
    from pipelines.cli.instance import instance_at
    from pipelines.storage_faults import dagster_storage

    with instance_at(home, State(home / STATE)) as instance, dagster_storage():
        return facts_of(instance)


def facts_of(instance: dg.DagsterInstance) -> Facts:
    """What an instance says. Raises what Dagster's storage raises."""
    beats = [beat.timestamp for one in instance.get_daemon_statuses().values() if (beat := one.last_heartbeat)]
    return Facts(heartbeat=max(beats, default=None), off=switched_off(instance))


def switched_off(instance: dg.DagsterInstance) -> list[str]:
    """Names of schedules and sensors that are switched off. Raises what Dagster's storage raises."""
    is_off: dict[str, bool] = {}
    for one in instance.all_instigator_state():
        # If two code locations have a schedule of this name, one of them no longer exists; nothing says which.
        is_off[one.name] = is_off.get(one.name, True) and one.status.value == _STOPPED
    return [name for name, value in is_off.items() if value]


def scheduler_of(facts: Facts, config: Config) -> Scheduler:
    """What that means for the schedules of a configuration."""
    heartbeat, off = facts["heartbeat"], {*facts["off"]}
    return Scheduler(
        heartbeat=None if heartbeat is None else datetime.fromtimestamp(heartbeat, UTC),
        off=frozenset(
            (portal, schedule, grid)
            for (portal, schedule), names in schedule_names(config).items()
            for grid, name in (("portal", names.snapshots), ("month", names.months))
            if name in off
        ),
        sensors_off=tuple(sorted(off & SENSORS)),
        is_retention_off=RETENTION in off and config.has_retention,
    )


if __name__ == "__main__":
    refuse_home(Path(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(_ask(Path(sys.argv[1]))))
