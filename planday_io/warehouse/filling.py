"""Writes the rows of a new warehouse file in one transaction, and counts them as a reader would see them.

`publish` chooses the slices, `definitions` the tables; `months` removes rows that two months have.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import PublicationError
from planday_io.frames.types import duckdb_columns, quote
from planday_io.lake.freezing import FrozenSlice
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.warehouse import drift, former, ledger, months, settings, zones
from planday_io.warehouse.definitions import define, literal, sql_name, write_empty

Slices = Mapping[SliceKey, FrozenSlice]

_FILES = 500
"""How many files one statement reads, at most."""


def fill(
    installation: Installation,
    file: Path,
    slices: Slices,
    made: ledger.Published,
    *,
    previous: Path | None = None,
    carried: Sequence[SliceKey] = (),
) -> None:
    """Write slices into a file that readers do not see yet, and count them as a reader would.

    Args:
        installation: its privacy policy decides the types of hashed columns.
        file: to be created, or a copy of the previous one.
        slices: to write.
        made: how the file is made; tables and marts are defined if the file's differ.
        previous: the previous file.
        carried: slices whose rows are copied from it into a new file, because the lake's cannot be read.

    Raises:
        PublicationError: the rows counted are not those of the slices.
    """
    catalogue, policies, spill = installation.catalogue, installation.config.privacy, installation.state.spill
    is_empty = not file.exists()
    if is_empty:
        write_empty(file, catalogue, policies)
    # A killed publication may have left rows in it.
    shutil.rmtree(spill, ignore_errors=True)
    with duckdb.connect(":memory:") as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"SET temp_directory = {literal(str(spill))}")
        db.execute(f"ATTACH {literal(str(file))} AS warehouse")
        db.execute("USE warehouse")
        db.execute("BEGIN")
        before = ledger.read_publication(db)
        redefines = not is_empty and (before is None or before.definitions != made.definitions)
        if redefines:
            define(db, catalogue, policies)
        if before != made:
            ledger.write_publication(db, made)
        for table, keys in _by_table(catalogue, slices):
            _replace(db, table, policies, {key: slices[key] for key in keys}, is_empty=is_empty)
        if carried:
            db.execute(f"ATTACH {literal(str(previous))} AS previous (READ_ONLY)")
            for key in carried:
                _carry(db, catalogue, policies, key)
        derived = derived_tables(catalogue)
        rows = [key for key in (*slices, *carried) if key.full_name not in derived]
        elsewhere = months.keep_latest(db, catalogue, rows, all_rows=is_empty)
        for book in (ledger.SLICES, ledger.DERIVED):
            entries = [
                ledger.Entry(key, catalogue.published_name(key.full_name), one.provenance, elsewhere[key])
                for key, one in slices.items()
                if (key.full_name in derived) == (book == ledger.DERIVED)
            ]
            ledger.record(db, book, entries, is_empty=is_empty)
        # The rest are slices that were not written now; all of their rows were published until now.
        for key in elsewhere.keys() - slices.keys():
            db.execute(
                f"UPDATE {ledger.SLICES} SET elsewhere = ? WHERE table_name = ? AND portal = ? AND month = ?",
                [elsewhere[key], catalogue.published_name(key.full_name), key.portal, key.month],
            )
        all_rows = is_empty or redefines
        changed = (
            None if all_rows else [(catalogue.published_name(key.full_name), key.portal, key.month) for key in slices]
        )
        zones.write_zones(db, again=redefines, changed=changed)
        settings.write_settings(db, installation.config.portals)
        drift.write_drift(db, installation.state.drift.all())
        db.execute("COMMIT")
        db.execute("CHECKPOINT warehouse")
        db.execute("USE memory")
        db.execute("DETACH warehouse")
        db.execute(f"ATTACH {literal(str(file))} AS warehouse (READ_ONLY)")
        db.execute("USE warehouse")
        for table, keys in _by_table(catalogue, slices):
            counted = _counted(db, table, keys, all_rows=is_empty)
            for key in keys:
                kept = slices[key].provenance.kept
                if counted.get(key, 0) != kept - elsewhere[key]:
                    raise PublicationError(
                        f"the new warehouse has {counted.get(key, 0)} rows of {key} where its slice has {kept}, "
                        f"{elsewhere[key]} of them in another month; the previous warehouse stays"
                    )


def _carry(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy, key: SliceKey) -> None:
    """Copy the rows of a slice and its ledger entry from the previous file, in the columns that both files have."""
    table = catalogue.lake_tables[key.full_name]
    name, book = sql_name(table), ledger.DERIVED if key.full_name in derived_tables(catalogue) else ledger.SLICES
    where, values = of_slice(key)
    source = former.name_in(db, "previous", table)
    columns = _common(db, [column for column, _ in duckdb_columns(table, policies)], source)
    db.execute(f"INSERT INTO {name} BY NAME SELECT {columns} FROM {source} WHERE {where}", values)
    columns = _common(db, [column for column, _, _ in ledger.TABLES[book][1]], f"previous.{book}")
    db.execute(
        f"INSERT INTO {book} BY NAME SELECT {columns} FROM previous.{book} "
        "WHERE table_name IN (?, ?) AND portal = ? AND month IS NOT DISTINCT FROM ?",
        [table.published_name, table.full_name, key.portal, key.month],
    )
    former.rename_in_ledger(db, table)


def derived_tables(catalogue: Catalogue) -> set[str]:
    """Tables whose slices are derived from others: histories, and the log of runs."""
    return catalogue.lake_tables.keys() - {table.full_name for table in catalogue.tables()}


def _by_table(catalogue: Catalogue, keys: Iterable[SliceKey]) -> list[tuple[Table, list[SliceKey]]]:
    """The slices of each table, those with a month and those without apart."""
    found: dict[tuple[str, bool], list[SliceKey]] = {}
    for key in keys:
        found.setdefault((key.full_name, key.month is None), []).append(key)
    return [(catalogue.lake_tables[name], of_table) for (name, _), of_table in found.items()]


def _replace(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    policies: PrivacyPolicy,
    slices: Slices,
    *,
    is_empty: bool,
) -> None:
    """Replace the rows of a table's slices; an empty file has none to replace."""
    if not is_empty:
        where, values = _of_slices([*slices])
        db.execute(f"DELETE FROM {sql_name(table)} WHERE {where}", values)
    wanted = [column for column, _ in duckdb_columns(table, policies)]
    for columns, files in _alike(slices.values()):
        chosen = ", ".join(quote(column) for column in wanted if column in columns.names)
        for first in range(0, len(files), _FILES):
            db.execute(
                f"INSERT INTO {sql_name(table)} BY NAME SELECT {chosen} FROM read_parquet(?, hive_partitioning = false)",
                [files[first : first + _FILES]],
            )


def _alike(slices: Iterable[FrozenSlice]) -> list[tuple[pa.Schema, list[str]]]:
    """Files by their columns. They have the same, except those with values for which today's columns have no place.

    Those are not read together: DuckDB would give all of them a type that is wide enough for each.
    """
    found: list[tuple[pa.Schema, list[str]]] = []
    for one in slices:
        files = next((files for columns, files in found if columns.equals(one.columns)), None)
        if files is None:
            found.append((one.columns, files := []))
        files.append(str(one.file))
    return found


def _counted(
    db: duckdb.DuckDBPyConnection, table: Table, keys: Sequence[SliceKey], *, all_rows: bool
) -> dict[SliceKey, int]:
    """How many rows of each slice the connected warehouse has."""
    where, values = ("true", []) if all_rows else _of_slices(keys)
    month = "month" if keys[0].month else "NULL"
    rows = db.execute(
        f"SELECT portal, {month}, count(*) FROM {sql_name(table)} WHERE {where} GROUP BY ALL", values
    ).fetchall()
    return {SliceKey.of(table.full_name, portal, of_month): count for portal, of_month, count in rows}


def _common(db: duckdb.DuckDBPyConnection, wanted: Sequence[str], source: str) -> str:
    """The given columns that a table has, quoted."""
    there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    return ", ".join(quote(column) for column in wanted if column in there)


def _of_slices(keys: Sequence[SliceKey]) -> tuple[str, list[list[str]]]:
    """The SQL condition for the rows of a table's slices, and its parameters."""
    portals, names = [key.portal for key in keys], [key.month or "" for key in keys]
    if keys[0].month is None:
        return "portal IN (SELECT unnest(?::VARCHAR[]))", [portals]
    return "(portal, month) IN (SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]))", [portals, names]


def of_slice(key: SliceKey) -> tuple[str, list[str]]:
    """The SQL condition for a slice's rows, and its parameters."""
    return ("portal = ? AND month = ?", [key.portal, key.month]) if key.month else ("portal = ?", [key.portal])
