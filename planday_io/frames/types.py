"""Maps the catalogue's column types to Arrow and DuckDB types.

Ids are 64-bit, money and hours DECIMAL(18,4), instants UTC with microseconds, local times without a zone. A column
whose class is hashed is a VARCHAR, whatever its declared type.
"""

from __future__ import annotations

import pyarrow as pa

from planday_io.catalogue.model import Column, ColumnType, ScalarList, StructList, Table
from planday_io.config.model import PrivacyPolicy

_ARROW: dict[str, pa.DataType] = {
    "BIGINT": pa.int64(),
    "VARCHAR": pa.string(),
    "TEXT": pa.string(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DECIMAL": pa.decimal128(18, 4),
    "JSON": pa.string(),
}

_DUCKDB: dict[str, str] = {
    "TEXT": "VARCHAR",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "DECIMAL": "DECIMAL(18,4)",
}

HEAD = (("portal", pa.string(), "VARCHAR"), ("portal_id", pa.int64(), "BIGINT"))
MONTH = ("month", pa.string(), "VARCHAR")
TAIL = (
    ("_extra", pa.string(), "JSON"),
    ("_fetched_at", pa.timestamp("us", tz="UTC"), "TIMESTAMP WITH TIME ZONE"),
)
"""Columns every table has, before and after its own. `MONTH` follows the head if there is a slice per month."""

STANDARD_DOCS = {
    "portal": "Key of the portal in portals.yaml.",
    "portal_id": "Planday's id of the portal.",
    "month": "Month (YYYY-MM) of the slice the row is in; a slice is read, replaced and backfilled as a whole.",
    "_extra": "JSON object of members that the catalogue does not know; their values are null where the privacy "
    "policy drops unknown members.",
    "_fetched_at": "When the row was read from the API (UTC).",
}


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type of a column."""
    match kind:
        case ScalarList(of=scalar):
            return pa.list_(_ARROW[scalar])
        case StructList(fields=fields):
            return pa.list_(pa.struct([(field.name, arrow_type(field.type)) for field in fields]))
        case _:
            return _ARROW[kind]


def duckdb_type(kind: ColumnType) -> str:
    """The DuckDB type of a column, as SQL."""
    match kind:
        case ScalarList(of=scalar):
            return f"{duckdb_type(scalar)}[]"
        case StructList(fields=fields):
            inner = ", ".join(f"{quote(field.name)} {duckdb_type(field.type)}" for field in fields)
            return f"STRUCT({inner})[]"
        case _:
            return _DUCKDB.get(kind, kind)


def stored_type(column: Column, policies: PrivacyPolicy) -> ColumnType:
    """The type as stored: VARCHAR if the class is hashed."""
    return "VARCHAR" if policies.policy(column.privacy) == "hash" else column.type


def head_of(table: Table) -> tuple[tuple[str, pa.DataType, str], ...]:
    """The columns before a table's own: name, Arrow type, SQL type."""
    return (*HEAD, MONTH) if table.is_monthly else HEAD


def arrow_schema(table: Table, policies: PrivacyPolicy) -> pa.Schema:
    """The schema of a table's slices under a privacy policy."""
    own = [(column.name, arrow_type(stored_type(column, policies))) for column in table.columns]
    return pa.schema(
        [*((name, kind) for name, kind, _ in head_of(table)), *own, *((name, kind) for name, kind, _ in TAIL)]
    )


def duckdb_columns(table: Table, policies: PrivacyPolicy) -> list[tuple[str, str]]:
    """Name and SQL type of every column, in order."""
    own = [(column.name, duckdb_type(stored_type(column, policies))) for column in table.columns]
    return [*((name, sql) for name, _, sql in head_of(table)), *own, *((name, sql) for name, _, sql in TAIL)]


def replaced(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The rows with other values of the same type in one column."""
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), values)


def quote(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_parts(name: str) -> str:
    """A name `schema.table` as quoted SQL identifiers."""
    return ".".join(map(quote, name.split(".")))
