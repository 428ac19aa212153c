"""One installation: its configuration, the tables there are, and where it keeps what it reads and remembers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planday_io.catalogue import Catalogue
from planday_io.config import Config, load_config
from planday_io.lake.slices import Lake
from planday_io.state import State


@dataclass(frozen=True, slots=True)
class Installation:
    """What callers pass on. Making one costs nothing, and nothing is opened.

    Args:
        config: the configuration, as it was read.
        catalogue: the tables there are.
    """

    config: Config
    catalogue: Catalogue

    @classmethod
    def load(cls, file: Path, catalogue: Catalogue) -> Installation:
        """The installation of a configuration file. Raises ConfigError."""
        return cls(load_config(file, catalogue), catalogue)

    @property
    def state(self) -> State:
        """What it remembers between runs."""
        return State(self.config.state)

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.config.lake, self.state)
