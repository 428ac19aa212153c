"""Deliveries in Dagster: a sensor that finds which are due, and a job that makes one.

A delivery follows the runs of one tick of a schedule. They began after the tick, carry the schedule's name, and are as many
as the schedule asks for; when all have ended, everything that they wrote is published (`run_end`). Each attempt is a run of
its own, so it is seen in the UI, and a sensor's time limit ends none.

Not here: which tick (`planday_io.delivery.rounds`), attempts and state (`planday_io.delivery.attempts`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.alerting import awaits_retry
from pipelines.edges import sensor
from pipelines.liveness import process_tags
from pipelines.schedule_names import Names, schedule_names
from pipelines.schedules import runs_of_ticks
from pipelines.tags import DELIVERY_TAG, SCHEDULE_TAG
from planday_io.delivery import attempts, making
from planday_io.delivery.delivered import Delivered
from planday_io.delivery.rounds import Round, newest_round, portals_of, schedule_text
from planday_io.errors import AlertError, ConfigError, PlandayError
from planday_io.faults import as_planday_error, trace_of
from planday_io.lake.installation import Installation
from planday_io.monitoring.messages import some

JOB = "deliver"
_OP = "make_delivery"
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_LONGEST = timedelta(hours=1)
"""That an attempt may take; Dagster's daemon ends a longer run, which counts as a failed attempt."""
_ABSENT = timedelta(minutes=10)
"""A sensor that was not evaluated for so long was not there: the machine slept, or no daemon ran."""


class DeliverySettings(dg.Config):
    """What a run of the job makes: a name in `deliver` of portals.yaml."""

    delivery: str


def build_delivery_job(installation: Installation) -> dg.JobDefinition:
    """The job. It reads the configuration as it is when it runs."""

    @dg.op(name=_OP, out=dg.Out(dg.Nothing))
    def deliver(context: dg.OpExecutionContext, config: DeliverySettings) -> None:
        """Exports one delivery of portals.yaml, to its folder and by mail."""
        try:
            current = installation.reloaded()
            context.instance.add_run_tags(context.run_id, process_tags(current.state))
            done = _made(current, config.delivery, context.run.tags.get(DELIVERY_TAG))
        except Exception as error:  # noqa: BLE001 - whatever it is, Dagster keeps the text of what leaves here
            if not isinstance(error, PlandayError):
                context.log.error("%s", trace_of(error))  # noqa: TRY400 - see above
            raise dg.Failure(description=str(as_planday_error(error)), allow_retries=False) from None
        if done is None:
            context.log.info("This delivery was made already, or is no longer due.")
            return
        context.log.info(
            "%s: %s sheets with %s rows, %s; %s; mailed to %s people",
            done.name,
            len(done.sheets),
            done.rows,
            "complete" if done.is_complete else "NOT COMPLETE",
            "written to its folder" if done.is_kept else "no folder",
            done.mailed,
        )

    names = ", ".join(f"`{name}`" for name in installation.config.deliver) or "there is none now"

    @dg.job(
        name=JOB,
        description="Makes one delivery of `deliver` in portals.yaml, with its mails. The sensor `deliveries` starts it when "
        f"one is due. By hand: Launchpad, Scaffold missing config, and the name of one instead of the dots ({names}).",
        # A query that somebody wrote may never end.
        tags={"dagster/max_runtime": f"{_LONGEST.total_seconds():.0f}"},
    )
    def job() -> None:
        deliver()

    return job


def _made(installation: Installation, name: str, key: str | None) -> Delivered | None:
    now = datetime.now(UTC)
    if name not in installation.config.deliver:
        raise ConfigError(f"there is no delivery '{name}' in {installation.config.file.name}: nothing was delivered")
    if key is None:
        done = making.deliver(installation, name, now)
        attempts.settle(installation, done, now)
        return done
    return attempts.attempt(installation, name, now) if key == _key(installation, name) else None


def _key(installation: Installation, name: str) -> str | None:
    """The attempt that is to be made now, or None."""
    found = installation.state.deliveries.of(name)
    return f"{name} {found.open.isoformat()} {found.attempts}" if found and found.open else None


@dataclass(frozen=True, slots=True)
class Cursor:
    """What the sensor remembers between ticks: when it was evaluated, and since when it has waited for which round."""

    at: datetime | None = None
    seen: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str | None, now: datetime) -> "Cursor":
        """From the text that Dagster kept; empty after an absence."""
        if not text:
            return cls()
        found = json.loads(text)
        at = datetime.fromisoformat(found["at"])
        seen = {
            name: (datetime.fromisoformat(tick), datetime.fromisoformat(since))
            for name, (tick, since) in found["seen"].items()
        }
        return cls() if now - at > _ABSENT else cls(at, seen)

    def encoded(self) -> str:
        """The text that Dagster keeps."""
        seen = {name: [one.isoformat() for one in both] for name, both in self.seen.items()}
        return json.dumps({"at": self.at and self.at.isoformat(), "seen": seen})


def build_delivery_sensor(installation: Installation) -> dg.SensorDefinition:
    """Finds what is due, every minute."""

    @sensor(installation, 60, JOB)
    def deliveries(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Starts the deliveries of portals.yaml (`deliver`) after the runs of their schedules."""
        now = datetime.now(UTC)
        cursor, requests = due(installation, context.instance, now, Cursor.of(context.cursor, now))
        waiting = (
            f"waiting for the runs of their schedule: {some([*cursor.seen])}" if cursor.seen else "no delivery is due"
        )
        return dg.SensorResult(
            run_requests=requests, cursor=cursor.encoded(), skip_reason=None if requests else dg.SkipReason(waiting)
        )

    return deliveries


def due(
    loaded: Installation, instance: dg.DagsterInstance, now: datetime, cursor: Cursor
) -> tuple[Cursor, list[dg.RunRequest]]:
    """What is waited for, and the runs to start.

    Args:
        loaded: the installation as this location's schedules know it. Deliveries are those of the file as it is now.
        instance: that has the runs.
        now: UTC instant.
        cursor: what was waited for before.

    Raises:
        ConfigError: the file cannot be used.
        StorageError: the state cannot be read or written.
    """
    current = loaded.reloaded()
    attempts.forget_removed(current)
    seen: dict[str, tuple[datetime, datetime]] = {}
    requests: list[dg.RunRequest] = []
    for name in current.config.deliver:
        state = current.state.deliveries
        found = state.of(name)
        if not (found and found.open):
            newest, text = newest_round(current.config, name, now), schedule_text(current.config, name)
            if found is None or found.schedule != text:
                # It is new, or its schedule was changed, or switched off or on: its first tick is the next one.
                state.begin(name, text, newest.at if newest else now)
                continue
            if newest is None:
                continue
            if not newest.is_new(found):
                continue
            before, since = cursor.seen.get(name, (None, now))
            since = since if before == newest.at else now
            remarks = _outcome(loaded, current, instance, name, newest, now)
            if remarks is None and now < newest.waits_until(since):
                seen[name] = (newest.at, since)
                continue
            if remarks is None:
                remarks = _outcome(loaded, current, instance, name, newest, now, is_late=True) or []
            state.open(name, newest.at, remarks)
        requests += _request(current, instance, name, now)
    return Cursor(now, seen), requests


def _request(current: Installation, instance: dg.DagsterInstance, name: str, now: datetime) -> list[dg.RunRequest]:
    """The run of the attempt that is due; none if it is in progress, or due later."""
    found, key = current.state.deliveries.of(name), _key(current, name)
    if found is None or key is None or (found.retry_at and now < found.retry_at):
        return []
    runs = instance.get_runs(filters=dg.RunsFilter(tags={DELIVERY_TAG: key}), limit=1)
    if runs:
        if runs[0].status in _ENDED:
            # It was killed, or never began: otherwise it would have noted how the attempt ended.
            error = AlertError(f"run {runs[0].run_id} ended without saying why")
            attempts.attempt_failed(current, name, error, now)
        return []
    return [
        dg.RunRequest(
            run_key=key,
            run_config={"ops": {_OP: {"config": {"delivery": name}}}},
            # A killed run is another attempt, which the sensor makes. People wait for it, so it overtakes a backfill.
            tags={DELIVERY_TAG: key, "dagster/max_retries": "0", "dagster/priority": "10"},
        )
    ]


def _outcome(
    loaded: Installation,
    current: Installation,
    instance: dg.DagsterInstance,
    name: str,
    newest: Round,
    now: datetime,
    *,
    is_late: bool = False,
) -> list[str] | None:
    """What the runs of a round did not do, in words; None while they have not ended, unless it is late."""
    after = current.config.deliver[name].after or ""
    expected, names = runs_of_ticks(loaded, after, newest.ticks), schedule_names(loaded.config)
    remarks = []
    for portal, tick in newest.ticks.items():
        if portal in expected:
            runs = _runs(instance, names[portal, after], tick, expected[portal], now)
        else:
            runs = _Runs(expected=None, active=0, failed=0, absent=0)
        if runs.missing and not is_late:
            return None
        remarks += [f"{portal}: {text}" for text in runs.words(after)]
    chosen, since = {*portals_of(current.config, name)}, min(newest.ticks.values())
    # What was left out by a publication before would be waited for in vain.
    waiting = [key for key, at in current.lake.pending().items() if key.portal in chosen and at >= since]
    if waiting and not is_late:
        return None
    if waiting:
        remarks.append(f"{len(waiting)} tables or months were read and are not published yet")
    return remarks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """The runs of one portal's tick: how many there should be (None if not known), have not ended, failed, never began."""

    expected: int | None
    active: int
    failed: int
    absent: int

    @property
    def missing(self) -> bool:
        return bool(self.expected is None or self.active or self.absent)

    def words(self, schedule: str) -> list[str]:
        if self.expected is None:
            return [f"whether schedule {schedule} ran is not known, because the definitions were not reloaded"]
        counts = (
            (self.failed, "failed"),
            (self.active, "had not ended"),
            (self.absent, "had not begun"),
        )
        return [f"{count} of {self.expected} runs of schedule {schedule} {what}" for count, what in counts if count]


def _runs(instance: dg.DagsterInstance, names: Names, tick: datetime, expected: int, now: datetime) -> _Runs:
    records = instance.get_run_records(
        filters=dg.RunsFilter(tags={SCHEDULE_TAG: [*names]}, created_after=tick - timedelta(seconds=1))
    )
    newest: dict[str, dg.RunRecord] = {}
    for record in records:  # newest first, so the last try of each
        run = record.dagster_run
        newest.setdefault(run.tags.get("dagster/root_run_id", run.run_id), record)
    active = [one for one in newest.values() if one.dagster_run.status not in _ENDED or awaits_retry(one, now)]
    failed = [
        one for one in newest.values() if one not in active and one.dagster_run.status != dg.DagsterRunStatus.SUCCESS
    ]
    return _Runs(expected=expected, active=len(active), failed=len(failed), absent=max(0, expected - len(newest)))
