"""Statements that more than one module of this room uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Table, delete, insert, select

from planday_io.state.rows import Notice
from planday_io.state.schema import DELIVERIES, INCIDENTS, KNOWN_FILES, LOST

LAKE, WAREHOUSE = "lake", "warehouse"
"""Names in the table of known files."""


def put(connection: Connection, table: Table, **row: object) -> None:
    """Store a row in place of the one with the same key."""
    connection.execute(delete(table).where(*(column == row[column.name] for column in table.primary_key)))
    connection.execute(insert(table).values(row))


def put_notice(connection: Connection, number: int, one: Notice) -> None:
    """Add a notice under a number that is free."""
    members = {"noticed_at": one.noticed_at, "all_tables": one.all_tables, "ended_at": one.ended_at}
    connection.execute(insert(INCIDENTS).values(number=number, **asdict(one.incident), **members))
    for channel, tables in one.deliveries.items():
        connection.execute(insert(DELIVERIES).values(incident=number, channel=channel, tables=tables))


def lose(connection: Connection, at: datetime, *tables: Table) -> None:
    """Note that rows of tables were lost."""
    for table in tables:
        put(connection, LOST, kind=table.name, at=at)


def marks_of(connection: Connection, name: str) -> tuple[str, ...] | None:
    """By what a file is recognised, or None."""
    found: tuple[str, ...] | None = connection.execute(
        select(KNOWN_FILES.c.marks).where(KNOWN_FILES.c.name == name)
    ).scalar()
    return found


def put_marks(connection: Connection, name: str, marks: Sequence[str]) -> None:
    """Recognise a file by this from now on."""
    put(connection, KNOWN_FILES, name=name, marks=tuple(marks))
