"""Safety nets, and the months that have to be read again. No tick calls the API.

A code location that was loaded a week ago evaluates its sensors with the configuration of then. So each tick reads the file:
else what was published would follow a privacy policy of last week, and refresh requests for a portal that was added since
would be removed as nobody's. What is *launched* has to be among the partitions that the location was loaded with.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.edges import recording
from pipelines.liveness import end_dead_runs
from pipelines.publication import publish_pending
from pipelines.reporting import events_of
from pipelines.resources import BATCH_TAG
from pipelines.schedules import ASSET_JOB, same_partitions
from planday_io.config.grid import grid_months
from planday_io.errors import PlandayError
from planday_io.lake.installation import Installation
from planday_io.state import RefreshRequest
from planday_io.sync.changes import settle

CHANGES_TAG = "planday/changes"
REFRESH_TAG = "planday/refresh"
_NOT_ENDED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
_AT_ONCE = 12
"""Runs of changed months waiting at a time, so that a new portal's two years do not push others out of the queue."""


def build_sensors(installation: Installation) -> list[dg.SensorDefinition]:
    """The sensors; all are on from the start."""
    return [_dead_runs(installation), _unpublished_slices(installation), _changed_months(installation)]


def _dead_runs(installation: Installation) -> dg.SensorDefinition:
    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs whose process was killed, so that runs of the same portal behind them begin.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        with recording(installation, "sensor dead_runs"):
            ended = end_dead_runs(context.instance, installation.state)
        return dg.SkipReason(f"ended {len(ended)} dead runs" if ended else "every run in progress has its process")

    return dead_runs


def _unpublished_slices(installation: Installation) -> dg.SensorDefinition:
    @dg.sensor(
        name="unpublished_slices",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes slices that a killed run wrote and did not publish.",
    )
    def unpublished_slices(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        active = context.instance.get_runs_count(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
        )
        if active:
            return dg.SkipReason("runs in progress publish at their own end")
        with recording(installation, "sensor unpublished_slices"):
            if not installation.lake.pending():
                return dg.SkipReason("the warehouse shows all of the lake")
            current = installation.reloaded()
            done = publish_pending(current)
            return dg.SensorResult(
                asset_events=events_of(current.config, done), skip_reason=f"published {done.slices} slices"
            )

    return unpublished_slices


def _changed_months(installation: Installation) -> dg.SensorDefinition:
    @dg.sensor(
        name="changed_months",
        job_name=ASSET_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads again the months in which the last changes run found edited, deleted or moved shifts, and those "
        "never read.",
    )
    def changed_months(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with recording(installation, "sensor changed_months"):
            yield from _requests(context.instance, installation)

    return changed_months


def _requests(instance: dg.DagsterInstance, installation: Installation) -> Iterator[dg.RunRequest | dg.SkipReason]:
    config = installation.config
    room = _AT_ONCE - instance.get_runs_count(dg.RunsFilter(tags={CHANGES_TAG: "true"}, statuses=_NOT_ENDED))
    current = installation.reloaded()
    requests: list[RefreshRequest] = []
    unread: list[PlandayError] = []
    for portal in current.state.refresh_requests.portals():
        try:
            requests += settle(current, portal)
        except PlandayError as error:
            unread.append(error)  # one portal's files are none of the others' business
    requests.sort(key=lambda request: (request.month, request.portal))
    now = datetime.now(UTC)
    grids = {
        portal: {*grid_months(config, portal, now)}
        for portal in {request.portal for request in requests} & {*config.portals}
    }
    unknown = [request for request in requests if request.month not in grids.get(request.portal, ())]
    for request in reversed(requests):
        if request in unknown:
            continue
        key = f"{request.portal} {request.month} {request.requested_at.isoformat()}"
        # What failed is tried again when a later changes run requests it again.
        if room <= 0 or instance.get_runs_count(dg.RunsFilter(tags={REFRESH_TAG: key})):
            continue
        there = installation.endpoints_of(request.portal)
        endpoints = [one for one in current.endpoints_of(request.portal, request.endpoints) if one in there]
        for number, group in enumerate(same_partitions(endpoints, installation)):
            room -= 1
            yield dg.RunRequest(
                run_key=f"{key} {number}",
                partition_key=partition_of(request.portal, request.month),
                asset_selection=asset_keys(group),
                tags={
                    CHANGES_TAG: "true",
                    REFRESH_TAG: key,
                    BATCH_TAG: f"changes-{request.portal}-{request.requested_at:%Y%m%d%H%M%S}",
                },
            )
    if unread and not requests:
        raise unread[0]
    if not requests:
        yield dg.SkipReason("every month is as the last changes run found it")
    elif len(unknown) == len(requests):
        named = ", ".join(sorted({request.portal for request in unknown}))
        yield dg.SkipReason(f"reload the definitions: this location does not know all months of {named} yet")
