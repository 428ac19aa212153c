"""The state of an installation: every table of every portal from the lake's own metadata, incidents, budget, disk, daemon."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pipelines.alerting import notify, record_fault
from pipelines.cli.instance import open_instance
from pipelines.definitions import definitions_fault
from pipelines.storage_faults import DagsterStorageError, dagster_storage
from planday_io.client.budget import BudgetUse, budget_use
from planday_io.config.grid import window_months
from planday_io.config.ticks import next_tick as next_tick_of
from planday_io.errors import PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.failures import CONFIGURATION, DAGSTER, INSTALLATION
from planday_io.monitoring.freshness import portal_freshness
from planday_io.monitoring.incidents import key_of
from planday_io.monitoring.notifier import Notified, Notifier
from planday_io.state import Incident, UnfinishedCommand


@dataclass(frozen=True, slots=True)
class TableState:
    """One table of one portal. Instants are ISO texts: past ones in UTC, due ones in the portal's zone. For a table
    with a slice per month: the rows of all slices, and the oldest read of those in the portal's window, or None if one
    of these was never read. `failing` is the cause of an open failure, see
    `planday_io.monitoring.failures.CAUSES`.
    """

    portal: str
    table: str
    rows: int | None = None
    last_complete: str | None = None
    verdict: str | None = None
    next_due: str | None = None
    stale: bool = False
    failing: str | None = None
    published: bool = False


UNREADABLE_TABLE = "(all tables)"
"""Stands for a table where a portal's files cannot be read; the verdict says why."""


def table_states(installation: Installation, portals: list[str]) -> list[TableState]:
    """The state of every table that the portals have."""
    states: list[TableState] = []
    for portal in portals:
        try:
            states += _states_of(installation, portal)
        except PlandayError as error:
            # An unreadable portal must not hide the others.
            states.append(TableState(portal, UNREADABLE_TABLE, verdict=str(error), failing="unreadable"))
    return states


def _states_of(installation: Installation, portal: str) -> list[TableState]:
    lake = installation.lake
    waiting = installation.state.slices.pending()
    there = lake.indexed(lake.slices(portal=portal))
    damaged = {key.full_name for key in there.damaged()}
    rows = Counter[str]()
    for key, entry in there.entries.items():
        rows[key.full_name] += entry.rows
    states = []
    now = datetime.now(UTC)
    fresh = portal_freshness(installation, portal, now)
    failing = {note.table: note.cause for note in installation.state.failures.of(portal)}
    zone = ZoneInfo(installation.config.portals[portal].timezone)
    crons = installation.crons_by_endpoint(portal)
    due = {name: min(next_tick_of(cron, zone, now) for cron in found) for name, found in crons.items()}
    for endpoint in installation.endpoints_of(portal):
        for table in endpoint.tables:
            months = window_months(installation.config, portal, now) if table.is_monthly else [None]
            keys = [SliceKey.of(table.full_name, portal, month) for month in months]
            known = [there.entries[key] for key in keys if key in there.entries]
            oldest = min(known, key=lambda entry: entry.read_at) if len(known) == len(keys) else None
            next_tick = due.get(endpoint.name)
            states.append(
                TableState(
                    portal=portal,
                    table=table.full_name,
                    rows=rows[table.full_name] if table.full_name in {*rows, *damaged} else None,
                    last_complete=oldest.read_at.isoformat(timespec="seconds") if oldest else None,
                    verdict=oldest.verdict if oldest else None,
                    next_due=next_tick.isoformat(timespec="minutes") if next_tick else None,
                    stale=fresh[table.full_name].is_stale,
                    failing=failing.get(table.full_name) or ("damaged" if table.full_name in damaged else None),
                    published=oldest is not None and waiting.keys().isdisjoint(keys),
                )
            )
    return states


@dataclass(frozen=True, slots=True)
class InstallationState:
    """What concerns all portals.

    Args:
        incidents: the open ones.
        budget: use of the request budget in the last minute.
        budget_fault: why that could not be read, or empty.
        free_bytes: of the disk that the warehouse is on.
        lake_bytes, warehouse_bytes, dagster_bytes: sizes of the lake, of the warehouse file and of Dagster's own folder.
        unfinished: commands that were stopped half-way, oldest first.
        daemon_seconds: since the Dagster daemon's last heartbeat, or None if there never was one.
    """

    incidents: list[Incident]
    budget: list[BudgetUse]
    budget_fault: str
    free_bytes: int
    lake_bytes: int
    warehouse_bytes: int
    dagster_bytes: int
    unfinished: list[UnfinishedCommand]
    daemon_seconds: float | None


def installation_state(installation: Installation) -> InstallationState:
    """The state of the installation now, without sending alerts. Raises StorageError.

    It is an incident if Dagster's storage cannot be used or definitions cannot be built.
    """
    config = installation.config
    now = datetime.now(UTC)
    incidents = Notifier(installation).evaluate(now)
    newest = None
    if fault := definitions_fault(config.file):
        incidents = _with(incidents, "config", CONFIGURATION, fault, now)
    try:
        with open_instance(installation) as instance, dagster_storage():
            beats = [beat for status in instance.get_daemon_statuses().values() if (beat := status.last_heartbeat)]
            newest = max((beat.timestamp for beat in beats), default=None)
    except DagsterStorageError as error:
        incidents = _with(incidents, "storage", DAGSTER, error, now)
    budget: list[BudgetUse] = []
    budget_fault = ""
    try:
        budget = budget_use(installation.state, time.time())
    except StorageError as error:
        budget_fault = str(error)
    return InstallationState(
        incidents=incidents,
        budget=budget,
        budget_fault=budget_fault,
        free_bytes=shutil.disk_usage(config.warehouse.parent).free,
        lake_bytes=_size(config.lake),
        warehouse_bytes=config.warehouse.stat().st_size if config.warehouse.exists() else 0,
        dagster_bytes=_size(Path(os.environ.get("DAGSTER_HOME", config.home)) / ".dagster"),
        unfinished=installation.state.commands.unfinished(),
        daemon_seconds=None if newest is None else max(0.0, time.time() - newest),
    )


def notify_now(installation: Installation) -> Notified:
    """Find incidents and report what is new, as the `alerts` sensor does. Raises StorageError."""
    record_fault(installation, CONFIGURATION, definitions_fault(installation.config.file))
    try:
        with open_instance(installation) as instance, dagster_storage():
            return notify(installation, instance)
    except DagsterStorageError as error:
        record_fault(installation, DAGSTER, error)
        return Notifier(installation).notify(datetime.now(UTC))


def _with(incidents: list[Incident], cause: str, table: str, error: PlandayError, now: datetime) -> list[Incident]:
    """The incidents, and this one of the installation unless it is among them."""
    new = Incident(
        portal=INSTALLATION, cause=cause, tables=(table,), since=now.replace(microsecond=0), error=str(error)
    )
    return incidents if any(key_of(one) == key_of(new) for one in incidents) else [*incidents, new]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
