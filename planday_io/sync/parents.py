"""The parents of fan-outs: rows of other tables, read in this run or by a run started together with it.

A backfill of two years is two dozen runs that all need the departments. Runs that were started together (one backfill, one
tick of a schedule, one `planday sync`) share what the first of them read, for at most an hour: its slice, or only the ids if
it does not write the table. A single run reads its own.

They are read in `planday_io.sync.reader`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pyarrow as pa

from planday_io.errors import DamagedSliceError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.state import SHARED_FOR, SliceKey


class ParentTables:
    """Parents of one portal during one run, which was started together with the others of its `batch`, or alone."""

    def __init__(self, installation: Installation, lake: Lake, portal: str, batch: str | None) -> None:
        catalogue = installation.catalogue
        fan_outs = [(endpoint.fan_out, endpoint.grid) for endpoint in catalogue.endpoints if endpoint.fan_out]
        self._wanted = {name for fan_out, _ in fan_outs for name in fan_out.sources}
        # Only runs of months come in large groups, and ids of people are stored only in the lake.
        self._shared = {
            fan_out.parent: fan_out.columns[0]
            for fan_out, grid in fan_outs
            if grid == "month" and len(fan_out.columns) == 1 and not catalogue.table(fan_out.parent).people
        }
        self._lake = lake
        self._batch = batch
        self._portal = portal
        self._tables: dict[tuple[str, str | None], pa.Table] = {}

    def find(self, table: str, month: str | None) -> pa.Table | None:
        """The rows of a table as this group of runs read them, or None. They may have no column but the id."""
        if (table, month) not in self._tables and self._batch:
            found = self._in_lake(table, month, self._batch)
            found = found if found is not None else self._in_state(table, month, self._batch)
            if found is not None:
                self._tables[table, month] = found
        return self._tables.get((table, month))

    def remember(self, table: str, month: str | None, rows: pa.Table, fetched_at: datetime) -> None:
        """Keep the rows of a read that began at a UTC instant, if an endpoint fans out over them. Raises StorageError."""
        if table not in self._wanted:
            return
        if month is not None:
            # Months are read one after the other: earlier ones are not needed in memory.
            self._tables = {key: kept for key, kept in self._tables.items() if key[1] in (None, month)}
        self._tables[table, month] = rows
        if self._batch and month is None and (column := self._shared.get(table)):
            ids = rows.column(column).to_pylist()
            self._lake.state.shared_ids.share(self._batch, self._portal, table, ids, fetched_at)

    def _in_lake(self, table: str, month: str | None, batch: str) -> pa.Table | None:
        key = SliceKey.of(table, self._portal, month)
        provenance = self._lake.usable_provenance(key)
        if provenance is None or provenance.batch != batch or datetime.now(UTC) - provenance.fetched > SHARED_FOR:
            return None
        with suppress(DamagedSliceError):
            return self._lake.read(key)
        return None

    def _in_state(self, table: str, month: str | None, batch: str) -> pa.Table | None:
        column = self._shared.get(table) if month is None else None
        ids = self._lake.state.shared_ids.find(batch, self._portal, table, datetime.now(UTC)) if column else None
        return None if ids is None else pa.table({column: pa.array(ids, pa.int64())})
