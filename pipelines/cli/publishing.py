"""How Dagster shows what commands publish: as a run of the warehouse, or as events without a run."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import typer

from pipelines.cli.instance import open_instance
from pipelines.definitions import checked_definitions
from pipelines.liveness import process_tags
from pipelines.progress import PUBLISHED
from pipelines.publication import publish_pending
from pipelines.reporting import events_of
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from pipelines.tags import COMPARE_ALL_TAG, REBUILD_TAG, STARTED_BY_TAG
from pipelines.warehouse import warehouse_keys
from planday_io.errors import PlandayError, PublicationError
from planday_io.lake.installation import Installation
from planday_io.warehouse import Publication


def publish(installation: Installation, *, rebuild: bool) -> Publication:
    """What `planday publish` does: compare every slice, and publish what changed.

    Raises:
        ConfigError: DAGSTER_HOME is not a folder, or Dagster refuses the configuration.
        PublicationError: the warehouse is as it was before.
    """
    config = installation.config
    job = checked_definitions(config.file).resolve_implicit_global_asset_job_def()
    tags = {STARTED_BY_TAG: "planday publish", COMPARE_ALL_TAG: "true", **process_tags(installation.state)}
    tags |= {REBUILD_TAG: "true"} if rebuild else {}
    try:
        with open_instance(installation) as instance:
            return publish_as_run(installation, instance, job, tags)
    except DagsterStorageError:
        return publish_pending(installation, rebuild=rebuild, compare_all=True)


def publish_as_run(
    installation: Installation, instance: dg.DagsterInstance, job: dg.JobDefinition, tags: dict[str, str]
) -> Publication:
    """Publish what was written, in a run that does nothing else; without a run if Dagster's storage fails.

    Raises:
        PublicationError: the warehouse is as it was before.
    """
    done: list[Publication] = []
    token = PUBLISHED.set(done)
    try:
        result = run_in_process(job, instance, warehouse_keys(), tags)
    except DagsterStorageError:
        if done:
            return done[0]
        return publish_pending(installation, rebuild=REBUILD_TAG in tags, compare_all=COMPARE_ALL_TAG in tags)
    finally:
        PUBLISHED.reset(token)
    if done:
        return done[0]
    failed = next((event.step_failure_data for event in result.all_events if event.is_step_failure), None)
    reason = failed.user_failure_data.description if failed and failed.user_failure_data else None
    raise PublicationError(reason or f"{installation.config.warehouse} was not renewed; see run {result.run_id}")


def run_in_process(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    tags: dict[str, str],
    partition: str | None = None,
    run_id: str | None = None,
) -> dg.ExecuteInProcessResult:
    """Run some assets here, without Dagster's own log on the terminal. Raises DagsterStorageError."""
    with dagster_storage():
        return job.execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=partition,
            asset_selection=assets,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def report_without_run(installation: Installation, done: Publication) -> None:
    """Report a publication as events without a run. If Dagster cannot be used, only print that."""
    try:
        with open_instance(installation) as instance, dagster_storage():
            for event in events_of(installation.config, done):
                instance.report_runless_asset_event(event)
    except PlandayError as error:
        typer.echo(f"planday: the Dagster UI does not show this publication: {error}", err=True)
