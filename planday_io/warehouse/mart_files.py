"""The marts as their SQL files describe them: names, meanings, questions, and the statements that create them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from planday_io.catalogue import mart_names

_HERE = Path(__file__).parent
MARTS = mart_names.MARTS
MACROS = (
    "attendance_exceptions",
    "overtime_over",
    "working_time_between",
    "working_time_findings_between",
    "roster_stability_between",
)
"""Files of marts that take arguments: table macros."""
_NAMED_MART = re.compile(rf"(?<=FROM |JOIN )marts\.({'|'.join(MARTS)})\b")
_READ = re.compile(r"(?<!DISTINCT )(?:FROM|JOIN) ([a-z_]+\.[a-z_]+)")
_PART_OF_MART = re.compile(r"\bmarts_(\w+) AS MATERIALIZED \(")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a mart answers, and the query for it."""

    text: str
    sql: str


@dataclass(frozen=True, slots=True)
class Mart:
    """A view for analysts.

    Args:
        name: of the view, which is in the schema `marts`, or in `sync` if it is about the data itself (`sync_views`).
        doc: what a row is.
        columns: name -> meaning.
        sql: the statement that creates it. It names no other view: see `_alone`.
        questions: that it answers.
    """

    name: str
    doc: str
    columns: dict[str, str]
    sql: str
    questions: tuple[Question, ...]


@functools.cache
def marts() -> tuple[Mart, ...]:
    """All marts, each after those it builds on."""
    return tuple(_mart(name) for name in MARTS)


@dataclass(frozen=True, slots=True)
class Macro:
    """A mart that takes arguments.

    Args:
        name: of the table macro, which is in the schema `marts`.
        doc: what a row is.
        arguments: name -> meaning.
        columns: name -> meaning.
        rows_of: the mart that has the same columns, if there is one.
        sql: the statement that creates it.
        questions: that it answers.
    """

    name: str
    doc: str
    arguments: dict[str, str]
    columns: dict[str, str]
    rows_of: str
    sql: str
    questions: tuple[Question, ...]


@functools.cache
def macros() -> tuple[Macro, ...]:
    """All marts that take arguments."""
    return tuple(_macro(name) for name in MACROS)


@functools.cache
def sync_views() -> tuple[Mart, ...]:
    """The views of the schema `sync`: reads that failed, values that the marts could not use, and how figures settled."""
    return tuple(_view(name, _HERE / f"{name}.sql") for name in ("failures", "findings", "settling"))


@functools.cache
def month_conditions() -> str:
    """Which conditions on a month limit what marts read, in Markdown."""
    return (_HERE / "marts" / "month_conditions.md").read_text(encoding="utf-8").strip()


@functools.cache
def read_by(name: str) -> frozenset[str]:
    """The tables and marts that a mart's query names, as `domain.table` and `marts.name`; not those of the ledger."""
    return frozenset(found for found in _READ.findall(_query_of(name)) if not found.startswith("sync."))


def sources_of(name: str) -> frozenset[str]:
    """The tables that a mart's rows come from, also by way of other marts."""
    found = {one for one in read_by(name) if not one.startswith("marts.")}
    return frozenset(found.union(*(sources_of(one.removeprefix("marts.")) for one in read_by(name) - found)))


def _mart(name: str) -> Mart:
    return _view(name, _HERE / "marts" / f"{name}.sql", _questions(_HERE / "marts" / f"{name}.questions.sql"))


def _macro(name: str) -> Macro:
    head, create, statement = (_HERE / "macros" / f"{name}.sql").read_text(encoding="utf-8").partition("CREATE ")
    doc, *parts = (
        [line.removeprefix("--").strip() for line in part.splitlines()] for part in head.strip().split("\n--\n")
    )
    arguments, *own = (dict(line.split(": ", 1) for line in lines) for lines in parts)
    rows_of = "" if own else name.removesuffix("_between")
    begin, _, body = statement.partition(" AS TABLE\n")
    sql = f"{create}{begin} AS TABLE\n{_of_attached(_over_parts(body, frozenset(_PART_OF_MART.findall(body))))}"
    columns = own[0] if own else _mart(rows_of).columns
    return Macro(name, doc[0], arguments, columns, rows_of, sql, _questions(_HERE / "macros" / f"{name}.questions.sql"))


def _questions(file: Path) -> tuple[Question, ...]:
    questions = []
    for block in file.read_text(encoding="utf-8").strip().split("\n\n"):
        first, _, sql = block.partition("\n")
        questions.append(Question(first.removeprefix("--").strip(), sql.strip()))
    return tuple(questions)


def _view(name: str, file: Path, questions: tuple[Question, ...] = ()) -> Mart:
    head, create, statement = file.read_text(encoding="utf-8").partition("CREATE ")
    comments = [line.removeprefix("--").strip() for line in head.splitlines()]
    doc, *columns = [line for line in comments if line]
    begin, _, body = statement.partition(" AS\n")
    sql = f"{create}{begin} AS\n{_alone(body)}"
    return Mart(name, doc, dict(line.split(": ", 1) for line in columns), sql, questions)


def _alone(body: str) -> str:
    """A view's query that contains the queries of the marts it uses, instead of naming them.

    `EXPORT DATABASE` writes views in the order of their names, and `IMPORT DATABASE` fails if a view precedes another that
    it names.
    """
    needed: dict[str, str] = {}
    _gather(body, needed)
    if not needed:
        return body
    parts = ",\n".join(f"marts_{name} AS NOT MATERIALIZED (\n{text}\n)" for name, text in needed.items())
    return f"WITH {parts}\nSELECT * FROM (\n{_renamed(body)}\n);\n"


def _query_of(name: str) -> str:
    return (_HERE / "marts" / f"{name}.sql").read_text(encoding="utf-8").partition(" AS\n")[2]


def _gather(body: str, needed: dict[str, str]) -> None:
    """Collect the queries of the marts that a query names, each after those that it names itself."""
    for name in dict.fromkeys(_NAMED_MART.findall(body)):
        if name not in needed:
            text = _query_of(name)
            _gather(text, needed)
            needed[name] = _renamed(text)


def _renamed(body: str) -> str:
    return _NAMED_MART.sub(r"marts_\1", body.strip().removesuffix(";"))


def _over_parts(body: str, parts: frozenset[str], *, is_inner: bool = False) -> str:
    """A macro's query in which marts are computed from parts of other marts.

    A part is a CTE of the macro, `marts_<name>`. A mart that reads one, also by way of others, is replaced by its query.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if is_inner and name in parts:
            return f"marts_{name}"
        if not parts & _marts_below(name):
            return match[0]
        return f"(\n{_over_parts(_query_of(name).strip().removesuffix(';'), parts, is_inner=True)}\n)"

    return _NAMED_MART.sub(replaced, body)


def _marts_below(name: str) -> frozenset[str]:
    direct = frozenset(_NAMED_MART.findall(_query_of(name)))
    return direct.union(*(_marts_below(one) for one in direct))


def _of_attached(body: str) -> str:
    """A macro's query that finds its tables in the file attached as `db`: a macro looks names up in the database in use."""
    return _READ.sub(
        lambda match: match[0].replace(
            match[1], f"query_table(CASE WHEN db IS NULL THEN '{match[1]}' ELSE db || '.{match[1]}' END)"
        ),
        body,
    )
