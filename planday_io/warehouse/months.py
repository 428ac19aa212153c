"""One row per key in tables with a slice per month.

A row that moved to another month may be in both slices until both are read again. The one read last is published, the others
are counted (docs/decisions.md#lake-and-warehouse). Child rows follow their parents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import duckdb

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.frames.types import quote
from planday_io.lake.slices import SliceKey
from planday_io.warehouse.definitions import literal, sql_name


def keep_latest(
    db: duckdb.DuckDBPyConnection, catalogue: Catalogue, written: Sequence[SliceKey], *, all_rows: bool
) -> Counter[SliceKey]:
    """Delete rows of slices just written, or of their neighbours, that a later read found in another month.

    Args:
        db: connected to the warehouse.
        catalogue: of its tables.
        written: the slices just written.
        all_rows: the warehouse has the rows of no others.

    Returns:
        How many rows were deleted, by slice.
    """
    deleted: Counter[SliceKey] = Counter()
    touched: dict[Endpoint, set[tuple[str, str]]] = {}
    for key in written:
        if key.month:
            touched.setdefault(catalogue.endpoint_of(key.full_name), set()).add((key.portal, key.month))
    for endpoint, places in touched.items():
        for table in endpoint.tables:
            if table.is_child or "month" in table.key:
                continue
            if not _find(db, table, None if all_rows else sorted(places)):
                continue
            children = [child for child in endpoint.tables if child.is_child] if table is endpoint.tables[0] else []
            for child in children:
                deleted.update(_delete(db, child, child.key[0], table.key[0]))
            deleted.update(_delete(db, table, "rowid", "row_number"))
    return deleted


def _find(db: duckdb.DuckDBPyConnection, table: Table, places: Sequence[tuple[str, str]] | None) -> bool:
    """Select the rows to delete into the temporary table `doubled`. Returns whether there are any.

    Args:
        db: connected to the warehouse.
        table: of it.
        places: portals and months; only rows whose keys are there are looked at. None is all rows.
    """
    name = sql_name(table)
    keys = ", ".join(quote(column) for column in ("portal", *table.key))
    # A row with a null in its key duplicates no other row.
    complete = " AND ".join(f"{quote(column)} IS NOT NULL" for column in table.key)
    near, values = complete, list[list[str]]()
    if places is not None:
        values = [[*column] for column in zip(*places, strict=True)]
        # Constants, by which DuckDB leaves out what it need not read.
        portals = ", ".join(map(literal, sorted({portal for portal, _ in places})))
        near = (
            f"{complete} AND portal IN ({portals}) AND ({keys}) IN (SELECT ({keys}) FROM {name} WHERE portal IN ({portals}) "
            "AND (portal, month) IN (SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])))"
        )
    # Few keys are in two months, so that only those have to be sorted.
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE several AS SELECT {keys} FROM {name} WHERE {near} "
        f"GROUP BY {keys} HAVING min(month) <> max(month)",
        values,
    )
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE doubled AS SELECT * FROM (SELECT rowid AS row_number, month, {keys}, "
        f"first_value(month) OVER (PARTITION BY {keys} ORDER BY _fetched_at DESC, month DESC) AS latest "
        f"FROM {name} WHERE ({keys}) IN (SELECT ({keys}) FROM several)) WHERE month <> latest"
    )
    return db.execute("SELECT 1 FROM doubled LIMIT 1").fetchone() is not None


def _delete(db: duckdb.DuckDBPyConnection, table: Table, column: str, by: str) -> dict[SliceKey, int]:
    rows = db.execute(
        f"DELETE FROM {sql_name(table)} WHERE (portal, {column}, month) IN "
        f"(SELECT (portal, {quote(by)}, month) FROM doubled) RETURNING portal, month"
    ).fetchall()
    return {SliceKey.of(table.full_name, portal, month): count for (portal, month), count in Counter(rows).items()}
