"""Rows put into an empty warehouse, as slices would bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from planday_io.frames.types import quote


def put(db: duckdb.DuckDBPyConnection, table: str, **columns: Any) -> None:
    db.execute(
        f"INSERT INTO {table} ({', '.join(map(quote, columns))}) VALUES ({', '.join('?' * len(columns))})",
        list(columns.values()),
    )


def put_all(db: duckdb.DuckDBPyConnection, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """The same of many rows, one statement per table and set of columns."""
    groups: dict[tuple[str, ...], list[Any]] = {}
    for table, columns in rows:
        groups.setdefault((table, *columns), []).append(columns.values())
    for (table, *names), values in groups.items():
        row = f"({', '.join('?' * len(names))})"
        db.execute(
            f"INSERT INTO {table} ({', '.join(map(quote, names))}) VALUES {', '.join([row] * len(values))}",
            [one for of_row in values for one in of_row],
        )


def put_portal(db: duckdb.DuckDBPyConnection, zone: str | None, configured: str | None = None) -> None:
    put(db, "portal.portals", portal="oslo", id=1, time_zone=zone, configured_time_zone=configured)


def put_months(db: duckdb.DuckDBPyConnection, *months: str) -> None:
    for month in months:
        put(db, "sync.slices", table_name="scheduling.shifts", portal="oslo", month=month)


def put_oslo(db: duckdb.DuckDBPyConnection, table: str, *rows: dict[str, Any], **common: Any) -> None:
    """Rows of the portal oslo with some columns in common."""
    for row in rows:
        put(db, table, portal="oslo", **common, **row)


def found(db: duckdb.DuckDBPyConnection, mart: str, columns: str) -> list[tuple[Any, ...]]:
    """Columns of all rows of a mart, sorted."""
    return db.execute(f"SELECT {columns} FROM marts.{mart} ORDER BY ALL").fetchall()
