"""The tables of the state database, and what is done with more than one of them.

A change here takes a higher `VERSION`. A database of an older version gets the tables that it lacks when it is first used;
one of a newer version is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, exists, update

from planday_io.state import rows
from planday_io.state.mapping import Rows, SliceRows

FIRST_VERSION, VERSION = 10, rows.STATE_VERSION
"""Databases before the first were never released, and have other columns."""
METADATA = MetaData()

ABOUT = Table("about", METADATA, Column("version", Integer, nullable=False))
"""One row."""
LOST = Rows[rows.Loss]("lost", METADATA, rows.Loss)
FAILURES = Rows[rows.Failure]("failure", METADATA, rows.Failure)
BASELINES = Rows[rows.Baseline]("monitoring_baseline", METADATA, rows.Baseline)
INCIDENTS = Rows[rows.Notice]("incident", METADATA, rows.Notice)
REFRESH_REQUESTS = Rows[rows.RefreshRequest]("refresh_request", METADATA, rows.RefreshRequest)
COMMANDS = Rows[rows.UnfinishedCommand]("command", METADATA, rows.UnfinishedCommand)
PORTALS = Rows[rows.PortalId]("portal", METADATA, rows.PortalId)
FORGOTTEN = Rows[rows.ForgottenCopy]("forgotten", METADATA, rows.ForgottenCopy)
SHARED_IDS = Rows[rows.SharedIdsOfTable]("shared_ids", METADATA, rows.SharedIdsOfTable)
SLICES = SliceRows("indexed_slice", METADATA, rows.SliceEntry)
"""What the files of the lake say about themselves, so that it need not be read again from each."""
PENDING = SliceRows("pending", METADATA, rows.PendingSlice)
PUBLISHED = SliceRows("published", METADATA, rows.PublishedSlice)
RETENTION_NOTES = SliceRows("retention_note", METADATA, rows.RetentionNote)
OWED_HISTORIES = SliceRows("owed_history", METADATA, rows.OwedHistory)
DELIVERIES = Rows[rows.DeliveryState]("delivery", METADATA, rows.DeliveryState)
SEEN_MEMBERS = Rows[rows.SeenMembers]("seen_members", METADATA, rows.SeenMembers)
DRIFT = Rows[rows.DriftEntry]("drift", METADATA, rows.DriftEntry)
KNOWN_FILES = Rows[rows.KnownFile]("known_file", METADATA, rows.KnownFile)

LAKE, WAREHOUSE, CONFIGURATION, PUBLICATION, RETENTION = (
    "lake",
    "warehouse",
    "configuration",
    "publication",
    "retention",
)
"""Names in the table of known files."""
LOSABLE: tuple[Rows[Any], ...] = (BASELINES, REFRESH_REQUESTS, COMMANDS, OWED_HISTORIES)
"""Tables whose rows cannot be derived from the lake: their readers have to handle lost rows."""


FORMER = (Table("slice", MetaData()),)
"""Tables of earlier versions, which are dropped: their rows are made again from the files."""


def lose(connection: Connection, *tables: Rows[Any]) -> None:
    """Note that rows of tables were lost."""
    LOST.put(connection, *(rows.Loss(kind=one.name, at=datetime.now(UTC)) for one in tables))


def settle_restored(connection: Connection, owed: Iterable[rows.UnfinishedCommand]) -> None:
    """Adapt a copy of the database to the lake that was copied beside it, perhaps some seconds later.

    What the state knows of slices and of the warehouse file is removed: the warehouse is made again. Histories are compared
    with their slices once, and changes are requested as far back as Planday has them, because what was requested or owed in
    between is unknown. `owed` are commands that have to be run from now on.
    """
    known = {one.command for one in COMMANDS.all(connection)}
    COMMANDS.put(connection, *(one for one in owed if one.command not in known))
    for one in (SLICES, PENDING, PUBLISHED, SHARED_IDS):
        one.delete(connection)
    KNOWN_FILES.delete(connection, name=WAREHOUSE)
    lose(connection, REFRESH_REQUESTS, OWED_HISTORIES)


def put_notices(connection: Connection, notices: Iterable[rows.Notice]) -> None:
    """Store notices in place of all that there were."""
    INCIDENTS.delete(connection)
    INCIDENTS.put(connection, *(replace(one, number=number) for number, one in enumerate(notices, 1)))


def rename_portal(connection: Connection, old: str, new: str) -> None:
    """Give the rows of a portal to another key."""
    # While the old key had the data, the new one was refused; that failure is over.
    FAILURES.delete(connection, portal=new, cause="identity")
    # Runs that used another key for the portal have ended.
    SHARED_IDS.delete(connection, SHARED_IDS.c.portal.in_((old, new)))
    # Slices move one by one, and are published again under the new key: entries under the old key are removed.
    for one in (SLICES, PENDING, PUBLISHED, RETENTION_NOTES, OWED_HISTORIES):
        one.delete(connection, portal=old)
    for table in _of_portals():
        rename_rows(connection, table, old, new)


def rename_rows(connection: Connection, table: Table, old: str, new: str) -> None:
    """Give the rows of a portal in one table to another key, replacing rows whose other key columns are equal."""
    olds = table.alias()
    is_same = [column == olds.c[column.name] for column in table.primary_key if column.name != "portal"]
    is_replaced = exists().where(olds.c.portal == old, *is_same)
    connection.execute(table.delete().where(table.c.portal == new, is_replaced))
    connection.execute(update(table).where(table.c.portal == old).values(portal=new))


def forget_portal(connection: Connection, portal: str) -> None:
    """Remove the rows of a portal. Channels that reported an incident of it still have to report that it is over."""
    reported = [one.ended(datetime.now(UTC)) for one in INCIDENTS.all(connection, portal=portal) if one.deliveries]
    for table in _of_portals():
        connection.execute(table.delete().where(table.c.portal == portal))
    INCIDENTS.put(connection, *reported)


def _of_portals() -> list[Table]:
    return [table for table in METADATA.sorted_tables if "portal" in table.c]
