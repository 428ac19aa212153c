"""Writes the rows of a new warehouse file in one transaction, and counts them as a reader would see them.

`publish` chooses the slices, `definitions` the tables; `months` removes rows that two months have.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import PublicationError
from planday_io.frames.types import duckdb_columns, quote
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Provenance, SliceKey
from planday_io.warehouse import drift, former, ledger, months, settings, zones
from planday_io.warehouse.definitions import define, literal, sql_name, write_empty

Slices = Mapping[SliceKey, tuple[Provenance, Path]]
"""Slices with their provenance and the file to read them from."""


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
        for key, (_, path) in slices.items():
            _replace(db, catalogue.lake_tables[key.full_name], policies, key, path, is_empty=is_empty)
        if carried:
            db.execute(f"ATTACH {literal(str(previous))} AS previous (READ_ONLY)")
            for key in carried:
                _carry(db, catalogue, policies, key)
        rows = [key for key in (*slices, *carried) if not is_derived(catalogue, key)]
        elsewhere = months.keep_latest(db, catalogue, rows)
        for key, (provenance, _) in slices.items():
            name = catalogue.published_name(key.full_name)
            ledger.record(db, key, name, provenance, elsewhere[key], is_derived=is_derived(catalogue, key))
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
        for key, (provenance, _) in slices.items():
            where, values = of_slice(key)
            row = db.execute(
                f"SELECT count(*) FROM {sql_name(catalogue.lake_tables[key.full_name])} WHERE {where}", values
            ).fetchone()
            if row is None or row[0] != provenance.kept - elsewhere[key]:
                raise PublicationError(
                    f"the new warehouse has {row and row[0]} rows of {key} where its slice has {provenance.kept}, "
                    f"{elsewhere[key]} of them in another month; the previous warehouse stays"
                )


def _carry(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy, key: SliceKey) -> None:
    """Copy the rows of a slice and its ledger entry from the previous file, in the columns that both files have."""
    table = catalogue.lake_tables[key.full_name]
    name, book = sql_name(table), ledger.DERIVED if is_derived(catalogue, key) else ledger.SLICES
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


def is_derived(catalogue: Catalogue, key: SliceKey) -> bool:
    """Whether a slice is derived from others: a history, or the log of runs."""
    return all(table.full_name != key.full_name for table in catalogue.tables())


def _replace(
    db: duckdb.DuckDBPyConnection, table: Table, policies: PrivacyPolicy, key: SliceKey, path: Path, *, is_empty: bool
) -> None:
    """Replace a slice's rows; an empty file has none to replace."""
    source = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    columns = _common(db, [column for column, _ in duckdb_columns(table, policies)], source)
    if not is_empty:
        where, values = of_slice(key)
        db.execute(f"DELETE FROM {sql_name(table)} WHERE {where}", values)
    db.execute(f"INSERT INTO {sql_name(table)} BY NAME SELECT {columns} FROM {source}")


def _common(db: duckdb.DuckDBPyConnection, wanted: Sequence[str], source: str) -> str:
    """The given columns that a table or file has, quoted."""
    there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    return ", ".join(quote(column) for column in wanted if column in there)


def of_slice(key: SliceKey) -> tuple[str, list[str]]:
    """The SQL condition for a slice's rows, and its parameters."""
    return ("portal = ? AND month = ?", [key.portal, key.month]) if key.month else ("portal = ?", [key.portal])
