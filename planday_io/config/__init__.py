"""`portals.yaml`: read, checked and merged. See `planday_io.config.load.load_config`."""

from __future__ import annotations

from planday_io.config.load import load_config
from planday_io.config.model import Config, PortalConfig, Schedule, SecretRef
from planday_io.config_file import find_config

__all__ = ["Config", "PortalConfig", "Schedule", "SecretRef", "find_config", "load_config"]
