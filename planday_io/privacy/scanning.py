"""Searching every byte of the lake and the warehouse for what is known about a person."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Catalogue
from planday_io.catalogue.history import lake_name
from planday_io.frames.types import quote
from planday_io.lake.installation import Installation
from planday_io.state import SliceKey
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.place import Place

INSIDE_FROM = 6
"""Values of at least this many characters are searched for inside longer texts too; shorter ones would be found by chance."""
NAMES = frozenset({"identity", "contact"})
"""Classes whose cells are one name, address or number each."""

_SPECIAL = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True, slots=True)
class Scan:
    """A search through every byte.

    Args:
        files: how many were searched.
        places: where a value was found.
        unreadable: files that cannot be decoded, so only their bytes were searched.
    """

    files: int
    places: list[str]
    unreadable: list[str]


def texts_in(column: pa.ChunkedArray) -> set[str]:
    """The different texts of a column of texts or of lists of texts, trimmed; of other columns, none."""
    kind = column.type
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        column = pc.list_flatten(column)
    elif not pa.types.is_string(kind):
        return set()
    return {text.strip() for text in pc.unique(column).to_pylist() if text and text.strip()}


def scan(installation: Installation, values: set[str]) -> Scan:
    """Search every file of the lake and every file of the warehouse for values.

    Parquet and DuckDB files are decoded: a value counts if it is a whole cell; a longer one also counts as words of a text,
    except in names and addresses of others ("Anders" is not found in "Andersen" or "Anders Nielsen"). Raw bytes are
    searched for unmistakable values only: more than one word, or not only letters.
    """
    config = installation.config
    unmistakable = [value.encode() for value in values if len(value) >= INSIDE_FROM and not value.isalpha()]
    files = [*_files_in(config.lake)]
    files += [path for path in config.warehouse.parent.glob(f"{config.warehouse.name}*") if path.is_file()]
    places, unreadable = [], []
    with duckdb.connect(":memory:") as db:
        for path in sorted(files):
            name = str(path.relative_to(config.home) if path.is_relative_to(config.home) else path)
            # A run in progress removes and replaces files meanwhile.
            with suppress(FileNotFoundError):
                content = path.read_bytes()
                if any(value in content for value in unmistakable):
                    places.append(f"{name} (bytes)")
                try:
                    places += [f"{name} ({column})" for column in [*_cells_with(db, installation, path, values)]]
                except duckdb.Error:
                    unreadable += [name] if path.exists() else []
    return Scan(len(files), places, unreadable)


def _files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, also where a folder in it is a symbolic link to another disk, which `rglob` passes over."""
    seen = set[str]()
    for there, folders, names in os.walk(folder, followlinks=True):
        # Links may form a circle.
        real = {name: os.path.realpath(f"{there}/{name}") for name in folders}
        folders[:] = [name for name in folders if real[name] not in seen]
        seen.update(real.values())
        yield from (path for path in (Path(there, name) for name in names) if path.is_file())


def _cells_with(
    memory: duckdb.DuckDBPyConnection, installation: Installation, path: Path, values: set[str]
) -> Iterator[str]:
    """Columns of a Parquet or DuckDB file with a cell that is or contains one of the values.

    Args:
        memory: a database that reads the Parquet files; opening one for each file would take longer than reading it.
        installation: whose file it is.
        path: the file.
        values: to search for.
    """
    if ".parquet" in path.name:
        name = ".".join(path.relative_to(installation.config.lake).parts[:2])
        relation = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
        yield from _columns_with(memory, installation.catalogue, name, relation, values)
    elif ".duckdb" in path.name and Place(path).is_duckdb():
        with duckdb.connect(str(path), read_only=True) as db:
            tables = db.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
            for schema, table in tables:
                relation = f"{quote(schema)}.{quote(table)}"
                yield from _columns_with(db, installation.catalogue, f"{schema}.{table}", relation, values)


def _columns_with(
    db: duckdb.DuckDBPyConnection, catalogue: Catalogue, name: str, relation: str, values: set[str]
) -> Iterator[str]:
    """Columns of a relation with a cell that is or contains one of the values."""
    known = catalogue.lake_tables.get(lake_name(name))
    whole = {column.name for column in known.columns if column.privacy in NAMES} if known else set()
    words = as_words(values)
    for column, cell in _columns_near(db, relation, values):
        test = f"list_contains($values, {cell})"
        given: dict[str, object] = {"values": sorted(values)}
        if words and column not in whole:
            test += f" OR regexp_matches({cell}, $words)"
            given["words"] = words
        query = f"SELECT coalesce(bool_or({test}), false) FROM {relation}"
        if db.execute(query, given).fetchone() == (True,):
            yield f"{name}.{column}"


def _columns_near(db: duckdb.DuckDBPyConnection, relation: str, values: set[str]) -> Iterator[tuple[str, str]]:
    """Columns of a relation with a cell in which a value occurs anywhere, each with the SQL expression for its text.

    One query finds them, and only those are examined further: compiling the expression for words, with the letters of all
    scripts, takes longer than searching most files.
    """
    described = db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    # Numbers and times are not texts, and the digits of a phone number occur in them by chance.
    cells = {
        column: f"CAST({quote(column)} AS VARCHAR)"
        for column, kind, *_ in described
        if "VARCHAR" in kind or kind == "JSON"
    }
    if not cells or not values:
        return
    occurs = ", ".join(f"coalesce(bool_or(regexp_matches({cell}, $any)), false)" for cell in cells.values())
    found = db.execute(f"SELECT {occurs} FROM {relation}", {"any": _any_of(values)}).fetchone()
    for (column, cell), may in zip(cells.items(), found or (), strict=True):
        if may:
            yield column, cell


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Values that occur in rows.

    Args:
        values: those that occur anywhere, even inside a longer word.
        typed: table and column of texts that people typed -> the values that are whole words of such a text.
    """

    values: set[str]
    typed: dict[str, set[str]]


def occurrences(installation: Installation, keys: Iterable[SliceKey], values: set[str]) -> Occurrences:
    """Which values occur in some slices of the lake, whose files can be read."""
    lake, tables = installation.lake, installation.catalogue.lake_tables
    found = Occurrences(set(), {})
    with duckdb.connect(":memory:") as db:
        for key in keys:
            table = tables[key.full_name]
            typed = {column.name for column in table.columns if column.privacy == "free_text"} | {"_extra"}
            relation = f"read_parquet({literal(str(lake.path(key)))}, hive_partitioning = false)"
            for column, cell in _columns_near(db, relation, values):
                here = _occurring(db, relation, cell, values, _any_of, 0)
                found.values.update(here)
                if column in typed and (words := _occurring(db, relation, cell, here, as_words, 2)):
                    found.typed.setdefault(f"{table.published_name}.{column}", set()).update(words)
    return found


def _occurring(
    db: duckdb.DuckDBPyConnection,
    relation: str,
    cell: str,
    values: set[str],
    pattern: Callable[[set[str]], str],
    group: int,
) -> set[str]:
    """Which values a regular expression finds in a column. Matches may overlap: it searches until it finds no more."""
    found: set[str] = set()
    query = f"SELECT DISTINCT unnest(regexp_extract_all({cell}, $pattern, {group})) FROM {relation}"
    while wanted := pattern(values - found):
        more = {text for (text,) in db.execute(query, {"pattern": wanted}).fetchall()} & (values - found)
        if not more:
            break
        found |= more
    return found


def _any_of(values: Iterable[str]) -> str:
    """A regular expression for any of the values, the longest first. Outside ASCII nothing may be escaped."""
    return "|".join(_SPECIAL.sub(r"\\\g<0>", value) for value in sorted(values, key=len, reverse=True))


def as_words(values: set[str]) -> str:
    """A regular expression for the longer values as words of a text; empty where there are none."""
    longer = [value for value in values if len(value) >= INSIDE_FROM]
    return rf"(^|[^\pL\pN])({_any_of(longer)})($|[^\pL\pN])" if longer else ""
