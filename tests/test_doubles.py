"""A row that two slices have is published once, from the later read; other portals' rows with the same ids stay."""

from __future__ import annotations

import duckdb

from planday_io.catalogue import CATALOGUE
from planday_io.lake.slices import SliceKey
from planday_io.warehouse.months import keep_latest
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection


def put_paid(db: Db, portal: str, month: str, number: int | None, read_at: str) -> None:
    """A shift in payroll with one break."""
    common = {"portal": portal, "month": month, "_fetched_at": f"2025-11-{read_at}"}
    put(db, "payroll.shifts", id=number, **common)
    put(db, "payroll.shift_breaks", shift_id=number, ordinal=1, **common)


def left(db: Db, table: str) -> list[tuple[str, str, int]]:
    key = "id" if table == "payroll.shifts" else "shift_id"
    return db.execute(f"SELECT portal, month, {key} FROM {table} ORDER BY ALL").fetchall()


def test_later_read_keeps_row_and_its_children(db: Db) -> None:
    put_paid(db, "oslo", "2025-08", 1, "02")
    put_paid(db, "oslo", "2025-09", 1, "01")
    put_paid(db, "oslo", "2025-08", 2, "01")
    put_paid(db, "oslo", "2025-09", 2, "02")
    put_paid(db, "oslo", "2025-09", 3, "01")
    put_paid(db, "oslo", "2025-08", None, "01")
    put_paid(db, "oslo", "2025-09", None, "02")
    written = [SliceKey.of("payroll.shifts", "oslo", month) for month in ("2025-08", "2025-09")]
    counts = keep_latest(db, CATALOGUE, written, all_rows=False)
    expected = [("oslo", "2025-08", 1), ("oslo", "2025-08", None), ("oslo", "2025-09", 2), ("oslo", "2025-09", 3)]
    for table in ("payroll.shifts", "payroll.shift_breaks"):
        assert left(db, table) == [*expected, ("oslo", "2025-09", None)]
        assert {key.month: counts[key] for key in counts if key.full_name == table} == {"2025-08": 1, "2025-09": 1}


def test_another_portal_s_rows_are_no_doubles(db: Db) -> None:
    """Bergen has read the same ids later and in other months, and earlier in the same month."""
    put_paid(db, "oslo", "2025-08", 1, "01")
    put_paid(db, "oslo", "2025-09", 1, "02")
    put_paid(db, "bergen", "2025-10", 1, "09")
    put_paid(db, "bergen", "2025-08", 2, "01")
    put_paid(db, "oslo", "2025-08", 2, "01")
    put_paid(db, "oslo", "2025-09", 2, "02")
    keep_latest(db, CATALOGUE, [SliceKey.of("payroll.shifts", "oslo", "2025-09")], all_rows=False)
    for table in ("payroll.shifts", "payroll.shift_breaks"):
        assert left(db, table) == [
            ("bergen", "2025-08", 2),
            ("bergen", "2025-10", 1),
            ("oslo", "2025-09", 1),
            ("oslo", "2025-09", 2),
        ]


def test_only_what_was_written_is_compared(db: Db) -> None:
    """Rows of slices that nobody wrote just now were compared when they were."""
    put_paid(db, "oslo", "2025-06", 1, "01")
    put_paid(db, "oslo", "2025-07", 1, "02")
    put_paid(db, "oslo", "2025-09", 2, "02")
    assert not keep_latest(db, CATALOGUE, [SliceKey.of("payroll.shifts", "oslo", "2025-09")], all_rows=False)
    assert len(left(db, "payroll.shifts")) == 3
