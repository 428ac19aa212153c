"""What was published of each slice: one small file per slice in the state folder.

The lake must never know less than the warehouse shows. A lake that is not mounted, another one, or an older copy does not
match what these marks say was published, which is noticed before anything is written.

Not here: the slices themselves (`slices`), what the warehouse file says (`planday_io.warehouse.standing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from planday_io.errors import DamagedFileError
from planday_io.files import storage_errors
from planday_io.lake.provenance import Provenance
from planday_io.state import SliceKey, State
from planday_io.state.records import encoded, make_way, read_record, remove_record


def lost_text(key: SliceKey, why: str) -> str:
    """What to do about a slice of which the lake knows less than was published."""
    month = f" in {key.month}" if key.month else ""
    return (
        f"{key.full_name} of portal '{key.portal}'{month}: {why}, and the warehouse shows more. Check that the folder "
        "exists, "
        "that the disk is mounted, and that `lake` in portals.yaml is the right one, or restore the file from the "
        "newest backup. "
        "If it is gone for good, accept the loss with `planday publish --rebuild`. Nothing was written"
    )


def older_text(key: SliceKey, provenance: Provenance, slice_id: str, read_at: datetime) -> str:
    """Why a slice is older than one that was published; empty where it is not."""
    # Runs log themselves in any order.
    if key.domain == "sync" or provenance.slice_id == slice_id or provenance.fetched >= read_at:
        return ""
    published = read_at.astimezone(UTC).isoformat()[:16]
    return f"the lake has an older file, of {provenance.fetched_at[:16]} where one of {published} was published"


@dataclass(frozen=True, slots=True)
class Mark:
    """What was published last of a slice.

    Args:
        slice_id: of the slice.
        read_at: UTC instant of the read.
        kept: rows.
    """

    slice_id: str
    read_at: Annotated[datetime, msgspec.Meta(tz=True)]
    kept: int


class PublishedMarks:
    """The marks of one installation.

    Args:
        state: of the installation.
    """

    def __init__(self, state: State) -> None:
        self._folder = state.folder / "published"

    def of(self, key: SliceKey) -> Mark | None:
        """The mark of a slice; None where it was never published, or its mark is damaged. Raises StorageError."""
        try:
            return read_record(self._folder / str(key), Mark, "what was published")
        except DamagedFileError:
            return None

    def note(self, key: SliceKey, mark: Mark) -> None:
        """Note what was published. Raises StorageError."""
        with storage_errors(self._folder, "note what was published in"):
            # Not forced to the disk, one by one: a mark that a power cut tore counts as none.
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._folder / str(key)
            make_way(file)
            file.write_text(encoded(mark), encoding="utf-8")

    def remove(self, key: SliceKey) -> None:
        """Forget that a slice was published. Raises StorageError."""
        with storage_errors(self._folder, "remove a note from"):
            remove_record(self._folder / str(key))

    def names(self) -> list[str]:
        """Of the slices that were published, as `str(SliceKey)`."""
        return sorted(file.name for file in self._folder.iterdir()) if self._folder.is_dir() else []

    def is_empty(self) -> bool:
        """Whether nothing was ever published."""
        return not self._folder.is_dir() or not any(self._folder.iterdir())
