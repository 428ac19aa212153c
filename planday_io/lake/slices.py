"""Slices as files: where they are, their provenance, and how they are read and replaced.

An empty slice is a file with no rows ("none"); no file means "never pulled". The provenance travels in the Parquet file's
key-value metadata, so that the ledger `sync.slices` can be rebuilt from the lake alone.

Not here: whether a read was complete (`planday_io.reading`), whether it may shrink (`guard`), DuckDB.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from planday_io.errors import DamagedSliceError
from planday_io.files import keep_copy, make_folder, replacing, storage_errors, sweep
from planday_io.lake import parquet, presence
from planday_io.lake.index import Indexed, OldestReads, SlicesOf, entry_of, indexed, oldest_reads
from planday_io.lake.layout import WRITING, file_of, files_set_aside, name_aside, old_file_of, slices_in
from planday_io.lake.places import decoded, exists, place_of, provenance_of, reading
from planday_io.lake.provenance import FORMAT, Provenance
from planday_io.state import PendingSlice, PublishedSlice, SliceEntry, SliceKey, State

if TYPE_CHECKING:
    import pyarrow as pa  # see planday_io.lake.parquet

__all__ = ["FORMAT", "Indexed", "Lake", "Provenance", "SliceKey", "SlicesOf"]


class Lake:
    """The lake of one installation. What a `writer` wrote (see `planday_io.state.runs`) is published when it has ended."""

    def __init__(self, root: Path, state: State, writer: str = "") -> None:
        self.root = root
        self.state = state
        self.set_aside: dict[SliceKey, Path] = {}
        """Damaged files set aside by this process, by slice."""
        self._writer = writer

    def require(self, *, creates: bool = False) -> None:
        """Check that this is the lake that was written before. Raises LostSliceError; see `planday_io.lake.presence`."""
        presence.require(self.root, self.state, has_slices=self.has_slices, creates=creates)

    def accept(self) -> None:
        """Accept the lake as it is: give up slices that were published and are lost. Raises StorageError."""
        presence.adopt(self.root, self.state)
        published = self.state.slices.published()
        there = self.indexed(published)
        lost = published.keys() - there.entries.keys() - there.unusable.keys()
        self.state.slices.unpublish([*lost, *_behind(published, there)])

    def older_than_published(self, keys: Iterable[SliceKey] | None = None) -> list[SliceKey]:
        """Slices, of some or all, of which the lake has an older file than the one that was published, as when part of it
        was put back from a backup. Only files that changed are opened. Raises StorageError.
        """
        if keys is not None and not (keys := [*keys]):
            return []  # What was published is not asked for: that takes as long as all else where nothing changed.
        published = self.state.slices.published()
        if keys is not None:
            published = {key: published[key] for key in keys if key in published}
        return _behind(published, self.indexed(published))

    def has_slices(self) -> bool:
        return next(slices_in(self.root), None) is not None

    def path(self, key: SliceKey) -> Path:
        """Where a slice's file is, or would be. Raises StorageError, see `planday_io.lake.places`."""
        return place_of(self.root, key)

    def has_file(self, key: SliceKey) -> bool:
        """Whether anything has the name of a slice's file: a file, whatever it holds, or a link, wherever it leads."""
        return os.path.lexists(f"{self.root}/{file_of(key)}") or os.path.lexists(f"{self.root}/{old_file_of(key)}")

    def locked(self, key: SliceKey) -> AbstractContextManager[None]:
        """A lock for one process at a time, from reading a slice to replacing it."""
        return self.state.locks.hold(f"slice.{key}")

    def provenance(self, key: SliceKey) -> Provenance | None:
        """The provenance of a slice, or None when it was never pulled.

        Raises:
            DamagedSliceError: the file is not what was written.
            StorageError: it cannot be read, or is of a later format.
        """
        return provenance_of(self.root, key)

    def usable_provenance(self, key: SliceKey) -> Provenance | None:
        """The provenance of a slice, or None if it was never pulled or its file is damaged. Raises StorageError."""
        try:
            return self.provenance(key)
        except DamagedSliceError:
            return None

    def check(self, key: SliceKey) -> None:
        """Verify every byte of a slice. Raises like `provenance`."""
        if exists(self.root, key):
            reading(self.root, key, parquet.check)

    def refuse_loss(self, key: SliceKey, *, allows_older: bool = False) -> None:
        """Raises LostSliceError where the lake has less of a slice than was published.

        Args:
            key: the slice.
            allows_older: an older file is no loss, because what is about to be written replaces it and is read from
                Planday completely.
        """
        before = self.state.slices.published_of(key)
        if before is None:
            return
        if provenance := self.usable_provenance(key):
            why = presence.older_text(key, entry_of(provenance), before.slice_id, before.read_at)
            if why and not allows_older:
                raise presence.older_slice(key, why)
        elif not exists(self.root, key):
            raise presence.lost_slice(key, "the lake has no file for it")

    def indexed(self, keys: Iterable[SliceKey]) -> Indexed:
        """What the files of slices say, see `planday_io.lake.index`. Raises StorageError."""
        return indexed(self.root, self.state, keys)

    def oldest_reads(self, wanted: Mapping[str, Collection[SlicesOf]]) -> OldestReads:
        """The oldest read of each table among slices of portals, see `planday_io.lake.index`. Raises StorageError."""
        return oldest_reads(self.root, self.state, wanted)

    def read(self, key: SliceKey, columns: list[str] | None = None) -> pa.Table:
        """The rows of a slice. Raises like `provenance`."""
        return reading(self.root, key, lambda path: parquet.read(path, columns))

    def columns(self, key: SliceKey) -> pa.Schema:
        """The columns of a slice; reads only the footer. Raises like `provenance`."""
        return reading(self.root, key, parquet.columns)

    def provenance_and_columns(self, key: SliceKey) -> tuple[Provenance, pa.Schema] | None:
        """What the footer says, or None when the slice was never pulled. Raises like `provenance`."""
        if not exists(self.root, key):
            return None
        return reading(self.root, key, lambda path: parquet.footer(path, lambda *stored: decoded(path, key, *stored)))

    def rows_with(self, key: SliceKey, column: str, values: pa.Array) -> pa.Table:
        """The rows of a slice whose column has one of some values. Raises StorageError when it cannot be read."""
        import pyarrow.compute as pc

        found = self.read(key, [column]).column(column)
        mask = pc.is_in(found, values.cast(found.type))
        return self.read(key).filter(mask) if pc.any(mask).as_py() else self.read(key).slice(0, 0)

    def announce(
        self, keys: Iterable[SliceKey], owed: Mapping[SliceKey, datetime | None] | None = None
    ) -> dict[SliceKey, str]:
        """Note that slices are about to be written, in one transaction. Call it within `locked` of each.

        It is called before the slices are written: a kill in between costs a needless publication, never a missed one.

        Args:
            keys: the slices.
            owed: slices whose history has to follow, and when they were read before.

        Returns:
            The ids that the slices are to have.

        Raises:
            StorageError: it cannot be noted, or this is another lake than before. Nothing may be written.
        """
        self.require(creates=True)
        slice_ids = {key: secrets.token_hex(8) for key in keys}
        self.state.slices.announce(slice_ids, self._writer, owed)
        return slice_ids

    def write(self, key: SliceKey, table: pa.Table, provenance: Provenance, slice_id: str = "") -> Provenance:
        """Replace a slice, all or nothing. Call it within `locked(key)`.

        Args:
            key: which slice.
            table: exactly the declared columns.
            provenance: `kept` and `slice_id` are filled in here, as what is returned has them.
            slice_id: where the slice was announced; otherwise it is announced here.

        Raises:
            StorageError: it cannot be written; the previous slice is untouched.
        """
        slice_id = slice_id or self.announce([key])[key]
        stored = replace(provenance, kept=table.num_rows, slice_id=slice_id)
        path = self.path(key)
        with storage_errors(path, "write the slice"):
            sweep(self.root / WRITING, of=f"{key}")
            self._set_damaged_aside(key)
            self.replace(key, table, stored.encoded())
        return stored

    def replace(self, key: SliceKey, table: pa.Table, stored: bytes) -> None:
        """Replace the file of a slice by one with the given provenance. Call it within `locked(key)`. Raises StorageError."""
        path = self.path(key)
        # Not in the table's folder, where some readers of Parquet folders do not expect files with other names.
        via = self.root / WRITING / f"{key}"
        with storage_errors(path, "write the slice"), replacing(path, via=via) as temporary:
            parquet.write(table, temporary, stored)

    def _set_damaged_aside(self, key: SliceKey) -> None:
        """Keep a damaged file under another name, so that people can decide what to recover from it."""
        path = self.path(key)
        try:
            self.provenance(key)
            self.check(key)
        except DamagedSliceError:
            self.set_aside[key] = self.keep_aside(key, path, "damaged")

    def keep_aside(self, key: SliceKey, path: Path, why: str) -> Path:
        """Keep a slice's file under another name, which it returns. Raises OSError."""
        aside = self.root / name_aside(key, why)
        make_folder(aside.parent, like=self.root)
        keep_copy(path, aside)
        return aside

    def pending(self) -> dict[SliceKey, datetime]:
        """Slices written since they were last published, and since when (UTC), without those of runs in progress."""
        return {key: one.since for key, one in self._waiting(for_run=False)}

    def held(self) -> set[SliceKey]:
        """Slices that runs in progress wrote: they are published together with what else those write."""
        return {key for key, _ in self._waiting(for_run=True)}

    def _waiting(self, *, for_run: bool) -> list[tuple[SliceKey, PendingSlice]]:
        pending = self.state.slices.pending()
        is_active = {name: self.state.runs.is_alive(name) for name in {one.writer for one in pending.values()} if name}
        found = [(key, one) for key, one in pending.items() if is_active.get(one.writer, False) == for_run]
        return sorted(found, key=lambda pair: str(pair[0]))

    def remove(self, key: SliceKey) -> None:
        """Remove a slice. Call it within `locked(key)`."""
        # Before the file is removed: after a kill in between, the slice counts as never published, not as lost.
        self.state.slices.remove([key])
        for path in (self.root / old_file_of(key), self.root / file_of(key)):
            with storage_errors(path, "remove the slice"), suppress(NotADirectoryError):
                path.unlink(missing_ok=True)
                for folder in (path.parent, path.parent.parent):
                    if folder.exists() and not any(folder.iterdir()):
                        folder.rmdir()

    def published(self, entries: Mapping[SliceKey, SliceEntry]) -> None:
        """Note that slices were published, all in one transaction. Slices that were written again since then still wait.

        Raises:
            StorageError: it cannot be noted. They will be published again.
        """
        self.state.slices.settle(entries)
        # Slices that were announced but never written, or that only had to be checked again.
        for key in self.state.slices.pending().keys() & entries:
            with self.locked(key), suppress(DamagedSliceError):
                there = self.provenance(key)
                if there is None or there.slice_id == entries[key].slice_id:
                    self.state.slices.end_pending(key)

    def publish_again(self, keys: Iterable[SliceKey]) -> None:
        """Make the next publication check slices again. Raises StorageError."""
        self.state.slices.announce(dict.fromkeys(keys, ""), "")

    def give_up(self, key: SliceKey) -> None:
        """Set a damaged file aside, so that its table is read from the start. Raises StorageError."""
        path = self.path(key)
        with self.locked(key), storage_errors(path, "set the slice aside"):
            self._set_damaged_aside(key)
            path.unlink(missing_ok=True)
            self.state.slices.remove([key])

    def files_set_aside(self) -> list[Path]:
        """Files of slices that were set aside and still exist."""
        return files_set_aside(self.root)

    def slices(self, table: str | None = None, portal: str | None = None) -> list[SliceKey]:
        """All slices, or those of a table (full name), or of a portal. Raises StorageError."""
        return sorted(slices_in(self.root, table, portal), key=str)


def _behind(published: Mapping[SliceKey, PublishedSlice], there: Indexed) -> list[SliceKey]:
    return [
        key
        for key, entry in there.entries.items()
        if key in published and presence.older_text(key, entry, published[key].slice_id, published[key].read_at)
    ]
