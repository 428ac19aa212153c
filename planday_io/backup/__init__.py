"""Backups of an installation: one file that holds the lake, the state database and portals.yaml, and how it is restored."""

from planday_io.backup.archive import Manifest
from planday_io.backup.make import Backup, back_up
from planday_io.backup.restore import Restored, restore, verify

__all__ = ["Backup", "Manifest", "Restored", "back_up", "restore", "verify"]
