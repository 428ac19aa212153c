"""Checks that the lake is the one that this installation wrote, and knows no less than was published.

A disk that is not mounted, or a wrong path, looks like a new lake. Without this check an installation would start again from
nothing, and its next publication would empty the warehouse. So the lake has a name, which the state knows as well, and the
state knows what was published last of each slice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from planday_io.errors import DamagedFileError, LostSliceError
from planday_io.files import storage_errors, write_text
from planday_io.state import SliceEntry, SliceKey, State
from planday_io.state.records import encoded, read_record

NAME = "_lake.json"
"""The file with the name of the lake."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is in the file with the lake's name."""

    lake: str


def require(root: Path, state: State, *, has_slices: Callable[[], bool], creates: bool) -> None:
    """Check that a lake is the one that the state knows; `creates` gives a new one its name.

    Raises:
        LostSliceError: it is missing, or another lake.
        StorageError: it cannot be read.
    """
    there, known = _name_in(root), state.files.lake()
    if there and there == known:
        return
    if there and known:
        raise LostSliceError(f"{root} is another lake than the one that this installation wrote until now. {_ADVICE}")
    if not there and state.slices.was_published() and not has_slices():
        raise LostSliceError(
            f"{root} is not there, or has no data in it, and the warehouse was published from it. Check that the folder "
            f"exists and the disk is mounted. {_ADVICE}"
        )
    if creates or there:
        adopt(root, state)


def adopt(root: Path, state: State) -> None:
    """Adopt a lake as this installation's, whatever was known before. Raises StorageError."""
    with state.locks.hold("lake"):
        there, known = _name_in(root), state.files.lake()
        name = there or known or secrets.token_hex(8)
        # The state is written first: a lake with a name that the state does not know means that the state was lost.
        if known != name:
            state.files.adopt_lake(name, is_new=not there)
        if not there:
            with storage_errors(root / NAME, "name the lake in"):
                write_text(root / NAME, encoded(_Stored(name)))


_ADVICE = (
    "Correct `lake` in portals.yaml, or mount the disk. If this lake is the right one, confirm it with `planday "
    "publish --rebuild`: the warehouse then shows what is in it, and nothing else. Nothing was written"
)


def _name_in(root: Path) -> str:
    """The name in a lake; empty where there is none, or it is damaged."""
    try:
        stored = read_record(root / NAME, _Stored, "the name of the lake")
    except DamagedFileError:
        return ""
    return stored.lake if stored else ""


def lost_slice(key: SliceKey, why: str) -> LostSliceError:
    """The error for a slice of which the lake knows less than was published, with what to do."""
    month = f" in {key.month}" if key.month else ""
    return LostSliceError(
        f"{key.full_name} of portal '{key.portal}'{month}: {why}, and the warehouse shows more. Check that the folder "
        "exists, that the disk is mounted, and that `lake` in portals.yaml is the right one, or restore the file from the "
        "newest backup. If it is gone for good, `planday sync --missing` reads it again where Planday can be asked for it, "
        "and `planday publish --rebuild` accepts the loss. Nothing was written"
    )


def older_slice(key: SliceKey, why: str, *, is_derived: bool = False) -> LostSliceError:
    """The error for a slice that is older than what was published, with what to do.

    Args:
        key: the slice.
        why: it is older.
        is_derived: it is of a feed or a history, so Planday cannot be asked for what it lacks.
    """
    month = f" in {key.month}" if key.month else ""
    remedy = f"`planday sync {key.portal} --missing` replaces it"
    if is_derived:
        remedy = (
            "`planday publish` restores it from the published file. Where another program edited that, or another "
            "version made it, restore the newer file from a backup, or accept the loss with `planday publish --rebuild`"
        )
    return LostSliceError(
        f"{key.full_name} of portal '{key.portal}'{month}: {why}, and its rows stay published. {remedy}"
    )


def older_text(key: SliceKey, there: SliceEntry, slice_id: str, read_at: datetime) -> str:
    """Why a slice in the lake is older than the one that was published or is shown; empty if it is not."""
    # Logs of runs are written in any order, so their age proves nothing.
    if key.domain == "sync" or there.slice_id == slice_id or there.read_at >= read_at:
        return ""
    ours, theirs = (one.astimezone(UTC).isoformat()[:16] for one in (there.read_at, read_at))
    return f"the lake has an older file, of {ours}; the published one is of {theirs}"
