"""The published file, as exports read it: one connection to one publication, which can reach nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from planday_io.warehouse.standing import reading


@contextmanager
def published(warehouse: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, datetime]]:
    """A connection to the published file, and the instant (UTC) at which that very file was written.

    Raises:
        StorageError: there is none yet, or it cannot be read.
    """
    with ExitStack() as stack:
        while True:
            before = warehouse.stat() if warehouse.exists() else None
            db = stack.enter_context(reading(warehouse))
            after = warehouse.stat()
            if before and (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns):
                break
            # It was replaced meanwhile.
            stack.close()
        yield db, datetime.fromtimestamp(after.st_mtime, UTC)
