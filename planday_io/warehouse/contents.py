"""Two views that say what the file has: `sync.schemas` on one screen, `sync.tables` with a line for each table.

DuckDB's `SHOW ALL TABLES` is in the order of names and says nothing of their meaning, and clients show 40 of its rows. Old
names of tables are in neither view.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from planday_io.catalogue import LOGS, Catalogue
from planday_io.warehouse import ledger
from planday_io.warehouse.mart_files import Mart, macros, marts, sync_views
from planday_io.warehouse.sync_tables import SYNC_TABLES

_FIRST_SENTENCE = re.compile(r".+?\.(?= |$)", re.DOTALL)
_DOCS = {
    "schemas": "One row per schema, in the order in which to look at them: what it holds.",
    "tables": "One row per table, view and macro with arguments: how many rows it has, and what a row is.",
}
_OF_TABLES = {
    "schema_name": "Schema.",
    "table_name": "Table, view or macro; a macro takes arguments, see docs/marts.md.",
    "kind": "mart (a view or a macro), table (as in Planday), history (earlier versions of a table), sync (how it was read).",
    "rows": "Rows; 0 where all were read and there are none. NULL for what was never read, for views and macros, which are "
    "computed when they are asked, and for tables about the data itself.",
    "meaning": "First sentence of the comment.",
}
_OF_SCHEMAS = {
    "schema_name": "Schema.",
    "holds": "What it holds.",
    "tables": "How many tables, views and macros; not the deprecated names of earlier versions.",
    "rows": "Rows of its tables, as far as they were read; NULL where `sync.tables` knows of none.",
    "names": "Their names.",
}
_SCHEMAS = """CREATE OR REPLACE VIEW sync.schemas AS
SELECT schema_name,
    CASE any_value(kind) WHEN 'mart' THEN 'figures: begin here' WHEN 'table' THEN 'as in Planday'
        WHEN 'sync' THEN 'how it was read' ELSE 'earlier versions' END AS holds,
    count(*) AS tables, CAST(sum(n) AS BIGINT) AS rows, string_agg(table_name, ', ' ORDER BY position) AS names
"""
_BY_SCHEMA = "GROUP BY schema_name ORDER BY min(position);"
_TABLES = """CREATE OR REPLACE VIEW sync.tables AS
SELECT schema_name, table_name, kind, n AS rows, meaning
"""
_FROM = f"""FROM (VALUES
{{}}
) AS t(position, schema_name, table_name, kind, meaning)
LEFT JOIN (
    SELECT table_name AS full_name, CAST(sum(n) AS BIGINT) AS n
    FROM (
        SELECT table_name, kept - coalesce(elsewhere, 0) AS n FROM {ledger.SLICES}
        UNION ALL SELECT table_name, kept FROM {ledger.DERIVED}
    )
    GROUP BY table_name
) AS r ON r.full_name = t.schema_name || '.' || t.table_name AND t.kind <> 'sync'
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    schema: str
    name: str
    kind: str
    doc: str


def views(catalogue: Catalogue) -> tuple[Mart, Mart]:
    """Both views."""
    lines = ",\n".join(
        # In dollar quotes, because a sentence may have apostrophes.
        f"({number}, '{one.schema}', '{one.name}', '{one.kind}', $${_first_sentence(one.doc)}$$)"
        for number, one in enumerate(_entries(catalogue))
    )
    # Each is complete in itself, because `IMPORT DATABASE` fails if a view precedes another that it names.
    return (
        Mart("schemas", _DOCS["schemas"], _OF_SCHEMAS, f"{_SCHEMAS}{_FROM.format(lines)}{_BY_SCHEMA}", ()),
        Mart("tables", _DOCS["tables"], _OF_TABLES, f"{_TABLES}{_FROM.format(lines)}ORDER BY position;", ()),
    )


def _entries(catalogue: Catalogue) -> Iterator[_Entry]:
    for mart in marts():
        yield _Entry("marts", mart.name, "mart", mart.doc)
    for macro in macros():
        yield _Entry("marts", macro.name, "mart", macro.doc)
    for table in catalogue.tables():
        yield _Entry(table.domain, table.name, "table", table.doc)
    of_sync = {name: doc for name, (doc, _) in SYNC_TABLES.items()}
    of_sync |= {f"sync.{view.name}": view.doc for view in sync_views()}
    of_sync |= {log.full_name: log.doc for log in LOGS}
    of_sync |= {f"sync.{name}": doc for name, doc in _DOCS.items()}
    for name, doc in of_sync.items():
        yield _Entry("sync", name.removeprefix("sync."), "sync", doc)
    for history in catalogue.histories.values():
        schema, _, short = history.published_name.partition(".")
        yield _Entry(schema, short, "history", history.doc)


def _first_sentence(doc: str) -> str:
    found = _FIRST_SENTENCE.match(doc)
    return found[0] if found else doc
