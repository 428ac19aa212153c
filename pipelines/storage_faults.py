"""Faults of Dagster's own storage, named for what they are: a full disk, a database that is damaged, locked or read-only.

Dagster lets the errors of SQLAlchemy, sqlite3 and the file system through, as bare tracebacks. Not here: files of the lake,
of `.planday` and the warehouse, whose errors are reported where they happen (`planday_io.files`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy.exc
import yaml
from dagster import DagsterError

from planday_io.errors import PlandayError, StorageError
from planday_io.faults import DISK_FULL, chain

_SIGNS = (
    (("disk is full", "no space left", "quota exceeded"), "The disk is full: free some space."),
    (("disk i/o error",), "The disk is full or failing: free some space, and check the disk."),
    (
        ("readonly", "read-only"),
        "It may not be written: give the account that runs this the right to, and check the mount.",
    ),
    (("unable to open", "permission denied"), "Check that the folder exists and that this account may write there."),
    (("is locked",), "Another program holds it: end that, or wait."),
    (
        ("malformed", "not a database", "no such table", "no such column", "corrupt", "database schema"),
        "It is damaged or of another version: run `dagster instance migrate`. If that fails, move .dagster/storage away: the "
        "list of past runs goes with it, no data does, and a new one is made.",
    ),
    (("connection refused", "could not connect", "could not translate", "server closed"), "Is its server running?"),
)
_ANYTHING = "Check the disk, the folder .dagster and dagster.yaml."


class DagsterStorageError(StorageError):
    """Dagster's storage cannot be used."""


@contextmanager
def dagster_storage() -> Iterator[None]:
    """Turn what Dagster's storage raises inside into a DagsterStorageError, which says what to do."""
    try:
        yield
    except PlandayError:
        raise
    except Exception as error:
        if (told := storage_fault(error)) is None:
            raise
        raise told from error


def storage_fault(error: BaseException) -> DagsterStorageError | None:
    """What is wrong with Dagster's storage, or None where an error, and what led to it, says nothing of it."""
    for one in chain(error):
        if isinstance(one, (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError)):
            return _explained(one)
    if isinstance(error, (DagsterError, yaml.YAMLError)):
        return DagsterStorageError(
            f"Dagster cannot use its storage or its dagster.yaml ({type(error).__name__}: {first_line(error)}). {_ANYTHING}"
        )
    return None


def file_fault(error: OSError) -> StorageError | None:
    """What is wrong with a file that is none of Dagster's, or None where it says nothing of one."""
    name = error.filename if isinstance(error.filename, str) else ""
    if not name or ".dagster" in Path(name).parts:
        return None
    said = (error.strerror or type(error).__name__).lower()
    remedy = next(
        (what for signs, what in _SIGNS if any(sign in said for sign in signs)), "Check the folder and the disk."
    )
    return StorageError(f"cannot use {name}: {error.strerror or type(error).__name__}. {remedy}")


def _explained(error: sqlalchemy.exc.SQLAlchemyError | sqlite3.Error | OSError) -> DagsterStorageError:
    origin = getattr(error, "orig", None) or error
    # Only the driver's own words: SQLAlchemy's add the statement with its values.
    said = first_line(origin)
    if isinstance(origin, OSError) and origin.errno in DISK_FULL:
        said = "no space left on the disk"
    remedy = next((what for signs, what in _SIGNS if any(sign in said.lower() for sign in signs)), _ANYTHING)
    return DagsterStorageError(
        f"Dagster's storage cannot be used ({type(origin).__name__}: {said}). {remedy} Then run the same command again; the "
        "lake and the warehouse are as they were after the last table that was reported"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says anything."""
    return next((line for line in str(error).splitlines() if line.strip()), "no text")[:300]
