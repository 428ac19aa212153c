"""Makes one complete, typed table of the answers to all calls of an endpoint: one row per key, no rows of other months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Table
from planday_io.catalogue.endpoint import Endpoint
from planday_io.errors import DataError
from planday_io.frames.build import FrameBuilder, distinct_keys
from planday_io.frames.schema_drift import SchemaDrift
from planday_io.months import first_day, last_day
from planday_io.reading.pages import Completeness, ListRead
from planday_io.reading.parts import Batches, last_of_each, unpacked
from planday_io.reading.rows import primary

_WORST_FIRST: tuple[Completeness, ...] = ("exhausted", "total_matched", "document")


@dataclass(slots=True)
class TableRead:
    """One table as read.

    Args:
        table: typed rows with distinct keys, without rows of other months.
        total: what the API stated, summed over lists; None if it stated none.
        received: rows received, also those of other months. Rows that two calls returned count once, here and in `total`.
        verdict: why the read counts as complete.
        drift: what did not fit the catalogue.
        elsewhere: rows of other months among those received.
        expired: rows that were removed from `table` because they are too old.
    """

    table: pa.Table
    total: int | None
    received: int
    verdict: Completeness
    drift: SchemaDrift
    expired: int = 0
    elsewhere: int = 0

    def keep(self, mask: pa.ChunkedArray) -> None:
        """Keep the rows of the month, where `mask` is true."""
        before = self.table.num_rows
        self.table = self.table.filter(mask)
        self.elsewhere = before - self.table.num_rows


def assemble(
    endpoint: Endpoint,
    builders: Mapping[str, FrameBuilder],
    reads: Sequence[ListRead[Batches]],
    *,
    portal: str,
    month: str | None,
) -> dict[str, TableRead]:
    """The tables of an endpoint by full name, from the answers to all calls, whose parts the builders made.

    Raises:
        DataError: the parts do not fit together.
    """
    found: dict[str, TableRead] = {}
    for table in endpoint.tables:
        builder = builders[table.full_name]
        parts = (part[table.full_name] for read in reads for part in read.parts)
        try:
            frame = builder.finish([*unpacked(parts, builder.schema)])
        except DataError as error:
            error.add_place(f"portal '{portal}', GET {endpoint.path}{f' in {month}' if month else ''}")
            raise
        # A single list was counted already.
        is_parent, lists = table is primary(endpoint), sum(read.received > 0 for read in reads)
        is_counted = is_parent and endpoint.pages is not None and lists <= 1
        frame, repeated = (frame, 0) if is_counted else _once(endpoint, table, frame, builder.drift, portal)
        totals = [read.total for read in reads]
        known = is_parent and totals and None not in totals
        found[table.full_name] = TableRead(
            table=frame,
            total=sum(total for total in totals if total is not None) - repeated if known else None,
            received=frame.num_rows,
            verdict=min((read.verdict for read in reads), key=_WORST_FIRST.index, default="document"),
            drift=builder.drift,
        )
    if month is not None:
        _cut(endpoint, found, month)
    return found


def _once(endpoint: Endpoint, table: Table, frame: pa.Table, drift: SchemaDrift, portal: str) -> tuple[pa.Table, int]:
    """One row per key, the one read last, and the number of rows removed.

    Calls of one endpoint overlap where windows are split or variants joined. Elsewhere two rows with one key are an
    error, unless it is not documented what a call covers.
    """
    repeated: int = frame.num_rows - distinct_keys(frame, table.key)
    if not repeated:
        return frame, 0
    overlaps = bool(endpoint.variants) or (endpoint.window is not None and endpoint.window.longest_days is not None)
    if not overlaps:
        if table.confidence in ("documented", "observed"):
            raise DataError(
                f"{table.full_name} of portal '{portal}': {frame.num_rows} rows have "
                f"{frame.num_rows - repeated} distinct keys ({', '.join(table.key)}; {_first_double(table, frame)}). "
                "Nothing was written and the previous data stays"
            )
        drift.repeated += repeated
    return last_of_each(frame, table.key), repeated


def _cut(endpoint: Endpoint, found: Mapping[str, TableRead], month: str) -> None:
    """Remove rows of other months; child rows go with their parents."""
    first, last = pa.scalar(first_day(month)), pa.scalar(last_day(month))
    for table in endpoint.tables:
        if table.is_child or not table.month_by:
            continue
        read = found[table.full_name]
        day = pc.coalesce(*(read.table.column(name).cast(pa.date32()) for name in table.month_by))
        inside = pc.and_kleene(pc.greater_equal(day, first), pc.less_equal(day, last))
        # A row without a date belongs to the requested month.
        inside = pc.fill_null(inside, fill_value=True)
        if pc.all(inside).as_py() is not False:
            continue
        read.keep(inside)
        if table is not primary(endpoint):
            continue
        ids = read.table.column(table.key[0])
        for child in (child for child in endpoint.tables if child.is_child):
            part = found[child.full_name]
            part.keep(pc.is_in(part.table.column(child.key[0]), ids.combine_chunks()))


def _first_double(table: Table, frame: pa.Table) -> str:
    """The first duplicate key; only its ids, which are not personal data."""
    counts = frame.select(table.key).group_by(list(table.key)).aggregate([([], "count_all")])
    double = counts.filter(pc.greater(counts.column("count_all"), 1)).slice(0, 1).to_pylist()[0]
    ids = [f"{name} {double[name]}" for name in table.key if isinstance(double[name], int)]
    return f"the first is {', '.join(ids)}" if ids else "none of them is an id"
