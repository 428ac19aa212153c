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
