"""A folder of CSV files as Excel opens them by double click in one language: separator, decimal mark, words for booleans.

A text that begins like a formula gets an apostrophe in front, because Excel, LibreOffice and Google Sheets would compute it.
Numbers are no text: a negative one stays as it is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Literal

import duckdb

from planday_io.export.cells import FORMULA_STARTS, Cell, Changes, text_of
from planday_io.export.contents import Sheet, cells_of
from planday_io.export.first_sheet import Row
from planday_io.export.folder import mark

Locale = Literal["da", "nb", "sv", "de", "en"]
OVERVIEW = "how_complete.csv"
GUARDED = "begin like a formula: an apostrophe stands before them, so that no program computes them"


@dataclass(frozen=True, slots=True)
class _Writing:
    """How Excel of one language reads a CSV file."""

    separator: str
    decimal_mark: str
    true: str
    false: str


_WRITING: dict[Locale, _Writing] = {
    "da": _Writing(";", ",", "SAND", "FALSK"),
    "nb": _Writing(";", ",", "SANN", "USANN"),
    "sv": _Writing(";", ",", "SANT", "FALSKT"),
    "de": _Writing(";", ",", "WAHR", "FALSCH"),
    "en": _Writing(",", ".", "TRUE", "FALSE"),
}


def write_folder(
    db: duckdb.DuckDBPyConnection,
    sheets: Sequence[Sheet],
    first: Callable[[Sequence[Changes]], Sequence[Row]],
    folder: Path,
    locale: Locale,
) -> list[Changes]:
    """Write the files into a folder that exists. Returns what was changed, per sheet. Raises OSError."""
    writing = _WRITING[locale]
    changes = [_write_sheet(db, sheet, folder / f"{sheet.name}.csv", writing) for sheet in sheets]
    unused = Changes()
    with (folder / OVERVIEW).open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, delimiter=writing.separator)
        for row in first(changes):
            out.writerow([_shown(cell, writing, unused) for cell in row.cells])
    mark(folder)
    return changes


def _write_sheet(db: duckdb.DuckDBPyConnection, sheet: Sheet, path: Path, writing: _Writing) -> Changes:
    changes = Changes()
    # With a byte order mark, because Excel takes the file for the old encoding of its language otherwise.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, delimiter=writing.separator)
        out.writerow([_shown(text_of(column.name, changes), writing, changes) for column in sheet.columns])
        # All digits of a number, with the file's own decimal mark; a text would have a point, or an apostrophe.
        rows = cells_of(db, sheet, changes, digits=None)
        out.writerows([_shown(cell, writing, changes) for cell in cells] for cells in rows)
    return changes


def _shown(cell: Cell, writing: _Writing, changes: Changes) -> str:
    if isinstance(cell, str):
        is_guarded = cell.startswith(FORMULA_STARTS)
        changes.formulas += is_guarded
        return f"'{cell}" if is_guarded else cell
    if isinstance(cell, bool):
        return writing.true if cell else writing.false
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ", timespec="milliseconds" if cell.microsecond else "seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    text = "" if cell is None else f"{cell:f}" if isinstance(cell, Decimal) else repr(cell)
    return text.replace(".", writing.decimal_mark)
