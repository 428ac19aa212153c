"""The index of the lake: what slices say of themselves, kept in the state database so that few files are opened.

The file is the truth. An entry counts while the file's time, inode and size are those noted, so a lake may be copied, a file
replaced by hand, and the database lost.

Not here: reading and replacing slices (`slices`), where they are (`places`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from planday_io.errors import StorageError
from planday_io.files import storage_errors
from planday_io.lake.layout import file_at, file_of, has_old_folder, old_file_of, tables_with_old_folders
from planday_io.lake.places import place_of, provenance_of
from planday_io.lake.provenance import Provenance
from planday_io.state import SliceEntry, SliceKey, State


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the files of slices say in their footers, and why others cannot be read. Slices never pulled are left out."""

    entries: dict[SliceKey, SliceEntry]
    unusable: dict[SliceKey, StorageError]


class SlicesOf(NamedTuple):
    """Slices of one table, of each of some portals."""

    domain: str
    table: str
    months: tuple[str | None, ...]
    """None for the one slice of a table without months."""


@dataclass(frozen=True, slots=True)
class OldestReads:
    """When slices of tables were read, and why some files cannot be looked at."""

    reads: dict[tuple[str, str], datetime]
    """By portal and full name of a table, the UTC instant of the oldest; only of tables that have all that were asked for."""
    unusable: dict[SliceKey, StorageError]


def indexed(root: Path, state: State, keys: Iterable[SliceKey]) -> Indexed:
    """What the files of slices say. Only those that changed since this was last asked are opened. Raises StorageError."""
    keys = [*keys]
    known = state.slices.entries(keys)
    found = Indexed({}, {})
    changed: dict[SliceKey, SliceEntry] = {}
    folders = {(key.domain, key.table, key.portal) for key in keys}
    # Not a listing per table: it has all portals, and hundreds of portals are asked for one after the other.
    old = {folder for folder in folders if has_old_folder(root, *folder)}
    for key in keys:
        try:
            may_be_old = (key.domain, key.table, key.portal) in old
            stamp = stamp_of(root, key) if may_be_old else _stamp_at(f"{root}/{file_of(key)}")
            entry = known.get(key)
            if stamp and entry and entry.stamp == stamp:
                found.entries[key] = entry
            elif stamp and (provenance := provenance_of(root, key)):
                found.entries[key] = changed[key] = entry_of(provenance, stamp)
        except StorageError as error:
            found.unusable[key] = error
    # If the index cannot be written (a disk mounted read-only), files are opened again next time.
    with suppress(StorageError):
        state.slices.index(changed)
    return found


def oldest_reads(root: Path, state: State, wanted: Mapping[str, Collection[SlicesOf]]) -> OldestReads:
    """The oldest read of each table among slices of portals. Raises StorageError.

    `indexed` would do as well, but creates an object per slice, and hundreds of portals have tens of thousands.
    """
    tables = {one for own in wanted.values() for one in own}
    months = {month for one in tables for month in one.months}
    known = state.slices.stamps(wanted, {(one.domain, one.table) for one in tables}, months)
    old = tables_with_old_folders(root, {(one.domain, one.table) for one in tables})
    found = OldestReads({}, {})
    changed: list[SliceKey] = []
    reads: dict[tuple[str, str], list[datetime]] = {}
    for portal, own in wanted.items():
        for domain, table, its_months in own:
            times = reads[portal, f"{domain}.{table}"] = []
            if (domain, table) in old:
                changed += [SliceKey(domain, table, portal, month) for month in its_months]
                continue
            for month in its_months:
                entry = known.get((domain, table, portal, month or ""))
                try:
                    stamp = _stamp_at(f"{root}/{file_at(domain, table, portal, month)}")
                except StorageError as error:
                    found.unusable[SliceKey(domain, table, portal, month)] = error
                    continue
                if stamp and entry and entry[0] == stamp:
                    times.append(entry[1])
                elif stamp:
                    changed.append(SliceKey(domain, table, portal, month))
    there = indexed(root, state, changed) if changed else Indexed({}, {})
    found.unusable.update(there.unusable)
    for key, its_entry in there.entries.items():
        reads[key.portal, key.full_name].append(its_entry.read_at)
    for portal, own in wanted.items():
        for domain, table, its_months in own:
            times = reads[portal, f"{domain}.{table}"]
            if times and len(times) == len(its_months):
                found.reads[portal, f"{domain}.{table}"] = min(times)
    return found


def stamp_of(root: Path, key: SliceKey) -> str:
    """A stamp that changes when a slice's file is replaced; empty if there is no file. Raises StorageError."""
    is_old = os.path.lexists(f"{root}/{old_file_of(key)}")
    path = str(place_of(root, key)) if is_old else f"{root}/{file_of(key)}"
    if stamp := _stamp_at(path):
        return stamp
    # Another process may have moved it just now.
    return stamp_of(root, key) if str(place_of(root, key)) != path else ""


def entry_of(provenance: Provenance, stamp: str = "", *, is_verified: bool = False) -> SliceEntry:
    """The entry of a slice in the index."""
    return SliceEntry(
        stamp=stamp,
        slice_id=provenance.slice_id,
        read_at=provenance.fetched.astimezone(UTC),
        rows=provenance.kept,
        received=provenance.received,
        verdict=provenance.verdict,
        definitions=provenance.catalogue_version,
        lacks_columns=bool(provenance.absent),
        is_verified=is_verified,
    )


def _stamp_at(path: str) -> str:
    """The stamp of a file; empty if there is none. Raises StorageError, also for a link that leads nowhere."""
    try:
        return _written(os.stat(path))  # noqa: PTH116 - making a Path takes longer than looking at the file
    except OSError as error:
        is_nowhere = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if is_nowhere and not os.path.islink(path):  # noqa: PTH114 - see above
            return ""
        with storage_errors(Path(path), "look at the slice"):
            raise error from None


def _written(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_size}"
