"""What is kept of each call until all calls are done: typed batches, with small ones packed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

Batches = dict[str, pa.RecordBatch | pa.Buffer]
"""The rows of each table in one answer; small batches are packed as soon as their call is complete."""

_SMALL_ROWS, _JOINED = 100, 256


def packed(batch: pa.RecordBatch) -> pa.RecordBatch | pa.Buffer:
    """A small batch as one buffer: a row of forty columns takes a hundred buffers, and there may be thousands of calls."""
    return batch.serialize() if batch.num_rows < _SMALL_ROWS else batch


def unpacked(parts: Iterable[pa.RecordBatch | pa.Buffer], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches in order; packed ones are joined, some hundreds at a time."""
    for is_packed, group in itertools.groupby(parts, key=lambda part: isinstance(part, pa.Buffer)):
        if not is_packed:
            yield from group
            continue
        while some := [pa.ipc.read_record_batch(part, schema) for part in itertools.islice(group, _JOINED)]:
            yield from pa.Table.from_batches(some, schema).combine_chunks().to_batches()


def last_of_each(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """The last row of each key, in the order received. Rows with a null in their key all stay."""
    rows = zip(*(table.column(name).to_pylist() for name in key), strict=True)
    last: dict[object, int] = {}
    for number, row in enumerate(rows):
        last[(number,) if None in row else row] = number
    return table.take(pa.array(sorted(last.values()), pa.int64()))
