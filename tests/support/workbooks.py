"""Workbooks as openpyxl, which shares no code with their writer, reads them; and what DuckDB's values have to be there."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet


def opened(file: Path, *, formulas: bool = False) -> Workbook:
    """A workbook with the values of its formulas, or with the formulas."""
    return openpyxl.load_workbook(file, data_only=not formulas)


def rows_of(sheet: Worksheet, *, totals: bool = False) -> list[tuple[Any, ...]]:
    """The rows between header and totals, dates as `seen` gives them."""
    rows = [tuple(map(seen, row)) for row in sheet.iter_rows(min_row=2, values_only=True)]
    return rows[:-1] if totals else rows


def first_sheet(file: Path) -> str:
    """All of its text, a line per row."""
    rows = opened(file)["How complete"].iter_rows(values_only=True)
    return "\n".join(" | ".join(str(cell) for cell in row if cell is not None) for row in rows)


def seen(value: Any) -> Any:
    """A value of DuckDB or of a workbook, so that both are equal where they mean the same.

    Excel has no dates apart from instants at midnight, no integers apart from floats, and hundredths of a second at best.
    """
    match value:
        case bool() | None:
            return value
        case int() | float() | Decimal():
            number = float(value)
            return number if math.isfinite(number) else str(number)
        case datetime():
            plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return _rounded(plain)
        case date():
            return datetime.combine(value, time())
        case list() | dict():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
        case _:
            return value


def _rounded(value: datetime) -> datetime:
    shifted = value + timedelta(milliseconds=5)
    return shifted.replace(microsecond=shifted.microsecond // 10_000 * 10_000)
