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
        "JSON type, new value, scope or status; NULL where the kind says it all, and for values that may be personal data.",
    ),
    ("expected", "VARCHAR", "Type that the catalogue declares; NULL for other kinds."),
    ("is_fatal", "BOOLEAN", "Whether the table cannot be read because of it; then its previous rows stay."),
    ("first_seen", "TIMESTAMP WITH TIME ZONE", "First read with it (UTC), since it was over last."),
    ("last_seen", "TIMESTAMP WITH TIME ZONE", "Last read with it (UTC)."),
    ("reads", "BIGINT", "Reads with it since then."),
    ("rows", "BIGINT", "Rows that have it, in the last of them. For gone_member, rows that should have it."),
    ("accepted_at", "TIMESTAMP WITH TIME ZONE", "When `planday drift --accept` accepted it (UTC); NULL if it did not."),
    ("ended_at", "TIMESTAMP WITH TIME ZONE", "When it was over (UTC); NULL while it is not."),
)
TABLES: dict[str, tuple[str, Columns]] = {
    DRIFT: (
        "One row per portal and difference between Planday's answers and the catalogue: new, missing and retyped members, "
        "new values of enumerations, refused endpoints. Without values of other members.",
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
