"""Schedules of the configuration: one per portal and name. No tick calls the API.

A run holds assets with equal partitions only, so a schedule that reads snapshots and facts becomes two: `nightly_oslo` for
the portal's snapshots and `nightly_oslo_months` for the months of its window, at the same time. What they target: `jobs`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.edges import recording
from pipelines.jobs import job_of
from pipelines.schedule_names import Names, schedule_names
from pipelines.tags import BATCH_TAG
from planday_io.catalogue import Endpoint
from planday_io.catalogue.endpoint import Grid
from planday_io.config.grid import window_months
from planday_io.lake.installation import Installation


def build_schedules(installation: Installation) -> list[dg.ScheduleDefinition]:
    """Schedules of all portals, without those that would read nothing."""
    names = schedule_names(installation.config)
    return [
        schedule
        for portal, settings in installation.config.portals.items()
        for name in settings.schedules
        for schedule in _schedules(installation, portal, name, names[portal, name])
    ]


def runs_of_ticks(installation: Installation, schedule: str, ticks: Mapping[str, datetime]) -> dict[str, int]:
    """How many runs a schedule starts at its tick in each portal; without portals that do not have it."""
    config = installation.config
    found = {}
    for portal, at in ticks.items():
        if portal in config.portals and schedule in config.portals[portal].schedules:
            due = installation.endpoints_of(portal, config.portals[portal].schedules[schedule].resources)
            grids = {endpoint.grid for endpoint in due}
            found[portal] = ("portal" in grids) + ("month" in grids) * len(window_months(config, portal, at))
    return found


def _schedules(installation: Installation, portal: str, schedule: str, names: Names) -> Iterator[dg.ScheduleDefinition]:
    settings = installation.config.portals[portal]
    configured, window = settings.schedules[schedule], settings.window
    months = f"this month, {window.past_months} back and {window.future_months} ahead"
    due = installation.endpoints_of(portal, configured.resources)
    grids: tuple[tuple[Grid, str, str], ...] = (
        ("portal", names.snapshots, "the snapshots"),
        ("month", names.months, months),
    )
    for grid, name, what in grids:
        endpoints = [endpoint for endpoint in due if endpoint.grid == grid]
        if endpoints:
            yield dg.ScheduleDefinition(
                name=name,
                job_name=job_of(schedule, grid),
                cron_schedule=configured.cron,
                execution_timezone=settings.timezone,
                default_status=dg.DefaultScheduleStatus.RUNNING
                if configured.enabled
                else dg.DefaultScheduleStatus.STOPPED,
                description=f"Reads {what} of portal {portal}: {', '.join(configured.resources)}.",
                execution_fn=partial(_requests, installation, portal, name, names.snapshots, endpoints),
            )


def _requests(
    installation: Installation,
    portal: str,
    name: str,
    batch: str,
    endpoints: list[Endpoint],
    context: dg.ScheduleEvaluationContext,
) -> Iterator[dg.RunRequest]:
    """The runs of a tick; a tick of both schedules of a portal is one batch."""
    at = context.scheduled_execution_time
    with recording(installation, f"schedule {name}"):
        is_monthly = endpoints[0].grid == "month"
        for month in window_months(installation.config, portal, at) if is_monthly else [None]:
            yield dg.RunRequest(
                run_key=month,  # of this tick: Dagster compares it together with the time
                partition_key=partition_of(portal, month),
                asset_selection=asset_keys(endpoints),
                tags={BATCH_TAG: f"{batch}-{at:%Y%m%d%H%M}"},
            )
