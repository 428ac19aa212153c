"""Everything in the warehouse file except rows: tables, macros, marts, and the comments that explain them.

It follows from the catalogue, the privacy policy (which decides the types of hashed columns) and the SQL files beside this
module. A fingerprint in the file shows whether the definitions are current, so that a publication need not compare
them. Rows are written by `publish` and `months`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import duckdb

from planday_io.catalogue import Catalogue, Table
from planday_io.catalogue.history import history_column
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns, head_of, quote
from planday_io.warehouse import ledger, settings, zones

_HERE = Path(__file__).parent
INSTANTS = _HERE / "instants.sql"
STORAGE_VERSION = "v1.2.0"
"""The storage format of DuckDB 1.2, which older clients read; a copy keeps it."""
MARTS = (
    "employees",
    "spans",
    "planned_costs",
    "shifts",
    "absence_days",
    "punches",
    "hours",
    "allocated_costs",
    "labour_daily",
    "headcount_monthly",
    "absence_monthly",
    "turnover_monthly",
    "hourly_pay",
    "leave_balances",
    "pay_gap",
    "attendance",
    "work_periods",
    "working_time",
    "working_time_findings",
    "overtime",
    "roster_changes",
    "roster_stability",
    "labour_hourly",
)
"""The marts' files, in the order in which they build on each other."""
MACROS = ("attendance_exceptions", "overtime_over")
"""Files of marts that take arguments: table macros, which name a mart by `query_table`."""
_NAMED_MART = re.compile(rf"(?<=FROM |JOIN )marts\.({'|'.join(MARTS)})\b")


_READ = re.compile(r"(?<!DISTINCT )(?:FROM|JOIN) ([a-z_]+\.[a-z_]+)")


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
        sql: the statement that creates it.
        questions: that it answers.
    """

    name: str
    doc: str
    arguments: dict[str, str]
    columns: dict[str, str]
    sql: str
    questions: tuple[Question, ...]


@functools.cache
def macros() -> tuple[Macro, ...]:
    """All marts that take arguments."""
    return tuple(_macro(name) for name in MACROS)


@functools.cache
def sync_views() -> tuple[Mart, ...]:
    """The views of the schema `sync`: values that the marts could not use as received, and how figures settled."""
    return tuple(_view(name, _HERE / f"{name}.sql") for name in ("findings", "settling"))


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
    arguments, columns = (dict(line.split(": ", 1) for line in lines) for lines in parts)
    return Macro(
        name, doc[0], arguments, columns, create + statement, _questions(_HERE / "macros" / f"{name}.questions.sql")
    )


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


def fingerprint(catalogue: Catalogue, policies: PrivacyPolicy) -> str:
    """A fingerprint of all definitions; if it differs, the file has to be updated."""
    tables = [
        (table.full_name, table.doc, duckdb_columns(table, policies), [column.doc for column in table.columns])
        for table in catalogue.lake_tables.values()
    ]
    texts = [
        INSTANTS.read_text(encoding="utf-8"),
        *(mart.sql for mart in (*marts(), *sync_views())),
        *(macro.sql for macro in macros()),
        repr(ledger.TABLES),
        repr(zones.TABLES | settings.TABLES),
        metadata.version("tzdata"),
        repr(STANDARD_DOCS),
        *as_of_macros(catalogue),
    ]
    return hashlib.sha256(json.dumps([tables, texts]).encode()).hexdigest()[:16]


def define(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy) -> None:
    """Update the attached warehouse: create tables, add and drop columns, replace macros, marts and comments."""
    there = ledger.columns_of(db)
    for schema in ("sync", "marts", *catalogue.domains()):
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
    for name, (doc, columns) in (ledger.TABLES | zones.TABLES | settings.TABLES).items():
        kinds = [(column, kind) for column, kind, _ in columns]
        _ensure(db, name, kinds, there.get(name, {}))
        _comment(db, "TABLE", name, doc, ((column, text) for column, _, text in columns))
    for table in catalogue.lake_tables.values():
        wanted = duckdb_columns(table, policies)
        docs = STANDARD_DOCS | {column.name: column.doc for column in table.columns}
        _ensure(db, sql_name(table), wanted, there.get(table.full_name, {}))
        for column in there.get(table.full_name, {}).keys() - {name for name, _ in wanted}:
            # Otherwise old rows would keep the column while new ones have none.
            db.execute(f"ALTER TABLE {sql_name(table)} DROP COLUMN {quote(column)}")
        _comment(db, "TABLE", sql_name(table), table.doc, ((column, docs[column]) for column, _ in wanted))
    db.execute(INSTANTS.read_text(encoding="utf-8"))
    for macro in as_of_macros(catalogue):
        db.execute(macro)
    for mart in marts():
        db.execute(mart.sql)
        _comment(db, "VIEW", f"marts.{quote(mart.name)}", mart.doc, mart.columns.items())
    for made in macros():
        db.execute(made.sql)
    for view in sync_views():
        db.execute(view.sql)
        _comment(db, "VIEW", f"sync.{quote(view.name)}", view.doc, view.columns.items())


def write_empty(file: Path, catalogue: Catalogue, policies: PrivacyPolicy) -> None:
    """Write a warehouse file without rows.

    A process that writes several, for instance one per tenant, makes the definitions once: they take seconds.
    """
    name = fingerprint(catalogue, policies)
    if name not in _EMPTY:
        with duckdb.connect(":memory:") as db:
            db.execute(f"ATTACH {literal(str(file))} AS warehouse (STORAGE_VERSION '{STORAGE_VERSION}')")
            db.execute("USE warehouse")
            db.execute("BEGIN")
            define(db, catalogue, policies)
            db.execute("COMMIT")
            db.execute("CHECKPOINT warehouse")
        _EMPTY.clear()
        _EMPTY[name] = file.read_bytes()
    else:
        file.write_bytes(_EMPTY[name])


_EMPTY: dict[str, bytes] = {}
"""Fingerprint -> the last file that `write_empty` made."""


def retyped(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, policies: PrivacyPolicy) -> bool:
    """Whether a column of the connected warehouse has the wrong type, so that the file must be rebuilt."""
    there = ledger.columns_of(db)
    return any(
        column in there.get(table.full_name, {}) and there[table.full_name][column] != _normal(kind)
        for table in catalogue.lake_tables.values()
        for column, kind in duckdb_columns(table, policies)
    )


def as_of_macros(catalogue: Catalogue) -> list[str]:
    """For each history a table macro `<table>_as_of(ts)`: the rows as of a time.

    A row that moved to another month may be current in two of them until both are read again; the later one wins. Rows that
    are numbered follow their parent, whose rows are all from one month. DuckDB looks the tables of a macro up in the
    database in use, so `db` names the one that the file is attached as.
    """
    macros = []
    for name, history in catalogue.histories.items():
        table = catalogue.table(name)
        names = [column.name for column in table.columns]
        columns = [*(head for head, _, _ in head_of(table)), *names, "_extra", "_fetched_at"]
        chosen = ", ".join(
            quote(one) if history_column(one) == one else f"{quote(history_column(one))} AS {quote(one)}"
            for one in columns
        )
        key = ", ".join(quote(history_column(one)) for one in ("portal", *table.key) if one != table.ordinal)
        latest = ""
        if table.is_monthly and not table.ordinal:
            latest = f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY valid_from DESC) = 1"
        elif table.is_monthly and "month" not in table.key:
            latest = (
                f" QUALIFY month = first_value(month) OVER (PARTITION BY {key} ORDER BY valid_from DESC, month DESC)"
            )
        macros.append(
            f"CREATE OR REPLACE MACRO {quote(table.domain)}.{quote(table.name + '_as_of')}(ts, db := NULL) AS TABLE "
            f"SELECT {chosen} FROM query_table(CASE WHEN db IS NULL THEN {literal(history.full_name)} "
            f"ELSE db || {literal('.' + history.full_name)} END) WHERE valid_from <= CAST(ts AS TIMESTAMPTZ) "
            f"AND (valid_to IS NULL OR valid_to > CAST(ts AS TIMESTAMPTZ)){latest}"
        )
    return macros


def sql_name(table: Table) -> str:
    """The quoted name of a table."""
    return f"{quote(table.domain)}.{quote(table.name)}"


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _ensure(db: duckdb.DuckDBPyConnection, name: str, wanted: Iterable[tuple[str, str]], there: dict[str, str]) -> None:
    if not there:
        db.execute(f"CREATE TABLE {name} ({', '.join(f'{quote(column)} {kind}' for column, kind in wanted)})")
        return
    for column, kind in wanted:
        if column not in there:
            db.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {kind}")


@functools.cache
def _normal(kind: str) -> str:
    """A type in DuckDB's own spelling."""
    with duckdb.connect(":memory:") as db:
        row = db.execute(f"SELECT typeof(CAST(NULL AS {kind}))").fetchone()
    return str(row[0]) if row else kind


def _comment(db: duckdb.DuckDBPyConnection, kind: str, name: str, doc: str, columns: Iterable[tuple[str, str]]) -> None:
    db.execute(f"COMMENT ON {kind} {name} IS {literal(doc)}")
    for column, text in columns:
        db.execute(f"COMMENT ON COLUMN {name}.{quote(column)} IS {literal(text)}")
