"""What goes into the sheets: the rows of each mart and query, copied into temporary tables, so that they are counted before
anything is written. DuckDB spills what does not fit into memory to disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb

from planday_io.errors import ConfigError, ExportError
from planday_io.export.cells import DIGITS, NUMBERS, Cell, Changes, Column, Kind, kind_of, reader
from planday_io.export.request import PARAMETERS, Filter, Query
from planday_io.frames.types import quote, quote_parts
from planday_io.monitoring.messages import some
from planday_io.months import month_of
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.inspection import ADDITIVE, GRAINS
from planday_io.warehouse.mart_files import sources_of

SHEET_ROWS = 1_048_576
SHEET_COLUMNS = 16_384
_FETCHED_ROWS = 5_000
_NAMES = 20
_ABOUT_THE_QUERY = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)
"""Errors whose texts quote the query and names, and never a value of a table."""
_PARAMETER = re.compile(rf"\$({'|'.join(PARAMETERS)})\b")
_RELATION = re.compile(r"\w+\.(?!sql$)\w+")
"""The name of a table or view, not of a file with a query."""
_NAMED_MART = re.compile(r"\bmarts\.(\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The rows of one sheet.

    Args:
        name: of the sheet, or of the file without its ending.
        source: the mart, or the file of the query.
        doc: what a row is.
        columns: in order.
        rows: how many rows.
        table: where they are, in this connection.
        remarks: what a reader should know, such as a filter that could not be applied.
        reads: the tables that its figures come from, as `domain.table`; None where that is not known.
    """

    name: str
    source: str
    doc: str
    columns: tuple[Column, ...]
    rows: int
    table: str
    remarks: tuple[str, ...]
    reads: frozenset[str] | None

    @property
    def has_totals(self) -> bool:
        return self.rows > 0 and any(column.total is not None for column in self.columns)


def gathered(
    db: duckdb.DuckDBPyConnection,
    wanted: Sequence[str | Query],
    names: Sequence[str],
    chosen: Filter,
    most_rows: int | None,
) -> list[Sheet]:
    """Copy the rows of all sheets into temporary tables.

    Args:
        db: connected to the published file, restricted.
        wanted: names of marts, and queries.
        names: of the sheets, as many.
        chosen: which rows.
        most_rows: of a sheet, header and totals included; None where there is no limit.

    Raises:
        ConfigError: a query is wrong.
        ExportError: a sheet has more rows or columns than Excel takes, a mart is missing, or a query failed.
    """
    made = [
        Selection.of_query(db, one, chosen) if isinstance(one, Query) else Selection.of_mart(db, one, chosen)
        for one in wanted
    ]
    if most_rows is not None:
        _refuse_large([(one, one.count(db), one.header_rows) for one in made], most_rows)
    if chosen.is_strict:
        for one in made:
            refuse_whole(one.source, one.columns, chosen)
    sheets = [one.sheet(db, name, number) for number, (one, name) in enumerate(zip(made, names, strict=True))]
    if most_rows is not None:
        # A query need not give as many rows twice.
        _refuse_large([(one, sheet.rows, one.header_rows) for one, sheet in zip(made, sheets, strict=True)], most_rows)
    return sheets


def cells_of(
    db: duckdb.DuckDBPyConnection, sheet: Sheet, changes: Changes, digits: int | None = DIGITS
) -> Iterator[list[Cell]]:
    """The rows of a sheet as its cells can hold them, a few at a time in memory. What is changed is counted in `changes`."""
    readers = [reader(column, changes, digits) for column in sheet.columns]
    found = db.execute(f"SELECT {', '.join(column.expression for column in sheet.columns)} FROM {sheet.table}")
    while rows := found.fetchmany(_FETCHED_ROWS):
        for values in rows:
            yield [read(value) for read, value in zip(readers, values, strict=True)]


def tables_read(parts: Sequence[Sheet | Selection]) -> frozenset[str] | None:
    """The tables that the figures of all parts come from; None where that is not known of one of them."""
    known = [part.reads for part in parts if part.reads is not None]
    return frozenset[str]().union(*known) if len(known) == len(parts) else None


def _refuse_large(counted: list[tuple[Selection, int, int]], most_rows: int) -> None:
    large = [f"{one.source} has {rows:,} rows" for one, rows, others in counted if rows + others > most_rows]
    large += [
        f"{one.source} has {len(one.columns):,} columns" for one, _, _ in counted if len(one.columns) > SHEET_COLUMNS
    ]
    if large:
        raise ExportError(
            f"{'; '.join(large)}, and an Excel sheet holds {most_rows:,} rows, header and totals included, and "
            f"{SHEET_COLUMNS:,} columns. Nothing was written. Choose fewer days or portals, or CSV, which has no "
            "such limit"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A table, mart or query with its filter, before it is asked.

    Args:
        source: `schema.name`, or the file of the query.
        sql: a SELECT, with the filter.
        values: its parameters.
        order: an ORDER BY; empty where the query has its own, or none is needed.
        columns: in order.
        doc: what a row is.
        remarks: what a reader should know, such as a filter that could not be applied.
        reads: the tables that it is computed from, as `domain.table`; None where that is not known.
        counts: columns that may be added up.
        amounts: those that may be added up within one currency.
    """

    source: str
    sql: str
    values: dict[str, date]
    order: str
    columns: tuple[Column, ...]
    doc: str
    remarks: tuple[str, ...]
    reads: frozenset[str] | None
    counts: tuple[str, ...]
    amounts: tuple[str, ...]

    @property
    def header_rows(self) -> int:
        return 1 + bool(self.counts or self.amounts)

    @classmethod
    def of_mart(cls, db: duckdb.DuckDBPyConnection, mart: str, chosen: Filter) -> Selection:
        found = cls.of_table(db, f"marts.{mart}", chosen)
        counts, amounts = ADDITIVE.get(mart, ((), ()))
        names = [column.name for column in found.columns]
        first = [name for name in ("portal", "date") if name in names]
        order = [*first, *(name for name in GRAINS[mart].split(", ") if name not in first)]
        return replace(
            found,
            order=" ORDER BY " + ", ".join(map(quote, order)),
            reads=sources_of(mart),
            counts=counts,
            amounts=amounts,
        )

    @classmethod
    def of_table(cls, db: duckdb.DuckDBPyConnection, source: str, chosen: Filter) -> Selection:
        """A table or view, `schema.name`. Those of the schema `sync` are about all tables."""
        schema, _, name = source.partition(".")
        found = db.execute(
            "SELECT comment FROM (SELECT database_name, schema_name, table_name AS name, comment FROM duckdb_tables() "
            "UNION ALL SELECT database_name, schema_name, view_name, comment FROM duckdb_views()) "
            "WHERE database_name = current_database() AND schema_name = ? AND name = ?",
            [schema, name],
        ).fetchone()
        if found is None:
            raise ExportError(
                f"the published file has no {source}: an older version wrote it. Run `planday publish` first"
            )
        quoted = quote_parts(source)
        columns = _columns(db, f"FROM {quoted}", {}, _meanings(db, [name], schema), source)
        conditions, values, remarks = _conditions(db, columns, chosen, by_itself=False)
        return cls(
            source=source,
            sql=f"SELECT * FROM {quoted}{conditions}",
            values=values,
            order="",
            columns=columns,
            doc=found[0] or "",
            remarks=tuple(remarks),
            reads=None if schema == "sync" else frozenset({source}),
            counts=(),
            amounts=(),
        )

    @classmethod
    def of_query(cls, db: duckdb.DuckDBPyConnection, query: Query, chosen: Filter) -> Selection:
        given = dict(zip(("from_date", "to_date"), (chosen.first, chosen.last), strict=True))
        for name in sorted(query.parameters):
            if given[name] is None:
                raise ConfigError(f"{query.file} uses ${name}: give --{name.removesuffix('_date')}")
        own = {name: day for name, day in given.items() if name in query.parameters and day}
        docs = {**_meanings(db, _NAMED_MART.findall(query.sql)), **query.meanings}
        columns = _columns(db, f"FROM ({query.sql}\n)", own, docs, query.file)
        conditions, values, remarks = _conditions(db, columns, chosen, by_itself=bool(query.parameters))
        numbers = {column.name.lower(): column.name for column in columns if kind_of(column.type) in NUMBERS}
        if wrong := next((name for name in query.totals if name.lower() not in numbers), None):
            raise ConfigError(f"{query.file}: `totals:` names {wrong}, which is not a numeric column of the query")
        totals = [numbers[name.lower()] for name in query.totals]
        # What the marts count in hours, days or pieces has a total whatever the currencies.
        marts = {name.lower() for name in _NAMED_MART.findall(query.sql)}
        counts = {name for mart in marts & {*ADDITIVE} for name in ADDITIVE[mart][0]}
        known = {column.name.lower() for column in columns}
        rest = [f"{name}: {text}" for name, text in query.meanings.items() if name not in known]
        return cls(
            source=query.file,
            # As it stands where there is no filter, so that nothing can lose its order.
            sql=f"SELECT * FROM ({query.sql}\n){conditions}" if conditions else query.sql,
            values=own | values,
            order="",
            columns=columns,
            doc=" ".join([query.doc, *rest]).strip(),
            remarks=tuple(remarks),
            reads=_read_by(db, query),
            counts=tuple(name for name in totals if name in counts),
            amounts=tuple(name for name in totals if name not in counts),
        )

    def count(self, db: duckdb.DuckDBPyConnection) -> int:
        return int(_one(db, self.source, f"SELECT count(*) FROM ({self.sql}\n)", self.values)[0])

    def sheet(self, db: duckdb.DuckDBPyConnection, name: str, number: int) -> Sheet:
        table = f"memory.main.sheet_{number}"
        asked(db, self.source, f"CREATE TABLE {table} AS {self.sql}{self.order}", self.values)
        rows = int(_one(db, self.source, f"SELECT count(*) FROM {table}")[0])
        remarks = list(self.remarks)
        totals = [*self.counts, *self.amounts]
        if self.amounts and any(column.name.lower() == "currency" for column in self.columns):
            many = f"SELECT count(DISTINCT coalesce(currency, '')) FROM {table}"
            several = f"{many} WHERE " + " OR ".join(f"{quote(one)} IS NOT NULL" for one in self.amounts)
            if int(_one(db, self.source, several)[0]) > 1:
                totals = [*self.counts]
                remarks.append("Amounts are in several currencies, or in one that is not known, so they have no total.")
        measured = _one(
            db,
            self.source,
            f"SELECT {', '.join(one.measures(one.name in totals) for one in self.columns)} FROM {table}",
        )
        return Sheet(
            name=name,
            source=self.source,
            doc=self.doc,
            columns=tuple(one.measured(measured[n]) for n, one in enumerate(self.columns)),
            rows=rows,
            table=table,
            remarks=tuple(remarks),
            reads=self.reads,
        )


def _columns(
    db: duckdb.DuckDBPyConnection, source: str, values: dict[str, date], docs: dict[str, str], name: str
) -> tuple[Column, ...]:
    """The columns of a relation as a table has them: duplicate names get a number."""
    asked(db, name, f"CREATE OR REPLACE TABLE memory.main.head AS SELECT * {source} LIMIT 0", values)
    found = db.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'memory' AND table_name = 'head' "
        "ORDER BY column_index"
    ).fetchall()
    return tuple(Column(name=name, type=kind, doc=docs.get(name.lower(), "")) for name, kind in found)


def _meanings(db: duckdb.DuckDBPyConnection, names: Sequence[str], schema: str = "marts") -> dict[str, str]:
    """Comments of the columns of some marts or tables, by name; none where two of them differ."""
    found = db.execute(
        "SELECT column_name, any_value(comment), count(DISTINCT comment) FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = ? AND list_contains(?, table_name) "
        "AND comment IS NOT NULL GROUP BY column_name",
        [schema, [name.lower() for name in names]],
    ).fetchall()
    return {name.lower(): comment for name, comment, several in found if several == 1}


def _conditions(
    db: duckdb.DuckDBPyConnection, columns: Sequence[Column], chosen: Filter, *, by_itself: bool
) -> tuple[str, dict[str, date], list[str]]:
    """The filter as SQL over these columns, its values, and what it cannot do. `by_itself`: the query filters by days."""
    kinds = _kinds(columns)
    parts: list[str] = []
    remarks: list[str] = []
    days = {name: day for name, day in (("first", chosen.first), ("last", chosen.last)) if day}
    values: dict[str, date] = {}
    if days and by_itself:
        remarks.append("The query chooses the days itself.")
    elif days and kinds.get("date") in ("date", "timestamp"):
        values = days
        parts += [f"CAST(date AS DATE) {'>=' if name == 'first' else '<='} ${name}" for name in days]
    elif days and kinds.get("month") == "text":
        parts += [f"month {'>=' if name == 'first' else '<='} {literal(month_of(day))}" for name, day in days.items()]
        remarks.append("It has a month and no date: whole months were taken.")
    elif days:
        remarks.append("NOT FILTERED by days: it has no column date or month.")
    if chosen.portals and kinds.get("portal") == "text":
        parts.append(f"portal IN ({', '.join(map(literal, chosen.portals))})")
    elif chosen.portals:
        remarks.append("NOT FILTERED by portal: it has no column portal.")
    if chosen.departments and kinds.get("department_id") == "integer":
        parts.append(f"department_id IN ({', '.join(map(str, chosen.departments))})")
        remarks += _strange_departments(db, chosen)
    elif chosen.departments:
        remarks.append("NOT FILTERED by department: it has no column department_id.")
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), values, remarks


def _kinds(columns: Sequence[Column]) -> dict[str, Kind]:
    """Kinds by name in lower case: to SQL `Portal` is the column `portal`."""
    return {column.name.lower(): kind_of(column.type) for column in columns}


def _strange_departments(db: duckdb.DuckDBPyConnection, chosen: Filter) -> list[str]:
    """A remark where departments are chosen that Planday does not list. No error: one that was deleted has rows still."""
    whose = f" WHERE portal IN ({', '.join(map(literal, chosen.portals))})" if chosen.portals else ""
    found = db.execute(f"SELECT id, any_value(name) FROM hr.departments{whose} GROUP BY id ORDER BY id").fetchall()
    listed = {number: f"{number} ({name or 'no name'})" for number, name in found}
    strange = [str(number) for number in chosen.departments if number not in listed]
    if not listed or not strange:
        return []
    return [f"Planday lists no department {some(strange, _NAMES)}; there are {some([*listed.values()], _NAMES)}."]


def refuse_whole(source: str, columns: Sequence[Column], chosen: Filter) -> None:
    """Refuse what has no column by which portals or departments could be chosen. Raises ExportError."""
    kinds = _kinds(columns)
    for key, values, name, kind, words in (
        ("portals", chosen.portals, "portal", "text", "text"),
        ("departments", chosen.departments, "department_id", "integer", "whole numbers"),
    ):
        if values and kinds.get(name) != kind:
            raise ExportError(
                f"{source} has no column `{name}` of {words}, so `{key}` cannot choose its rows, and it is never delivered "
                "whole. Nothing was written. Take it out, or deliver a query that has the column"
            )


def _read_by(db: duckdb.DuckDBPyConnection, query: Query) -> frozenset[str] | None:
    """The tables that a query reads, also by way of marts; None if DuckDB cannot say, as of some table functions."""
    try:
        # Later versions of DuckDB name the tables that views read, with their aliases; earlier ones the views.
        # Neither of them takes parameters, so any day stands for them.
        sql = _PARAMETER.sub("DATE '2000-01-01'", query.sql)
        names = {str(name).partition(" AS ")[0] for name in db.get_table_names(sql, qualified=True)}
    except duckdb.Error:
        return None
    plain = {".".join(name.replace('"', "").split(".")[-2:]) for name in names}
    marts = {name.removeprefix("marts.") for name in plain if name.startswith("marts.")}
    tables = {name for name in plain if not name.startswith(("marts.", "sync.")) and "." in name}
    try:
        found = frozenset(tables.union(*(sources_of(name) for name in marts)))
    except OSError:  # a mart of another version
        return None
    return found or (frozenset() if plain else None)


def _one(
    db: duckdb.DuckDBPyConnection, source: str, sql: str, values: dict[str, date] | None = None
) -> tuple[Any, ...]:
    """The one row of an aggregate."""
    found: list[tuple[Any, ...]] = asked(db, source, sql, values or {}).fetchall()
    return found[0]


def asked(db: duckdb.DuckDBPyConnection, source: str, sql: str, values: dict[str, date]) -> duckdb.DuckDBPyConnection:
    """Run a statement. Errors say which query failed, and quote nothing but its text.

    Raises:
        ConfigError: the query is wrong.
        ExportError: it failed.
    """
    try:
        return db.execute(sql, values) if values else db.execute(sql)
    except duckdb.Error as error:
        if isinstance(error, duckdb.OutOfMemoryException) or "no space left" in str(error).lower():
            raise ExportError(
                f"{source} fits neither into memory nor on the disk. Nothing was written. Choose fewer days "
                "or portals, or free some space where the export is written"
            ) from None
        if isinstance(error, _ABOUT_THE_QUERY) and not _RELATION.fullmatch(source):
            raise ConfigError(f"{source}: {error}") from None
        if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
            raise ExportError(
                f"{source} has a value that does not fit its type, or that of the file: a number of more than 38 digits, for "
                "instance, or a text that is no date. Nothing was written. Cast it in the query, with TRY_CAST"
            ) from None
        raise ExportError(
            f"{source} failed ({type(error).__name__}; DuckDB's own text may quote data). Nothing was written. "
            "Try the query in a DuckDB client"
        ) from None
