"""The names of folders and files in the lake: where slices are, and what is beside them.

    <domain>/<table>/<portal>/data.parquet             one slice per portal
    <domain>/<table>/<portal>/<YYYY-MM>/data.parquet   one slice per portal and month
    _writing/, _set_aside/                             files that are being written, or were set aside
    _lake.json, _forgotten/, _renames/                 what else belongs to the lake

A table's folder is read as a whole by pandas, Polars and others, so it holds slices and nothing else: Polars refuses folders
with other files, whatever they are called. These libraries make columns of folder names with `=` in them, and guess their
types. Portal and month are columns of the files, so folders are named without.

In version 0.1, folders were called `portal=<portal>` and `month=<YYYY-MM>`. Slices are found there too (`places`), and moved
(`moving`).

Not here: what is in the files (`slices`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from planday_io.files import storage_errors, unique_end
from planday_io.state import SliceKey

WRITING = "_writing"
"""The folder of files that are being written."""

BESIDE = ("_lake.json", "_forgotten/*.json", "_renames/*")
"""Patterns of the files that belong to the lake and are not slices."""

_ASIDE = "_set_aside"
_OLD_DAMAGED = "_damaged-"
_FILE = "data.parquet"
_OLD_PORTAL, _OLD_MONTH = "portal=", "month="
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_PORTAL = re.compile(rf"({_OLD_PORTAL})?([a-z0-9_]+)")
_MONTH = re.compile(rf"({_OLD_MONTH})?([0-9]{{4}}-(?:0[1-9]|1[0-2]))")


def file_of(key: SliceKey) -> str:
    """The file of a slice, relative to the lake."""
    return file_at(key.domain, key.table, key.portal, key.month)


def file_at(domain: str, table: str, portal: str, month: str | None) -> str:
    """Like `file_of`, without a key object, for callers that ask for tens of thousands."""
    return f"{domain}/{table}/{portal}/{month}/{_FILE}" if month else f"{domain}/{table}/{portal}/{_FILE}"


def old_file_of(key: SliceKey) -> str:
    """Where the file of a slice was in version 0.1, relative to the lake."""
    month = f"/{_OLD_MONTH}{key.month}" if key.month else ""
    return f"{key.domain}/{key.table}/{_OLD_PORTAL}{key.portal}{month}/{_FILE}"


def slices_in(root: Path, table: str | None = None, portal: str | None = None) -> Iterator[SliceKey]:
    """The slices of a lake, or those of a table (full name), or of a portal, in any order. Raises StorageError."""
    for domain, name in _tables(root, table):
        there = f"{root}/{domain}/{name}"
        found: set[SliceKey] = set()
        for folder in _both_names(portal) if portal else _folders(there, _PORTAL):
            for key in _slices_of(root, domain, name, folder):
                if key not in found:
                    found.add(key)
                    yield key


def old_slices_in(root: Path) -> Iterator[SliceKey]:
    """The slices in folders of version 0.1, in any order. Raises StorageError."""
    for domain, name in _tables(root):
        for folder in _old_folders(f"{root}/{domain}/{name}"):
            yield from _slices_of(root, domain, name, folder)


def tables_with_old_folders(root: Path, tables: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of the given tables (domain, name) have a folder of version 0.1. Raises StorageError."""
    return {(domain, name) for domain, name in tables if _old_folders(f"{root}/{domain}/{name}")}


def has_old_folder(root: Path, domain: str, table: str, portal: str) -> bool:
    """Whether a portal has a folder of version 0.1 in a table."""
    return os.path.lexists(f"{root}/{domain}/{table}/{_OLD_PORTAL}{portal}")


def old_folders_in(root: Path) -> list[Path]:
    """The folders of portals as version 0.1 called them. Raises StorageError."""
    tables = [root / domain / name for domain, name in _tables(root)]
    return [table / folder for table in tables for folder in _old_folders(str(table))]


def portals_in(root: Path) -> set[str]:
    """Keys of portals that have a folder in any table. Raises StorageError."""
    names = (name for domain, table in _tables(root) for name in _folders(f"{root}/{domain}/{table}", _PORTAL))
    return {name.removeprefix(_OLD_PORTAL) for name in names}


def folders_of(root: Path, portal: str) -> list[Path]:
    """The folders of a portal, one per table, or two. Raises StorageError."""
    tables = [root / domain / table for domain, table in _tables(root)]
    places = [table / name for table in tables for name in _both_names(portal)]
    return sorted(place for place in places if place.is_dir())


def name_aside(key: SliceKey, why: str) -> str:
    """A name for a file of a slice that is set aside, relative to the lake."""
    return f"{_ASIDE}/{key}.{why}-{unique_end()}"


def files_set_aside(root: Path) -> list[Path]:
    """Files of slices that were set aside. In version 0.1 they stayed in the slice's folder."""
    return sorted([*root.glob(f"{_ASIDE}/*"), *root.glob(f"*/*/*/**/{_OLD_DAMAGED}*")])


def old_set_aside_in(folder: Path) -> list[Path]:
    """Damaged files that version 0.1 set aside in a portal's folder."""
    return sorted(folder.glob(f"**/{_OLD_DAMAGED}*"))


def key_in(root: Path, folder: Path) -> SliceKey:
    """The slice whose folder this is, whichever way it is called."""
    domain, table, portal, *months = folder.relative_to(root).parts
    month = months[0].removeprefix(_OLD_MONTH) if months else None
    return SliceKey(domain, table, portal.removeprefix(_OLD_PORTAL), month)


def _slices_of(root: Path, domain: str, table: str, folder: str) -> Iterator[SliceKey]:
    """The slices in one portal's folder, under old names if the folder's name is old."""
    portal = folder.removeprefix(_OLD_PORTAL)
    names = old_file_of if folder.startswith(_OLD_PORTAL) else file_of
    months = (name.removeprefix(_OLD_MONTH) for name in _folders(f"{root}/{domain}/{table}/{folder}", _MONTH))
    for month in (None, *months):
        key = SliceKey(domain, table, portal, month)
        if os.path.lexists(f"{root}/{names(key)}"):
            yield key


def _both_names(portal: str) -> list[str]:
    """The names that a portal's folder may have; none for a text that is no key."""
    return [portal, f"{_OLD_PORTAL}{portal}"] if _PORTAL.fullmatch(portal) else []


def _tables(root: Path, table: str | None = None) -> Iterator[tuple[str, str]]:
    if table:
        domain, _, name = table.partition(".")
        yield domain, name
        return
    for domain in _folders(f"{root}", _NAME):
        for name in _folders(f"{root}/{domain}", _NAME):
            yield domain, name


def _old_folders(path: str) -> list[str]:
    return [name for name in _folders(path, _PORTAL) if name.startswith(_OLD_PORTAL)]


def _folders(path: str, pattern: re.Pattern[str]) -> list[str]:
    """The names of subfolders that match. Raises StorageError."""
    try:
        with os.scandir(path) as there:
            return [one.name for one in there if pattern.fullmatch(one.name) and one.is_dir()]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # Slices in it that were published are reported as lost.
        return []
    except OSError:
        with storage_errors(Path(path), "list the slices in"):
            raise
