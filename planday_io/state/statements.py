"""Statements that more than one module of this room uses."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, Table, delete, insert

from planday_io.state.rows import Notice
from planday_io.state.schema import DELIVERIES, INCIDENTS


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
