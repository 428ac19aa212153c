"""What somebody wants exported: marts, files with one SELECT each, and a filter.

An SQL file may begin with comments, as the files of the marts do: what a row is, `-- column: meaning` for columns, and
`-- totals: column, column` for those that may be added up, which nothing else can tell of a query.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from planday_io.errors import ConfigError
from planday_io.files import storage_errors
from planday_io.texts import TextError, decode

FIRST_SHEET = "How complete"
NAME_LENGTH = 31
"""Excel's limit for the name of a sheet, in UTF-16 units."""
PARAMETERS = ("from_date", "to_date")
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_COMMENT = re.compile(r"\s*--(.*)")
_MEANING = re.compile(r"(\w+): (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows are exported. Empty members take all.

    Args:
        first: first local day.
        last: last local day, included.
        portals: keys of portals.yaml.
        departments: Planday's ids, which repeat across portals.
        is_strict: whether what has no column for portals or departments is refused, not exported whole.
    """

    first: date | None = None
    last: date | None = None
    portals: tuple[str, ...] = ()
    departments: tuple[int, ...] = ()
    is_strict: bool = False

    def words(self) -> str:
        """The filter in words."""
        said = [f"from {self.first}"] if self.first else []
        said += [f"to {self.last} (included)"] if self.last else []
        for name, values in (("portal", self.portals), ("department", self.departments)):
            if values:
                said.append(f"{name}{'s' if len(values) > 1 else ''} {', '.join(map(str, values))}")
        return "; ".join(said) or "none: all rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One SELECT from a file.

    Args:
        name: of its sheet.
        file: where it is from, for messages.
        sql: the statement, without the semicolon at its end.
        doc: what a row is.
        meanings: column -> meaning, perhaps of columns that it does not have.
        totals: columns that may be added up.
        parameters: of `PARAMETERS`, those that it uses.
    """

    name: str
    file: str
    sql: str
    doc: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)
    totals: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()


def query_of(file: Path) -> Query:
    """The query in a file, whose name without its ending becomes that of the sheet.

    Raises:
        ConfigError: there is no such file, or it holds anything but one SELECT.
        StorageError: it cannot be read.
    """
    if not file.is_file():
        raise ConfigError(f"--sql: there is no file {file}")
    with storage_errors(file, "read"):
        data = file.read_bytes()
    try:
        text = decode(data)
    except TextError as error:
        raise ConfigError(f"{file}: {error}") from None
    try:
        found = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise ConfigError(f"{file}: {error}") from None
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise ConfigError(
            f"{file} has to hold one SELECT and nothing else; it holds "
            + (", ".join(one.type.name for one in found) or "no statement")
        )
    parameters = frozenset(found[0].named_parameters)
    if unknown := sorted(parameters - {*PARAMETERS}):
        raise ConfigError(
            f"{file} uses the parameter ${unknown[0]}; there are only $from_date and $to_date, the first and last day"
        )
    doc, meanings, totals = _comments(text)
    # Bytes that are no UTF-8 cannot be written into a file.
    shown = Path(os.fsencode(file.name).decode(errors="replace"))
    return Query(
        name=shown.stem,
        file=shown.name,
        sql=_without_semicolons(found[0].query),
        doc=doc,
        meanings=meanings,
        totals=totals,
        parameters=parameters,
    )


def sheet_names(wanted: Sequence[str]) -> list[str]:
    """Names that Excel takes, in the same order, no two of them equal, whatever their case. They serve as file names too."""
    taken, names = {FIRST_SHEET.lower(), FIRST_SHEET.lower().replace(" ", "_"), "history"}, []
    for one in wanted:
        # Excel keeps "History" for itself and takes no apostrophe at either end; a leading dot hides a file.
        base = _FORBIDDEN.sub("_", one).strip().strip("'.").strip() or "query"
        name, number = _shortened(base, NAME_LENGTH), 1
        while name.lower() in taken:
            number += 1
            ending = f" ({number})"
            name = _shortened(base, NAME_LENGTH - len(ending)) + ending
        taken.add(name.lower())
        names.append(name)
    return names


def _without_semicolons(statement: str) -> str:
    """A statement without the semicolons that end it. DuckDB says which they are: texts and comments have some too."""
    data = statement.encode()
    end, parts = len(data), duckdb.tokenize(statement)  # offsets are in bytes
    while parts and (parts[-1][1] == duckdb.token_type.comment or data[parts[-1][0] :][:1] == b";"):
        at, kind = parts.pop()
        end = end if kind == duckdb.token_type.comment else at
    return data[:end].decode()


def _shortened(text: str, units: int) -> str:
    """The beginning of a text that has at most so many UTF-16 units."""
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore").rstrip("' ")


def _comments(text: str) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """What the comments before the statement say: what a row is, meanings of columns, columns to add up."""
    doc: list[str] = []
    meanings: dict[str, str] = {}
    totals: list[str] = []
    for line in text.lstrip("\ufeff").splitlines():
        if not line.strip():
            continue
        found = _COMMENT.fullmatch(line)
        if found is None:
            break
        said = found[1].strip()
        meaning = _MEANING.fullmatch(said)
        if meaning and meaning[1].lower() == "totals":
            totals += [name.strip() for name in meaning[2].split(",") if name.strip()]
        elif meaning:
            meanings[meaning[1].lower()] = meaning[2]
        elif said:
            doc.append(said)
    return " ".join(doc), meanings, tuple(totals)
