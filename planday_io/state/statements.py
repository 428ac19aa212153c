"""Rows that more than one module of this room writes."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from planday_io.state.rows import KnownIncident
from planday_io.state.schema import DELIVERIES, INCIDENTS


def put_incident(connection: Connection, number: int, one: KnownIncident) -> None:
    """Add an incident under a number that is free."""
    connection.execute(
        insert(INCIDENTS).values(
            number=number,
            portal=one.portal,
            cause=one.cause,
            tables=one.tables,
            since=one.since,
            error=one.error,
            run_id=one.run_id,
            noticed_at=one.noticed_at,
            all_tables=one.all_tables,
            ended_at=one.ended_at,
        )
    )
    for channel, tables in one.deliveries.items():
        connection.execute(insert(DELIVERIES).values(incident=number, channel=channel, tables=tables))
