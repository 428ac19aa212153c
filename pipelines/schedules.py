"""Schedules of the configuration: one per portal and name, such as `nightly_oslo`. No tick calls the API."""

from collections.abc import Iterator

import dagster as dg

from pipelines.assets import asset_keys, portals_of
from planday_io.catalogue import Catalogue, Endpoint
from planday_io.config import Config, Schedule
from planday_io.selection import endpoints_of

# Dagster's job over all assets. A job of our own could not hold assets whose partitions differ, which they do as soon
# as one portal lacks a table; a run can be asked for any assets with the same partitions.
ASSET_JOB = "__ASSET_JOB"
SCHEDULE_TAG = "planday/schedule"


def build_schedules(catalogue: Catalogue, config: Config) -> list[dg.ScheduleDefinition]:
    """A schedule for each portal and each of its schedules that is due anything."""
    return [
        _schedule(catalogue, config, portal, name, schedule, due)
        for portal, settings in config.portals.items()
        for name, schedule in settings.schedules.items()
        if (due := endpoints_of(catalogue, settings, schedule.resources))
    ]


def same_partitions(endpoints: list[Endpoint], catalogue: Catalogue, config: Config) -> list[list[Endpoint]]:
    """Endpoints in groups that one run can hold, in order."""
    groups: dict[tuple[str, ...], list[Endpoint]] = {}
    for endpoint in endpoints:
        groups.setdefault(tuple(portals_of(endpoint, catalogue, config)), []).append(endpoint)
    return list(groups.values())


def _schedule(
    catalogue: Catalogue, config: Config, portal: str, name: str, schedule: Schedule, due: list[Endpoint]
) -> dg.ScheduleDefinition:
    groups = same_partitions(due, catalogue, config)

    @dg.schedule(
        name=f"{name}_{portal}",
        job_name=ASSET_JOB,
        cron_schedule=schedule.cron,
        execution_timezone=config.portals[portal].timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if schedule.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Reads {', '.join(schedule.resources)} of portal {portal}.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for number, group in enumerate(groups):
            yield dg.RunRequest(
                run_key=f"{name}_{portal} {context.scheduled_execution_time.isoformat()} {number}",
                partition_key=portal,
                asset_selection=asset_keys(group),
                tags={SCHEDULE_TAG: f"{name}_{portal}"},
            )

    return tick
