"""The folder of the state: who may look into it, and what was damaged and set aside there.

What a damaged file held can mostly be restored: then it is set aside, under a name that ends in `.damaged-` and a
stamp, and the reader continues as if the file had not been there. Alerts and `planday status` report such files until
they are removed.
"""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from planday_io.files import storage_errors, unique_end

_SET_ASIDE = ".damaged-"


def close_to_others(folder: Path) -> None:
    """Let only this account into the folder, and restrict files that an older version left open to others.

    Tokens are in it, each file with mode 0600, which survives a copy of the folder or another mount.
    """
    tokens = folder / "tokens"
    with storage_errors(folder, "set the rights of"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place, mode in ((folder, 0o700), (tokens, 0o700), *((file, 0o600) for file in tokens.glob("*"))):
            # Only the owner can restrict a file of another account.
            with suppress(FileNotFoundError, PermissionError):
                about = place.lstat()
                if stat.S_ISLNK(about.st_mode) or not about.st_mode & 0o077:
                    continue
                place.chmod(0o700 if stat.S_ISDIR(about.st_mode) else mode)


def set_aside(path: Path) -> Path:
    """Give a damaged file, or a folder in its place, another name, so that nobody reads it again. Raises StorageError.

    Returns:
        The new name.
    """
    aside = aside_name(path)
    # Another process may have set the same file aside a moment ago.
    with storage_errors(path, "set aside"), suppress(FileNotFoundError):
        path.rename(aside)
    return aside


def aside_name(path: Path) -> Path:
    """A name for what is set aside."""
    return path.with_name(f"{path.name}{_SET_ASIDE}{unique_end()}")


def files_set_aside(folder: Path) -> list[Path]:
    """Damaged files that were set aside and not removed yet. Raises StorageError."""
    with storage_errors(folder, "look for damaged files in"):
        folders = [folder, *(one for one in folder.glob("*") if one.is_dir() and _SET_ASIDE not in one.name)]
        return sorted(path for one in folders for path in one.glob("*") if _SET_ASIDE in path.name)


def remove_set_aside(folder: Path, before: datetime) -> int:
    """Remove files that were set aside before an instant. Returns how many."""
    removed = 0
    for path in files_set_aside(folder):
        with suppress(FileNotFoundError):
            if path.lstat().st_ctime < before.timestamp():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                removed += 1
    return removed
