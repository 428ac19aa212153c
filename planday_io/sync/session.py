"""One portal during one run: a connection, a reader and a writer.

    PortalConnection: tokens, identity, HTTP ─► PortalReader: parents, calls, rows ─► SliceWriter: merge, guard, lake

Schedules, retries of steps and publication are `pipelines`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.sync.connection import PortalConnection
from planday_io.sync.reader import PortalReader
from planday_io.sync.writer import SliceWriter


class PortalSession:
    """One portal during one run.

    Args:
        installation: the installation.
        portal: config key.
        run_id: written into every slice.
        batch: name of the runs that this one was started together with; see `planday_io.sync.parents`.
        writer: id of the run as a writer; its slices are published when it ends, see `planday_io.state.runs`.
        clock: the current UTC instant.
    """

    def __init__(
        self,
        installation: Installation,
        portal: str,
        *,
        run_id: str,
        batch: str | None = None,
        writer: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.installation = installation
        self.portal = portal
        self.clock = clock
        self.lake = Lake(installation.config.lake, installation.state, writer)
        self.connection = PortalConnection(installation, portal)
        self.reader = PortalReader(installation, self.lake, self.connection, batch)
        self.writer = SliceWriter(
            installation, self.connection, self.lake, self.reader.erased, run_id=run_id, batch=batch
        )

    def endpoint_of(self, table: str, month: str | None) -> Endpoint:
        """The endpoint of a table. Raises ValueError when a month is given and there are none, or the reverse."""
        endpoint = self.installation.catalogue.endpoint_of(table)
        if (endpoint.grid == "month") != (month is not None):
            raise ValueError(f"{table} has {'a slice per month' if month is None else 'no months'}")
        return endpoint

    def read(self, table: str, month: str | None = None) -> pa.Table:
        """Read a table from the API, typed and under the privacy policy, without writing anything."""
        read = asyncio.run(self.reader.read_only(self.endpoint_of(table, month), month, self.clock()))
        return read.result.tables[table].table
