"""Moves a slice to another portal key; only the column `portal` changes.

`planday_io.onboarding.renaming` decides which slices move, and moves everything else of a key.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from planday_io.catalogue import RUNS
from planday_io.files import replacing, storage_errors
from planday_io.frames.types import replaced
from planday_io.lake import parquet
from planday_io.lake.runs import move_runs
from planday_io.lake.slices import Lake, SliceKey


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
        if there is not None and key.full_name == RUNS.full_name:
            # Runs that were refused under the new key, as long as the data was under the old one.
            move_runs(lake, key, target, provenance)
        elif there is None or there.slice_id != provenance.slice_id:
            with storage_errors(lake.path(target), "write the slice"):
                _rewrite(lake.path(key), lake.path(target), portal)
        lake.remove(key)


def remove_empty_folders(lake: Lake, portal: str) -> None:
    """Remove folders of a key without slices, which a kill between two steps leaves. Raises StorageError."""
    for folder in lake.root.glob(f"*/*/portal={portal}"):
        with storage_errors(folder, "remove"):
            for inner in (*folder.glob("month=*"), folder):
                if not any(inner.iterdir()):
                    inner.rmdir()


def _rewrite(source: Path, target: Path, portal: str) -> None:
    """Copy a slice's file with another name in the column `portal`."""
    provenance, _ = parquet.provenance(source)
    rows = parquet.read(source)
    with replacing(target) as temporary:
        parquet.write(replaced(rows, "portal", pa.repeat(portal, rows.num_rows)), temporary, provenance)
