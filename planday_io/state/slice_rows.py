"""Rows of tables that are keyed by slice, many at once.

Not here: what they are for (`slices`, `histories`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, delete, insert, select

from planday_io.state.rows import PendingSlice, PublishedSlice, SliceEntry, SliceKey
from planday_io.state.schema import OWED_HISTORIES

_Row = TypeVar("_Row", SliceEntry, PendingSlice, PublishedSlice)


def owe(connection: Connection, owed: Mapping[SliceKey, datetime | None]) -> None:
    """Note histories that have to follow. What is owed already stays as it is."""
    for key, last_read_at in owed.items():
        if connection.execute(select(OWED_HISTORIES).where(*is_slice_of(OWED_HISTORIES, key))).first() is None:
            connection.execute(insert(OWED_HISTORIES).values(**_names(key), last_read_at=last_read_at))


def key_of(row: Row[Any]) -> SliceKey:
    """The slice that a row is about."""
    return SliceKey.of(row.table_name, row.portal, row.month or None)


def is_slice_of(table: Table, key: SliceKey) -> list[ColumnElement[bool]]:
    """The condition for the rows of a slice."""
    return [table.c[name] == value for name, value in _names(key).items()]


def put_rows(connection: Connection, table: Table, rows: Mapping[SliceKey, _Row]) -> None:
    """Add or replace rows."""
    if rows:
        remove_rows(connection, table, rows)
        connection.execute(insert(table), [{**_names(key), **asdict(row)} for key, row in rows.items()])


def remove_rows(connection: Connection, table: Table, keys: Collection[SliceKey]) -> None:
    if keys:
        connection.execute(delete(table).where(*is_bound_slice(table)), [bound(key) for key in keys])


def all_rows(
    connection: Connection, table: Table, kind: type[_Row], *where: ColumnElement[bool]
) -> dict[SliceKey, _Row]:
    names: list[str] = [member.name for member in fields(kind)]
    columns = [table.c[name] for name in ("table_name", "portal", "month", *names)]
    found = connection.execute(select(*columns).where(*where))
    return {
        SliceKey.of(row[0], row[1], row[2] or None): kind(**dict(zip(names, row[3:], strict=True))) for row in found
    }


def _names(key: SliceKey) -> dict[str, str]:
    return {"table_name": key.full_name, "portal": key.portal, "month": key.month or ""}


def is_bound_slice(table: Table) -> list[ColumnElement[bool]]:
    """The condition for one slice of many, whose names are bound as by `_bound`."""
    return [table.c[name] == bindparam(f"of_{name}") for name in ("table_name", "portal", "month")]


def bound(key: SliceKey) -> dict[str, str]:
    return {f"of_{name}": value for name, value in _names(key).items()}
