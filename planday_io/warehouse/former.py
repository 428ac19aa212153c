"""Where versions before 0.3 had histories: beside their tables, as `hr.employees_history`.

A publication copies the previous file, so the histories of one that they wrote are moved. The old names stay as views until
0.3, and what is here goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.frames.types import quote, quote_parts
from planday_io.warehouse import ledger

DEPRECATED = "Deprecated: "
"""How the comments of views with old names begin."""


def columns_of(there: Mapping[str, dict[str, str]], table: Table) -> dict[str, str]:
    """Columns and types of a table in a file of either version; none if it has no such table."""
    return there.get(table.published_name) or there.get(table.full_name, {})


def name_in(db: duckdb.DuckDBPyConnection, database: str, table: Table) -> str:
    """The quoted name under which an attached file, of either version, has a table."""
    # Asked in this way, because a query that fails ends the transaction.
    found = db.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name || '.' || table_name = ?",
        [database, table.published_name],
    ).fetchone()
    return f"{database}.{quote_parts(table.published_name if found else table.full_name)}"


def move_histories(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, there: Mapping[str, dict[str, str]]) -> None:
    """Move the rows of histories that the connected file has under their old names. Nothing is read from the lake.

    Args:
        db: connected to the file, which has all tables of this version.
        catalogue: of its tables.
        there: table -> columns that the file had before.
    """
    for history in catalogue.histories.values():
        if history.full_name in there and history.published_name not in there:
            old, new = quote_parts(history.full_name), quote_parts(history.published_name)
            both = there[history.full_name].keys() & ledger.names_in(db, new)
            chosen = ", ".join(map(quote, sorted(both)))
            # No version of DuckDB moves a table to another schema.
            db.execute(f"INSERT INTO {new} BY NAME SELECT {chosen} FROM {old}")
            db.execute(f"DROP TABLE {old}")
            rename_in_ledger(db, history)


def rename_in_ledger(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Give a table its present name in the ledger of the connected file."""
    names = [table.published_name, table.full_name]
    db.execute(f"UPDATE {ledger.DERIVED} SET table_name = ? WHERE table_name = ?", names)


def old_names(catalogue: Catalogue) -> dict[str, tuple[str, str]]:
    """The views of the old names: quoted name -> the statement that creates it, and its comment."""
    return {
        (name := quote_parts(history.full_name)): (
            f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {quote_parts(history.published_name)}",
            f"{DEPRECATED}use {history.published_name}. This name goes away in version 0.3.",
        )
        for history in catalogue.histories.values()
    }
