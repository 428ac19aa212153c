"""`sync.drift`: what in Planday's answers differs from the catalogue, as the state remembers it at each publication."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from planday_io.state import DriftEntry
from planday_io.warehouse.ledger import Columns

DRIFT = "sync.drift"
_COLUMNS: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("table_name", "VARCHAR", "Table, as domain.table; of an endpoint, its first table."),
    (
        "kind",
        "VARCHAR",
        "new_member, gone_member, retyped, new_value (of an enumeration), scope_lost, refused (403 where no scope is "
        "documented) or not_found (404).",
    ),
    ("path", "VARCHAR", "Member of Planday's answer, such as bankAccount.iban; of an endpoint, its path."),
    (
        "found",
        "VARCHAR",
        "JSON type, new value, scope or status; NULL where the kind says all, and for values that may be personal data.",
    ),
    ("expected", "VARCHAR", "Type that the catalogue declares, for retyped; otherwise NULL."),
    ("is_fatal", "BOOLEAN", "Whether the table cannot be read because of it; then its previous rows stay."),
    ("first_seen", "TIMESTAMP WITH TIME ZONE", "When a read first showed it (UTC), since it last ended."),
    ("last_seen", "TIMESTAMP WITH TIME ZONE", "When a read last showed it (UTC)."),
    ("reads", "BIGINT", "How many reads showed it since `first_seen`."),
    ("rows", "BIGINT", "Rows that had it in the last of these reads; for gone_member, rows that should have had it."),
    ("accepted_at", "TIMESTAMP WITH TIME ZONE", "When `planday drift --accept` accepted it (UTC); NULL if nobody did."),
    ("ended_at", "TIMESTAMP WITH TIME ZONE", "When it ended (UTC); NULL while it lasts."),
)
TABLES: dict[str, tuple[str, Columns]] = {
    DRIFT: (
        "One row per portal and difference between Planday's answers and the catalogue: new, missing and retyped members, "
        "new values of enumerations, refused endpoints. No other values of members are shown.",
        _COLUMNS,
    )
}
"""Name -> what it is, and its columns with type and meaning."""


def write_drift(db: duckdb.DuckDBPyConnection, entries: Iterable[DriftEntry]) -> None:
    """Write the table of the connected warehouse again."""
    rows = [
        (
            *(one.portal, one.table, one.kind, one.path, one.found or None, one.expected or None, one.is_fatal),
            *(one.first_seen, one.last_seen, one.reads, one.rows, one.accepted_at, one.ended_at),
        )
        for one in entries
    ]
    db.execute(f"DELETE FROM {DRIFT}")
    if rows:
        db.executemany(f"INSERT INTO {DRIFT} VALUES ({', '.join('?' * len(_COLUMNS))})", rows)
