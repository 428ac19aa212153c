"""The state of an installation, as `planday status`, `check` and `metrics` see it: what the library finds, with what Dagster
knows of schedules.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from pipelines.question import Question, asked
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


def current_health(
    installation: Installation, portals: list[str] | None = None, question: Question | None = None
) -> Health:
    """How everything is now. Sends nothing.

    Args:
        installation: the one to inspect.
        portals: config keys; None for all.
        question: to Dagster, if it is asked already.

    Raises:
        StorageError: the state cannot be read.
    """
    faults: dict[str, PlandayError] = {}
    with nullcontext(question) if question else asked(installation.config.home) as asking:
        if fault := _definitions_fault(installation):
            faults[CONFIGURATION] = fault
        now = datetime.now(UTC)
        states = PortalStates(installation, now, observe(installation, now))
        try:
            said = scheduler(installation, asking)
        except StorageError as error:
            faults[DAGSTER] = error
            said = Scheduler(fault=str(error))
    return health_of(installation, now, said, portals, faults, states)


def _definitions_fault(installation: Installation) -> ConfigError | None:
    """Why Dagster cannot load the definitions, or None. Raises StorageError.

    Importing and building them takes two seconds for 500 portals, so the file that they were last built from is remembered.
    """
    stat = installation.config.file.stat()
    marks = (
        f"{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_size}",
        version("planday-warehouse"),
        version("dagster"),
    )
    files = installation.state.files
    if files.configuration() == marks:
        return None
    from pipelines.definitions import definitions_fault

    fault = definitions_fault(installation.config.file)
    if fault is None:
        # Where it cannot be noted, they are built again next time.
        with suppress(StorageError):
            files.note_configuration(marks)
    return fault


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
