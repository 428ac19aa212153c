"""Searching every byte of the lake and the warehouse for what is known about a person."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue
from planday_io.catalogue.history import lake_name
from planday_io.frames.types import quote
from planday_io.lake.installation import Installation
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.place import Place

INSIDE_FROM = 6
"""Values of at least this many characters are searched for inside longer texts too; shorter ones would be found by chance."""
NAMES = frozenset({"identity", "contact"})
"""Classes whose cells are one name, address or number each."""

_SPECIAL = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True, slots=True)
class Scan:
    """A search through every byte: how many files, and the places where a value was found."""

    files: int
    places: list[str]


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
    places = []
    with duckdb.connect(":memory:") as db:
        for path in sorted(files):
            name = str(path.relative_to(config.home) if path.is_relative_to(config.home) else path)
            content = path.read_bytes()
            if any(value in content for value in unmistakable):
                places.append(f"{name} (bytes)")
            places += [f"{name} ({column})" for column in _cells_with(db, installation, path, values)]
    return Scan(len(files), places)


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
    """Columns of a relation with a cell that is or contains one of the values.

    One query finds the columns with a cell in which a value occurs anywhere, and only those are examined further: compiling
    the expression for words, with the letters of all scripts, takes longer than searching most files.
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
    known = catalogue.lake_tables.get(lake_name(name))
    whole = {column.name for column in known.columns if column.privacy in NAMES} if known else set()
    words = as_words(values)
    for (column, cell), may in zip(cells.items(), found or (), strict=True):
        if not may:
            continue
        test = f"list_contains($values, {cell})"
        given: dict[str, object] = {"values": sorted(values)}
        if words and column not in whole:
            test += f" OR regexp_matches({cell}, $words)"
            given["words"] = words
        query = f"SELECT coalesce(bool_or({test}), false) FROM {relation}"
        if db.execute(query, given).fetchone() == (True,):
            yield f"{name}.{column}"


def _any_of(values: Iterable[str]) -> str:
    """A regular expression for any of the values, the longest first. Outside ASCII nothing may be escaped."""
    return "|".join(_SPECIAL.sub(r"\\\g<0>", value) for value in sorted(values, key=len, reverse=True))


def as_words(values: set[str]) -> str:
    """A regular expression for the longer values as words of a text; empty where there are none."""
    longer = [value for value in values if len(value) >= INSIDE_FROM]
    return rf"(^|[^\pL\pN])({_any_of(longer)})($|[^\pL\pN])" if longer else ""
