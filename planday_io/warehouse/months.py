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
from planday_io.warehouse.definitions import sql_name


def keep_latest(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, written: Sequence[SliceKey]) -> Counter[SliceKey]:
    """Delete rows of slices just written, or of their neighbours, that a later read found in another month.

    Returns:
        How many rows were deleted, by slice.
    """
    deleted: Counter[SliceKey] = Counter()
    touched: dict[tuple[Endpoint, str], set[str]] = {}
    for key in written:
        if key.month:
            touched.setdefault((catalogue.endpoint_of(key.full_name), key.portal), set()).add(key.month)
    for (endpoint, portal), months in touched.items():
        for table in endpoint.tables:
            if table.is_child or "month" in table.key:
                continue
            _find(db, table, portal, sorted(months))
            children = [child for child in endpoint.tables if child.is_child] if table is endpoint.tables[0] else []
            for child in children:
                deleted.update(_delete(db, child, child.key[0], table.key[0], portal))
            deleted.update(_delete(db, table, "rowid", "row_number", portal))
    return deleted


def _find(db: duckdb.DuckDBPyConnection, table: Table, portal: str, months: list[str]) -> None:
    """Select the rows to delete, for keys in one of the months, into the temporary table `doubled`."""
    name = sql_name(table)
    keys = ", ".join(quote(column) for column in table.key)
    # A row with a null in its key duplicates no other row.
    complete = " AND ".join(f"{quote(column)} IS NOT NULL" for column in table.key)
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE doubled AS SELECT * FROM (SELECT rowid AS row_number, month, {keys}, "
        f"first_value(month) OVER (PARTITION BY {keys} ORDER BY _fetched_at DESC, month DESC) AS latest "
        f"FROM {name} WHERE portal = ? AND {complete} AND ({keys}) IN "
        f"(SELECT ({keys}) FROM {name} WHERE portal = ? AND list_contains(?, month))) WHERE month <> latest",
        [portal, portal, months],
    )


def _delete(db: duckdb.DuckDBPyConnection, table: Table, column: str, by: str, portal: str) -> dict[SliceKey, int]:
    name = sql_name(table)
    rows = db.execute(
        f"DELETE FROM {name} WHERE portal = ? AND ({column}, month) IN (SELECT ({quote(by)}, month) FROM doubled) "
        "RETURNING month",
        [portal],
    ).fetchall()
    return {SliceKey.of(table.full_name, portal, month): count for month, count in Counter(m for (m,) in rows).items()}
