"""Renaming a portal's key in the lake: one note per rename, kept from its first step to its last, and slices that move.

While the note exists, nothing of either key is read or written, and publications do not change what readers see of them.
The note's file name holds everything, so its content cannot be damaged. It is in the lake, with the half-moved data.

Not here: the steps of a rename (`planday_io.onboarding.renaming`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from planday_io.catalogue import LOGS
from planday_io.files import is_temporary, storage_errors, write_text
from planday_io.frames.types import replaced
from planday_io.lake import parquet
from planday_io.lake.layout import folders_of
from planday_io.lake.logs import move_log
from planday_io.lake.slices import Lake, SliceKey

_FOLDER = "_renames"


def unfinished_renames(lake: Path) -> list[tuple[str, str]]:
    """Old and new key of each rename that has begun and not finished. Raises StorageError."""
    folder = lake / _FOLDER
    with storage_errors(folder, "look for unfinished renames in"):
        try:
            names = sorted(path.name for path in folder.iterdir() if not is_temporary(path))
        except FileNotFoundError:
            return []
    pairs = [name.split(".") for name in names]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def begin_rename(lake: Path, old: str, new: str) -> None:
    """Note that a rename begins. Raises StorageError."""
    note = lake / _FOLDER / f"{old}.{new}"
    with storage_errors(note, "note a rename in"):
        write_text(note, "")


def end_rename(lake: Path, old: str, new: str) -> None:
    """Remove the note of a rename. Raises StorageError."""
    note = lake / _FOLDER / f"{old}.{new}"
    with storage_errors(note, "remove the note of a rename in"):
        note.unlink(missing_ok=True)


def move_slice(lake: Lake, key: SliceKey, portal: str) -> None:
    """Move a slice to another portal key, where nothing else may write. Repeating it after a kill finishes the move.

    It keeps its provenance, so that it counts as the same read.

    Raises:
        StorageError: it cannot be read or written; it was not moved.
    """
    target = replace(key, portal=portal)
    first, second = sorted((key, target), key=str)
    with lake.locked(first), lake.locked(second):
        provenance = lake.provenance(key)
        if provenance is None:
            return
        there = lake.provenance(target)
        if there is not None and any(log.full_name == key.full_name for log in LOGS):
            # The new key has a log, say of runs that were refused while the data was under the old key.
            move_log(lake, key, target, provenance)
        elif there is None or there.slice_id != provenance.slice_id:
            # With the same provenance, byte for byte: only the column `portal` changes.
            stored, _ = parquet.provenance(lake.path(key))
            rows = parquet.read(lake.path(key))
            rows = replaced(rows, "portal", pa.repeat(portal, rows.num_rows))
            lake.replace(target, rows, stored)
        lake.remove(key)


def remove_empty_folders(lake: Lake, portal: str) -> None:
    """Remove folders of a key without slices, which a kill between two steps leaves. Raises StorageError."""
    for folder in folders_of(lake.root, portal):
        with storage_errors(folder, "remove"):
            for inner in (*(one for one in folder.iterdir() if one.is_dir()), folder):
                if not any(inner.iterdir()):
                    inner.rmdir()
