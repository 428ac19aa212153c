"""Schedules of the configuration: one per portal and name. No tick calls the API.

A run holds assets with equal partitions only, so a schedule that reads snapshots and facts becomes two: `nightly_oslo` for
the portal's snapshots and `nightly_oslo_months` for the months of its window, at the same time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.edges import recording
from pipelines.resources import BATCH_TAG, SCHEDULE_TAG
from planday_io.catalogue import Endpoint
from planday_io.config import Config, Schedule
from planday_io.config.grid import window_months
from planday_io.lake.installation import Installation

# Dagster's job over all assets. A job of our own could not hold assets with different partitions, which exist as soon
# as one portal lacks a table; a run may select any assets with equal partitions.
ASSET_JOB = "__ASSET_JOB"

TAKEN_NAMES = frozenset(
    {"dead_runs", "unpublished_slices", "changed_months", "freshness", "alerts", "housekeeping", "deliveries"}
    | {"nightly_retention"}
    | {"arg_dict", "input_arg_dict", "output_arg_dict"}
)
"""Names of our sensors, which share a name space with schedules, and names with a `_` that Dagster reserves."""


class Names(NamedTuple):
    """Dagster's names of one schedule of one portal: the run of snapshots, and the runs of months."""

    snapshots: str
    months: str


def schedule_names(config: Config) -> dict[tuple[str, str], Names]:
    """(portal, schedule) -> names that no other schedule, sensor or reserved word has.

    `nightly_oslo` and `nightly_oslo_months` where those names are unambiguous. Dagster remembers by name which
    schedules were switched off in the UI, so existing names stay. Where two would be equal (portals `oslo` and
    `oslo_months`, schedules `nightly` and `nightly_nord`), none gets the name: all are written `nightly_AT_oslo` and
    `nightly_AT_oslo_MONTHS`, which are unambiguous, because keys have no capital letters.
    """
    plain = {
        (portal, name): Names(f"{name}_{portal}", f"{name}_{portal}_months")
        for portal, settings in config.portals.items()
        for name in settings.schedules
    }
    uses = Counter(name for names in plain.values() for name in names)
    return {
        (portal, schedule): names
        if all(uses[name] == 1 and name not in TAKEN_NAMES for name in names)
        else Names(f"{schedule}_AT_{portal}", f"{schedule}_AT_{portal}_MONTHS")
        for (portal, schedule), names in plain.items()
    }


def build_schedules(installation: Installation) -> list[dg.ScheduleDefinition]:
    """Schedules of all portals, without those that would read nothing."""
    partitions = _partitions(installation)
    names = schedule_names(installation.config)
    return [
        schedule
        for portal, settings in installation.config.portals.items()
        for name, configured in settings.schedules.items()
        for schedule in _schedules(installation, partitions, portal, names[portal, name], configured)
    ]


def runs_of_ticks(installation: Installation, schedule: str, ticks: Mapping[str, datetime]) -> dict[str, int]:
    """How many runs a schedule starts at its tick in each portal; without portals that do not have it."""
    config, partitions = installation.config, _partitions(installation)
    found = {}
    for portal, at in ticks.items():
        if portal in config.portals and schedule in config.portals[portal].schedules:
            due = installation.endpoints_of(portal, config.portals[portal].schedules[schedule].resources)
            runs = {"portal": 1, "month": len(window_months(config, portal, at))}
            found[portal] = sum(
                len(_groups([endpoint for endpoint in due if endpoint.grid == grid], partitions)) * count
                for grid, count in runs.items()
            )
    return found


def same_partitions(endpoints: Sequence[Endpoint], installation: Installation) -> list[list[Endpoint]]:
    """Endpoints in groups that one run can materialize, in order."""
    return _groups(endpoints, _partitions(installation))


def _partitions(installation: Installation) -> dict[str, tuple[str, int]]:
    """Endpoint's name -> grid and a number per set of portals, equal for endpoints with equal partitions."""
    numbers: dict[tuple[str, ...], int] = {}
    portals = {name: tuple(keys) for name, keys in installation.portals_by_endpoint().items()}
    return {
        endpoint.name: (endpoint.grid, numbers.setdefault(portals[endpoint.name], len(numbers)))
        for endpoint in installation.catalogue.endpoints
    }


def _groups(endpoints: Sequence[Endpoint], partitions: Mapping[str, tuple[str, int]]) -> list[list[Endpoint]]:
    groups: dict[tuple[str, int], list[Endpoint]] = {}
    for endpoint in endpoints:
        groups.setdefault(partitions[endpoint.name], []).append(endpoint)
    return list(groups.values())


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
        groups = _groups([endpoint for endpoint in due if endpoint.grid == grid], partitions)
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
