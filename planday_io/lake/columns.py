"""Gives all files of a table the columns that the catalogue and the privacy policy say, and notes that it did.

Files of one table that differ in their columns cannot be read together: pandas leaves out what the first file lacks, and
Polars and DuckDB refuse. So a new column reaches the older files as well, without values, with the first publication that
knows it.

Not here: how a file is changed (`policies`).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from planday_io.catalogue import Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import DamagedFileError, DamagedSliceError, StorageError
from planday_io.files import storage_errors, write_text
from planday_io.frames.types import arrow_schema
from planday_io.lake.policies import adapt
from planday_io.lake.slices import Lake
from planday_io.state.records import encoded, read_record

_NAME = "_columns.json"


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is in the file: full name of each table, and a digest of its columns."""

    tables: dict[str, str]


def adapt_columns(lake: Lake, catalogue: Catalogue, policies: PrivacyPolicy) -> list[StorageError]:
    """Adapt the slices of tables whose columns changed since this was last done, and note it.

    Returns:
        Why slices were not adapted. Their tables are tried again the next time.

    Raises:
        StorageError: the lake cannot be listed, or the note not be written.
    """
    wanted = {
        name: hashlib.sha256(str(arrow_schema(table, policies)).encode()).hexdigest()[:16]
        for name, table in catalogue.lake_tables.items()
    }
    done = _noted(lake.root)
    changed = [name for name, digest in wanted.items() if done.get(name) != digest]
    errors: list[StorageError] = []
    for name in changed:
        before = len(errors)
        for key in lake.slices(name):
            try:
                # A damaged slice is reported when it is published, and then read again.
                with suppress(DamagedSliceError):
                    adapt(lake, catalogue, policies, [key])
            except StorageError as error:
                errors.append(error)
        if len(errors) == before:
            done[name] = wanted[name]
    if changed and lake.root.is_dir():
        with storage_errors(lake.root / _NAME, "note the columns in"):
            write_text(lake.root / _NAME, encoded(_Stored(done)))
    return errors


def _noted(root: Path) -> dict[str, str]:
    try:
        stored = read_record(root / _NAME, _Stored, "the columns of the files")
    except DamagedFileError:
        stored = None
    return dict(stored.tables) if stored else {}
