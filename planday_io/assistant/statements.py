"""What a question may say: one SELECT over the views and tables that are allowed, and functions of a list.

DuckDB has no users, and views need the tables below them, so what a statement names is checked before it runs: DuckDB's
own parser writes the statement as a tree (`json_serialize_sql`), and every node of the tree has to be of a kind that is
known here. No text is searched, so there is nothing to spell differently: quotes, comments, cases, CTEs and subqueries are
the same in the tree. What is not known is refused: SHOW, DESCRIBE and SUMMARIZE, which are a SELECT to DuckDB, an INSERT in
a CTE, a parameter, and whatever a later version adds.

A name without a schema is a CTE, or nothing: the session's default schema has no tables, and what DuckDB would find then
(its own views, a file of that name) cannot be the name of a CTE here. Tables named in a text (`query_table`) are no function
of the list; those of the file's macros are fixed by their definition, except for the database (`db`), which cannot be passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

import duckdb

from planday_io.assistant.functions import FUNCTIONS, TABLE_FUNCTIONS, WINDOW_FUNCTIONS
from planday_io.errors import QuestionError

DATABASE = "planday"
"""The name under which the file is attached."""
LONGEST = 20_000
"""Characters of a statement."""

Json = dict[str, object]

_NODES = frozenset(
    "SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE EMPTY BASE_TABLE SUBQUERY JOIN EXPRESSION_LIST "
    "TABLE_FUNCTION PIVOT ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER ORDER_DEFAULT "
    "ASCENDING DESCENDING".split()
)
_EXPRESSIONS = frozenset(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA LAMBDA_REF OPERATOR "
    "POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW".split()
)
_INSTEAD = {
    "SHOW_REF": "SHOW, DESCRIBE and SUMMARIZE are not allowed: use the tools list_marts and describe",
    "PARAMETER": "a parameter ($1, ?) has no value here: write the value into the statement",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a question may name, in lower case.

    Args:
        tables: (schema, name) of tables and views.
        table_macros: (schema, name) -> how many arguments it takes without `db`, which is the last one.
        macros: names of macros that give one value.
        aggregates: names of DuckDB's aggregates.
        own: names of DuckDB's own views, which no CTE may have.
        hidden: schemas of the file that are there and not allowed.
    """

    tables: frozenset[tuple[str, str]]
    table_macros: dict[tuple[str, str], int]
    macros: frozenset[str]
    aggregates: frozenset[str]
    own: frozenset[str]
    hidden: frozenset[str]

    def refusal(self, path: tuple[str, ...]) -> QuestionError:
        """Why a table or view cannot be named, and which one may be meant."""
        name = ".".join(path)
        if len(path) == 2 and path[0] in self.hidden:
            return QuestionError(
                f"{name} is not for assistants: only the schemas marts and sync are, unless the server was started with "
                "--tables. list_marts has the views that answer questions"
            )
        close = get_close_matches(path[-1], {short for _, short in self.tables}, n=3, cutoff=0.75)
        near = sorted(".".join(one) for one in self.tables if one[1] in close)
        return QuestionError(
            f"there is no {name}{f'; did you mean {_or(near)}?' if near else ': list_marts names what there is'}"
        )


def read_allowed(db: duckdb.DuckDBPyConnection, schemas: frozenset[str] | None) -> Allowed:
    """What the attached file has in these schemas; None means all of them."""
    there = _pairs(
        db,
        f"SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '{DATABASE}' UNION ALL "
        f"SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = '{DATABASE}' AND NOT internal",
    )
    macros = db.execute(
        "SELECT schema_name, function_name, parameters FROM duckdb_functions() "
        f"WHERE database_name = '{DATABASE}' AND function_type = 'table_macro'",
    ).fetchall()
    return Allowed(
        tables=frozenset(one for one in there if schemas is None or one[0] in schemas),
        table_macros={
            (schema, name): len([one for one in arguments if one != "db"])
            for schema, name, arguments in macros
            if schemas is None or schema in schemas
        },
        macros=_names(
            db,
            "SELECT function_name FROM duckdb_functions() "
            f"WHERE database_name = '{DATABASE}' AND schema_name = 'main' AND function_type = 'macro'",
        ),
        aggregates=_names(
            db, "SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate' AND internal"
        ),
        own=_names(db, "SELECT view_name FROM duckdb_views() WHERE internal"),
        hidden=frozenset(schema for schema, _ in there if schemas is not None and schema not in schemas),
    )


def check(db: duckdb.DuckDBPyConnection, sql: str, allowed: Allowed) -> str:
    """The one statement, as it may run.

    Raises:
        QuestionError: it is not one SELECT, or names what it may not. The text says what to write instead.
    """
    if len(sql) > LONGEST:
        raise QuestionError(f"the statement has more than {LONGEST} characters: ask for less at once")
    found = db.extract_statements(sql)
    if len(found) != 1:
        raise QuestionError(f"one SELECT at a time: this is {len(found)} statements")
    if found[0].type != duckdb.StatementType.SELECT:
        raise QuestionError(
            f"only SELECT is allowed, and this is {found[0].type.name}"
            + (". A PIVOT needs its values: `PIVOT ... ON column IN (...)`" if found[0].type.name == "MULTI" else "")
        )
    text = str(found[0].query)
    row = db.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [text]).fetchone()
    statements = _dict(json.loads(row[0]) if row else None).get("statements")
    if not isinstance(statements, list) or len(statements) != 1:
        raise QuestionError("only one SELECT is allowed, and DuckDB does not read this as one")
    _check_tree(_dict(statements[0]), allowed)
    return text


def _check_tree(tree: Json, allowed: Allowed) -> None:
    ctes = _cte_names(tree)
    for name in ctes:
        if name in allowed.own or not name.isidentifier():
            raise QuestionError(f"a CTE cannot be called {name!r}: choose a name of letters, digits and _")
    behind_from = []
    for node in _nodes(tree):
        kind, family = node.get("type"), node.get("class")
        if isinstance(family, str):
            if family not in _EXPRESSIONS:
                raise QuestionError(_INSTEAD.get(family, f"this kind of expression is not allowed: {family}"))
        elif isinstance(kind, str) and kind not in _NODES:
            raise QuestionError(_INSTEAD.get(kind, f"this part of a statement is not allowed: {kind}"))
        if kind == "BASE_TABLE":
            _check_table(node, ctes, allowed)
        elif kind == "TABLE_FUNCTION":
            function = _dict(node.get("function"))
            _check_table_function(function, allowed)
            behind_from.append(id(function))
        elif family in ("FUNCTION", "WINDOW") and id(node) not in behind_from:
            _check_function(node, allowed)


def _check_table(node: Json, ctes: frozenset[str], allowed: Allowed) -> None:
    path = _path(node, "table_name")
    if node.get("at_clause") is not None:
        raise QuestionError("AT is not allowed: the file has one version, and histories are tables of their own")
    if len(path) == 1 and path[0] in ctes:
        return
    if len(path) == 3 and path[0] == DATABASE:
        path = path[1:]
    if len(path) == 2 and path in allowed.tables:
        return
    raise allowed.refusal(path)


def _check_table_function(function: Json, allowed: Allowed) -> None:
    path = _path(function, "function_name")
    if len(path) == 3 and path[0] == DATABASE:
        path = path[1:]
    if len(path) == 2 and path in allowed.table_macros:
        names = [*_argument_names(function)]
        if "db" in names or len(names) > allowed.table_macros[path]:
            raise QuestionError(f"{'.'.join(path)}: leave out `db`, there is one file only")
        return
    if len(path) == 1 and path[0] in TABLE_FUNCTIONS:
        return
    raise QuestionError(
        f"the function {'.'.join(path)} is not allowed behind FROM. Allowed are "
        f"{_or(sorted(TABLE_FUNCTIONS))}, and the macros that list_marts names"
    )


def _check_function(node: Json, allowed: Allowed) -> None:
    *schema, name = _path(node, "function_name")
    if name in allowed.macros and schema in ([], ["main"], [DATABASE], [DATABASE, "main"]):
        return
    is_operator = not any(char.isalnum() or char == "_" for char in name)
    known = is_operator or name in FUNCTIONS or name in allowed.aggregates
    if known or (node.get("class") == "WINDOW" and name in WINDOW_FUNCTIONS):
        if not schema:
            return
        raise QuestionError(f"write {name} without the schema {'.'.join(schema)}")
    near = get_close_matches(name, FUNCTIONS | allowed.aggregates, n=2, cutoff=0.8)
    raise QuestionError(f"the function {name} is not allowed{f'; did you mean {_or(near)}?' if near else ''}")


def _nodes(tree: Json) -> Iterator[Json]:
    """Every object of a tree, each before those inside it."""
    waiting: list[object] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _cte_names(tree: Json) -> frozenset[str]:
    names: set[str] = set()
    for node in _nodes(tree):
        inner = _dict(node.get("cte_map")).get("map")
        names.update(str(_dict(one).get("key")).casefold() for one in (inner if isinstance(inner, list) else []))
        if "cte_name" in node:
            names.add(str(node["cte_name"]).casefold())
    return frozenset(names)


def _path(node: Json, name: str) -> tuple[str, ...]:
    """The parts of a name in lower case; DuckDB 2 gives all of them, earlier versions catalog, schema and name."""
    whole = _dict(node.get("qualified_name")).get("path")
    short = [node.get("catalog_name", node.get("catalog")), node.get("schema_name", node.get("schema")), node.get(name)]
    parts = whole if isinstance(whole, list) else [part for part in short if part]
    return tuple(str(part).casefold() for part in parts)


def _argument_names(function: Json) -> Iterator[str]:
    """The name of each argument, or an empty text; in either spelling, `name := value` and `name = value`."""
    given = function.get("arguments", function.get("children"))
    for argument in given if isinstance(given, list) else []:
        one = _dict(argument)
        inner = _dict(one.get("expression", one))
        name = one.get("name") or inner.get("alias")
        if not name and inner.get("class") == "COMPARISON":
            columns = _dict(inner.get("left")).get("column_names")
            name = columns[-1] if isinstance(columns, list) and columns else ""
        yield str(name or "").casefold()


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _pairs(db: duckdb.DuckDBPyConnection, sql: str) -> frozenset[tuple[str, str]]:
    return frozenset((str(schema).casefold(), str(name).casefold()) for schema, name in db.execute(sql).fetchall())


def _names(db: duckdb.DuckDBPyConnection, sql: str) -> frozenset[str]:
    return frozenset(str(name).casefold() for (name,) in db.execute(sql).fetchall())


def _or(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
