"""Moves slices from the folders that version 0.1 gave them (`portal=oslo/month=2026-09`) to those of today.

A file is renamed under its slice's lock, so no byte of it changes, a kill leaves it in one of the two places, and nothing is
published or read from Planday again because of it. Each publication looks for old folders, which takes one listing per table:
a process of version 0.1 may go on writing for a while, and a backup may be restored that is older.

Not here: which of two files counts (`places`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import make_folder, move, storage_errors, sweep
from planday_io.lake.layout import file_of, key_in, old_file_of, old_folders_in, old_set_aside_in, old_slices_in
from planday_io.lake.places import read_provenance
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake
from planday_io.state import SliceKey


@dataclass(frozen=True, slots=True)
class Move:
    """How many slices were moved, and why others were not, which the next publication tries again."""

    moved: int
    errors: tuple[StorageError, ...] = ()


def move_old_slices(
    lake: Lake,
    with_histories: Collection[str],
    may_keep: Callable[[SliceKey, Provenance | None], bool] = lambda _key, _provenance: True,
) -> Move:
    """Move all slices that are in old folders, unless a run of version 0.1 is in progress, which would not find them.

    Call it within the lock of publications, so that one process at a time does it.

    Args:
        lake: of the slices.
        with_histories: full names of tables that have a history. It is owed where a later file replaces another one.
        may_keep: whether a file that another one replaces may be set aside, by its key and provenance (None: damaged). It may
            hold what was to be removed since it was written; then it goes, as with any other write.

    Raises:
        StorageError: the lake cannot be listed.
    """
    # A publication that was killed may have left folders without slices.
    if not old_folders_in(lake.root) or lake.state.runs.is_old_version_running():
        return Move(0)
    lake.state.files.shut_out_old_version()
    moved, errors = 0, dict[SliceKey, StorageError]()
    # A slice may be written to an old folder until its lock was held once.
    while keys := [key for key in old_slices_in(lake.root) if key not in errors]:
        for key in keys:
            try:
                with lake.locked(key):
                    _move(lake, key, with_histories, may_keep)
                moved += 1
            except StorageError as error:
                errors[key] = error
    untidy: list[StorageError] = []
    for folder in old_folders_in(lake.root):
        try:
            _tidy(lake, folder)
        except StorageError as error:
            untidy.append(error)
    return Move(moved, (*errors.values(), *untidy))


def _move(
    lake: Lake,
    key: SliceKey,
    with_histories: Collection[str],
    may_keep: Callable[[SliceKey, Provenance | None], bool],
) -> None:
    new, old = lake.root / file_of(key), lake.root / old_file_of(key)
    with storage_errors(old, "move the slice"):
        if not os.path.lexists(old):
            return
        counts = lake.path(key)
        if os.path.lexists(new):
            of_new, of_old = _usable(new, key), _usable(old, key)
            if counts == old:
                # The slice is replaced, as far as its history and the warehouse are concerned.
                owed = {key: of_new.fetched if of_new else None} if key.full_name in with_histories else {}
                lake.state.slices.announce({key: ""}, "", owed)
            # After a kill between copying a file to another disk and removing it, both are the same.
            is_same = of_new and of_old and of_new.slice_id == of_old.slice_id != ""
            if not is_same and may_keep(key, of_new if counts == old else of_old):
                lake.keep_aside(key, new if counts == old else old, "replaced")
        if counts != old:
            old.unlink()
        elif not _move_folder(old.parent, new.parent):
            make_folder(new.parent, like=old.parent)
            move(old, new)


def _move_folder(old: Path, new: Path) -> bool:
    """Give a slice's folder its new name, if nothing else is in it: one rename, and no folder to make and to remove."""
    if os.path.lexists(new) or len([*old.iterdir()]) > 1:
        return False
    make_folder(new.parent, like=old.parent)
    try:
        old.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _usable(path: Path, key: SliceKey) -> Provenance | None:
    with suppress(DamagedSliceError):
        return read_provenance(path, key)
    return None


def _tidy(lake: Lake, folder: Path) -> None:
    """Remove an old folder. One that still holds something else stays."""
    with storage_errors(folder, "tidy up"):
        sweep(folder, deep=True)
        for file in old_set_aside_in(folder):
            lake.keep_aside(key_in(lake.root, file.parent), file, "damaged")
            file.unlink()
        for place in (*folder.glob("*"), folder):
            with suppress(OSError):
                place.rmdir()
