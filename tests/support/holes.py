"""What can happen to files of a lake."""

from __future__ import annotations

import os
from pathlib import Path


def flip(path: Path) -> None:
    """Flip a bit in the file, whose time stays, as on a failing disk."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path: Path) -> None:
    """Cut the file off."""
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path: Path) -> None:
    """Leave the name and no byte, as a full disk does."""
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    """Put something else in its place."""
    path.write_bytes(b"hello")


def leads_nowhere(path: Path) -> None:
    """Put a link in its place, to a disk that is gone."""
    path.unlink()
    path.symlink_to(path.with_name("gone"))


def became_folder(path: Path) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


def refused(path: Path) -> None:
    """Put a link to itself in its place, which the system refuses to follow, also for root."""
    path.unlink()
    path.symlink_to(path.name)
