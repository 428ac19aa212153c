"""Which file is a slice's: the one under today's name, or one that version 0.1 left, or writes, under the old name.

Both names are always understood, so that nothing is lost while an installation is upgraded, and commands that only read
need not move anything. Old files are moved by the next publication (`planday_io.lake.moving`).

Not here: the names (`layout`), the content of files (`slices`, `parquet`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import storage_errors
from planday_io.lake import parquet
from planday_io.lake.layout import file_of, old_file_of
from planday_io.lake.provenance import FORMAT, Provenance
from planday_io.state import SliceKey

T = TypeVar("T")

_FIELDS = frozenset(member.name for member in fields(Provenance))
_GROWING = frozenset({"history", "run"})
"""Verdicts of slices that only grow: versions, and the log of runs."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def place_of(root: Path, key: SliceKey) -> Path:
    """Where a slice's file is, or would be.

    Of two files, the one that was read later counts; of two histories or logs of runs, the one under today's name, because
    the other one was begun without it. A damaged one counts only where both are. If they are equal in this, the one under
    today's name counts.

    Raises:
        StorageError: there are two, and one of them cannot be read.
    """
    new, old = root / file_of(key), root / old_file_of(key)
    if not os.path.lexists(old):
        return new
    if not os.path.lexists(new):
        return old
    try:
        return old if _rank(old, key) > _rank(new, key) else new
    except StorageError:
        if os.path.lexists(old):
            raise
        # Another process has just moved it.
        return new


def reading(root: Path, key: SliceKey, work: Callable[[Path], T]) -> T:
    """Read a slice's file, which another process may just be moving. Raises what `work` raises."""
    path = place_of(root, key)
    try:
        return work(path)
    except StorageError:
        if os.path.lexists(path):
            raise
        return work(place_of(root, key))


def exists(root: Path, key: SliceKey) -> bool:
    """Whether a slice has a file, also a link that leads nowhere. Raises StorageError."""
    path = place_of(root, key)
    with storage_errors(path, "read the slice"):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def provenance_of(root: Path, key: SliceKey) -> Provenance | None:
    """The provenance of a slice, or None when it was never pulled. Raises like `read_provenance`."""
    if not exists(root, key):
        return None
    return reading(root, key, lambda path: read_provenance(path, key))


def read_provenance(path: Path, key: SliceKey) -> Provenance:
    """The provenance of a slice in a file.

    Raises:
        DamagedSliceError: the file is not what was written.
        StorageError: it cannot be read, or is of a later format.
    """
    return decoded(path, key, *parquet.provenance(path))


def decoded(path: Path, key: SliceKey, text: bytes, rows: int) -> Provenance:
    """The provenance that a slice's file holds as a text, with as many rows. Raises like `read_provenance`."""
    try:
        stored = json.loads(text)
        if stored.get("format", 0) > FORMAT:
            raise StorageError(
                f"{path} was written by a later version of this program (lake format {stored['format']}, this one "
                f"reads {FORMAT}): upgrade, nothing was changed"
            )
        provenance = Provenance(**{name: value for name, value in stored.items() if name in _FIELDS})
        provenance.fetched  # noqa: B018 - a time that cannot be read is damage
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DamagedSliceError(path, f"it does not say where {key} comes from") from None
    if provenance.kept != rows:
        raise DamagedSliceError(path, f"it has {rows} rows and should have {provenance.kept}")
    return provenance


def _rank(path: Path, key: SliceKey) -> tuple[int, datetime]:
    try:
        provenance = read_provenance(path, key)
        parquet.check(path)
    except DamagedSliceError:
        return 0, _EARLIEST
    return 1, _EARLIEST if provenance.verdict in _GROWING else provenance.fetched
