"""Publishing from a command, as a run of the warehouse: Dagster shows it, with what it published or why it failed."""

from __future__ import annotations

import dagster as dg

from pipelines.progress import PUBLISHED
from pipelines.publication import publish_pending
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from pipelines.warehouse import warehouse_keys
from planday_io.errors import PublicationError
from planday_io.lake.installation import Installation
from planday_io.warehouse import Publication


def publish_as_run(
    installation: Installation, instance: dg.DagsterInstance, job: dg.JobDefinition, tags: dict[str, str]
) -> Publication:
    """Publish what was written, in a run that does nothing else. Where Dagster's storage fails, without one.

    Raises:
        PublicationError: the warehouse is as it was before.
    """
    done: list[Publication] = []
    token = PUBLISHED.set(done)
    try:
        with dagster_storage():
            result = job.execute_in_process(
                instance=instance,
                asset_selection=warehouse_keys(),
                tags=tags,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
    except DagsterStorageError:
        return done[0] if done else publish_pending(installation)
    finally:
        PUBLISHED.reset(token)
    if done:
        return done[0]
    failed = next((event.step_failure_data for event in result.all_events if event.is_step_failure), None)
    told = failed.user_failure_data.description if failed and failed.user_failure_data else None
    raise PublicationError(told or f"{installation.config.warehouse} was not renewed; see run {result.run_id}")
