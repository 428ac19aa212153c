"""Files of versions before there was a state database. They are taken in with the first use, in one transaction, and removed.

Importing them twice does no harm: what the database has already stays. So a kill between the transaction and the removal, or
in the middle of the removal, is healed by the next use, which comes before anything else is done with the database. A file
that is damaged is set aside and reported like any other; the others are taken in. A file with a name that this program
never gave stays where it is.

Not here: which files there are (`legacy_kinds`).
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from planday_io.errors import DamagedFileError
from planday_io.files import is_locked, storage_errors, sweep
from planday_io.state.legacy_kinds import KEY, KINDS, LegacyKind
from planday_io.state.records import read_or_set_aside, read_record, set_aside
from planday_io.state.rows import PortalId
from planday_io.state.schema import PORTALS, lose


def legacy_files(folder: Path) -> list[Path]:
    """Files of older versions in a state folder, and their empty folders. Raises StorageError."""
    with storage_errors(folder, "look for files of an older version in"):
        places = {_place(kind, folder) for kind in KINDS} - {folder}
        empty = [one for one in places if one.is_dir() and all(inside.is_dir() for inside in one.rglob("*"))]
        return [*empty, *(file for kind in KINDS for file in _files(kind, folder))]


Imported = dict[Path, tuple[int, int]]
"""Files that were taken in, as they were then: their inode and when they were changed."""


def import_files(folder: Path, connection: Connection) -> Imported:
    """Take the files of older versions into the database. Raises StorageError."""
    imported: Imported = {}
    with storage_errors(folder, "take in files of an older version from"):
        for kind in KINDS:
            # As they are before they are read: what is written meanwhile stays.
            stamps = {file: stamp for file in _files(kind, folder) if (stamp := _stamp(file))}
            contents = [(file, _read(kind, file)) for file in stamps]
            kind.take(connection, [(file, found) for file, found in contents if found is not None])
            if kind.lost and any(found is None for _, found in contents):
                lose(connection, kind.lost)
            imported |= stamps
    return imported


def remove_files(folder: Path, imported: Imported) -> None:
    """Remove what was taken in, its locks, and the folders that are empty then. Raises StorageError.

    What a process of an older version wrote meanwhile stays, and is taken in by the next process.
    """
    with storage_errors(folder, "remove files of an older version from"):
        for file, stamp in imported.items():
            if _stamp(file) == stamp:
                # The lock first: as long as the file is there, the next use comes here again.
                if file.suffix == ".json":
                    file.with_suffix(".lock").unlink(missing_ok=True)
                file.unlink(missing_ok=True)
        for kind in KINDS:
            if kind.lock and not _files(kind, folder):
                (folder / kind.lock).unlink(missing_ok=True)
            if (place := _place(kind, folder)) != folder:
                sweep(place)
                for one in (*place.glob("*"), place):
                    # Something of another name may be in there.
                    with suppress(OSError):
                        one.rmdir()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.lstat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _place(kind: LegacyKind, folder: Path) -> Path:
    return folder / kind.folder.removesuffix("/*")


def _files(kind: LegacyKind, folder: Path) -> list[Path]:
    places = folder.glob(kind.folder) if kind.folder.endswith("*") else [folder / kind.folder]
    found: list[Path] = []
    for place in places:
        with suppress(FileNotFoundError, NotADirectoryError):
            found += (file for file in place.iterdir() if re.fullmatch(kind.name, file.name))
    return sorted(file for file in found if not (kind.is_locked and is_locked(file.with_suffix(".lock"))))


def _read(kind: LegacyKind, file: Path) -> object:
    """What is in a file, or None where it is gone, or damaged and set aside."""
    if kind.holds is bytes:
        with suppress(FileNotFoundError):
            try:
                return file.read_bytes()
            except IsADirectoryError:
                set_aside(file)
                return b""
    found = read_or_set_aside(file, kind.holds, kind.what) if kind.what else None
    if found is None and kind.what:
        file.with_suffix(".lock").unlink(missing_ok=True)
    return found


def portal_files(folder: Path) -> list[Path]:
    """Files of a folder in the lake that say which portals keys stand for."""
    return sorted(file for file in folder.glob("*.json") if re.fullmatch(KEY, file.stem))


class _Portal(msgspec.Struct):
    """Early versions wrote the id as it was received, perhaps as a text."""

    portal_id: int | str


def take_portals(connection: Connection, folder: Path) -> Imported:
    """Take in which portals keys stand for. What is damaged is left out: slices have the ids as well. Raises StorageError."""
    imported: Imported = {}
    with storage_errors(folder, "take in portal ids from"):
        for file in portal_files(folder):
            stamp = _stamp(file)
            with suppress(DamagedFileError, ValueError):
                if found := read_record(file, _Portal, "the portal id"):
                    PORTALS.add(connection, PortalId(portal=file.stem, id=int(found.portal_id)))
            if stamp:
                imported[file] = stamp
    return imported
