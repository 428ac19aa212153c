"""The parents of fan-outs: rows of other tables, read in this run or by a run started together with it.

A backfill of two years is two dozen runs that all need the departments. Runs that were started together (one backfill, one
tick of a schedule, one `planday sync`) share what the first of them read, for at most an hour: its slice, or only the ids if
the portal does not include the table. A single run reads its own.

Reading them is `planday_io.sync.session`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from planday_io.catalogue import Catalogue
from planday_io.errors import DamagedSliceError
from planday_io.files import replacing, storage_errors
from planday_io.lake import parquet
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state.records import make_way

_SHARED_SECONDS = 3600
_KEPT_SECONDS = 86_400


class ParentTables:
    """Parents of one portal during one run.

    Args:
        catalogue: the endpoints there are.
        lake: slices of runs that were started together with this one.
        portal: config key.
        batch: name of the group of runs started together, or None for a run that stands alone.
    """

    def __init__(self, catalogue: Catalogue, lake: Lake, portal: str, batch: str | None) -> None:
        self._catalogue = catalogue
        self._lake = lake
        self._batch = batch
        self._portal = portal
        self._root = lake.state.folder / "batches"
        self._folder = self._root / batch if batch else None
        self._tables: dict[tuple[str, str | None], pa.Table] = {}

    def find(self, table: str, month: str | None) -> pa.Table | None:
        """The rows of a table as this group of runs read them, or None."""
        if (known := self._tables.get((table, month))) is not None:
            return known
        if (found := self._in_lake(table, month)) is not None:
            self._tables[table, month] = found
            return found
        path = self._path(table)
        if month is not None or path is None or not path.exists():
            return None
        try:
            if time.time() - path.stat().st_mtime > _SHARED_SECONDS:
                return None
            found = parquet.read(path).select(list(self._shared_columns(table)))
        except (DamagedSliceError, OSError, KeyError):
            # Left by a machine that stopped, or removed meanwhile; it is read again from the API, and written again.
            return None
        self._tables[table, None] = found
        return found

    def remember(self, table: str, month: str | None, rows: pa.Table) -> None:
        """Keep the rows, if an endpoint fans out over them."""
        fan_outs = [endpoint.fan_out for endpoint in self._catalogue.endpoints if endpoint.fan_out]
        wanted = {one.parent for one in fan_outs} | {one.extra_parents[0] for one in fan_outs if one.extra_parents}
        if table not in wanted | {one.once.parent for one in fan_outs if one.once}:
            return
        if month is not None:
            # Months are read one after the other: earlier ones are not needed in memory.
            self._tables = {key: kept for key, kept in self._tables.items() if key[1] in (None, month)}
        self._tables[table, month] = rows
        columns = self._shared_columns(table)
        path = self._path(table)
        if month is None and columns and path is not None:
            with storage_errors(path, "write"):
                if not path.parent.exists():
                    self._sweep()
                make_way(path)
                with replacing(path, mode=0o600) as temporary:
                    parquet.write(rows.select(columns), temporary, b"{}")

    def _in_lake(self, table: str, month: str | None) -> pa.Table | None:
        key = SliceKey.of(table, self._portal, month)
        provenance = self._lake.usable_provenance(key) if self._batch else None
        if provenance is None or provenance.batch != self._batch:
            return None
        if datetime.now(UTC) - provenance.fetched > timedelta(seconds=_SHARED_SECONDS):
            return None
        with suppress(DamagedSliceError):
            return self._lake.read(key)
        return None

    def _shared_columns(self, table: str) -> Sequence[str]:
        """The ids that monthly tables need from it: only their runs come in groups."""
        wanted = {
            column
            for endpoint in self._catalogue.endpoints
            if endpoint.grid == "month" and endpoint.fan_out and endpoint.fan_out.parent == table
            for column in endpoint.fan_out.columns
        }
        return sorted(wanted)

    def _path(self, table: str) -> Path | None:
        return (
            self._folder / f"{self._portal}.{table}.parquet" if self._folder and self._shared_columns(table) else None
        )

    def _sweep(self) -> None:
        """Remove files of groups of earlier days."""
        for folder in self._root.glob("*"):
            with suppress(FileNotFoundError):  # another run removes it as well
                if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
