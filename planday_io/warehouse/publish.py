"""From the lake to `warehouse.duckdb`: a copy, the changed slices, checks, a rename.

Why not write into the file: DuckDB lets one process write, and a reader blocks it (of twelve concurrent writers eleven
failed). Readers keep the file they opened until they connect again, so nobody ever sees half a publication.

The file is created in the storage format of DuckDB 1.2, which older clients read; a copy keeps its format.

Not here: what a slice is (`planday_io.lake`), the ledger's columns (`ledger`).
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.config.model import Privacy as Policies
from planday_io.errors import PublicationError, StorageError
from planday_io.files import locked, replacing, storage_errors, sweep
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns, quote
from planday_io.lake.slices import Lake, Origin, SliceKey
from planday_io.warehouse import ledger, months

STORAGE_VERSION = "v1.2.0"
INSTANTS = Path(__file__).with_name("instants.sql")
_LEDGER = f"{ledger.SCHEMA}.{ledger.TABLE}"


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publication did.

    Args:
        slices: how many slices were replaced; 0 when the warehouse was current.
        rows: of those slices.
        seconds: it took.
        is_rebuild: whether everything was written anew.
    """

    slices: int
    rows: int
    seconds: float
    is_rebuild: bool


def publish(
    lake: Lake,
    warehouse: Path,
    *,
    catalogue: Catalogue,
    policies: Policies,
    state: Path,
    rebuild: bool = False,
    compare_all: bool = False,
) -> Publication:
    """Bring the warehouse file up to date with the lake.

    One process publishes at a time; one that waited finds its slices published by the other and does nothing.

    Args:
        lake: the record.
        warehouse: the file to renew.
        catalogue: the tables there are; slices of other tables are left alone.
        policies: they decide the types of hashed columns.
        state: folder of locks.
        rebuild: write a new file from the whole lake.
        compare_all: look at every slice instead of those known to have changed.

    Raises:
        PublicationError: the file is as it was before.
    """
    began = time.monotonic()
    try:
        with locked(state / "locks" / "publish.lock"):
            rebuild = rebuild or not warehouse.exists()
            known = {table.full_name for table in catalogue.tables()}
            candidates = lake.slices() if rebuild or compare_all else lake.pending()
            slices = [(key, origin) for key in candidates if key.full_name in known and (origin := lake.origin(key))]
            if not rebuild:
                slices = _unpublished(warehouse, slices) if compare_all else slices
                if not slices:
                    return Publication(0, 0, time.monotonic() - began, is_rebuild=False)
            _renew(lake, warehouse, catalogue, policies, slices, rebuild=rebuild)
            for key, origin in slices:
                lake.published(key, origin.slice_id)
    except PublicationError:
        raise
    except StorageError as error:
        raise PublicationError(f"{warehouse} was not renewed: {error}") from None
    rows = sum(origin.kept for _, origin in slices)
    return Publication(len(slices), rows, time.monotonic() - began, is_rebuild=rebuild)


def _renew(
    lake: Lake,
    warehouse: Path,
    catalogue: Catalogue,
    policies: Policies,
    slices: Sequence[tuple[SliceKey, Origin]],
    *,
    rebuild: bool,
) -> None:
    with storage_errors(warehouse, "renew the warehouse"):
        warehouse.parent.mkdir(parents=True, exist_ok=True)
        sweep(warehouse.parent)
        with replacing(warehouse) as temporary:
            if rebuild:
                temporary.unlink()
            else:
                shutil.copyfile(warehouse, temporary)
            wal = temporary.with_name(temporary.name + ".wal")
            try:
                _check(temporary, _write(temporary, lake, catalogue, policies, slices))
                if wal.exists():
                    raise PublicationError(f"{warehouse} was not renewed: a write-ahead log remained")
            except duckdb.Error as error:
                raise _explained(error, warehouse) from None
            finally:
                wal.unlink(missing_ok=True)


def _write(
    file: Path,
    lake: Lake,
    catalogue: Catalogue,
    policies: Policies,
    slices: Sequence[tuple[SliceKey, Origin]],
) -> list[tuple[SliceKey, Origin, int]]:
    """Write into the new file. Returns each slice written with the number of its rows that another month has."""
    with duckdb.connect(":memory:") as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"ATTACH {_literal(str(file))} AS warehouse (STORAGE_VERSION '{STORAGE_VERSION}')")
        db.execute("USE warehouse")
        db.execute("BEGIN")
        written = dict(slices) | _ensure_tables(db, lake, catalogue, policies)
        for endpoint, portal in dict.fromkeys((catalogue.endpoint_of(key.full_name), key.portal) for key in written):
            if endpoint.grid == "month":
                written |= _doubled_before(db, lake, endpoint, portal)
        for key, origin in written.items():
            _replace(db, lake, catalogue.table(key.full_name), policies, key, origin)
        elsewhere = months.keep_latest(db, catalogue, list(written))
        done = [(key, origin, elsewhere.pop(key, 0)) for key, origin in written.items()]
        for key, origin, count in done:
            _record(db, key, origin, count)
        # What remains are slices that were not written now: until now all of their rows were published.
        for key, count in elsewhere.items():
            db.execute(
                f"UPDATE {_LEDGER} SET elsewhere = ? WHERE table_name = ? AND portal = ? AND month = ?",
                [count, key.full_name, key.portal, key.month],
            )
        db.execute("COMMIT")
        db.execute("CHECKPOINT warehouse")
        db.execute("USE memory")
        db.execute("DETACH warehouse")
    return done


def _doubled_before(
    db: duckdb.DuckDBPyConnection, lake: Lake, endpoint: Endpoint, portal: str
) -> dict[SliceKey, Origin]:
    """Slices of which rows were left out for those of another month: they may be wanted again now."""
    found = {}
    for table in endpoint.tables:
        for (month,) in db.execute(
            f"SELECT month FROM {_LEDGER} WHERE table_name = ? AND portal = ? AND elsewhere > 0",
            [table.full_name, portal],
        ).fetchall():
            key = SliceKey.of(table.full_name, portal, month)
            if origin := lake.origin(key):
                found[key] = origin
    return found


def _ensure_tables(
    db: duckdb.DuckDBPyConnection, lake: Lake, catalogue: Catalogue, policies: Policies
) -> dict[SliceKey, Origin]:
    """Create what is missing, add new columns, drop a table whose column changed its type.

    Returns:
        The slices of tables that were dropped: they have to be loaded anew.
    """
    reload: dict[SliceKey, Origin] = {}
    _ensure_ledger(db)
    db.execute(INSTANTS.read_text(encoding="utf-8"))
    for table in catalogue.tables():
        wanted = duckdb_columns(table, policies)
        there = _columns(db, table.domain, table.name)
        name = _name(table)
        if there and any(column in there and there[column] != _normal(db, kind) for column, kind in wanted):
            db.execute(f"DROP TABLE {name}")
            db.execute(f"DELETE FROM {_LEDGER} WHERE table_name = ?", [table.full_name])
            there = {}
            reload |= {key: origin for key in lake.slices(table.full_name) if (origin := lake.origin(key))}
        if not there:
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(table.domain)}")
            db.execute(f"CREATE TABLE {name} ({', '.join(f'{quote(column)} {kind}' for column, kind in wanted)})")
        else:
            for column, kind in wanted:
                if column not in there:
                    db.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {kind}")
        if len(there) < len(wanted):
            docs = STANDARD_DOCS | {column.name: column.doc for column in table.columns}
            _comment(db, name, table.doc, ((column, docs[column]) for column, _ in wanted))
    return reload


def _ensure_ledger(db: duckdb.DuckDBPyConnection) -> None:
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {ledger.SCHEMA}")
    there = _columns(db, ledger.SCHEMA, ledger.TABLE)
    if not there:
        db.execute(f"CREATE TABLE {_LEDGER} ({', '.join(f'{name} {kind}' for name, kind, _ in ledger.COLUMNS)})")
    for name, kind, _ in ledger.COLUMNS:
        if there and name not in there:
            db.execute(f"ALTER TABLE {_LEDGER} ADD COLUMN {name} {kind}")
    if len(there) < len(ledger.COLUMNS):
        _comment(db, _LEDGER, ledger.DOC, ((name, doc) for name, _, doc in ledger.COLUMNS))


def _replace(
    db: duckdb.DuckDBPyConnection, lake: Lake, table: Table, policies: Policies, key: SliceKey, origin: Origin
) -> None:
    """Put a slice in the place of its former rows.

    Values that a stricter policy hides by now are NULL until the slice is read again.
    """
    name = _name(table)
    source = f"read_parquet({_literal(str(lake.path(key)))}, hive_partitioning = false)"
    stored = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    hidden = _hidden(table, policies, origin)
    columns = ", ".join(
        f"NULL AS {quote(column)}" if column in hidden else quote(column)
        for column, _ in duckdb_columns(table, policies)
        if column in stored
    )
    month, values = (" AND month = ?", [key.month]) if table.is_monthly else ("", [])
    db.execute(f"DELETE FROM {name} WHERE portal = ?{month}", [key.portal, *values])
    db.execute(f"INSERT INTO {name} BY NAME SELECT {columns} FROM {source}")


def _hidden(table: Table, policies: Policies, origin: Origin) -> set[str]:
    """Columns that a slice holds in a form that is not allowed any more."""
    classes = {column.name: column.privacy for column in table.columns} | {"_extra": "unknown"}
    return {
        name
        for name, privacy in classes.items()
        if origin.policies.get(privacy, "keep") not in ("drop", policies.policy(privacy))
    }


def _record(db: duckdb.DuckDBPyConnection, key: SliceKey, origin: Origin, elsewhere: int) -> None:
    db.execute(
        f"DELETE FROM {_LEDGER} WHERE table_name = ? AND portal = ? AND month IS NOT DISTINCT FROM ?",
        [key.full_name, key.portal, key.month],
    )
    names = ", ".join(name for name, _, _ in ledger.COLUMNS)
    marks = ", ".join("?" for _ in ledger.COLUMNS)
    db.execute(f"INSERT INTO {_LEDGER} ({names}) VALUES ({marks})", ledger.values(key, origin, elsewhere))


def _check(file: Path, written: Iterable[tuple[SliceKey, Origin, int]]) -> None:
    """Open the new file as a reader would and count what was just written."""
    with duckdb.connect(str(file), read_only=True) as db:
        for key, origin, elsewhere in written:
            name = f"{quote(key.domain)}.{quote(key.table)}"
            month, values = (" AND month = ?", [key.month]) if key.month else ("", [])
            query = f"SELECT count(*) FROM {name} WHERE portal = ?{month}"
            row = db.execute(query, [key.portal, *values]).fetchone()
            if row is None or row[0] != origin.kept - elsewhere:
                raise PublicationError(
                    f"the new warehouse has {row and row[0]} rows of {key} where its slice has {origin.kept}, "
                    f"{elsewhere} of them in another month; the previous warehouse stays"
                )


def _unpublished(warehouse: Path, slices: list[tuple[SliceKey, Origin]]) -> list[tuple[SliceKey, Origin]]:
    try:
        with duckdb.connect(str(warehouse), read_only=True) as db:
            rows = db.execute(f"SELECT slice_id FROM {_LEDGER}").fetchall()
    except duckdb.Error as error:
        raise _explained(error, warehouse) from None
    published = {row[0] for row in rows}
    return [(key, origin) for key, origin in slices if origin.slice_id not in published]


def _explained(error: duckdb.Error, warehouse: Path) -> StorageError:
    """DuckDB reports a full disk as its own error; the text may hold file names, never rows."""
    full = "no space left" in str(error).lower() or "out of disk" in str(error).lower()
    if full:
        raise OSError(errno.ENOSPC, "No space left on device") from None
    kind = type(error).__name__
    return PublicationError(
        f"{warehouse} was not renewed ({kind}). The previous file is untouched; if it is damaged, write a new one from the "
        "lake with `planday publish --rebuild`"
    )


def _columns(db: duckdb.DuckDBPyConnection, schema: str, table: str) -> dict[str, str]:
    rows = db.execute(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = 'warehouse' AND schema_name = ? AND table_name = ?",
        [schema, table],
    ).fetchall()
    return dict(rows)


def _normal(db: duckdb.DuckDBPyConnection, kind: str) -> str:
    """A type as DuckDB itself spells it."""
    row = db.execute(f"SELECT typeof(CAST(NULL AS {kind}))").fetchone()
    return str(row[0]) if row else kind


def _comment(db: duckdb.DuckDBPyConnection, name: str, doc: str, columns: Iterable[tuple[str, str]]) -> None:
    db.execute(f"COMMENT ON TABLE {name} IS {_literal(doc)}")
    for column, text in columns:
        db.execute(f"COMMENT ON COLUMN {name}.{quote(column)} IS {_literal(text)}")


def _name(table: Table) -> str:
    return f"{quote(table.domain)}.{quote(table.name)}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
