"""Schedules of the configuration: one per portal and name. No tick calls the API.

A run holds assets with equal partitions only, so a schedule that reads snapshots and facts becomes two: `nightly_oslo` for
the portal's snapshots and `nightly_oslo_months` for the months of its window, at the same time.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.edges import recording
from pipelines.groups import grouped, partition_kinds
from pipelines.schedule_names import Names, schedule_names
from pipelines.tags import BATCH_TAG, SCHEDULE_TAG
from planday_io.catalogue import Endpoint
from planday_io.config import Schedule
from planday_io.config.grid import window_months
from planday_io.lake.installation import Installation

# Dagster's job over all assets. A job of our own could not hold assets with different partitions, which exist as soon
# as one portal lacks a table; a run may select any assets with equal partitions.
ASSET_JOB = "__ASSET_JOB"


def build_schedules(installation: Installation) -> list[dg.ScheduleDefinition]:
    """Schedules of all portals, without those that would read nothing."""
    partitions = partition_kinds(installation)
    names = schedule_names(installation.config)
    return [
        schedule
        for portal, settings in installation.config.portals.items()
        for name, configured in settings.schedules.items()
        for schedule in _schedules(installation, partitions, portal, names[portal, name], configured)
    ]


def runs_of_ticks(installation: Installation, schedule: str, ticks: Mapping[str, datetime]) -> dict[str, int]:
    """How many runs a schedule starts at its tick in each portal; without portals that do not have it."""
    config, partitions = installation.config, partition_kinds(installation)
    found = {}
    for portal, at in ticks.items():
        if portal in config.portals and schedule in config.portals[portal].schedules:
            due = installation.endpoints_of(portal, config.portals[portal].schedules[schedule].resources)
            runs = {"portal": 1, "month": len(window_months(config, portal, at))}
            found[portal] = sum(
                len(grouped([endpoint for endpoint in due if endpoint.grid == grid], partitions)) * count
                for grid, count in runs.items()
            )
    return found


def _schedules(
    installation: Installation,
    partitions: Mapping[str, tuple[str, int]],
    portal: str,
    names: Names,
    schedule: Schedule,
) -> Iterator[dg.ScheduleDefinition]:
    config = installation.config
    window = config.portals[portal].window
    months = f"{window.past_months} months back and {window.future_months} ahead"
    due = installation.endpoints_of(portal, schedule.resources)
    for grid, name, what in (("portal", names.snapshots, "the snapshots"), ("month", names.months, months)):
        groups = grouped([endpoint for endpoint in due if endpoint.grid == grid], partitions)
        if groups:
            yield dg.ScheduleDefinition(
                name=name,
                job_name=ASSET_JOB,
                cron_schedule=schedule.cron,
                execution_timezone=config.portals[portal].timezone,
                default_status=dg.DefaultScheduleStatus.RUNNING
                if schedule.enabled
                else dg.DefaultScheduleStatus.STOPPED,
                description=f"Reads {what} of portal {portal}: {', '.join(schedule.resources)}.",
                execution_fn=partial(_requests, installation, portal, name, names.snapshots, groups),
            )


def _requests(
    installation: Installation,
    portal: str,
    name: str,
    batch: str,
    groups: list[list[Endpoint]],
    context: dg.ScheduleEvaluationContext,
) -> Iterator[dg.RunRequest]:
    """The runs of a tick; a tick of both schedules of a portal is one batch."""
    at = context.scheduled_execution_time
    with recording(installation, f"schedule {name}"):
        is_monthly = groups[0][0].grid == "month"
        for month in window_months(installation.config, portal, at) if is_monthly else [None]:
            for number, group in enumerate(groups):
                yield dg.RunRequest(
                    run_key=f"{name} {at.isoformat()} {month or ''} {number}",
                    partition_key=partition_of(portal, month),
                    asset_selection=asset_keys(group),
                    tags={SCHEDULE_TAG: name, BATCH_TAG: f"{batch}-{at:%Y%m%d%H%M}"},
                )
