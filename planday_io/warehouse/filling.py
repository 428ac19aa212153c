"""Writes the rows of a new warehouse file in one transaction, and counts them as a reader would see them.

`publish` chooses the slices, `definitions` the tables; `months` removes rows that two months have.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import PublicationError
from planday_io.frames.types import duckdb_columns, quote
from planday_io.lake.slices import Provenance, SliceKey
from planday_io.state import State
from planday_io.warehouse import ledger, months, zones
from planday_io.warehouse.definitions import define, literal, sql_name
from planday_io.warehouse.standing import attached

STORAGE_VERSION = "v1.2.0"
"""The storage format of DuckDB 1.2, which older clients read; a copy keeps it."""

Slices = Mapping[SliceKey, tuple[Provenance, Path]]
"""Slices with their provenance and the file to read them from."""

Written = list[tuple[SliceKey, Provenance, int]]
"""Each slice written, with the number of its rows that another month has."""


class Filling:
    """Fills a new file before readers see it.

    Args:
        catalogue: the tables there are.
        policies: they decide the types of hashed columns.
        state: of the installation, for temporary data that does not fit into memory.
    """

    def __init__(self, catalogue: Catalogue, policies: PrivacyPolicy, state: State) -> None:
        self._catalogue = catalogue
        self._policies = policies
        self._spill = state.spill

    def write(
        self,
        file: Path,
        slices: Slices,
        made: ledger.Published | None,
        *,
        previous: Path | None = None,
        carried: Sequence[SliceKey] = (),
    ) -> Written:
        """Write slices into the file.

        Args:
            file: to be created, or a copy of the previous one.
            slices: to write.
            made: how the file is made, if tables and marts have to be defined.
            previous: the previous file, if a new one is made.
            carried: slices whose rows are copied from the previous file, because the lake's cannot be read.
        """
        is_empty = not file.exists()
        # A killed publication may have left rows in it.
        shutil.rmtree(self._spill, ignore_errors=True)
        with duckdb.connect(":memory:") as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"SET temp_directory = {literal(str(self._spill))}")
            db.execute(f"ATTACH {literal(str(file))} AS warehouse (STORAGE_VERSION '{STORAGE_VERSION}')")
            db.execute("USE warehouse")
            db.execute("BEGIN")
            if made is not None:
                define(db, self._catalogue, self._policies)
                ledger.write_publication(db, made)
            for key, (_, path) in slices.items():
                table = self._catalogue.lake_tables[key.full_name]
                _replace(db, table, duckdb_columns(table, self._policies), key, path, is_empty=is_empty)
            if carried and previous is not None:
                db.execute(f"ATTACH {literal(str(previous))} AS previous (READ_ONLY)")
                for key in carried:
                    self._carry(db, key)
            facts = [key for key in (*slices, *carried) if key.month and not is_derived(self._catalogue, key)]
            elsewhere = months.keep_latest(db, self._catalogue, facts)
            done = [(key, provenance, elsewhere.pop(key, 0)) for key, (provenance, _) in slices.items()]
            for key, provenance, count in done:
                ledger.record(db, key, provenance, count, is_derived=is_derived(self._catalogue, key))
            # The rest are slices that were not written now; all of their rows were published until now.
            for key, count in elsewhere.items():
                db.execute(
                    f"UPDATE {ledger.SLICES} SET elsewhere = ? WHERE table_name = ? AND portal = ? AND month = ?",
                    [count, key.full_name, key.portal, key.month],
                )
            zones.write_zones(db, again=made is not None)
            db.execute("COMMIT")
            db.execute("CHECKPOINT warehouse")
            db.execute("USE memory")
            db.execute("DETACH warehouse")
        return done

    def _carry(self, db: duckdb.DuckDBPyConnection, key: SliceKey) -> None:
        """Copy the rows of a slice and its ledger entry from the previous file."""
        where, values = _of_slice(key)
        table = self._catalogue.lake_tables[key.full_name]
        wanted = [column for column, _ in duckdb_columns(table, self._policies)]
        _take_over(db, sql_name(table), wanted, where, values)
        book = ledger.DERIVED if is_derived(self._catalogue, key) else ledger.SLICES
        is_slice = "table_name = ? AND portal = ? AND month IS NOT DISTINCT FROM ?"
        columns = [column for column, _, _ in ledger.TABLES[book][1]]
        _take_over(db, book, columns, is_slice, [key.full_name, key.portal, key.month])

    def check(self, file: Path, written: Iterable[tuple[SliceKey, Provenance, int]]) -> None:
        """Open the new file as a reader would and count what was just written. Raises PublicationError."""
        with attached(file) as db:
            for key, provenance, elsewhere in written:
                where, values = _of_slice(key)
                name = sql_name(self._catalogue.lake_tables[key.full_name])
                row = db.execute(f"SELECT count(*) FROM {name} WHERE {where}", values).fetchone()
                if row is None or row[0] != provenance.kept - elsewhere:
                    raise PublicationError(
                        f"the new warehouse has {row and row[0]} rows of {key} where its slice has {provenance.kept}, "
                        f"{elsewhere} of them in another month; the previous warehouse stays"
                    )


def is_derived(catalogue: Catalogue, key: SliceKey) -> bool:
    """Whether a slice is derived from others: a history, or the log of runs."""
    return all(table.full_name != key.full_name for table in catalogue.tables())


def has_log(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether a write-ahead log was replayed on the connected file."""
    row = db.execute("SELECT wal_size FROM pragma_database_size() WHERE database_name = current_database()").fetchone()
    return row is None or row[0] not in ("0 bytes", 0)


def _replace(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    wanted: Sequence[tuple[str, str]],
    key: SliceKey,
    path: Path,
    *,
    is_empty: bool,
) -> None:
    """Replace a slice's rows; an empty file has none to replace."""
    source = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    stored = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    columns = ", ".join(quote(column) for column, _ in wanted if column in stored)
    if not is_empty:
        where, values = _of_slice(key)
        db.execute(f"DELETE FROM {sql_name(table)} WHERE {where}", values)
    db.execute(f"INSERT INTO {sql_name(table)} BY NAME SELECT {columns} FROM {source}")


def _take_over(
    db: duckdb.DuckDBPyConnection, name: str, wanted: Sequence[str], where: str, values: Sequence[str | None]
) -> None:
    """Copy rows from the previous file, in the columns that both files have."""
    there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM previous.{name}").fetchall()}
    columns = ", ".join(quote(column) for column in wanted if column in there)
    db.execute(f"INSERT INTO {name} BY NAME SELECT {columns} FROM previous.{name} WHERE {where}", values)


def _of_slice(key: SliceKey) -> tuple[str, list[str]]:
    """The SQL condition for a slice's rows, and its parameters."""
    return ("portal = ? AND month = ?", [key.portal, key.month]) if key.month else ("portal = ?", [key.portal])
