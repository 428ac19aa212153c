"""Delivered files that are older than `retention: deliveries` allows, in the folders that `deliver` of portals.yaml names.

A file is known by its name, which has the days that it is about: `labour 2026-09.xlsx`. A folder counts only if
everything in it was written by exports. What is always replaced (Parquet, `days: all`) has no age. What was mailed, moved or
exported by hand, and files of a delivery that is no longer in the configuration, are out of reach.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from planday_io.config.delivery import Delivery
from planday_io.errors import ExportError
from planday_io.export.folder import require_replaceable
from planday_io.files import storage_errors
from planday_io.lake.installation import Installation
from planday_io.months import is_month, last_day

_DAYS = r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2}(?: to ([0-9]{4}-[0-9]{2}-[0-9]{2}))?)?"


def old_deliveries(installation: Installation, now: datetime) -> list[Path]:
    """The files and folders that are too old at a UTC instant. Raises StorageError."""
    config = installation.config
    age = config.retention.deliveries
    if age is None:
        return []
    cutoff = age.before(now.date())
    return [path for name, one in config.deliver.items() for path in _files_of(name, one, cutoff)]


def remove_old_deliveries(installation: Installation, now: datetime) -> int:
    """Remove them. Returns how many there were. Raises StorageError."""
    paths = old_deliveries(installation, now)
    for path in paths:
        with storage_errors(path, "remove an old delivery"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return len(paths)


def _files_of(name: str, one: Delivery, cutoff: date) -> list[Path]:
    if one.to is None or one.format == "parquet" or not one.to.is_dir():
        return []
    pattern = re.compile(rf"{re.escape(name)} ({_DAYS})(\.xlsx)?")
    found = []
    with storage_errors(one.to, "look for old deliveries in"):
        for path in sorted(one.to.iterdir()):
            match = pattern.fullmatch(path.name)
            last = _last_day(match[2] or match[1]) if match else None
            if last is not None and last < cutoff and _is_ours(path):
                found.append(path)
    return found


def _last_day(text: str) -> date | None:
    with suppress(ValueError):
        return last_day(text) if is_month(text) else date.fromisoformat(text)
    return None


def _is_ours(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix == ".xlsx"
    try:
        require_replaceable(path)
    except ExportError:
        return False
    return True
