"""Keys that are being renamed: one note per rename, kept from its first step to its last.

While the note exists, nothing of either key is read or written, and publications do not change what readers see of them.
The note's file name holds everything, so its content cannot be damaged. It is in the lake, with the half-moved data.

Not here: the steps of a rename (`planday_io.onboarding.renaming`).
"""

from __future__ import annotations

from pathlib import Path

from planday_io.files import is_temporary, storage_errors, write_text

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
