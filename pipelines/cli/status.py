"""The state of an installation, as `planday status`, `check` and `metrics` see it: what the library finds, with what Dagster
knows of schedules.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from pipelines.scheduler import scheduler
from planday_io.errors import ConfigError, PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import CONFIGURATION, DAGSTER
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.health import Health, Scheduler, health_of
from planday_io.monitoring.incidents import PortalStates
from planday_io.monitoring.notifier import Notified, Notifier

_MOST = 10_000
"""At most so many publications of a day are counted: one every nine seconds."""


def current_health(installation: Installation, portals: list[str] | None = None) -> Health:
    """How everything is now. Sends nothing.

    Args:
        installation: the one to inspect.
        portals: config keys; None for all.

    Raises:
        StorageError: the state cannot be read.
    """
    faults: dict[str, PlandayError] = {}
    files, settings = installation.state.files, _settings(installation)
    is_known = files.configuration() == settings
    if not is_known and (fault := _definitions_fault(installation)):
        faults[CONFIGURATION] = fault
    now = datetime.now(UTC)
    states = PortalStates(installation, now, observe(installation, now))
    try:
        said = scheduler(installation, is_known=is_known)
    except StorageError as error:
        faults[DAGSTER] = error
        said = Scheduler(fault=str(error))
    if not is_known and not faults:
        # Where it cannot be noted, Dagster loads them again next time.
        with suppress(StorageError):
            files.note_configuration(settings)
    return health_of(installation, now, said, portals, faults, states)


def _settings(installation: Installation) -> tuple[str, ...]:
    """What decides whether Dagster can load the definitions and use its storage.

    Loading them takes two seconds for 500 portals and opening the storage one, so those that it took are remembered.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or installation.config.home)
    marks = []
    for file in (installation.config.file, home / "dagster.yaml"):
        # Dagster's first use of a folder makes its settings.
        with suppress(FileNotFoundError):
            stat = file.stat()
            marks.append(f"{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_size}")
    return (*marks, version("planday-warehouse"), version("dagster"))


def _definitions_fault(installation: Installation) -> ConfigError | None:
    from pipelines.definitions import definitions_fault

    return definitions_fault(installation.config.file)


def publications_last_day(installation: Installation) -> int | None:
    """How often the warehouse was published in the last 24 hours, as Dagster recorded it; None where it cannot say."""
    import dagster as dg

    from pipelines.cli.instance import open_instance
    from pipelines.reporting import WAREHOUSE
    from pipelines.storage_faults import dagster_storage

    since = datetime.now(UTC) - timedelta(days=1)
    try:
        with open_instance(installation) as instance, dagster_storage():
            wanted = dg.AssetRecordsFilter(asset_key=WAREHOUSE, after_timestamp=since.timestamp())
            return len(instance.fetch_materializations(wanted, limit=_MOST).records)
    except StorageError:
        return None


def notify_now(installation: Installation) -> Notified:
    """Find incidents and report what is new, as the `alerts` sensor does. Raises StorageError."""
    from pipelines.alerting import notify, record_fault
    from pipelines.cli.instance import open_instance
    from pipelines.definitions import definitions_fault
    from pipelines.storage_faults import DagsterStorageError, dagster_storage

    record_fault(installation, CONFIGURATION, definitions_fault(installation.config.file))
    try:
        with open_instance(installation) as instance, dagster_storage():
            return notify(installation, instance)
    except DagsterStorageError as error:
        record_fault(installation, DAGSTER, error)
        return Notifier(installation).notify(datetime.now(UTC))
