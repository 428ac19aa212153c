"""Folders that exports replace whole: which ones are theirs, and which places are not for exports."""

from __future__ import annotations

import os
from pathlib import Path

from planday_io.config.places import own_place
from planday_io.errors import ExportError
from planday_io.lake.installation import Installation

MARKER = ".planday-export"
"""Names the files of an export, so that the next one replaces nothing else."""


def require_replaceable(folder: Path) -> None:
    """Check that nothing would be lost if a folder is replaced.

    Raises:
        ExportError: it holds something that no export wrote.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ExportError(f"{folder} is a file, and several files need a folder: choose another one with --output")
    marker = folder / MARKER
    ours = {MARKER, *(marker.read_text(encoding="utf-8").splitlines() if marker.is_file() else ())}
    folders = {str(parent) for file in ours for parent in Path(file).parents}
    strange = []
    for inner, below, files in os.walk(folder):
        at = Path(inner).relative_to(folder)
        links = {name for name in below if Path(inner, name).is_symlink()}
        unknown = {name for name in below if str(at / name) not in folders} | links
        strange += [str(at / name) for name in unknown] + [
            str(at / name) for name in files if str(at / name) not in ours
        ]
        # What is in a strange folder need not be counted.
        below[:] = sorted({*below} - unknown)
    if strange:
        raise ExportError(
            f"{folder} would be replaced whole, and holds {min(strange)}, which no export wrote"
            + (f", and {len(strange) - 1} more" if strange[1:] else "")
            + ". Choose another folder with --output, or move it away"
        )


def mark(folder: Path) -> None:
    """Note which files an export wrote into a folder: all that it holds."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    (folder / MARKER).write_text("".join(f"{name}\n" for name in files), encoding="utf-8")


def require_apart(place: Path, installation: Installation) -> None:
    """Check that an export would not replace, or stand among, the files that this program keeps. Links are followed.

    The outbox is for exports: what is mailed is made there.

    Raises:
        ExportError: it would.
    """
    own = own_place(installation.config, place)
    if own and not place.is_relative_to(installation.state.outbox):
        raise ExportError(
            f"{place} is in {own}, or leads there, which is this program's own: choose another place with --output"
        )
