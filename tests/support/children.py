"""What tests run in a child process, to be killed or limited there."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from planday_io.catalogue import CATALOGUE
from planday_io.errors import StorageError
from planday_io.frames.types import arrow_schema
from planday_io.lake.history import Histories
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.sync.session import PortalSession, refresh


class Cut(Histories):
    """Kills the process where the slice is written and its history is not."""

    def try_to_follow(self, keys: Iterable[SliceKey], rows: Mapping[SliceKey, pa.Table] | None = None) -> None:  # noqa: ARG002
        os.kill(os.getpid(), signal.SIGKILL)


def cut_between(config_path: str) -> None:
    """Read hr.employees, and be killed between slice and history."""
    at = datetime(2026, 10, 2, 2, 0, tzinfo=UTC)
    installation = Installation.load(Path(config_path), CATALOGUE)
    config = installation.config
    session = PortalSession(installation, "oslo", run_id="killed", clock=lambda: at)
    session.writer.histories = Cut(session.lake, CATALOGUE, config)
    refresh(session, "hr.employees")


def refresh_limited(config_path: str) -> None:
    """Write the slice of hr.employees on a disk that has become full, and print the error."""
    installation = Installation.load(Path(config_path), CATALOGUE)
    lake = installation.lake
    key = SliceKey.of("hr.employees", "oslo")
    table, provenance = lake.read(key), lake.provenance(key)
    assert table.schema.equals(arrow_schema(CATALOGUE.table("hr.employees"), installation.config.privacy))
    assert provenance is not None
    try:
        with lake.locked(key):
            slice_id = lake.announce([key])[key]
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            lake.write(key, table, provenance, slice_id)
    except StorageError as error:
        print(error)
