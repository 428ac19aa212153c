"""`sync.failures`: reads that failed, and whether what they should have read was read since."""

from __future__ import annotations

import duckdb
import pytest

RUN = """
    INSERT INTO sync.runs BY NAME SELECT 'oslo' AS portal, 'r' || ? AS run_id, NULL AS of_month,
        TIMESTAMPTZ '2026-11-20 02:00:00Z' + ? * INTERVAL 1 HOUR AS started_at, started_at + INTERVAL 30 MINUTE AS ended_at,
        ['hr.skills'] AS written, ['hr.departments', 'hr.employees'] AS failed, ['no answer', 'no scope'] AS errors
"""
SLICE = """
    INSERT INTO sync.slices BY NAME SELECT 'hr.departments' AS table_name, ? AS portal, ? AS month,
        TIMESTAMPTZ '2026-11-20 02:00:00Z' + ? * INTERVAL 1 HOUR AS fetched_at
"""
OPEN = "SELECT table_name, month, error, run_id, read_at IS NULL, is_over FROM sync.failures ORDER BY ALL"


@pytest.mark.parametrize(("read", "is_over"), [(-1, False), (0, False), (0.25, True), (5, True)])
def test_a_later_read_ends_a_failure(db: duckdb.DuckDBPyConnection, read: float, is_over: bool) -> None:
    db.execute(RUN, [1, 0])
    db.execute(SLICE, ["oslo", None, read])
    assert db.execute(OPEN).fetchall() == [
        ("hr.departments", None, "no answer", "r1", False, is_over),
        ("hr.employees", None, "no scope", "r1", True, False),
    ]


def test_only_reads_of_the_same_end_it(db: duckdb.DuckDBPyConnection) -> None:
    """Neither another portal's, nor another month's."""
    db.execute(RUN, [1, 0])
    db.execute(SLICE, ["bergen", None, 5])
    db.execute(SLICE, ["oslo", "2026-11", 5])
    assert [row[-2:] for row in db.execute(OPEN).fetchall()] == [(True, False), (True, False)]


def test_each_failed_read_has_a_row(db: duckdb.DuckDBPyConnection) -> None:
    for number in range(3):
        db.execute(RUN, [number, number])
    db.execute(SLICE, ["oslo", None, 1.5])
    found = db.execute("SELECT run_id, is_over FROM sync.failures WHERE table_name = 'hr.departments' ORDER BY ALL")
    assert found.fetchall() == [("r0", True), ("r1", True), ("r2", False)]
