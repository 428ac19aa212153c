"""Values of columns as Excel can hold them: which DuckDB types become numbers, dates or text, and what has to be changed.

What is changed is counted (`Changes`), so that the first sheet can say it: nothing is cut in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

from planday_io.frames.types import quote

Kind = Literal["boolean", "integer", "decimal", "double", "date", "timestamp", "instant", "time", "text", "nested"]
Cell = bool | int | float | Decimal | date | datetime | time | str | None

NUMBERS: tuple[Kind, ...] = ("integer", "decimal", "double")
TEXT_LENGTH = 32_767
"""Excel's limit for the text of a cell, in UTF-16 units."""
CUT = " [cut]"
DIGITS = 15
"""Excel keeps so many digits of a number, and replaces further ones by zeros."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full width, as in OWASP
"""Texts that begin so are formulas to Excel, or become formulas when it opens a CSV file
(https://owasp.org/www-community/attacks/CSV_Injection)."""
_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT SMALLINT INTEGER BIGINT HUGEINT".split())
)
_DECIMAL = re.compile(r"DECIMAL\(\d+,(\d+)\)")
_NESTED = ("STRUCT(", "MAP(", "UNION(")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_FIRST_YEAR = 1900
_WIDEST = 60


def kind_of(kind: str) -> Kind:
    """How a DuckDB type is shown."""
    if kind.endswith("]") or kind.startswith(_NESTED):
        return "nested"
    if kind in _INTEGERS:
        return "integer"
    if kind.startswith("DECIMAL"):
        return "decimal"
    if kind.startswith("TIMESTAMP"):
        return "instant" if kind.endswith("WITH TIME ZONE") else "timestamp"
    plain: dict[str, Kind] = {
        "BOOLEAN": "boolean",
        "DOUBLE": "double",
        "FLOAT": "double",
        "DATE": "date",
        "TIME": "time",
    }
    return plain.get(kind, "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a sheet.

    Args:
        name: as in the header.
        type: DuckDB's.
        doc: what it means, or empty.
        width: in characters.
        has_odd_dates: dates or times that Excel does not have: infinite ones, and years before 1900 or after 9999.
        total: the sum over all rows; None where it would mean nothing.
    """

    name: str
    type: str
    doc: str
    width: int = 10
    has_odd_dates: bool = False
    total: Decimal | int | float | None = None

    @property
    def kind(self) -> Kind:
        return kind_of(self.type)

    @property
    def decimals(self) -> int:
        """Digits behind the point: those of DECIMAL, 4 of DOUBLE."""
        found = _DECIMAL.fullmatch(self.type)
        return int(found[1]) if found else 4

    @property
    def note(self) -> str:
        """What the header's note says."""
        if self.kind == "instant":
            return f"{self.doc} Times in this column are UTC.".strip()
        return self.doc

    @property
    def expression(self) -> str:
        """SQL for its values as Python should get them."""
        name = quote(self.name)
        match self.kind:
            case "nested":
                return f"CAST(to_json({name}) AS VARCHAR)"
            case "text":
                return f"CAST({name} AS VARCHAR)"
            case "date" | "timestamp" | "instant":
                return f"CAST({self._moment} AS VARCHAR)" if self.has_odd_dates else self._moment
            case _:
                return name

    @property
    def _moment(self) -> str:
        name = quote(self.name)
        if self.kind == "instant":
            return f"timezone('UTC', CAST({name} AS TIMESTAMPTZ))"
        return name if self.kind == "date" else f"CAST({name} AS TIMESTAMP)"

    def measures(self, is_added_up: bool) -> str:
        """SQL for what `measured` needs, over all rows."""
        name, moment = quote(self.name), self._moment
        odd = f"NOT isfinite({moment}) OR {moment} < '{_FIRST_YEAR}-01-01' OR {moment} >= '10000-01-01'"
        parts = (
            f"'width': max(length({self.expression if self.kind == 'nested' else f'CAST({name} AS VARCHAR)'}))",
            f"'odd': bool_or({odd if self.kind in ('date', 'timestamp', 'instant') else 'false'})",
            f"'total': {f'sum({name})' if is_added_up else 'NULL'}",
        )
        return f"{{{', '.join(parts)}}}"

    def measured(self, found: dict[str, Any]) -> Column:
        """The column with its width and sum."""
        total = found["total"]
        is_known = total is not None and (not isinstance(total, float) or math.isfinite(total))
        fixed = {"date": 11, "timestamp": 20, "instant": 20, "double": 12}.get(self.kind, (found["width"] or 0) + 2)
        # Three more for the button of the filter.
        width = min(_WIDEST, max(8, len(self.name) + 3, fixed))
        return replace(self, width=width, has_odd_dates=bool(found["odd"]), total=total if is_known else None)


@dataclass(slots=True)
class Changes:
    """How many cells were changed, and how.

    Args:
        cut: texts longer than Excel takes.
        controls: texts with characters that a file cannot hold or show.
        digits: numbers with more digits than a workbook keeps, written as text.
        moments: dates and times that Excel does not have, written as text.
        formulas: texts that begin like a formula.
    """

    cut: int = 0
    controls: int = 0
    digits: int = 0
    moments: int = 0
    formulas: int = 0

    def words(self, formulas: str = "") -> list[str]:
        """What was changed, in words; `formulas` says what was done with texts like formulas, if a reader should know."""
        said = (
            (self.cut, f"were longer than {TEXT_LENGTH:,} characters: they were cut, and end with {CUT.strip()}"),
            (self.controls, "had control characters, which are shown as \ufffd"),
            (self.digits, f"are numbers of more than {DIGITS} digits, written as text so that none is lost"),
            (self.moments, "are dates that Excel does not have, written as text"),
            (self.formulas if formulas else 0, formulas),
        )
        return [f"{count:,} cells {text}." for count, text in said if count]


def reader(column: Column, changes: Changes, digits: int | None = DIGITS) -> Callable[[Any], Cell]:
    """The function that turns each value of a column, as `Column.expression` selects it, into a cell. Numbers of more digits
    become text.
    """
    match column.kind:
        case "text" | "nested":
            return lambda value: None if value is None else text_of(value, changes)
        case "integer" | "decimal" if digits is not None:
            return lambda value: None if value is None else _number(value, changes, digits)
        case "double":
            return _double
        case ("date" | "timestamp" | "instant") as kind if column.has_odd_dates:
            parse = date.fromisoformat if kind == "date" else datetime.fromisoformat
            return lambda value: None if value is None else _moment(value, parse, changes)
        case _:
            return lambda value: value


def text_of(value: str, changes: Changes) -> str:
    """A text as a cell can hold it, line ends as Excel has them."""
    text = value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value
    shown = _CONTROLS.sub("\ufffd", text)
    if shown != text:
        changes.controls += 1
    if len(shown) > TEXT_LENGTH // 2:
        units = shown.encode("utf-16-le")
        if len(units) > 2 * TEXT_LENGTH:
            changes.cut += 1
            return units[: 2 * (TEXT_LENGTH - len(CUT))].decode("utf-16-le", "ignore") + CUT
    return shown


def _number(value: int | Decimal, changes: Changes, most: int) -> Cell:
    digits = f"{value:f}".lstrip("-").replace(".", "").strip("0") if isinstance(value, Decimal) else str(abs(value))
    if len(digits) <= most:
        return value
    changes.digits += 1
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _double(value: float | None) -> Cell:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def _moment(value: str, parse: Callable[[str], date], changes: Changes) -> Cell:
    try:
        found = parse(value)
    except ValueError:
        found = None
    if found is not None and found.year >= _FIRST_YEAR:
        return found
    changes.moments += 1
    return value
