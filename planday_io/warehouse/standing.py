"""Inspects the warehouse file before a publication: is it ours, is it unchanged, which slices does it show?

A publication starts from a copy, so edits by another program would survive in it. The headers of the published file are
recorded in the state; a file with other headers is rebuilt from the lake. `place` handles the file's path and logs,
`publish` renews it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import LostSliceError, PublicationError, StorageError
from planday_io.files import copy_content, storage_errors, temporary
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state import State
from planday_io.warehouse import ledger
from planday_io.warehouse.definitions import literal, retyped
from planday_io.warehouse.place import Holder, Place, headers_of, set_aside_leftovers


@dataclass(frozen=True, slots=True)
class Standing:
    """The present file.

    Args:
        made: how it was made, or None if the file does not record it.
        is_retyped: a column has the wrong type.
        shown: the slices in it.
        is_edited: it differs from what was published.
        is_known: its headers were recorded when it was published; otherwise edits cannot be detected.
        source: the file to read; a copy if another program has the file open for writing.
        headers: fingerprint of its headers.
        holder: the program that has the file open.
    """

    made: ledger.Published | None
    is_retyped: bool
    shown: Mapping[SliceKey, ledger.Shown]
    is_edited: bool
    is_known: bool
    source: Path
    headers: str
    holder: Holder | None


@contextmanager
def standing(
    place: Place, state: State, catalogue: Catalogue, policies: PrivacyPolicy, wanted: ledger.Published
) -> Iterator[Standing]:
    """Inspect the present file.

    Raises:
        PublicationError: it is not a warehouse of this program.
    """
    if place.file.is_dir():
        raise PublicationError(
            f"{place.path} is a folder: correct `warehouse` in portals.yaml, or move the folder away"
        )
    if not place.is_duckdb():
        raise PublicationError(f"{place.path} is not a DuckDB file, or is damaged. {_ADVICE}")
    noted = state.files.warehouse()
    before = headers_of(place.file)
    source, holder = place.file, None
    with ExitStack() as stack:
        try:
            try:
                found = _contents(source, catalogue, policies, wanted)
            except duckdb.Error as error:
                if not _is_locked(error):
                    raise
                holder = place.holder() or Holder(0, "")
                source = stack.enter_context(temporary(place.file))
                with storage_errors(source, "copy the warehouse to"):
                    copy_content(place.file, source)
                found = _contents(source, catalogue, policies, wanted)
        except duckdb.Error as error:
            raise explained(error, place.path) from None
        if found is None:
            raise PublicationError(
                f"{place.path} was not written by this program: it has no table {ledger.SLICES}. {_ADVICE}"
            )
        # Another program may have written during the copy: it is intact only if the headers are equal before and after.
        is_edited = noted is not None and (before not in noted or headers_of(source) != before)
        yield Standing(
            *found, is_edited=is_edited, is_known=noted is not None, source=source, headers=before, holder=holder
        )


_ADVICE = (
    "Nothing was changed. Correct `warehouse` in portals.yaml, or, if the file is to be replaced, write a new one from "
    "the lake with `planday publish --rebuild`"
)


def _contents(
    file: Path, catalogue: Catalogue, policies: PrivacyPolicy, wanted: ledger.Published
) -> tuple[ledger.Published | None, bool, dict[SliceKey, ledger.Shown]] | None:
    """The first three members of `Standing`, or None if the file is not ours."""
    with attached(file) as db:
        if not {"table_name", "portal", "verdict", "run_id"} <= ledger.names_in(db, ledger.SLICES):
            return None
        made = ledger.read_publication(db)
        is_retyped = made is None or (made.definitions != wanted.definitions and retyped(db, catalogue, policies))
        return made, is_retyped, ledger.read_slices(db)


def refuse_empty_lake(lake: Lake, warehouse: Path) -> None:
    """Check, where neither lake nor state knows anything, that a warehouse shows nothing either.

    Raises:
        LostSliceError: it shows slices, so this is not the lake that was written before. Nothing may be written.
    """
    place = Place(warehouse)
    if not place.is_duckdb():
        return
    try:
        with attached(place.file) as db:
            shown = ledger.read_slices(db)
    except duckdb.Error:
        # Not a warehouse, or in use: the publication reports it.
        return
    if shown:
        raise LostSliceError(
            f"{lake.root} has no data in it, and {warehouse} shows {len(shown)} slices. Check that the folder exists "
            "and the disk is mounted, and that `lake` in portals.yaml is the right one. If the warehouse is to begin "
            "again from nothing, say so with `planday publish --rebuild`. Nothing was written"
        )


@contextmanager
def attached(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, open for reading. Attached, because `connect` returns a file that this process has already open under that
    name, which may have been replaced.
    """
    with duckdb.connect(":memory:") as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"ATTACH {literal(str(file))} AS warehouse (READ_ONLY)")
        db.execute("USE warehouse")
        yield db


@contextmanager
def reading(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published file, open for reading: one connection, so that all answers are of one publication.

    Raises:
        StorageError: there is none yet, or it cannot be read.
    """
    if not warehouse.exists():
        raise StorageError(f"there is no {warehouse} yet: run `planday sync` first")
    set_aside_leftovers(warehouse)
    try:
        with attached(warehouse) as db:
            yield db
    except duckdb.Error as error:
        if "no space left" in str(error).lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        remedy = "Write it again from the lake: `planday publish --rebuild`"
        if isinstance(error, duckdb.OutOfMemoryException):
            remedy = "There is not enough memory: free some, and run the same command again"
        elif holder := Place(warehouse).holder():
            remedy = f"Close it in {holder}, which has it open for writing"
        raise StorageError(f"{warehouse} cannot be read ({type(error).__name__}). {remedy}") from None


def _is_locked(error: duckdb.Error) -> bool:
    """Whether another program, or this one, has the file open for writing."""
    text = str(error).lower()
    return any(
        part in text for part in ("set lock", "already attached", "different configuration", "file handle conflict")
    )


def explained(error: duckdb.Error, warehouse: Path) -> StorageError:
    """An error of DuckDB as ours; its text may hold file names, never rows."""
    if "no space left" in str(error).lower() or "out of disk" in str(error).lower():
        raise OSError(errno.ENOSPC, "No space left on device") from None
    return PublicationError(
        f"{warehouse} was not renewed ({type(error).__name__}). The previous file is untouched; if it is damaged, write "
        "a new one from the lake with `planday publish --rebuild`"
    )
