"""Reloads the definitions when portals.yaml was edited, so that daemon and UI know a new portal within a minute.

Dagster loads definitions once, and again when somebody clicks "Reload definitions" (dagster-io/dagster#3337). `dagster dev`
and `dagster code-server start` keep them in a process that they replace on request. Runs stay in the process where they
began, and daemon and UI notice the new one by themselves. A daemon without either has a process of its own, which it replaces
every minute; the one of its UI is not replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin  # dagster#3337

from pipelines.edges import sensor
from planday_io.errors import ConfigError
from planday_io.lake.installation import Installation

Stamp = tuple[int, int]
_BY_HAND = (
    "There is no code server: the daemon loads an edited file in two minutes, the UI when you click Reload (Deployment)"
)


def stamp_of(path: Path) -> Stamp:
    """What changes whenever a file is edited or replaced."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0  # reading the file gives a better error
    return stat.st_mtime_ns, stat.st_ino


def build_configuration_sensor(
    installation: Installation, loaded: Stamp, fault_of: Callable[[Path], ConfigError | None]
) -> dg.SensorDefinition:
    """Reloads the definitions that were made of a configuration file.

    Args:
        installation: of the file.
        loaded: the file's stamp from before it was read.
        fault_of: says why the definitions of the file as it is now cannot be loaded.
    """
    file = installation.config.file

    @sensor(installation, 15)
    def configuration(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Reloads the definitions when portals.yaml was edited. While it cannot be used, they stay as they were."""
        origin = context.code_location_origin
        server = origin if isinstance(origin, GrpcServerCodeLocationOrigin) else None
        by_hand = "" if server else f". {_BY_HAND}"
        if stamp_of(file) == loaded:
            return dg.SkipReason(f"the definitions are those of {file.name}{by_hand}")
        if fault := fault_of(file):
            return dg.SkipReason(f"the definitions stay as they were: {fault}")
        if server is None:
            return dg.SkipReason(f"{file.name} was edited{by_hand}")
        server.create_client().reload_code(timeout=context.instance.code_server_reload_timeout)
        return dg.SkipReason(f"{file.name} was edited: the definitions were reloaded")

    return configuration
