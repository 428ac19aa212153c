"""The Excel workbook. XlsxWriter keeps one row in memory: rows of a sheet are written in order, sheets in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxFileError
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

from planday_io.errors import ExportError
from planday_io.export.cells import FORMULA_STARTS, Cell, Changes, Column, text_of
from planday_io.export.contents import Sheet, cells_of
from planday_io.export.first_sheet import Row
from planday_io.export.request import FIRST_SHEET

_NOTE_CHARACTERS = 45
"""That fit into a line of a note, about."""


def write_workbook(
    db: duckdb.DuckDBPyConnection,
    sheets: Sequence[Sheet],
    first: Callable[[Sequence[Changes]], Sequence[Row]],
    file: Path,
    work: Path,
) -> list[Changes]:
    """Write a workbook.

    Args:
        db: where the rows are.
        sheets: the rows, at most as many as Excel takes.
        first: the rows of the first sheet, which says how many cells of each sheet were changed.
        file: to write.
        work: folder for XlsxWriter's own files, which hold the rows as well.

    Returns:
        What was changed, per sheet.

    Raises:
        OSError: it cannot be written.
        ExportError: it would be larger than a zip file may be.
    """
    book = Workbook(
        str(file),
        {
            "constant_memory": True,
            "tmpdir": str(work),
            "use_zip64": True,
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
        },
    )
    styles = _Styles(book)
    front = book.add_worksheet(FIRST_SHEET)
    changes = [_write_sheet(db, book.add_worksheet(sheet.name), sheet, styles) for sheet in sheets]
    _write_first(front, first(changes), styles)
    try:
        book.close()
    except XlsxFileError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, OSError):
            raise cause from None
        raise ExportError("the workbook is too large for its format. Nothing was written. Take fewer rows") from None
    return changes


class _Styles:
    """Formats, each made once."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._made: dict[tuple[tuple[str, Any], ...], Format] = {}

    def get(self, **properties: Any) -> Format:  # noqa: ANN401 - as XlsxWriter takes them
        key = tuple(sorted(properties.items()))
        if key not in self._made:
            self._made[key] = self._book.add_format(properties)
        return self._made[key]

    @property
    def header(self) -> Format:
        return self.get(bold=True, bottom=1, bg_color="#E7ECF2")

    def of(self, column: Column, **more: Any) -> Format | None:  # noqa: ANN401
        shown = {
            "integer": "0",
            "double": "#,##0.00##",
            "decimal": _decimals(column.decimals),
            "date": "yyyy-mm-dd",
            "timestamp": "yyyy-mm-dd hh:mm:ss",
            "instant": "yyyy-mm-dd hh:mm:ss",
            "time": "hh:mm:ss",
        }.get(column.kind)
        if shown:
            more["num_format"] = shown
        return self.get(**more) if more else None


def _decimals(digits: int) -> str:
    """At least two digits behind the point, where the type has as many."""
    return "#,##0" + (f".{'0' * min(digits, 2)}{'#' * (digits - 2)}" if digits else "")


def _write_sheet(db: duckdb.DuckDBPyConnection, sheet: Worksheet, content: Sheet, styles: _Styles) -> Changes:
    changes = Changes()
    columns = content.columns
    formats = [styles.of(column) for column in columns]
    _print_wide(sheet)
    sheet.repeat_rows(0)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, content.rows, len(columns) - 1)
    for n, column in enumerate(columns):
        sheet.set_column(n, n, column.width)
        _write_text(sheet, 0, n, text_of(column.name, changes), styles.header, styles)
        if note := text_of(column.note, Changes()):
            lines = len(note) // _NOTE_CHARACTERS + 2
            sheet.write_comment(0, n, note, {"author": "planday", "width": 320, "height": 18 * lines})
    for row, cells in enumerate(cells_of(db, content, changes), start=1):
        for n, cell in enumerate(cells):
            if cell is not None:
                _write_cell(sheet, row, n, cell, formats[n], styles, changes)
    if content.has_totals:
        _write_totals(sheet, content, styles)
    return changes


def _write_cell(
    sheet: Worksheet, row: int, column: int, cell: Cell, style: Format | None, styles: _Styles, changes: Changes
) -> None:
    if isinstance(cell, str):
        if cell.startswith(FORMULA_STARTS):
            changes.formulas += 1
            # With this Excel leaves it a text when somebody edits the cell.
            style = styles.get(quote_prefix=True)
        else:
            style = None
        _write_text(sheet, row, column, cell, style, styles)
    elif isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float | Decimal):
        sheet.write_number(row, column, float(cell), style)
    elif isinstance(cell, datetime | time):
        # A workbook has milliseconds: with more, the last instant of a day would become the next day.
        whole = cell.replace(microsecond=cell.microsecond // 1000 * 1000)
        sheet.write_datetime(row, column, whole, style)
    elif isinstance(cell, date):
        sheet.write_datetime(row, column, cell, style)


def _write_text(sheet: Worksheet, row: int, column: int, text: str, style: Format | None, styles: _Styles) -> None:
    if text.startswith("<r>") and text.endswith("</r>"):
        # With constant_memory XlsxWriter takes such a text for its own markup; two fragments it escapes.
        whole = [style] if style else []
        sheet.write_rich_string(row, column, text[:1], styles.get(font_name="Calibri"), text[1:], *whole)
    else:
        sheet.write_string(row, column, text, style)


def _write_totals(sheet: Worksheet, content: Sheet, styles: _Styles) -> None:
    """Sums under the rows, which follow the filter; the value in the file is that of all rows."""
    row = content.rows + 1
    for n, column in enumerate(content.columns):
        if column.total is not None:
            name = xl_col_to_name(n)
            style = styles.of(column, bold=True, top=1)
            sheet.write_formula(row, n, f"=SUBTOTAL(109,{name}2:{name}{row})", style, float(column.total))
        elif n == 0:
            sheet.write_string(row, n, "Total", styles.get(bold=True, top=1))
        else:
            sheet.write_blank(row, n, None, styles.get(top=1))


def _print_wide(sheet: Worksheet) -> None:
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)


def _write_first(sheet: Worksheet, rows: Sequence[Row], styles: _Styles) -> None:
    _print_wide(sheet)
    sheet.hide_gridlines(2)
    for n, width in enumerate((24, 12, 24, 12, 12, 18, 18, 100)):
        sheet.set_column(n, n, width)
    for at, row in enumerate(rows):
        style = {"title": styles.get(bold=True, font_size=14), "header": styles.header}.get(row.kind)
        warns = styles.get(font_color="#9C0006") if row.is_warning else None
        for n, cell in enumerate(row.cells):
            if isinstance(cell, datetime):
                sheet.write_datetime(at, n, cell, styles.get(num_format="yyyy-mm-dd hh:mm", align="left"))
            elif isinstance(cell, int):
                sheet.write_number(at, n, cell, styles.get(num_format="#,##0", align="left"))
            elif cell:
                _write_text(sheet, at, n, cell, style or warns, styles)
