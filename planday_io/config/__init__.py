"""`portals.yaml`: read, checked and merged. See `planday_io.config.load.load_config`."""

from __future__ import annotations

from planday_io.config.load import find_config, load_config
from planday_io.config.model import Config, PortalConfig, Schedule, SecretRef

__all__ = ["Config", "PortalConfig", "Schedule", "SecretRef", "find_config", "load_config"]
