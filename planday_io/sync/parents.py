"""The parents of fan-outs: rows of other tables, read in this run or by a run started together with it.

Runs that were started together (one backfill, one tick of a schedule, one `planday sync`) use the slices that the first of
them wrote, for at most an hour. A single run reads its own.

Reading them is `planday_io.sync.reader`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from planday_io.errors import DamagedSliceError
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.state import SliceKey

_SHARED_FOR = timedelta(hours=1)


class ParentTables:
    """Parents of one portal during one run.

    Args:
        installation: its catalogue says which tables have parents.
        lake: slices of runs that were started together with this one.
        portal: config key.
        batch: name of the group of runs started together, or None for a run that stands alone.
    """

    def __init__(self, installation: Installation, lake: Lake, portal: str, batch: str | None) -> None:
        fan_outs = [endpoint.fan_out for endpoint in installation.catalogue.endpoints if endpoint.fan_out]
        self._wanted = {name for fan_out in fan_outs for name in fan_out.sources}
        self._lake = lake
        self._batch = batch
        self._portal = portal
        self._tables: dict[tuple[str, str | None], pa.Table] = {}

    def find(self, table: str, month: str | None) -> pa.Table | None:
        """The rows of a table as this group of runs read them, or None."""
        if (table, month) not in self._tables and (found := self._in_lake(table, month)) is not None:
            self._tables[table, month] = found
        return self._tables.get((table, month))

    def remember(self, table: str, month: str | None, rows: pa.Table) -> None:
        """Keep the rows, if an endpoint fans out over them."""
        if table not in self._wanted:
            return
        if month is not None:
            # Months are read one after the other: earlier ones are not needed in memory.
            self._tables = {key: kept for key, kept in self._tables.items() if key[1] in (None, month)}
        self._tables[table, month] = rows

    def _in_lake(self, table: str, month: str | None) -> pa.Table | None:
        key = SliceKey.of(table, self._portal, month)
        provenance = self._lake.usable_provenance(key) if self._batch else None
        if (
            provenance is None
            or provenance.batch != self._batch
            or datetime.now(UTC) - provenance.fetched > _SHARED_FOR
        ):
            return None
        with suppress(DamagedSliceError):
            return self._lake.read(key)
        return None
