"""What of an endpoint is due, and how what came is joined with the previous slice.

A snapshot is read whole. A fan-out that knows when its parents changed reads the new and modified ones and carries the
others over. A feed reads what came since, and never loses a row.

Not here: requests, guards, writing (`planday_io.refresh`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.config.model import Privacy
from planday_io.frames.build import from_frame, to_frame
from planday_io.lake.slices import Lake, SliceKey
from planday_io.reading.read import EndpointRead, TableRead

_SETTLED = timedelta(minutes=2)
"""A row whose stamp is younger than this when it was read may have changed again within the same second."""
_SAFE = timedelta(days=1)
"""Zones of stamps are unknown, so a modification counts as seen only when it is this much older than the read."""


@dataclass(slots=True)
class Parents:
    """Ids to fan out over, and when each was last modified."""

    modified: dict[int, datetime | None] = field(default_factory=dict)


class Plan:
    """The plan of one read of one endpoint.

    Args:
        endpoint: its declaration.
        lake: where the previous slices are.
        portal: config key.
        policies: privacy policy in force; what was read under another one is not carried over.
        fetched_at: UTC instant the read begins.
        full: read everything all the same.
    """

    def __init__(
        self, endpoint: Endpoint, lake: Lake, portal: str, policies: Privacy, fetched_at: datetime, *, full: bool
    ) -> None:
        self.endpoint = endpoint
        self.fetched_at = fetched_at
        self._lake = lake
        self._portal = portal
        self._origins = {
            table.full_name: lake.origin(SliceKey.of(table.full_name, portal)) for table in endpoint.tables
        }
        # What was read under another policy or catalogue cannot be carried over.
        comparable = all(
            origin is not None
            and origin.policies == policies_of(table, policies)
            and origin.catalogue_version == VERSION
            for table in endpoint.tables
            for origin in (self._origins[table.full_name],)
        )
        self._is_partial = comparable and not full and (endpoint.feed is not None or _is_incremental(endpoint))
        self.since: str | None = None
        first = self._origins[endpoint.name]
        if endpoint.feed and self._is_partial and first:
            self.since = (first.fetched - timedelta(days=endpoint.feed.overlap_days)).date().isoformat()
        self.window = "all"
        self._kept: set[int] = set()

    def due(self, parents: Parents) -> dict[int, bool]:
        """Parents to read -> whether everything of them is wanted."""
        everyone = dict.fromkeys(parents.modified, True)
        if not self._is_partial:
            return everyone
        if self.endpoint.feed:
            origin = self._origins[self.endpoint.name]
            known = set(origin.answered) if origin else set()
            self.window = f"since {self.since}"
            return {parent: parent not in known for parent in everyone}
        current = self._up_to_date(parents)
        self._kept = current & everyone.keys()
        due = {parent: True for parent in everyone if parent not in current}
        self.window = f"{len(due)} new or modified of {len(everyone)}"
        return due

    def merged(self, table: Table, part: TableRead) -> pa.Table:
        """The new slice: what came, and what is carried over from the previous one. Call it within the lock."""
        if not self._is_partial or self._origins[table.full_name] is None:
            return part.table
        key = SliceKey.of(table.full_name, self._portal)
        previous = _aligned(self._lake.read(key), part.table.schema)
        if self.endpoint.feed:
            return _merged_feed(table, previous, part.table)
        carried = previous.filter(pc.is_in(previous.column(table.key[0]), pa.array(self._kept, pa.int64())))
        return pa.concat_tables([carried, part.table])

    def answered(self, read: EndpointRead) -> list[int]:
        """Parents that a feed's slice covers up to this read.

        Those of earlier reads only do not count: who was off the list in between is read whole on return.
        """
        return read.answered if self.endpoint.feed else []

    def _up_to_date(self, parents: Parents) -> set[int]:
        """Parents whose previous row was read after their last modification."""
        fan_out = self.endpoint.fan_out
        assert fan_out is not None and fan_out.changed_by is not None  # noqa: S101, PT018 - see _is_incremental
        table = self.endpoint.tables[0]
        columns = [table.key[0], "_fetched_at"]
        has_stamp = any(column.name == fan_out.changed_by for column in table.columns)
        slice_key = SliceKey.of(table.full_name, self._portal)
        previous = self._lake.read(slice_key, [*columns, fan_out.changed_by] if has_stamp else columns)
        stamps = instants(previous, fan_out.changed_by) if has_stamp else [None] * previous.num_rows
        current = set()
        rows = zip(previous.column(columns[0]).to_pylist(), stamps, instants(previous, "_fetched_at"), strict=True)
        for parent, stamp, fetched in rows:
            modified = parents.modified.get(parent)
            if modified is None or fetched is None:
                continue
            same = stamp == modified and fetched - modified > _SETTLED
            if same or modified < fetched - _SAFE:
                current.add(parent)
        return current


def policies_of(table: Table, policies: Privacy) -> dict[str, str]:
    """The policy of each privacy class that a table has, `unknown` included."""
    classes = {column.privacy for column in table.columns} | {"unknown"}
    return {name: policies.policy(name) for name in sorted(classes)}


def _is_incremental(endpoint: Endpoint) -> bool:
    return endpoint.fan_out is not None and endpoint.fan_out.changed_by is not None


def instants(table: pa.Table, column: str) -> list[datetime | None]:
    """A column of instants as Python values."""
    stamps: list[datetime | None] = table.column(column).to_pylist()
    return stamps


def _aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """An older slice in today's columns: new ones are null, dropped ones are left out."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _merged_feed(table: Table, previous: pa.Table, new: pa.Table) -> pa.Table:
    """Both, one row per key; where both have a key the new row stands. Nothing is taken away."""
    joined = to_frame(pa.concat_tables([previous, new]))
    latest = joined.drop_duplicates(subset=["portal", *table.key], keep="last")
    return from_frame(latest, previous.schema)
