"""`sync.schemas` and `sync.tables` say what the file has, all of it, and no old names."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tests.support.installation import Installation

SHOWN_ROWS = 40
"""Rows that DuckDB's clients show of a result."""
RELATIONS = (
    "SELECT schema_name, table_name FROM duckdb_tables() UNION ALL SELECT schema_name, view_name FROM duckdb_views() "
    "WHERE NOT internal AND comment NOT LIKE 'Deprecated: %' UNION ALL SELECT DISTINCT schema_name, function_name FROM "
    "duckdb_functions() WHERE schema_name = 'marts' ORDER BY ALL"
)


def test_everything_in_the_file_is_listed_once(blank_warehouse: Path) -> None:
    with duckdb.connect(str(blank_warehouse), read_only=True) as db:
        there = db.execute(RELATIONS).fetchall()
        assert db.execute("SELECT schema_name, table_name FROM sync.tables ORDER BY ALL").fetchall() == there
        comments = dict(
            db.execute(
                "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables() "
                "UNION ALL SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
        )
        for name, meaning in db.execute("SELECT schema_name || '.' || table_name, meaning FROM sync.tables").fetchall():
            assert meaning.endswith("."), name
            assert comments.get(name, meaning).startswith(meaning), name
        schemas = db.execute("FROM sync.schemas").fetchall()
        assert [(row[0], row[2]) for row in sorted(schemas)] == db.execute(
            f"SELECT schema_name, count(*) FROM ({RELATIONS}) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        assert len(schemas) <= SHOWN_ROWS
        assert max(row[2] for row in schemas) <= SHOWN_ROWS
        assert {row[3] for row in schemas} == {None}, "nothing was read"


def test_rows_are_those_that_are_published(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.departments", "london")
    planday.sandbox.portals["oslo"].departments[0]["name"] = "Renamed"
    planday.refresh("hr.departments")
    planday.publish()
    rows = planday.query("SELECT schema_name || '.' || table_name, kind, rows FROM sync.tables WHERE rows IS NOT NULL")
    assert {(name, kind) for name, kind, _ in rows} == {
        ("hr.departments", "table"),
        ("hr_history.departments", "history"),
    }
    for name, _, count in rows:
        assert planday.query(f"SELECT count(*) FROM {name}") == [(count,)]
    order = planday.query("SELECT schema_name, rows FROM sync.schemas")
    assert order[0] == ("marts", None)
    assert dict(order)["hr_history"] == dict(order)["hr"] + 1 == 5
