"""The resource that gives assets a session per portal, and publishes when the run ends."""

from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipelines import liveness
from planday_io.catalogue import CATALOGUE, Catalogue
from planday_io.config import Config, load_config
from planday_io.lake.slices import Lake
from planday_io.session import PortalSession
from planday_io.warehouse import Publication, publish

NO_PUBLISH_TAG = ".dagster/planday_no_publish"
BATCH_TAG = "planday/batch"
BACKFILL_TAG = "dagster/backfill"


class PlandayPortals(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Exchanges each portal's refresh token for access tokens and hands out clients within the shared budget.

    Holds the place of the configuration only: tokens are read when they are used and never part of a run's config.

    Args:
        config_path: the configuration file.
    """

    config_path: str
    _config: Config = PrivateAttr()
    _run_id: str = PrivateAttr()
    _batch: str | None = PrivateAttr(default=None)
    _publishes: bool = PrivateAttr(default=True)
    _sessions: dict[str, PortalSession] = PrivateAttr(default_factory=dict)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Read the configuration as it is now and mark the run with its process."""
        self._config = load_config(Path(self.config_path), catalogue())
        self._run_id = context.run.run_id if context.run else ""
        if context.instance and context.run:
            context.instance.add_run_tags(context.run.run_id, liveness.process_tags())
            # Runs of one backfill, of one tick or of one command share what they fan out over.
            self._batch = context.run.tags.get(BATCH_TAG) or context.run.tags.get(BACKFILL_TAG)
            self._publishes = NO_PUBLISH_TAG not in context.run.tags

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Publish what the run wrote, also when part of it failed."""
        if self._publishes:
            publish_pending(self._config)

    def session(self, portal: str) -> PortalSession:
        """The session of a portal in this run."""
        if portal not in self._sessions:
            self._sessions[portal] = PortalSession(
                self._config, catalogue(), portal, run_id=self._run_id, batch=self._batch
            )
        return self._sessions[portal]

    @property
    def config(self) -> Config:
        """The configuration this run began with."""
        return self._config


def catalogue() -> Catalogue:
    """The tables the pipeline knows."""
    return CATALOGUE


def publish_pending(config: Config, *, rebuild: bool = False, compare_all: bool = False) -> Publication:
    """Bring the warehouse up to date. Raises PublicationError."""
    return publish(
        Lake(config.lake, config.state),
        config.warehouse,
        catalogue=catalogue(),
        policies=config.privacy,
        state=config.state,
        rebuild=rebuild,
        compare_all=compare_all,
    )
