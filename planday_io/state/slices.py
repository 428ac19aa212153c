"""What is known of slices beside their files: an index of them, which wait for a publication, and what was published.

The files are the truth. An index entry counts as long as its file has the same stamp; a slice that waits is noted before it
is written, so a kill in between costs a needless publication, never a missed one. The lake must never know less than the
warehouse shows, which is noticed by what was published.

Not here: the files (`planday_io.lake.slices`), when to publish (`planday_io.warehouse`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, delete, select

from planday_io.state.database import Database
from planday_io.state.rows import PendingSlice, PublishedSlice, SliceEntry, SliceKey
from planday_io.state.schema import OWED_HISTORIES, PENDING, PUBLISHED, SLICES
from planday_io.state.slice_rows import all_rows, bound, is_bound_slice, is_slice_of, owe, put_rows, remove_rows

_TABLES = (SLICES, PENDING, PUBLISHED, OWED_HISTORIES)


class Slices:
    """What one installation knows of its slices.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, keys: Collection[SliceKey]) -> dict[SliceKey, SliceEntry]:
        """The entries of the index for slices, and perhaps for others. Raises StorageError."""
        where = [SLICES.c.portal.in_({key.portal for key in keys})]
        tables = {key.full_name for key in keys}
        if len(tables) < _FEW:
            where.append(SLICES.c.table_name.in_(tables))
        return self._database.read(lambda connection: all_rows(connection, SLICES, SliceEntry, *where)) if keys else {}

    def index(self, entries: Mapping[SliceKey, SliceEntry]) -> None:
        """Renew entries of the index. Raises StorageError."""
        if entries:
            self._database.write(lambda connection: put_rows(connection, SLICES, entries))

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
        pending = {key: PendingSlice(slice_id=one, writer=writer, since=now) for key, one in slice_ids.items()}

        def work(connection: Connection) -> None:
            put_rows(connection, PENDING, pending)
            owe(connection, owed or {})

        self._database.write(work)

    def pending(self) -> dict[SliceKey, PendingSlice]:
        """Slices that wait for a publication, those of runs in progress as well. Raises StorageError."""
        return self._database.read(lambda connection: all_rows(connection, PENDING, PendingSlice))

    def settle(self, published: Mapping[SliceKey, PublishedSlice], entries: Mapping[SliceKey, SliceEntry]) -> None:
        """Note what was published, with its entries of the index. What was announced since waits on. Raises StorageError."""

        def work(connection: Connection) -> None:
            put_rows(connection, PUBLISHED, published)
            put_rows(connection, SLICES, entries)
            connection.execute(
                delete(PENDING).where(*is_bound_slice(PENDING), PENDING.c.slice_id == bindparam("of_slice_id")),
                [{**bound(key), "of_slice_id": one.slice_id} for key, one in published.items()],
            )

        if published:
            self._database.write(work)

    def end_pending(self, key: SliceKey) -> None:
        """Note that a slice waits no longer. Raises StorageError."""
        self._database.write(lambda connection: remove_rows(connection, PENDING, [key]))

    def published(self) -> dict[SliceKey, PublishedSlice]:
        """What was published last of every slice. Raises StorageError."""
        return self._database.read(lambda connection: all_rows(connection, PUBLISHED, PublishedSlice))

    def published_of(self, key: SliceKey) -> PublishedSlice | None:
        """What was published last of one slice, or None. Raises StorageError."""
        where = is_slice_of(PUBLISHED, key)
        return self._database.read(lambda connection: all_rows(connection, PUBLISHED, PublishedSlice, *where)).get(key)

    def was_published(self) -> bool:
        """Whether any slice was ever published. Raises StorageError."""
        return bool(self._database.read(lambda connection: connection.execute(select(PUBLISHED).limit(1)).first()))

    def unpublish(self, keys: Collection[SliceKey]) -> None:
        """Forget what was published of slices. Raises StorageError."""
        if keys:
            self._database.write(lambda connection: remove_rows(connection, PUBLISHED, keys))

    def remove(self, keys: Collection[SliceKey]) -> None:
        """Forget slices that are about to be removed. Raises StorageError."""
        tables = (SLICES, PENDING, PUBLISHED)

        def work(connection: Connection) -> None:
            for table in tables:
                remove_rows(connection, table, keys)

        def is_known(connection: Connection) -> bool:
            first = next(iter(keys))
            return any(connection.execute(select(one).where(*is_slice_of(one, first))).first() for one in tables)

        # Whoever removes many has forgotten them all before, and reading keeps nobody waiting.
        if len(keys) > 1 or (keys and self._database.read(is_known)):
            self._database.write(work)


_FEW = 10
"""Tables that are worth naming in a statement."""


def rename(connection: Connection, old: str, new: str) -> None:  # noqa: ARG001 - like that of other kinds
    """Slices move one by one, and are published again under the new key: what was known under the old one is over."""
    forget(connection, old)


def forget(connection: Connection, portal: str) -> None:
    """Remove all of a portal."""
    for table in _TABLES:
        connection.execute(delete(table).where(table.c.portal == portal))
