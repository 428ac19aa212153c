"""A folder of Parquet files: the published tables, marts and queries for programs, and how complete they are.

    scheduling/shifts/year=2026/shifts-20261127T051203Z-0.parquet    a table with months
    hr/departments/departments-20261127T051203Z-0.parquet            any other
    queries/<name>/...                                               queries of your own
    how_complete/...                                                 per portal and month
    _manifest.json                                                   what there is, and what it means

What decides the form is what readers do without options:

- A column in the folders' names is not in the files, because pandas, pyarrow and BigQuery refuse one that is in both. But
  Snowflake, Power BI, and Polars by a pattern, do not read names of folders, and pandas makes a category of them. So the
  folders' column is one that nobody needs, and that is a number to everybody: the year. `portal` and `month` are in the
  files.
- `year` is 0 for rows without a month, because pandas fails on a folder for NULL ("Cannot yet unify dictionaries with
  nulls").
- A table without rows has a file, which has its columns.
- Names of files contain when they were exported: who listed the folder before it was replaced finds no file, rather than one
  of another publication.
- Compression is snappy, which all of them read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from planday_io.config.values import nearest
from planday_io.errors import ConfigError
from planday_io.export.cells import Column, kind_of
from planday_io.export.contents import Selection, asked, refuse_whole, tables_read
from planday_io.export.folder import mark, require_apart, require_replaceable
from planday_io.export.portable import portable_type, portable_value
from planday_io.export.publication import published
from planday_io.export.request import Filter, Query
from planday_io.files import link_target, replacing_folder, storage_errors, sweep, temporary
from planday_io.lake.installation import Installation
from planday_io.monitoring.completeness import Completeness, MonthState
from planday_io.restriction import restrict
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.mart_files import MARTS

NAME = "planday-parquet"
MANIFEST = "_manifest.json"
"""Readers of Parquet leave out names that begin with an underscore."""
COMPLETENESS = "how_complete"
QUERIES = "queries"
YEAR = "year"
_FILE_SIZE = "256MB"
"""Of a file, about; the warehouses of others advise 100 to 250 MB."""
_SPLITS_YEARS = int(duckdb.__version__.partition(".")[0]) >= 2
"""Earlier versions of DuckDB cannot split the files of folders: there each year has one file."""
_BUFFERED_ROWS = 122_880
"""Rows that each thread keeps before it writes to the files of all years: one row group of DuckDB's usual size. With its own
default of 524,288, 7.7 million shifts of ten years took 2.7 GB instead of 1.2."""
_STATE_COLUMNS = (
    ("portal", "VARCHAR", "Key in portals.yaml."),
    ("month", "VARCHAR", "Such as 2026-10; NULL for lists, which have no month."),
    ("is_complete", "BOOLEAN", "Whether nothing is missing, stale or failed."),
    ("tables_read", "BIGINT", "How many of the tables have been read."),
    ("tables_needed", "BIGINT", "How many there should be."),
    ("oldest_read_at", "TIMESTAMP WITH TIME ZONE", "When the table that was read longest ago was read."),
    ("newest_read_at", "TIMESTAMP WITH TIME ZONE", "When the table that was read last was read."),
    ("in_words", "VARCHAR", "What is missing, stale or failed, and what is left out on purpose."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One table, mart or query as it was written.

    Args:
        source: `schema.name`, or the file of the query.
        folder: relative to the export's.
        rows: how many.
        files: relative path -> rows and bytes.
        remarks: what a reader should know, such as a filter that could not be applied.
        about: what the manifest says besides.
    """

    source: str
    folder: str
    rows: int
    files: Mapping[str, tuple[int, int]]
    remarks: tuple[str, ...]
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFolder:
    """What was written.

    Args:
        place: the folder.
        published_at: UTC instant of the publication.
        tables: what it holds, `how_complete` not included.
        states: how complete it is.
    """

    place: Path
    published_at: datetime
    tables: tuple[Written, ...]
    states: tuple[MonthState, ...]

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.tables)

    @property
    def files(self) -> int:
        return sum(len(one.files) for one in self.tables)

    @property
    def bytes(self) -> int:
        return sum(size for one in self.tables for _, size in one.files.values())

    @property
    def remarks(self) -> dict[str, list[str]]:
        """Each remark -> the tables that it is about."""
        found: dict[str, list[str]] = {}
        for one in self.tables:
            for remark in one.remarks:
                found.setdefault(remark, []).append(one.source)
        return found


def folder_of(to: Path | None) -> Path:
    """Where an export goes, absolute.

    Raises:
        ConfigError: the name is that of a file.
    """
    place = (to or Path(NAME)).absolute()
    if place.suffix.lower() in (".parquet", ".csv", ".xlsx"):
        raise ConfigError(f"--output {to}: Parquet is a folder with a folder per table: give the name of a folder")
    return place


def export_parquet(
    installation: Installation,
    wanted: Sequence[str | Query],
    place: Path,
    *,
    chosen: Filter | None = None,
    warnings: Sequence[str] = (),
    now: datetime | None = None,
) -> ExportedFolder:
    """Write Parquet files into a folder, all or nothing. What was exported there before is replaced when all is written.

    Args:
        installation: whose published file is read.
        wanted: tables and marts as `schema.name`, and queries; nothing for all tables and marts.
        place: the folder, absolute.
        chosen: which rows; None for all.
        warnings: what is known not to be complete besides, for the manifest.
        now: the instant that staleness is judged at; the current one by default.

    Raises:
        ConfigError: a query is wrong, or there is no such table.
        ExportError: it cannot be exported, for instance because the folder holds files that no export wrote.
        StorageError: the published file cannot be read, or the export not be written.
    """
    at, chosen = now or datetime.now(UTC), chosen or Filter()
    with storage_errors(place, "write the export to"):
        require_apart(place, installation)
        target = link_target(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        require_replaceable(target)
        # A killed export leaves rows behind, which may be personal data.
        sweep(target.parent, of=target.name)
        # The published file first: without one, no folder is begun.
        with (
            published(installation.config.warehouse) as (db, published_at),
            temporary(target) as work,
            replacing_folder(target) as folder,
        ):
            work.mkdir(mode=0o700)
            db.execute(f"SET temp_directory = {literal(str(work / 'spilled'))}")
            db.execute(f"SET partitioned_write_flush_threshold = {_BUFFERED_ROWS}")
            restrict(db, writes_to=folder)
            selections = _selected(db, wanted, chosen)
            if chosen.is_strict:
                for _, one in selections:
                    refuse_whole(one.source, one.columns, chosen)
            stamp = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
            write = _Writer(db, folder, stamp, published_at.year)
            tables = [write.selection(name, one) for name, one in selections]
            read = tables_read([one for _, one in selections]) if wanted else None
            states = Completeness(installation, db, at).states(
                read, portals=chosen.portals, first=chosen.first, last=chosen.last, with_gaps=True
            )
            overview = write.states(states)
            _write_manifest(folder, [*tables, overview], states, warnings, chosen, published_at, at)
            mark(folder)
    return ExportedFolder(place=place, published_at=published_at, tables=tuple(tables), states=tuple(states))


def _selected(
    db: duckdb.DuckDBPyConnection, wanted: Sequence[str | Query], chosen: Filter
) -> list[tuple[str, Selection]]:
    """Folder and rows of each."""
    everything = _everything(db)
    sources = [one for one in wanted if isinstance(one, str)] if wanted else everything
    for source in sources:
        if source not in everything:
            raise ConfigError(f"there is no table {source!r} in the published file{nearest(source, everything)}")
    found = []
    for source in dict.fromkeys(sources):
        schema, _, name = source.partition(".")
        is_mart = schema == "marts" and name in MARTS
        made = Selection.of_mart(db, name, chosen) if is_mart else Selection.of_table(db, source, chosen)
        found.append((f"{schema}/{name}", made))
    queries = [one for one in wanted if isinstance(one, Query)]
    names = _folder_names([query.name for query in queries])
    return found + [
        (f"{QUERIES}/{name}", Selection.of_query(db, query, chosen)) for name, query in zip(names, queries, strict=True)
    ]


def _everything(db: duckdb.DuckDBPyConnection) -> list[str]:
    """All tables, marts, and views about the data. Views beside tables are not among them: they are earlier names of some.

    All marts of this version are named, so that the export of an older file fails rather than lack some.
    """
    found = db.execute(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
        "WHERE database_name = current_database() AND NOT internal AND NOT temporary "
        "UNION ALL SELECT schema_name || '.' || view_name FROM duckdb_views() "
        "WHERE database_name = current_database() AND schema_name IN ('marts', 'sync')"
    ).fetchall()
    return sorted({name for (name,) in found} | {f"marts.{name}" for name in MARTS})


def _folder_names(wanted: Iterable[str]) -> list[str]:
    """Names that no reader leaves out or takes for a column's value, no two of them equal, whatever their case."""
    names: list[str] = []
    for one in wanted:
        base = re.sub(r"\W+", "_", one).strip("_") or "query"
        name, number = base, 1
        while name.lower() in {taken.lower() for taken in names}:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names


class _Writer:
    """Writes selections into a folder.

    Args:
        db: restricted to the published file and the folder.
        folder: of the export.
        stamp: in the names of files.
        year: whose folder a table with months gets where it has no rows.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, folder: Path, stamp: str, year: int) -> None:
        self._db = db
        self._folder = folder
        self._stamp = stamp
        self._year = year

    def selection(self, name: str, selection: Selection) -> Written:
        """Write the rows of a table, mart or query into a folder."""
        kinds = {column.name.lower(): kind_of(column.type) for column in selection.columns}
        has_years = kinds.get("month") == "text" and YEAR not in kinds
        values = ", ".join(portable_value(self._db, column) for column in selection.columns)
        rows = f"FROM ({selection.sql}\n)"
        if has_years:
            year = f"coalesce(TRY_CAST(left(month, 4) AS INTEGER), 0) AS {YEAR}"
            files = self._copy(name, selection, f"SELECT {values}, {year} {rows}", f", PARTITION_BY ({YEAR})")
            if not files:
                files = self._copy(f"{name}/{YEAR}={self._year}", selection, f"SELECT {values} {rows} LIMIT 0")
        else:
            files = self._copy(name, selection, f"SELECT {values} {rows}")
        return Written(
            source=selection.source,
            folder=name,
            rows=sum(rows for rows, _ in files.values()),
            files=files,
            remarks=selection.remarks,
            about={
                "meaning": selection.doc,
                "partitioned_by": [YEAR] if has_years else [],
                "columns": [
                    {"name": one.name, "type": portable_type(self._db, one), "meaning": one.doc}
                    for one in selection.columns
                ],
            },
        )

    def states(self, states: Sequence[MonthState]) -> Written:
        """Write how complete it is."""
        table = f"memory.main.{COMPLETENESS}"
        self._db.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind, _ in _STATE_COLUMNS)})")
        rows = [
            (one.portal, one.month, one.is_complete, one.read, one.needed, one.oldest, one.newest, one.words)
            for one in states
        ]
        if rows:
            self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in _STATE_COLUMNS)})", rows)
        return self.selection(
            COMPLETENESS,
            Selection(
                source=COMPLETENESS,
                sql=f"FROM {table}",
                values={},
                order="",
                columns=tuple(Column(name=name, type=kind, doc=doc) for name, kind, doc in _STATE_COLUMNS),
                doc="One row per portal for lists, and one per portal and month: whether the tables were read completely.",
                remarks=(),
                reads=frozenset(),
                counts=(),
                amounts=(),
            ),
        )

    def _copy(self, name: str, selection: Selection, sql: str, options: str = "") -> dict[str, tuple[int, int]]:
        """Relative path of each file -> its rows and bytes; none where there are years and no rows."""
        folder = self._folder / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        pattern = f"{name.split('/')[1 if '/' in name else 0]}-{self._stamp}-{{i}}"
        if not options or _SPLITS_YEARS:
            options += f", FILE_SIZE_BYTES '{_FILE_SIZE}'"
        copied = asked(
            self._db,
            selection.source,
            f"COPY ({sql}) TO {literal(str(folder))} (FORMAT parquet, COMPRESSION snappy, RETURN_STATS, "
            f"FILENAME_PATTERN {literal(pattern)}{options})",
            selection.values,
        )
        return {
            str(Path(path).relative_to(self._folder)): (rows, size)
            for path, rows, size, *_ in sorted(copied.fetchall())
        }


def _write_manifest(
    folder: Path,
    tables: Sequence[Written],
    states: Sequence[MonthState],
    warnings: Sequence[str],
    chosen: Filter,
    published_at: datetime,
    exported_at: datetime,
) -> None:
    said = {
        "format": 1,
        "published_at": published_at.astimezone(UTC).isoformat(timespec="seconds"),
        "exported_at": exported_at.astimezone(UTC).isoformat(timespec="seconds"),
        "filter": chosen.words(),
        "is_complete": not warnings and all(one.is_complete for one in states),
        "warnings": [*warnings],
        "tables": [
            {
                "name": one.source,
                "folder": one.folder,
                "rows": one.rows,
                "remarks": one.remarks,
                **one.about,
                "files": [{"path": path, "rows": rows, "bytes": size} for path, (rows, size) in one.files.items()],
            }
            for one in tables
        ],
    }
    (folder / MANIFEST).write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
