"""Where the files of slices are: `domain/table/portal=key/month=YYYY-MM/data.parquet`, as readers of Parquet folders expect.

Not here: what is in them (`slices`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from planday_io.files import storage_errors
from planday_io.state import SliceKey


def file_of(key: SliceKey) -> str:
    """The file of a slice, relative to the lake."""
    month = f"/month={key.month}" if key.month else ""
    return f"{key.domain}/{key.table}/portal={key.portal}{month}/data.parquet"


def slices_in(root: Path, table: str | None = None, portal: str | None = None) -> Iterator[SliceKey]:
    """The slices of a lake, or those of a table (full name), or of a portal, in any order. Raises StorageError."""
    for domain in [table.partition(".")[0]] if table else _folders(f"{root}"):
        for name in [table.partition(".")[2]] if table else _folders(f"{root}/{domain}"):
            there = f"{root}/{domain}/{name}"
            for key in [portal] if portal else _folders(there, "portal="):
                for month in (None, *_folders(f"{there}/portal={key}", "month=")):
                    one = SliceKey(domain, name, key, month)
                    if os.path.lexists(f"{root}/{file_of(one)}"):
                        yield one


def _folders(path: str, prefix: str = "") -> list[str]:
    """For each subfolder whose name begins with a prefix, the rest of the name."""
    with storage_errors(Path(path), "list the slices in"):
        try:
            with os.scandir(path) as there:
                return [one.name.removeprefix(prefix) for one in there if one.name.startswith(prefix) and one.is_dir()]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # Slices in it that were published are reported as lost.
            return []
