"""From the lake to `warehouse.duckdb`: a copy, the changed slices, checks, a rename.

Why not write into the file: DuckDB lets one process write, and a reader blocks it (of twelve concurrent writers eleven
failed). Readers keep the file they opened until they connect again, so nobody ever sees half a publication.

What one run wrote appears together: slices of runs in progress are left for later. A file is written anew, from the whole
lake, where a copy could keep in its free blocks what must be gone: when the privacy policy became stricter, or when
somebody was forgotten. The file is created in the storage format of DuckDB 1.2, which older clients read; a copy keeps it.

Not here: what a slice is (`planday_io.lake`), tables and marts (`definitions`), the ledger (`ledger`).
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import Privacy as Policies
from planday_io.errors import PublicationError, StorageError
from planday_io.files import locked, replacing, storage_errors, sweep
from planday_io.frames.types import duckdb_columns, quote
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.history import Histories
from planday_io.lake.policies import tighten
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.slices import Lake, Origin, SliceKey
from planday_io.warehouse import ledger, months, zones
from planday_io.warehouse.definitions import define, fingerprint, literal, retyped, sql_name

STORAGE_VERSION = "v1.2.0"

Slices = Mapping[SliceKey, tuple[Origin, Path]]
"""Slices with their origin and the file to read them from."""


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
        policies: what is stricter than a slice allows is taken out of it first.
        state: folder of locks.
        rebuild: write a new file from the whole lake, also with what runs in progress wrote so far.
        compare_all: look at every slice instead of those known to have changed.

    Raises:
        PublicationError: the file is as it was before.
    """
    began = time.monotonic()
    try:
        with locked(state / "locks" / "publish.lock"):
            publisher = _Publisher(lake, warehouse, catalogue, policies, state)
            return publisher.publish(began, rebuild=rebuild, compare_all=compare_all)
    except PublicationError:
        raise
    except StorageError as error:
        raise PublicationError(f"{warehouse} was not renewed: {error}") from None


@dataclass(frozen=True, slots=True)
class _Current:
    """What the file that is there now tells.

    Args:
        made: how it was made, or None when it does not say so.
        is_retyped: a column has another type than it should have.
        slice_ids: of the slices in it.
        doubled: slices of which rows were left out for those of another month.
    """

    made: ledger.Published | None
    is_retyped: bool
    slice_ids: frozenset[str]
    doubled: frozenset[SliceKey]


class _Publisher:
    """One publication. Make and use it within the lock of publications."""

    def __init__(self, lake: Lake, warehouse: Path, catalogue: Catalogue, policies: Policies, state: Path) -> None:
        self._lake = lake
        self._warehouse = warehouse
        self._catalogue = catalogue
        self._policies = policies
        self._histories = Histories(lake, state, catalogue, policies)
        self._wanted = ledger.Published(
            fingerprint(catalogue, policies),
            ledger.privacy_of(policies),
            ForgottenPeople(lake.root, state).fingerprint(),
        )

    def publish(self, began: float, *, rebuild: bool, compare_all: bool) -> Publication:
        for key in self._histories.owed():
            with self._lake.locked(key):
                self._histories.follow(key)
        current = None if rebuild or not self._warehouse.exists() else self._current()
        is_anew = current is None or self._must_be_anew(current)
        candidates = self._lake.slices() if is_anew or compare_all else self._lake.pending()
        keys = [key for key in candidates if key.full_name in self._catalogue.lake_tables]
        keys = self._without_renames(keys, is_anew=is_anew)
        # What a run in progress replaced is nowhere else any more, so a file that is made anew takes it.
        takes_held = rebuild or (is_anew and current is not None)
        keys = [key for key in keys if takes_held or not self._lake.is_held(key)]
        tighten(self._lake, self._catalogue, self._policies, keys)
        if current is not None and not is_anew:
            # A row that was left out for that of another month may be wanted again when either is replaced.
            touched = {(self._endpoint(key), key.portal) for key in keys if key.month}
            keys += [key for key in current.doubled - set(keys) if (self._endpoint(key), key.portal) in touched]
        with self._lake.frozen(keys) as frozen:
            slices = {key: one for key, one in frozen.items() if takes_held or not self._lake.is_held(key)}
            if current is not None and not is_anew:
                if compare_all:
                    slices = {key: one for key, one in slices.items() if one[0].slice_id not in current.slice_ids}
                if not slices and current.made == self._wanted:
                    return Publication(0, 0, time.monotonic() - began, is_rebuild=False)
            defines = is_anew or current is None or current.made != self._wanted
            self._renew(slices, is_anew=is_anew, defines=defines)
            for key, (origin, _) in slices.items():
                self._lake.published(key, origin.slice_id)
        rows = sum(origin.kept for origin, _ in slices.values())
        return Publication(len(slices), rows, time.monotonic() - began, is_rebuild=is_anew)

    def _without_renames(self, keys: list[SliceKey], *, is_anew: bool) -> list[SliceKey]:
        """Without slices of portals whose rename is not finished: readers see all of them under one name, and once.

        A file that is made anew takes them, each under the name that it has by now.
        """
        pairs = unfinished_renames(self._lake.root)
        moved = {portal for pair in pairs for portal in pair}
        if not is_anew:
            return [key for key in keys if key.portal not in moved]
        names = dict(pairs)
        there = set(keys)
        return [key for key in keys if replace(key, portal=names.get(key.portal, "")) not in there]

    def _current(self) -> _Current:
        try:
            with duckdb.connect(str(self._warehouse), read_only=True) as db:
                made = ledger.read_publication(db)
                if made is None:
                    return _Current(None, is_retyped=True, slice_ids=frozenset(), doubled=frozenset())
                is_retyped = made.definitions != self._wanted.definitions and retyped(
                    db, self._catalogue, self._policies
                )
                ids = db.execute(
                    f"SELECT slice_id FROM {ledger.SLICES} UNION ALL SELECT slice_id FROM {ledger.DERIVED}"
                ).fetchall()
                doubled = db.execute(
                    f"SELECT table_name, portal, month FROM {ledger.SLICES} WHERE elsewhere > 0"
                ).fetchall()
        except duckdb.Error as error:
            raise _explained(error, self._warehouse) from None
        return _Current(
            made,
            is_retyped,
            frozenset(one for (one,) in ids),
            frozenset(SliceKey.of(table, portal, month) for table, portal, month in doubled),
        )

    def _must_be_anew(self, current: _Current) -> bool:
        made = current.made
        return (
            made is None
            or current.is_retyped
            or made.is_looser_than(self._policies)
            or made.forgotten != self._wanted.forgotten
        )

    def _endpoint(self, key: SliceKey) -> str:
        """What months of the same rows have in common; a history's versions stand in several of them rightly."""
        if key.full_name in self._catalogue.lake_tables and self._is_derived(key):
            return key.full_name
        return self._catalogue.endpoint_of(key.full_name).name

    def _is_derived(self, key: SliceKey) -> bool:
        return all(table.full_name != key.full_name for table in self._catalogue.tables())

    def _renew(self, slices: Slices, *, is_anew: bool, defines: bool) -> None:
        warehouse = self._warehouse
        with storage_errors(warehouse, "renew the warehouse"):
            warehouse.parent.mkdir(parents=True, exist_ok=True)
            sweep(warehouse.parent)
            with replacing(warehouse) as temporary:
                if is_anew:
                    temporary.unlink()
                else:
                    shutil.copyfile(warehouse, temporary)
                wal = temporary.with_name(temporary.name + ".wal")
                try:
                    self._check(temporary, self._write(temporary, slices, is_anew=is_anew, defines=defines))
                    if wal.exists():
                        raise PublicationError(f"{warehouse} was not renewed: a write-ahead log remained")
                except duckdb.Error as error:
                    raise _explained(error, warehouse) from None
                finally:
                    wal.unlink(missing_ok=True)

    def _write(self, file: Path, slices: Slices, *, is_anew: bool, defines: bool) -> list[tuple[SliceKey, Origin, int]]:
        """Write into the new file. Returns each slice written with the number of its rows that another month has."""
        with duckdb.connect(":memory:") as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"ATTACH {literal(str(file))} AS warehouse (STORAGE_VERSION '{STORAGE_VERSION}')")
            db.execute("USE warehouse")
            db.execute("BEGIN")
            if defines:
                define(db, self._catalogue, self._policies)
                ledger.write_publication(db, self._wanted)
            for key, (_, path) in slices.items():
                table = self._catalogue.lake_tables[key.full_name]
                _replace(db, table, duckdb_columns(table, self._policies), key, path, is_empty=is_anew)
            facts = [key for key in slices if key.month and not self._is_derived(key)]
            elsewhere = months.keep_latest(db, self._catalogue, facts)
            done = [(key, origin, elsewhere.pop(key, 0)) for key, (origin, _) in slices.items()]
            for key, origin, count in done:
                ledger.record(db, key, origin, count, is_derived=self._is_derived(key))
            # What remains are slices that were not written now: until now all of their rows were published.
            for key, count in elsewhere.items():
                db.execute(
                    f"UPDATE {ledger.SLICES} SET elsewhere = ? WHERE table_name = ? AND portal = ? AND month = ?",
                    [count, key.full_name, key.portal, key.month],
                )
            zones.write_zones(db, anew=defines)
            db.execute("COMMIT")
            db.execute("CHECKPOINT warehouse")
            db.execute("USE memory")
            db.execute("DETACH warehouse")
        return done

    def _check(self, file: Path, written: Iterable[tuple[SliceKey, Origin, int]]) -> None:
        """Open the new file as a reader would and count what was just written."""
        with duckdb.connect(str(file), read_only=True) as db:
            for key, origin, elsewhere in written:
                where, values = _of_slice(key)
                name = sql_name(self._catalogue.lake_tables[key.full_name])
                row = db.execute(f"SELECT count(*) FROM {name} WHERE {where}", values).fetchone()
                if row is None or row[0] != origin.kept - elsewhere:
                    raise PublicationError(
                        f"the new warehouse has {row and row[0]} rows of {key} where its slice has {origin.kept}, "
                        f"{elsewhere} of them in another month; the previous warehouse stays"
                    )


def _replace(
    db: duckdb.DuckDBPyConnection,
    table: Table,
    wanted: Sequence[tuple[str, str]],
    key: SliceKey,
    path: Path,
    *,
    is_empty: bool,
) -> None:
    """Put a slice in the place of its former rows, of which there are none in an empty file."""
    source = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    stored = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    columns = ", ".join(quote(column) for column, _ in wanted if column in stored)
    if not is_empty:
        where, values = _of_slice(key)
        db.execute(f"DELETE FROM {sql_name(table)} WHERE {where}", values)
    db.execute(f"INSERT INTO {sql_name(table)} BY NAME SELECT {columns} FROM {source}")


def _of_slice(key: SliceKey) -> tuple[str, list[str]]:
    """The condition that a slice's rows fulfil, and its values."""
    return ("portal = ? AND month = ?", [key.portal, key.month]) if key.month else ("portal = ?", [key.portal])


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
