"""Safety nets, and the months that have to be read again. No tick calls the API.

A code location that was loaded a week ago evaluates its sensors with the configuration of that time. So each tick reads
the file: otherwise a publication would follow last week's privacy policy, and refresh requests for a portal that was
added since would be removed as unknown. What is *launched* has to be among the partitions that the location was loaded
with.
"""

from datetime import UTC, datetime

import dagster as dg

from pipelines.assets import asset_keys, partition_of
from pipelines.edges import sensor
from pipelines.jobs import CHANGED_MONTHS, jobs_of
from pipelines.liveness import end_dead_runs
from pipelines.publication import publish_pending
from pipelines.reporting import events_of
from pipelines.tags import BATCH_TAG, REFRESH_TAG, SENSOR_TAG
from planday_io.config.grid import grid_months
from planday_io.errors import PlandayError
from planday_io.lake.installation import Installation
from planday_io.state import RefreshRequest
from planday_io.sync.changes import settle
from planday_io.warehouse.pace import LOCK, next_due

_NOT_ENDED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
_AT_ONCE = 12
"""Runs of changed months waiting at a time, so that a new portal's two years do not push others out of the queue."""


def build_sensors(installation: Installation) -> list[dg.SensorDefinition]:
    """The sensors; all are enabled by default."""
    changed = next((job.name for job in jobs_of(installation) if job.name == CHANGED_MONTHS), None)

    @sensor(installation, 30)
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Fails runs whose process was killed, so that queued runs of the same portal can begin."""
        ended = end_dead_runs(context.instance, installation.state)
        return dg.SkipReason(f"ended {len(ended)} dead runs" if ended else "every run in progress is alive")

    @sensor(installation, 60)
    def unpublished_slices(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        """Publishes slices of runs that were killed, or that left them to others while many ended, if no other run did."""
        if not installation.lake.pending():
            return dg.SkipReason("the warehouse shows all of the lake, except what runs in progress wrote")
        if installation.state.locks.is_held(LOCK):
            return dg.SkipReason("a publication is in progress")
        until = next_due(installation.state, datetime.now(UTC))
        if until and context.instance.get_runs_count(dg.RunsFilter(statuses=_NOT_ENDED)):
            return dg.SkipReason(f"runs publish when they end, or this sensor at {until.isoformat(timespec='seconds')}")
        current = installation.reloaded()
        done = publish_pending(current)
        return dg.SensorResult(
            asset_events=events_of(current.config, done), skip_reason=f"published {done.slices} slices"
        )

    @sensor(installation, 30, changed)
    def changed_months(context: dg.SensorEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        """Reads again the months in which the last changes run found edited, deleted or moved shifts, or never read."""
        return _requests(context.instance, installation)

    return [dead_runs, unpublished_slices, changed_months]


def _requests(instance: dg.DagsterInstance, installation: Installation) -> dg.SkipReason | list[dg.RunRequest]:
    config = installation.config
    room = _AT_ONCE - instance.get_runs_count(dg.RunsFilter(tags={SENSOR_TAG: CHANGED_MONTHS}, statuses=_NOT_ENDED))
    current = installation.reloaded()
    requests: list[RefreshRequest] = []
    unread: list[PlandayError] = []
    for portal in sorted({one.portal for one in current.state.refresh_requests.all()}):
        try:
            requests += settle(current, portal)
        except PlandayError as error:
            unread.append(error)  # one portal's unreadable files must not stop the others
    if unread and not requests:
        raise unread[0]
    if not requests:
        return dg.SkipReason("every month is as the last changes run found it")
    now = datetime.now(UTC)
    portals = {request.portal for request in requests}
    grids = {portal: {*grid_months(config, portal, now)} for portal in portals & {*config.portals}}
    known = [request for request in requests if request.month in grids.get(request.portal, ())]
    if not known:
        named = ", ".join(sorted(portals))
        return dg.SkipReason(
            f"the definitions do not know all months of {named} yet: see the sensor `configuration`, which reloads them"
        )
    made: list[dg.RunRequest] = []
    for request in sorted(known, key=lambda request: (request.month, request.portal), reverse=True):
        key = f"{request.portal} {request.month} {request.requested_at:%Y%m%dT%H%M%S.%f}"
        # A failed run is repeated when a later changes run requests the month again.
        if len(made) >= room or instance.get_runs_count(dg.RunsFilter(tags={REFRESH_TAG: key})):
            continue
        there = installation.endpoints_of(request.portal)
        endpoints = [one for one in current.endpoints_of(request.portal, request.endpoints) if one in there]
        if not endpoints:
            continue
        made.append(
            dg.RunRequest(
                run_key=key,
                partition_key=partition_of(request.portal, request.month),
                asset_selection=asset_keys(endpoints),
                tags={REFRESH_TAG: key, BATCH_TAG: f"changes-{request.portal}-{request.requested_at:%Y%m%d%H%M%S}"},
            )
        )
    return made
