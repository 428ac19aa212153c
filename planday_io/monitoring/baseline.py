"""Since when the schedules of an installation have been to read each table: what was due before is no fault.

A portal or a table that is new, a schedule that was switched on or moved, a window that was widened: nobody could have read
it yet. So it is taken down when a look first found each table read by the schedules it has now.

Not here: how old a table is (`planday_io.monitoring.freshness`), who is told (`planday_io.monitoring`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from planday_io.catalogue import Catalogue
from planday_io.config.model import Config
from planday_io.config.selection import endpoints_of
from planday_io.errors import DamagedFileError
from planday_io.files import locked, storage_errors
from planday_io.state.records import read_record, set_aside, write_record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).isoformat()

Watched = dict[str, dict[str, tuple[str, str]]]
"""Portal -> table -> how schedules read it, and ISO text of the UTC instant since when."""

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]

_READ: dict[Path, tuple[tuple[int, int], Watched]] = {}
"""What was read, by file and what tells that the file is the same: it is asked for once per portal."""


def watch(config: Config, catalogue: Catalogue, now: datetime) -> None:
    """Take down what is new since the last look. Raises StorageError."""
    file = config.state / "watched.json"
    with storage_errors(file, "write"), locked(file.with_suffix(".lock")):
        before = _read(config)
        # Where the file is damaged, all counts at once: better told too early than never.
        stamp = now.isoformat(timespec="seconds") if before is not None else _EPOCH
        after: Watched = {}
        for portal in config.portals:
            known = (before or {}).get(portal, {})
            after[portal] = {
                table: known[table] if table in known and known[table][0] == plan else (plan, stamp)
                for table, plan in _plan(config, catalogue, portal).items()
            }
        if after != before:
            write_record(file, after)


def rename_watched(config: Config, old: str, new: str) -> None:
    """Give what is known of a portal's key to another one. Raises StorageError."""
    file = config.state / "watched.json"
    with storage_errors(file, "write"), locked(file.with_suffix(".lock")):
        before = _read(config) or {}
        if old in before:
            write_record(file, {**{key: one for key, one in before.items() if key != old}, new: before[old]})


def watched_since(config: Config, catalogue: Catalogue, portal: str) -> dict[str, datetime]:
    """Table -> UTC instant since when schedules have been to read it as they are now. Raises StorageError."""
    known = (_read(config) or {}).get(portal, {})
    return {
        table: datetime.fromisoformat(known[table][1])
        for table, plan in _plan(config, catalogue, portal).items()
        if table in known and known[table][0] == plan
    }


def _read(config: Config) -> Watched | None:
    """What was taken down, or None where the file is damaged."""
    file = config.state / "watched.json"
    with storage_errors(file, "read"):
        try:
            stat = file.stat()
        except FileNotFoundError:
            return {}
    stamp = (stat.st_mtime_ns, stat.st_ino)
    if file in _READ and _READ[file][0] == stamp:
        return _READ[file][1]
    try:
        stored = read_record(file, dict[str, dict[str, tuple[str, _Instant]]], "since when tables are watched") or {}
    except DamagedFileError:
        set_aside(file)
        return None
    found: Watched = {
        portal: {table: (plan, since.isoformat()) for table, (plan, since) in tables.items()}
        for portal, tables in stored.items()
    }
    _READ[file] = (stamp, found)
    return found


def _plan(config: Config, catalogue: Catalogue, portal: str) -> dict[str, str]:
    """When schedules read each table of a portal, and which months, as texts to compare; without those that none reads."""
    settings = config.portals[portal]
    crons: dict[str, list[str]] = {}
    for schedule in settings.schedules.values():
        if schedule.enabled:
            for endpoint in endpoints_of(catalogue, settings, schedule.resources):
                crons.setdefault(endpoint.name, []).append(schedule.cron)
    window = f" {settings.window.past_months}/{settings.window.future_months}"
    return {
        table.full_name: "; ".join(crons[endpoint.name]) + (window if table.is_monthly else "")
        for endpoint in endpoints_of(catalogue, settings)
        if endpoint.name in crons
        for table in endpoint.tables
    }
