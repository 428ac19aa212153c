"""Rows put into an empty warehouse, as slices would bring them."""

from __future__ import annotations

from typing import Any

import duckdb

from planday_io.frames.types import quote


def put(db: duckdb.DuckDBPyConnection, table: str, **columns: Any) -> None:
    db.execute(
        f"INSERT INTO {table} ({', '.join(map(quote, columns))}) VALUES ({', '.join('?' * len(columns))})",
        list(columns.values()),
    )


def put_portal(db: duckdb.DuckDBPyConnection, zone: str | None, configured: str | None = None) -> None:
    put(db, "portal.portals", portal="oslo", id=1, time_zone=zone, configured_time_zone=configured)


def put_months(db: duckdb.DuckDBPyConnection, *months: str) -> None:
    for month in months:
        put(db, "sync.slices", table_name="scheduling.shifts", portal="oslo", month=month)
