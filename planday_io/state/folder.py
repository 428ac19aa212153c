"""The folder of the state: who may look into it, and what is left there that nobody uses any more."""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from planday_io.files import storage_errors
from planday_io.state.records import is_set_aside


def close_to_others(folder: Path) -> None:
    """Let nobody but this account into the folder, and make what an older version left open there as it should be.

    Tokens are in it, each file 0600 by itself: whoever copies the folder, or mounts it elsewhere, keeps that.
    """
    tokens = folder / "tokens"
    with storage_errors(folder, "set the rights of"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place, mode in ((folder, 0o700), (tokens, 0o700), *((file, 0o600) for file in tokens.glob("*"))):
            # What belongs to another account is that account's to close.
            with suppress(FileNotFoundError, PermissionError):
                about = place.lstat()
                if stat.S_ISLNK(about.st_mode) or not about.st_mode & 0o077:
                    continue
                place.chmod(0o700 if stat.S_ISDIR(about.st_mode) else mode)


def files_set_aside(folder: Path) -> list[Path]:
    """What was set aside because it was damaged, and nobody has removed yet. Raises StorageError."""
    with storage_errors(folder, "look for damaged files in"):
        folders = [folder, *(one for one in folder.glob("*") if one.is_dir() and not is_set_aside(one))]
        return sorted(path for one in folders for path in one.glob("*") if is_set_aside(path))


def remove_set_aside(folder: Path, before: datetime) -> int:
    """Remove what was set aside before an instant: whoever wanted to see it has seen it. Returns how many."""
    removed = 0
    for path in files_set_aside(folder):
        with suppress(FileNotFoundError):
            if path.lstat().st_ctime < before.timestamp():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                removed += 1
    return removed
