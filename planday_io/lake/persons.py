"""Whom rows are about, and taking values out of rows.

Who is to be forgotten is in `forgotten`, what has become too old in `expiry`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Catalogue, Table
from planday_io.frames.types import replaced
from planday_io.lake.slices import Lake
from planday_io.state import SliceKey

PERSONAL = frozenset({"identity", "contact", "sensitive", "free_text"})
"""Classes removed from rows that are kept when a person is forgotten. Amounts (`pay`) stay for the totals."""


def owner_link(table: Table) -> tuple[str, str] | None:
    """For a table without people of its own: the column that says to which row of which table a row belongs."""
    if any(person.role != "actor" for person in table.people):
        return None
    links = [one for one in table.columns if one.references and (one.name == table.key[0] or one.path_param)]
    return (links[0].name, links[0].references) if links else None


def rows_of_people(
    catalogue: Catalogue, table: Table, rows: pa.Table, ids_in: Callable[[pa.ChunkedArray], Collection[int]]
) -> set[int]:
    """Ids of the given rows of a table that are about some people.

    Args:
        catalogue: knows the keys of histories' tables.
        table: of the rows.
        rows: may lack columns.
        ids_in: which ids of a column are those of the people.
    """
    workers = [person.column for person in table.people if person.role != "actor"]
    if not workers or workers[0] not in rows.schema.names:
        return set()
    ids = ids_in(rows.column(workers[0]))
    if not ids:
        return set()
    key = catalogue.table(table.full_name).key[0] if table.full_name in catalogue.histories else table.key[0]
    return set(rows.filter(is_in(rows.column(workers[0]), ids)).column(key).to_pylist()) - {None}


def rows_in_lake(
    lake: Lake,
    catalogue: Catalogue,
    keys: Iterable[SliceKey],
    name: str,
    ids_in: Callable[[pa.ChunkedArray], Collection[int]],
) -> set[int]:
    """Ids of some people's rows of one table, including earlier versions.

    Args:
        lake: of the slices.
        catalogue: knows the table.
        keys: slices of one portal, of whatever tables.
        name: full name of the table.
        ids_in: as of `rows_of_people`.

    Raises:
        StorageError: a slice of the table cannot be read.
    """
    base, found = catalogue.table(name), set[int]()
    tables = {one.full_name: one for one in (base, catalogue.histories.get(name)) if one is not None}
    for key in keys:
        if (table := tables.get(key.full_name)) is not None:
            found |= rows_of_people(catalogue, replace(table, key=base.key), lake.read(key), ids_in)
    return found


def columns_of(table: Table, classes: Collection[str]) -> list[str]:
    """Columns with data of some privacy classes, and `_extra`, which may have data of any."""
    return [*(column.name for column in table.columns if column.privacy in classes), "_extra"]


def is_in(column: pa.ChunkedArray, ids: Collection[int]) -> pa.ChunkedArray:
    """Which values of a column are among some ids."""
    return pc.is_in(column, pa.array(sorted(ids), pa.int64()))


def blanked(rows: pa.Table, where: pa.ChunkedArray, columns: Collection[str]) -> pa.Table:
    """The rows, with NULL in some columns where a mask is true."""
    for name in columns:
        column = rows.column(name)
        rows = replaced(rows, name, pc.if_else(where, pa.scalar(None, column.type), column))
    return rows
