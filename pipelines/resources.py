"""The resource of a run: a session per portal, records of what was written and what failed, and the publication at the end.

Not here: when a run ends (`run_end`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipelines import liveness
from pipelines.progress import LISTENER, PUBLISHED
from pipelines.publication import left_to_others, publish_pending
from pipelines.steps import OpenSteps
from pipelines.tags import (
    BACKFILL_TAG,
    BATCH_TAG,
    COMPARE_ALL_TAG,
    REBUILD_TAG,
    SCHEDULE_TAG,
    SENSOR_TAG,
    STARTED_BY_TAG,
    WRITER_TAG,
    partition_in,
)
from planday_io.catalogue import CATALOGUE, Endpoint
from planday_io.config import Config
from planday_io.errors import ConfigError, PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.runs import Run, log_run
from planday_io.lake.slices import Lake
from planday_io.monitoring.failures import failure_of
from planday_io.state import Lease
from planday_io.sync.session import PortalSession
from planday_io.sync.writer import TableReport
from planday_io.warehouse import Publication


class PlandayPortals(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Exchanges each portal's refresh token for access tokens and hands out clients within the shared budget.

    Holds only the path of the configuration: tokens are read when they are used, and are never part of a run's config.
    """

    config_path: str
    _installation: Installation = PrivateAttr()
    _instance: dg.DagsterInstance = PrivateAttr()
    _run_id: str = PrivateAttr()
    _tags: Mapping[str, str] = PrivateAttr()
    _started_at: datetime = PrivateAttr()
    _writer: str = PrivateAttr()
    _lease: Lease | None = PrivateAttr()
    _steps: OpenSteps = PrivateAttr()
    _runs: dict[str, Run] = PrivateAttr(default_factory=dict)
    _sessions: dict[str, PortalSession] = PrivateAttr(default_factory=dict)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Read the configuration as it is now and tag the run with its process."""
        self._installation = Installation.load(Path(self.config_path), CATALOGUE)
        self._installation.state.close_to_others()
        self._started_at = datetime.now(UTC)
        run, instance = context.run, context.instance
        if run is None or instance is None:
            raise dg.DagsterInvariantViolationError("this resource serves runs only")
        self._instance, self._run_id, self._tags = instance, run.run_id, run.tags
        portal, _ = partition_in(run.tags)
        if portal and portal not in self.config.portals and context.log:
            # Steps fail and say so; but one that depends on a table of another grid fails before, in Dagster's words.
            context.log.error("%s", self._removed(portal))
        instance.add_run_tags(run.run_id, liveness.process_tags(self._installation.state))
        self._steps = OpenSteps.of(run, instance)
        # A run that belongs to a command has no lease: the command publishes what the run writes. The command of a run
        # that is executed once more has ended.
        runs, command = self._installation.state.runs, run.tags.get(WRITER_TAG, "")
        self._lease = None if runs.is_alive(command) else runs.begin()
        self._writer = self._lease.name if self._lease else command

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """End the writer. Nothing else belongs here, because a run succeeds whatever its teardown raises."""
        if self._lease:
            self._lease.release()

    def end_run(self, *, publishes: bool) -> Publication | None:
        """Log the run, and publish what it wrote. None if the command that it belongs to publishes, or another run will.

        Args:
            publishes: the run was launched to publish, so it does not leave that to another one.

        Raises:
            PlandayError: the warehouse was not renewed, or the log was not written, which does not prevent the publication.
        """
        config, state = self._installation.config, self._installation.state
        runs = [*self._runs.values()]
        self._runs.clear()
        try:
            for run in runs:
                log_run(Lake(config.lake, state, self._writer), run, datetime.now(UTC))
        finally:
            done = self._publish(publishes=publishes)
        return done

    def _publish(self, *, publishes: bool) -> Publication | None:
        if not self._lease:
            return None
        self._lease.release()
        if not publishes and (until := self._left_until()):
            dg.get_dagster_logger().info(
                "Other runs follow, and the warehouse was published a moment ago: what this run wrote will be in the next "
                "publication, which is due at %s",
                until.isoformat(timespec="seconds"),
            )
            return None
        # The configuration as it is now: a policy may have become stricter since the run began.
        done = publish_pending(
            self._installation.reloaded(),
            rebuild=self._tags.get(REBUILD_TAG) == "true",
            compare_all=self._tags.get(COMPARE_ALL_TAG) == "true",
            run_id=self._run_id,
        )
        if (published := PUBLISHED.get()) is not None:
            published.append(done)
        return done

    def _left_until(self) -> datetime | None:
        """Until when (UTC) others may publish instead. Only runs of a tick or a backfill leave it: nobody waits for them."""
        is_one_of_many = BATCH_TAG in self._tags or BACKFILL_TAG in self._tags
        return left_to_others(self._installation, self._instance) if is_one_of_many else None

    def record(self, portal: str, month: str | None, reports: Sequence[TableReport]) -> None:
        """Record what was written, for the log of runs, and resolve its failures."""
        with self._recording():
            self._installation.state.failures.resolve(portal, [report.table for report in reports], month)
        run = self._run_of(portal, month)
        run.portal_id = self.session(portal).connection.portal_id
        for report in reports:
            run.written.append(report.table)
            run.rows += report.rows
            run.requests += report.counters.requests
            run.retries += report.counters.retries
            run.throttled_seconds += report.counters.throttled_seconds

    def record_failure(
        self, portal: str, month: str | None, tables: Sequence[str], left_out: Sequence[str], error: PlandayError
    ) -> None:
        """Record what failed after the last retry, and what is skipped because of it, for the log of runs and for alerts."""
        run = self._run_of(portal, month)
        run.portal_id = self._sessions[portal].connection.portal_id if portal in self._sessions else None
        run.failures[tables[0]] = str(error)
        now = datetime.now(UTC)
        # No alerts for a portal that was removed from the configuration.
        for_alerts = (*tables, *left_out) if portal in self._installation.config.portals else ()
        with self._recording():
            self._installation.state.failures.record(
                failure_of(error, now, portal=portal, table=table, month=month, run_id=self._run_id)
                for table in for_alerts
            )

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Records that cannot be written do not fail the tables: a failed run is found without them too."""
        try:
            yield
        except StorageError as error:
            dg.get_dagster_logger().warning(str(error))

    def _run_of(self, portal: str, month: str | None) -> Run:
        tags = self._tags
        by = tags.get(STARTED_BY_TAG) or tags.get(SCHEDULE_TAG) or tags.get(SENSOR_TAG) or "by hand"
        if BACKFILL_TAG in tags:
            by = f"backfill {tags[BACKFILL_TAG]}"
        new = Run(run_id=self._run_id, portal=portal, of_month=month, started_by=by, started_at=self._started_at)
        return self._runs.setdefault(portal, new)

    def session(self, portal: str) -> PortalSession:
        """The session of a portal in this run. Raises ConfigError if the portal was removed from the configuration."""
        if portal not in self._installation.config.portals:
            raise ConfigError(self._removed(portal))
        if portal not in self._sessions:
            # Runs of one backfill, of one tick or of one command share what they fan out over.
            batch = self._tags.get(BATCH_TAG) or self._tags.get(BACKFILL_TAG)
            self._sessions[portal] = PortalSession(
                self._installation,
                portal,
                run_id=self._run_id,
                batch=batch,
                writer=self._writer,
                gives_way=LISTENER.get().gives_way,
            )
        return self._sessions[portal]

    def _removed(self, portal: str) -> str:
        return f"portal '{portal}' is no longer in {self.config.file.name}: nothing was read"

    def has(self, portal: str, endpoint: Endpoint) -> bool:
        """Whether a portal has the tables of an endpoint. A portal that was removed is refused when it is opened."""
        return portal not in self.config.portals or endpoint in self._installation.endpoints_of(portal)

    @property
    def steps(self) -> OpenSteps:
        """The steps of this run that have not ended."""
        return self._steps

    @property
    def config(self) -> Config:
        """The configuration this run began with."""
        return self._installation.config
