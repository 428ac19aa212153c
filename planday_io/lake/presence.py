"""Checks that the lake is the one this installation wrote: its root and the state folder hold the same name.

A disk that is not mounted, or a wrong path, looks like a new lake. Without this check an installation would start
again from nothing, and its next publication would empty the warehouse.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from planday_io.errors import DamagedFileError, LostSliceError
from planday_io.files import storage_errors, write_text
from planday_io.state import State
from planday_io.state.records import encoded, read_record

_NAME = "_lake.json"


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is in both files."""

    lake: str


def require(
    root: Path, state: State, *, has_slices: Callable[[], bool], was_published: Callable[[], bool], creates: bool
) -> None:
    """Check that a lake is the one that the state knows.

    Args:
        root: of the lake.
        state: of the installation.
        has_slices: whether any slice is there.
        was_published: whether any slice of it was published.
        creates: give a new lake its name.

    Raises:
        LostSliceError: it is missing, or another lake.
        StorageError: it cannot be read.
    """
    there, known = _read(root / _NAME), _read(state.folder / "lake.json")
    if there and there == known:
        return
    if there and known:
        raise LostSliceError(f"{root} is another lake than the one that this installation wrote until now. {_ADVICE}")
    if not there and was_published() and not has_slices():
        raise LostSliceError(
            f"{root} is not there, or has no data in it, and the warehouse was published from it. Check that the folder "
            "exists "
            f"and the disk is mounted. {_ADVICE}"
        )
    if creates:
        adopt(root, state)


def adopt(root: Path, state: State) -> None:
    """Adopt a lake as this installation's, whatever was known before. Raises StorageError."""
    with state.locks.hold("lake"):
        there, known = _read(root / _NAME), _read(state.folder / "lake.json")
        name = there or known or secrets.token_hex(8)
        for file, present in ((root / _NAME, there), (state.folder / "lake.json", known)):
            if present != name:
                with storage_errors(file, "name the lake in"):
                    write_text(file, encoded(_Stored(name)))


_ADVICE = (
    "Correct `lake` in portals.yaml, or mount the disk. If this is the lake to go on with, say so with `planday "
    "publish --rebuild`: "
    "the warehouse then shows what is in it, and nothing else. Nothing was written"
)


def _read(file: Path) -> str:
    """The name in a file; empty where there is none, or it is damaged."""
    try:
        stored = read_record(file, _Stored, "the name of the lake")
    except DamagedFileError:
        return ""
    return stored.lake if stored else ""
