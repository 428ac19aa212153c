"""The code location: `workspace.yaml` loads `defs` from here."""

from __future__ import annotations

import functools
import multiprocessing
import os
from pathlib import Path

import dagster as dg

from pipelines.alerting import build_alert_sensor
from pipelines.assets import build_assets
from pipelines.checks import build_freshness_sensor
from pipelines.executor import publishing_executor
from pipelines.housekeeping import build_housekeeping_sensor
from pipelines.resources import PlandayPortals
from pipelines.schedules import build_schedules
from pipelines.sensors import build_sensors
from planday_io.catalogue import CATALOGUE
from planday_io.config import find_config, load_config
from planday_io.files import keep_from_others


def build_definitions(path: Path) -> dg.Definitions:
    """Everything Dagster knows, for one configuration file.

    Raises:
        ConfigError: the file is wrong; the UI shows the text as the location's error.
    """
    config = load_config(path, CATALOGUE)
    return dg.Definitions(
        assets=build_assets(CATALOGUE, config),
        schedules=build_schedules(CATALOGUE, config),
        sensors=[
            *build_sensors(CATALOGUE, config),
            build_freshness_sensor(CATALOGUE, config),
            build_alert_sensor(config),
            build_housekeeping_sensor(config),
        ],
        resources={"planday": PlandayPortals(config_path=str(config.file))},
        executor=publishing_executor(str(config.file)),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the configuration that `PLANDAY_CONFIG` or `portals.yaml` holds."""
    keep_from_others()
    _make_way()
    path = find_config()
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        stamp = 0  # what is wrong with the file, reading it says better
    return _built(path, stamp)


@functools.lru_cache(maxsize=1)
def _built(path: Path, _: int) -> dg.Definitions:
    """Built once for one state of the file: Dagster asks twice in each run, and 500 portals take a second."""
    return build_definitions(path)


@functools.cache
def _make_way() -> None:
    """A run, a process that the code server starts, leaves the processor to the daemon where there are many."""
    if multiprocessing.parent_process() is not None:
        os.nice(10)
