"""Faults of Dagster's own storage, named for what they are: a full disk, a database that is damaged, locked or read-only.

Dagster passes the errors of its database and of the file system on as bare tracebacks. Not here: files of the lake, of the
state and of the warehouse, whose errors are reported where they happen (`planday_io.files`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from dagster import DagsterError

from planday_io.errors import PlandayError, StorageError
from planday_io.faults import StorageTrouble, first_line, storage_trouble, trouble_in

_REMEDIES: dict[StorageTrouble, str] = {
    "full": "The disk is full: free some space.",
    "failing": "The disk is full or failing: free some space, and check the disk.",
    "read-only": "It may not be written: give the account that runs this the right to, and check the mount.",
    "no access": "Check that the folder exists and that this account may write there.",
    "locked": "Another program has locked it: end that program, or wait.",
    "damaged": "It is damaged or of another version: run `dagster instance migrate`. If that fails, move .dagster/storage "
    "away: the list of past runs goes with it, no data does, and a new one is made.",
    "no server": "Is its server running?",
    "unknown": "Check the disk, the folder .dagster and dagster.yaml.",
}


class DagsterStorageError(StorageError):
    """Dagster's storage cannot be used."""


@contextmanager
def dagster_storage() -> Iterator[None]:
    """Turn an error of Dagster's storage, raised inside, into a DagsterStorageError that says what to do."""
    try:
        yield
    except PlandayError:
        raise
    except Exception as error:
        if (fault := storage_fault(error)) is None:
            raise
        raise fault from error


def storage_fault(error: BaseException) -> DagsterStorageError | None:
    """What is wrong with Dagster's storage; None if neither the error nor its cause comes from there."""
    if found := storage_trouble(error):
        trouble, said = found
        return DagsterStorageError(
            f"Dagster's storage cannot be used ({said}). {_REMEDIES[trouble]} Then run the same command again; the lake and "
            "the warehouse are as they were after the last table that was reported"
        )
    if isinstance(error, (DagsterError, yaml.YAMLError)):
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        said = f"{type(error).__name__}: {first_line(error)}{where}"
        return DagsterStorageError(
            f"Dagster cannot use its storage or its dagster.yaml ({said}). Correct dagster.yaml, or look at the disk and the "
            "folder .dagster"
        )
    return None


def file_fault(error: OSError) -> StorageError | None:
    """What is wrong with a file that is not Dagster's, or None where the error names no such file."""
    name = error.filename if isinstance(error.filename, str) else ""
    if not name or ".dagster" in Path(name).parts:
        return None
    said = error.strerror or type(error).__name__
    trouble = trouble_in(said)
    remedy = _REMEDIES[trouble] if trouble != "unknown" else "Check the folder and the disk."
    return StorageError(f"cannot use {name}: {said}. {remedy}")
