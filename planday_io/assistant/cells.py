"""Values of DuckDB as JSON, one line per row: a text of a cell cannot begin a line, or look like the end of the rows.

Other texts that are not ours, such as messages of DuckDB, become one line as well.
"""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from decimal import Decimal

LONGEST_CELL = 1_000
"""Characters of a cell; what is longer is cut, and says so."""


def line_of(row: tuple[object, ...]) -> str:
    """A row as one line: a JSON array, in ASCII where a character would end a line or show nothing."""
    return _json([_cell(value) for value in row])


def plain_line(text: str) -> str:
    """A text as one line that shows all of its characters: what would end a line, hide text or move it becomes an escape."""
    return _visible(" ".join(text.split()))


def _cell(value: object) -> object:
    """A value that JSON has; numbers stay exact, days and instants become ISO texts."""
    plain = _plain(value)
    text = plain if isinstance(plain, str) else _json(plain)
    if len(text) > LONGEST_CELL:
        return f"{text[:LONGEST_CELL]}... (cut: {len(text)} characters)"
    return plain


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            plain: object = value
        case float():
            plain = value if math.isfinite(value) else str(value)
        case Decimal():
            plain = _number(value)
        case datetime():
            plain = value.isoformat(" ")
        case date() | time():
            plain = value.isoformat()
        case bytes():
            plain = f"{len(value)} bytes"
        case dict():
            plain = {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            plain = [_plain(one) for one in value]
        case _:
            plain = str(value)
    return plain


def _number(value: Decimal) -> object:
    """A float writes up to 15 digits as they are, and people read 12.5 more easily than "12.5000"."""
    if value == value.to_integral_value():
        return int(value)
    return float(value) if len(value.as_tuple().digits) <= 15 else str(value)


def _json(value: object) -> str:
    return _visible(json.dumps(value, ensure_ascii=False))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """As in JSON: what is beyond 16 bits takes two escapes."""
    return json.dumps(char)[1:-1]
