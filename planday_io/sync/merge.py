"""Merges what was read of a table with what is carried over from its previous slice."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Table
from planday_io.errors import DamagedSliceError
from planday_io.frames.build import to_frame
from planday_io.lake.policies import aligned, under_policy
from planday_io.lake.slices import Lake, Provenance
from planday_io.sync.incremental import IN_NEITHER, ONCE, parent_column
from planday_io.sync.reader import CompleteRead


def merged(lake: Lake, read: CompleteRead, table: Table) -> tuple[pa.Table, dict[str, str]]:
    """The new slice of one of the tables that were read. Call it within the slice's lock.

    Returns:
        The rows just read and carried over, and the parents that they cover, with their digests. Parents covered by
        earlier reads only are left out: a parent that left the list is read again when it returns.

    Raises:
        DamagedSliceError: the previous slice is damaged, and rows of it have to be carried over.
    """
    plan, endpoint, key = read.plan, read.endpoint, read.key(table)
    new = read.result.tables[table.full_name].table
    # A parent that the API no longer answers for keeps its rows, if they name the parent.
    link = parent_column(endpoint, table)
    keeps_left = endpoint.fan_out is not None and endpoint.fan_out.once is not None
    unknown = read.result.left if keeps_left else read.result.unknown if link else ()
    kept = {ids[0] for ids in (*plan.kept, *plan.kept_once, *unknown)}
    if not (kept or endpoint.feed or plan.listed is not None):
        return new, _covers(read)
    try:
        provenance = lake.provenance(key)
        if provenance is None and not plan.kept:
            return new, _covers(read)
        before = lake.read(key)
    except DamagedSliceError:
        if plan.kept or endpoint.feed:
            raise
        # Rows of vanished parents are lost with the file, which is set aside.
        return new, _covers(read)
    assert provenance is not None  # noqa: S101 - otherwise there is no file to read
    previous = aligned(under_policy(before, table, provenance, read.context.privacy.policies), new.schema)
    if endpoint.feed:
        # Merge also after a full read: it is not known how long the API keeps the rows of a feed.
        return _latest(table, previous, new), _covers(read)
    parents = previous.column(link or table.key[0])
    in_neither = _in_neither(plan.listed, parents, provenance)
    carried = previous.filter(pc.is_in(parents, pa.array(sorted(kept | in_neither), pa.int64())))
    return pa.concat_tables([carried, new]), _covers(read, in_neither)


def _in_neither(listed: AbstractSet[int] | None, parents: pa.ChunkedArray, provenance: Provenance) -> set[int]:
    """Parents that have rows in the previous slice and are in neither list for the first time.

    The two lists are read one after the other, so a parent that moves between them may be in neither. The API may not
    answer for it later, so its rows stay until the next read does not find it either.
    """
    if listed is None:
        return set()
    absent = set(parents.to_pylist()) - listed - {None}
    return {number for number in absent if f"{number}/{IN_NEITHER}" not in provenance.covered}


def _covers(read: CompleteRead, in_neither: AbstractSet[int] = frozenset()) -> dict[str, str]:
    plan, fan_out = read.plan, read.endpoint.fan_out
    covered = {f"{number}/{IN_NEITHER}": "" for number in sorted(in_neither)}
    covered |= {f"{key[0]}/{ONCE}": digest for key, digest in sorted(plan.once.items())}
    if fan_out is None or not (read.endpoint.feed or fan_out.changed_by == "*"):
        return covered
    answered = {key: plan.digests[key] for key in read.result.answered if key in plan.digests}
    keys = sorted({**plan.kept, **answered}.items())
    return {"/".join(map(str, key)): digest for key, digest in keys} | covered


def _latest(table: Table, previous: pa.Table, new: pa.Table) -> pa.Table:
    """Old and new rows of a feed, one per key; the new row wins. Nothing is removed."""
    joined = to_frame(pa.concat_tables([previous, new]))
    latest = joined.drop_duplicates(subset=["portal", *table.key], keep="last")
    return pa.Table.from_pandas(latest, schema=previous.schema, preserve_index=False)
