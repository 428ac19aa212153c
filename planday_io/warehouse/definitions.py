"""Everything in the warehouse file except rows: tables, macros, marts, and the comments that explain them.

It follows from the catalogue, the privacy policy (which decides the types of hashed columns) and the SQL files beside this
module. A fingerprint in the file shows whether the definitions are current, so that a publication need not compare
them. Rows are written by `publish` and `months`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.catalogue.history import history_column
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns, head_of, quote, quote_parts
from planday_io.warehouse import contents, former, ledger
from planday_io.warehouse.mart_files import macros, marts, sync_views
from planday_io.warehouse.sync_tables import SYNC_TABLES

_HERE = Path(__file__).parent
INSTANTS = _HERE / "instants.sql"
STORAGE_VERSION = "v1.2.0"
"""The storage format of DuckDB 1.2, which older clients read; a copy keeps it."""


def fingerprint(catalogue: Catalogue, policies: PrivacyPolicy) -> str:
    """A fingerprint of all definitions; if it differs, the file has to be updated."""
    tables = [
        (table.published_name, table.doc, duckdb_columns(table, policies), [column.doc for column in table.columns])
        for table in catalogue.lake_tables.values()
    ]
    texts = [
        INSTANTS.read_text(encoding="utf-8"),
        *(mart.sql for mart in (*marts(), *sync_views(), *contents.views(catalogue))),
        *(macro.sql for macro in macros()),
        repr(SYNC_TABLES),
        metadata.version("tzdata"),
        repr(STANDARD_DOCS),
        *as_of_macros(catalogue),
        repr(former.old_names(catalogue)),
    ]
    return hashlib.sha256(json.dumps([tables, texts]).encode()).hexdigest()[:16]


def define(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy) -> None:
    """Update the attached warehouse: create tables, add and drop columns, replace macros, marts and comments."""
    there = ledger.columns_of(db)
    for schema in ("marts", *catalogue.schemas()):
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
    for name, (doc, columns) in SYNC_TABLES.items():
        kinds = [(column, kind) for column, kind, _ in columns]
        _ensure(db, name, kinds, there.get(name, {}))
        _comment(db, "TABLE", name, doc, ((column, text) for column, _, text in columns))
    for table in catalogue.lake_tables.values():
        wanted = duckdb_columns(table, policies)
        docs = STANDARD_DOCS | {column.name: column.doc for column in table.columns}
        name, present = sql_name(table), there.get(table.published_name, {})
        _ensure(db, name, wanted, present)
        for column in present.keys() - {column for column, _ in wanted}:
            # Otherwise old rows would keep the column while new ones have none.
            db.execute(f"ALTER TABLE {name} DROP COLUMN {quote(column)}")
        _comment(db, "TABLE", name, table.doc, ((column, docs[column]) for column, _ in wanted))
    former.move_histories(db, catalogue, there)
    for name, (statement, doc) in former.old_names(catalogue).items():
        db.execute(statement)
        _comment(db, "VIEW", name, doc, ())
    db.execute(INSTANTS.read_text(encoding="utf-8"))
    for macro in as_of_macros(catalogue):
        db.execute(macro)
    for mart in marts():
        db.execute(mart.sql)
        _comment(db, "VIEW", f"marts.{quote(mart.name)}", mart.doc, mart.columns.items())
    for made in macros():
        db.execute(made.sql)
    for view in (*sync_views(), *contents.views(catalogue)):
        db.execute(view.sql)
        _comment(db, "VIEW", f"sync.{quote(view.name)}", view.doc, view.columns.items())


def write_empty(file: Path, catalogue: Catalogue, policies: PrivacyPolicy) -> None:
    """Write a warehouse file without rows.

    A process that writes several, for instance one per tenant, makes each kind of definitions once: they take seconds.
    """
    name = fingerprint(catalogue, policies)
    if name not in _EMPTY:
        with duckdb.connect(":memory:") as db:
            db.execute(f"ATTACH {literal(str(file))} AS warehouse (STORAGE_VERSION '{STORAGE_VERSION}')")
            db.execute("USE warehouse")
            db.execute("BEGIN")
            define(db, catalogue, policies)
            db.execute("COMMIT")
            db.execute("CHECKPOINT warehouse")
        while len(_EMPTY) >= _MOST_KEPT:
            _EMPTY.pop(next(iter(_EMPTY)))
        _EMPTY[name] = file.read_bytes()
    else:
        file.write_bytes(_EMPTY[name])


_MOST_KEPT = 8
_EMPTY: dict[str, bytes] = {}
"""Fingerprint -> a file that `write_empty` made, the oldest first: a few megabytes each."""


def retyped(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy) -> bool:
    """Whether a column of the connected warehouse has the wrong type, so that the file must be rebuilt."""
    there = ledger.columns_of(db)
    return any(
        column in present and present[column] != _normal(kind)
        for table in catalogue.lake_tables.values()
        if (present := former.columns_of(there, table))
        for column, kind in duckdb_columns(table, policies)
    )


def as_of_macros(catalogue: Catalogue) -> list[str]:
    """For each history a table macro `<table>_as_of(ts)`: the rows as of a time.

    A row that moved to another month may be current in two of them until both are read again; the later one wins. Rows that
    are numbered follow their parent, whose rows are all from one month. DuckDB looks the tables of a macro up in the
    database in use, so `db` names the one that the file is attached as.
    """
    macros = []
    for name, history in catalogue.histories.items():
        table = catalogue.table(name)
        names = [column.name for column in table.columns]
        columns = [*(head for head, _, _ in head_of(table)), *names, "_extra", "_fetched_at"]
        chosen = ", ".join(
            quote(one) if history_column(one) == one else f"{quote(history_column(one))} AS {quote(one)}"
            for one in columns
        )
        key = ", ".join(quote(history_column(one)) for one in ("portal", *table.key) if one != table.ordinal)
        latest = ""
        if table.is_monthly and not table.ordinal:
            latest = f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY valid_from DESC) = 1"
        elif table.is_monthly and "month" not in table.key:
            latest = (
                f" QUALIFY month = first_value(month) OVER (PARTITION BY {key} ORDER BY valid_from DESC, month DESC)"
            )
        macros.append(
            f"CREATE OR REPLACE MACRO {quote(table.domain)}.{quote(table.name + '_as_of')}(ts, db := NULL) AS TABLE "
            f"SELECT {chosen} FROM query_table(CASE WHEN db IS NULL THEN {literal(history.published_name)} "
            f"ELSE db || {literal('.' + history.published_name)} END) WHERE valid_from <= CAST(ts AS TIMESTAMPTZ) "
            f"AND (valid_to IS NULL OR valid_to > CAST(ts AS TIMESTAMPTZ)){latest}"
        )
    return macros


def sql_name(table: Table) -> str:
    """The quoted name of a table in the warehouse."""
    return quote_parts(table.published_name)


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _ensure(db: duckdb.DuckDBPyConnection, name: str, wanted: Iterable[tuple[str, str]], there: dict[str, str]) -> None:
    if not there:
        db.execute(f"CREATE TABLE {name} ({', '.join(f'{quote(column)} {kind}' for column, kind in wanted)})")
        return
    for column, kind in wanted:
        if column not in there:
            db.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {kind}")


@functools.cache
def _normal(kind: str) -> str:
    """A type in DuckDB's own spelling."""
    with duckdb.connect(":memory:") as db:
        row = db.execute(f"SELECT typeof(CAST(NULL AS {kind}))").fetchone()
    return str(row[0]) if row else kind


def _comment(db: duckdb.DuckDBPyConnection, kind: str, name: str, doc: str, columns: Iterable[tuple[str, str]]) -> None:
    db.execute(f"COMMENT ON {kind} {name} IS {literal(doc)}")
    for column, text in columns:
        db.execute(f"COMMENT ON COLUMN {name}.{quote(column)} IS {literal(text)}")
