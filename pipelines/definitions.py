"""The code location: `workspace.yaml` loads `defs` from here."""

from __future__ import annotations

import functools
import multiprocessing
import os
from pathlib import Path

import dagster as dg

from pipelines.alerting import build_alert_sensor
from pipelines.assets import asset_keys, build_assets
from pipelines.checks import build_freshness_sensor
from pipelines.deliveries import build_delivery_job, build_delivery_sensor
from pipelines.housekeeping import build_housekeeping_sensor
from pipelines.jobs import jobs_of
from pipelines.missing import build_missing_job
from pipelines.reloading import build_configuration_sensor, stamp_of
from pipelines.resources import PlandayPortals
from pipelines.retention import build_retention_job, build_retention_schedules
from pipelines.schedules import build_schedules
from pipelines.sensors import build_sensors
from pipelines.warehouse import build_warehouse
from planday_io.catalogue import CATALOGUE
from planday_io.config import find_config
from planday_io.errors import ConfigError, PlandayError
from planday_io.faults import first_line
from planday_io.files import keep_from_others
from planday_io.lake.installation import Installation

# A step costs 0.13 s, in a process of its own 2.5 s. Retries cannot be switched off for a single run: a step that waits for
# its next attempt has not ended, and the run publishes when its last step ends (`run_end`).
_IN_PROCESS = dg.in_process_executor.configured({"retries": {"enabled": {}}}, name="in_process")


def build_definitions(path: Path) -> dg.Definitions:
    """All definitions that follow from a configuration file.

    Raises:
        ConfigError: the file is wrong; the UI shows the text as the location's error.
    """
    loaded = stamp_of(path)
    installation = Installation.load(path, CATALOGUE)
    config = installation.config
    retention_job = build_retention_job(installation)
    return dg.Definitions(
        assets=[*build_assets(installation), build_warehouse(installation)],
        jobs=[
            build_delivery_job(installation),
            build_missing_job(installation),
            retention_job,
            *(
                dg.define_asset_job(job.name, selection=asset_keys(job.endpoints), description=job.description)
                for job in jobs_of(installation)
            ),
        ],
        schedules=[*build_schedules(installation), *build_retention_schedules(installation, retention_job)],
        sensors=[
            build_configuration_sensor(installation, loaded, definitions_fault),
            *build_sensors(installation),
            build_freshness_sensor(installation),
            build_alert_sensor(installation, definitions_fault),
            build_housekeeping_sensor(installation),
            build_delivery_sensor(installation),
        ],
        resources={"planday": PlandayPortals(config_path=str(config.file))},
        executor=_IN_PROCESS,
    )


def checked_definitions(path: Path) -> dg.Definitions:
    """The definitions, after Dagster has validated them as its code location does.

    Raises:
        ConfigError: the file is wrong, or Dagster refuses the definitions for whatever reason.
    """
    try:
        made = build_definitions(path)
        dg.Definitions.validate_loadable(made)
    except PlandayError:
        raise
    except Exception as error:
        raise ConfigError(
            f"Dagster refuses the definitions that follow from {path} ({type(error).__name__}: {first_line(error)}): no "
            "schedule, sensor or run works until this is corrected. If nothing in the file explains it, this program has a "
            "fault"
        ) from error
    return made


def definitions_fault(path: Path) -> ConfigError | None:
    """Why the code location cannot be loaded, or None. Evaluated once per state of the file."""
    return _fault_of(path, stamp_of(path))


@functools.lru_cache(maxsize=1)
def _fault_of(path: Path, _: tuple[int, int]) -> ConfigError | None:
    try:
        checked_definitions(path)
    except ConfigError as error:
        return error
    return None


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions that follow from the file named by `PLANDAY_CONFIG`, or from `portals.yaml`.

    Raises:
        ConfigError: the file is wrong. Without definitions there is no sensor that could load them once it is corrected.
    """
    keep_from_others()
    _make_way()
    try:
        path = find_config()
        return _built(path, stamp_of(path))
    except ConfigError as error:
        if _is_run():
            raise
        raise ConfigError(f"{error}\nOnce it is corrected, click Reload (Deployment)") from None


@functools.lru_cache(maxsize=1)
def _built(path: Path, _: tuple[int, int]) -> dg.Definitions:
    """Definitions, built once per state of the file: Dagster loads them twice in each run, and 500 portals take a second."""
    return build_definitions(path)


@functools.cache
def _make_way() -> None:
    """Lower the priority of a run (a process that the code server starts), so that many runs do not slow down the daemon."""
    if _is_run():
        os.nice(10)


def _is_run() -> bool:
    return multiprocessing.parent_process() is not None
