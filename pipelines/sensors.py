"""Two safety nets: ending runs whose process was killed, and publishing what a killed run had written."""

import dagster as dg

from pipelines.liveness import end_dead_runs
from pipelines.resources import publish_pending
from planday_io.config import Config
from planday_io.lake.slices import Lake


def build_sensors(config: Config) -> list[dg.SensorDefinition]:
    """The sensors; both are on from the start."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails runs whose process was killed, so that runs of the same portal behind them begin.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = end_dead_runs(context.instance)
        return dg.SkipReason(f"ended {len(ended)} dead runs" if ended else "every run in progress has its process")

    @dg.sensor(
        name="unpublished_slices",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes slices that a killed run wrote and did not publish.",
    )
    def unpublished_slices(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        active = context.instance.get_runs_count(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
        )
        if active:
            return dg.SkipReason("runs in progress publish at their own end")
        if not Lake(config.lake, config.state).pending():
            return dg.SkipReason("the warehouse shows all of the lake")
        done = publish_pending(config)
        return dg.SkipReason(f"published {done.slices} slices")

    return [dead_runs, unpublished_slices]
