"""What is known of slices beside their files: an index of them, which ones wait for a publication, and what was
published.

The files are the truth. An index entry counts as long as its file has the same stamp; a slice that waits is noted before it
is written, so a kill in between costs a needless publication, never a missed one. The lake must never know less than the
warehouse shows, so what was published is recorded and compared.

Not here: the files (`planday_io.lake.slices`), when to publish (`planday_io.warehouse`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from planday_io.state.mapping import SliceRows, flat, stored
from planday_io.state.rows import (
    IndexedTable,
    OwedHistory,
    PendingSlice,
    PublishedSlice,
    RetentionNote,
    SliceEntry,
    SliceKey,
)
from planday_io.state.schema import LOST, OWED_HISTORIES, PENDING, PUBLISHED, RETENTION_NOTES, SLICES
from planday_io.state.state_database import Kind

_MANY = 100
_STAMPS = ("domain", "table", "portal", "month", "stamp", "read_at")


def _where(
    rows: SliceRows[Any],
    tables: Collection[tuple[str, str]],
    portals: Collection[str] | None = None,
    months: Collection[str | None] | None = None,
) -> list[ColumnElement[bool]]:
    """Conditions for slices of tables (domain and own name), portals and months; perhaps also for others. None means all.

    In the order of the key: without its first columns, SQLite reads all rows.
    """
    named: list[tuple[ColumnElement[str], Collection[str]]] = [
        (rows.c.domain, {domain for domain, _ in tables}),
        (rows.c.table, {table for _, table in tables}),
    ]
    # Who names many portals names nearly all: looking for each of them would take longer than passing over the others.
    if portals is not None and len(portals) <= _MANY:
        named.append((rows.c.portal, portals))
    if months is not None:
        named.append((rows.c.month, {month or "" for month in months}))
    return [column.in_(values) for column, values in named]


class Slices(Kind):
    """What one installation knows of its slices."""

    def entries(self, keys: Collection[SliceKey]) -> dict[SliceKey, SliceEntry]:
        """The entries of the index for slices, and perhaps for others. Raises StorageError."""
        if not keys:
            return {}
        portals, months = {key.portal for key in keys}, {key.month for key in keys}
        tables = {(key.domain, key.table) for key in keys}
        return dict(self._database.read(SLICES.all, *_where(SLICES, tables, portals, months)))

    def stamps(
        self, portals: Collection[str], tables: Collection[tuple[str, str]], months: Collection[str | None]
    ) -> dict[tuple[str, str, str, str], tuple[str, datetime]]:
        """The stamp and the read of slices of portals, tables (domain and own name) and months, and perhaps of others.

        The key is domain, table, portal and month (empty for tables with one slice per portal). Raises StorageError.
        """
        where = _where(SLICES, tables, portals, months)
        rows = self._database.read(SLICES.some, _STAMPS, *where)
        return {(domain, table, portal, month): (stamp, at) for domain, table, portal, month, stamp, at in rows}

    def indexed_tables(
        self, tables: Collection[tuple[str, str]], definitions: int
    ) -> dict[str, dict[str, IndexedTable]]:
        """Portal -> full name of a table -> what the index has of it.

        No file is looked at: the index may know files that are gone, and not know new ones. Raises StorageError.

        Args:
            tables: domain and own name; there may be others in what is returned.
            definitions: the version of the catalogue; slices of another one are outdated.
        """
        return self._database.read(_indexed_tables, tables, definitions)

    def index(self, entries: Mapping[SliceKey, SliceEntry]) -> None:
        """Renew entries of the index. Raises StorageError."""
        if entries:
            self._database.write(SLICES.put, *entries.items())

    def announce(
        self, slice_ids: Mapping[SliceKey, str], writer: str, owed: Mapping[SliceKey, datetime | None] | None = None
    ) -> None:
        """Note slices that are about to be written. Raises StorageError.

        Args:
            slice_ids: that they will have; empty where a slice is only to be checked again.
            writer: the run that writes them, or empty.
            owed: slices whose history has to follow, and when they were read before. What is owed already stays as it is.
        """
        now = datetime.now(UTC)
        pending = [(key, PendingSlice(slice_id=one, writer=writer, since=now)) for key, one in slice_ids.items()]
        histories = [(key, OwedHistory(last_read_at=one)) for key, one in (owed or {}).items()]

        def work(connection: Connection) -> None:
            PENDING.put(connection, *pending)
            OWED_HISTORIES.add(connection, *histories)

        self._database.write(work)

    def pending(self) -> dict[SliceKey, PendingSlice]:
        """Slices that wait for a publication, those of runs in progress as well. Raises StorageError."""
        return dict(self._database.read(PENDING.all))

    def settle(self, published: Mapping[SliceKey, SliceEntry]) -> None:
        """Note what was published, in the index as well. Slices announced since then wait. Raises StorageError."""

        def work(connection: Connection) -> None:
            shown = {
                key: PublishedSlice(slice_id=one.slice_id, read_at=one.read_at, rows=one.rows)
                for key, one in published.items()
            }
            PUBLISHED.put(connection, *shown.items())
            SLICES.put(connection, *published.items())
            waiting = {key: one.slice_id for key, one in PENDING.all(connection)}
            PENDING.remove(connection, [key for key, one in published.items() if waiting.get(key) == one.slice_id])

        if published:
            self._database.write(work)

    def end_pending(self, key: SliceKey) -> None:
        """Note that a slice no longer waits for a publication. Raises StorageError."""
        self._database.write(PENDING.remove, [key])

    def published(self, portal: str | None = None) -> dict[SliceKey, PublishedSlice]:
        """What was published last of every slice, or of those of a portal. Raises StorageError."""
        return dict(self._database.read(PUBLISHED.all, **({"portal": portal} if portal else {})))

    def published_of_tables(self, portal: str, tables: Collection[tuple[str, str]]) -> dict[SliceKey, PublishedSlice]:
        """What was published last of a portal's slices of tables (domain and own name), and perhaps of others.

        Unlike `published`, it reads no rows of other portals. Raises StorageError.
        """
        return dict(self._database.read(PUBLISHED.all, *_where(PUBLISHED, tables, [portal])))

    def published_of(self, key: SliceKey) -> PublishedSlice | None:
        """What was published last of one slice, or None. Raises StorageError."""
        found = self._database.read(PUBLISHED.get, **flat(key))
        return found and found[1]

    def was_published(self) -> bool:
        """Whether any slice was ever published. Raises StorageError."""
        return self._database.read(PUBLISHED.has)

    def unpublish(self, keys: Collection[SliceKey]) -> None:
        """Forget what was published of slices. Raises StorageError."""
        if keys:
            self._database.write(PUBLISHED.remove, keys)

    def remove(self, keys: Collection[SliceKey]) -> None:
        """Forget slices that are about to be removed. Raises StorageError."""
        tables = (SLICES, PENDING, PUBLISHED, RETENTION_NOTES)

        def work(connection: Connection) -> None:
            for table in tables:
                table.remove(connection, keys)

        def is_known(connection: Connection) -> bool:
            return any(table.has(connection, **flat(key)) for table in tables for key in keys)

        # Callers that remove many slices have forgotten them all at once before, and a read blocks nobody.
        if len(keys) > 1 or self._database.read(is_known):
            self._database.write(work)


def _indexed_tables(
    connection: Connection, /, tables: Collection[tuple[str, str]], definitions: int
) -> dict[str, dict[str, IndexedTable]]:
    columns, where = SLICES.c, _where(SLICES, tables)
    of_table = columns.portal, columns.domain, columns.table
    is_old = or_(columns.definitions != definitions, columns.lacks_columns != stored(value=False))
    # Two statements, because the index of the key has all that the second asks for: a fifth of the time of one.
    outdated = {tuple(row) for row in connection.execute(select(*of_table).where(*where, is_old))}
    months = func.aggregate_strings(columns.month, ",")
    found: dict[str, dict[str, IndexedTable]] = {}
    # Thousands of tables have the same months.
    made: dict[tuple[str, bool], IndexedTable] = {}
    statement = select(*of_table, months).where(*where).group_by(columns.domain, columns.table, columns.portal)
    for portal, domain, table, text in connection.execute(statement).all():
        same = text, (portal, domain, table) in outdated
        if same not in made:
            made[same] = IndexedTable(frozenset(month or None for month in text.split(",")), is_outdated=same[1])
        found.setdefault(portal, {})[f"{domain}.{table}"] = made[same]
    return found


class RetentionNotes(Kind):
    """Slices from which retention can remove nothing more until they are written again or the rules allow less."""

    def notes(self, keys: Collection[SliceKey]) -> dict[SliceKey, RetentionNote]:
        """The notes about slices, and perhaps about others. Raises StorageError."""
        tables = {(key.domain, key.table) for key in keys}
        where = _where(RETENTION_NOTES, tables, {key.portal for key in keys})
        return dict(self._database.read(RETENTION_NOTES.all, *where))

    def note(self, notes: Mapping[SliceKey, RetentionNote]) -> None:
        """Note slices, in one transaction. Raises StorageError."""
        if notes:
            self._database.write(RETENTION_NOTES.put, *notes.items())


class OwedHistories(Kind):
    """Slices that are being replaced, or were, while their history was not updated yet."""

    def all(self) -> dict[SliceKey, datetime | None]:
        """Slices whose history has to follow, and when they were read before, if that is known. Raises StorageError."""
        return {key: one.last_read_at for key, one in self._database.read(OWED_HISTORIES.all)}

    def are_lost(self) -> bool:
        """Whether the list of owed histories was lost with a damaged database. Raises StorageError."""
        return self._lost_at(OWED_HISTORIES) is not None

    def find_again(self, keys: Iterable[SliceKey]) -> None:
        """Let every history follow, because the list of owed ones was lost. Raises StorageError."""
        owed = [(key, OwedHistory(last_read_at=None)) for key in keys]

        def work(connection: Connection) -> None:
            OWED_HISTORIES.add(connection, *owed)
            LOST.delete(connection, kind=OWED_HISTORIES.name)

        self._database.write(work)

    def settle(self, keys: Collection[SliceKey]) -> None:
        """Note that histories have followed. Raises StorageError."""
        if keys:
            self._database.write(OWED_HISTORIES.remove, keys)
