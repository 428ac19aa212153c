"""One installation: its configuration, the tables there are, and where it keeps what it reads and remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.config import Config, load_config
from planday_io.config.secrets import read_client_id, read_secret
from planday_io.lake.slices import Lake
from planday_io.state import State


@dataclass(frozen=True, slots=True)
class Installation:
    """What callers pass on: the configuration, as it was read, and the tables there are. Making one opens nothing."""

    config: Config
    catalogue: Catalogue

    @classmethod
    def load(cls, file: Path, catalogue: Catalogue) -> Installation:
        """The installation of a configuration file. Raises ConfigError."""
        return cls(load_config(file, catalogue), catalogue)

    def reloaded(self) -> Installation:
        """The same installation with the present content of the configuration file. Raises ConfigError."""
        return Installation.load(self.config.file, self.catalogue)

    @property
    def state(self) -> State:
        return State(self.config.state)

    @property
    def lake(self) -> Lake:
        return Lake(self.config.lake, self.state)

    def endpoints_of(self, portal: str, names: Iterable[str] | None = None) -> list[Endpoint]:
        """Endpoints of a portal, in the catalogue's order.

        Args:
            portal: config key. Its `resources` decide what it has; there a domain means all of its tables.
            names: wanted; a domain means its tables that are not on request only, None everything the portal has.

        Raises:
            KeyError: a name is neither a domain nor a table.
        """
        resources = self.config.portals[portal].resources
        wanted = None if names is None else tuple(names)
        return [*self.catalogue.endpoints_with(tuple(resources.include), tuple(resources.exclude), wanted)]

    def crons_by_endpoint(self, portal: str) -> dict[str, list[str]]:
        """Name of each endpoint -> cron expressions of the enabled schedules of a portal that read it, if there are any."""
        found: dict[str, list[str]] = {}
        for schedule in self.config.portals[portal].schedules.values():
            if schedule.enabled:
                for endpoint in self.endpoints_of(portal, schedule.resources):
                    found.setdefault(endpoint.name, []).append(schedule.cron)
        return found

    def configured_token(self, portal: str) -> str:
        """The refresh token that the configuration names. Raises SecretError."""
        ref = self.config.portals[portal].refresh_token
        return read_secret(ref, home=self.config.home, what=f"the refresh token of portal '{portal}'")

    def require_secrets(self, portal: str) -> None:
        """Read the app's id and the refresh token in force; nothing is sent. Raises PlandayError where one is missing."""
        read_client_id(self.config.portals[portal].client_id, home=self.config.home, portal=portal)
        self.state.refresh_token(portal, lambda: self.configured_token(portal)).read()

    def portals_by_endpoint(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {endpoint.name: [] for endpoint in self.catalogue.endpoints}
        for portal in self.config.portals:
            for endpoint in self.endpoints_of(portal):
                found[endpoint.name].append(portal)
        return found
