"""What a question of an assistant may say: DuckDB's own tree of a statement decides, not its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from planday_io.assistant.functions import FUNCTIONS, TABLE_FUNCTIONS
from planday_io.assistant.statements import Allowed, check, read_allowed
from planday_io.assistant.worker import SCHEMAS
from planday_io.errors import QuestionError
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.mart_files import macros, marts

RECIPES = re.findall(
    r"^```sql\n(.*?)^```$", (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def attached(blank_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as db:
        db.execute(f"ATTACH {literal(str(blank_warehouse))} AS planday (READ_ONLY)")
        db.execute("USE planday")
        yield db


@pytest.fixture(scope="module")
def allowed(attached: duckdb.DuckDBPyConnection) -> Allowed:
    return read_allowed(attached, SCHEMAS)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM marts.hours",
        'SELECT * FROM "MARTS"."Hours"',
        "FROM planday.marts.hours;",
        "SELECT 1 -- a comment",
        "/* DROP */ SELECT 'DROP TABLE x; --'",
        "TABLE sync.slices",
        "VALUES (1, 'a')",
        "WITH a AS (FROM marts.hours), b AS (FROM a) SELECT count(*) FROM b WHERE portal IN (SELECT portal FROM a)",
        "WITH RECURSIVE days AS (SELECT today() AS day UNION ALL SELECT day - 1 FROM days WHERE day > today() - 7) FROM days",
        "SELECT portal, row_number() OVER w, lag(date) OVER w FROM marts.hours WINDOW w AS (ORDER BY date)",
        "SELECT [x * 2 FOR x IN [1, 2] IF x > 1], list_transform([1], lambda x: x + 1), {'a': 1}.a, 'ab'.upper()",
        "SELECT extract(year FROM date), date_trunc('month', date)::DATE, date + INTERVAL 1 DAY FROM marts.hours",
        "FROM (PIVOT marts.hours ON kind IN ('work', 'sickness') USING sum(planned_hours) GROUP BY portal)",
        "UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b",
        "SELECT * EXCLUDE (portal) REPLACE (month AS month), COLUMNS('.*_hours') FROM marts.hours USING SAMPLE 10",
        "SELECT count(*) FILTER (WHERE kind = 'work'), quantile_cont(planned_hours, 0.9) FROM marts.hours GROUP BY ALL",
        "SELECT a.portal FROM marts.hours AS a ASOF JOIN marts.punches AS b ON a.portal = b.portal AND a.date >= b.date",
        "SELECT unnest([1, 2]), i FROM range(3) AS t(i), LATERAL (SELECT i + 1)",
        "FROM marts.overtime_over(weekly_hours := 40, from_date := today() - 28) ORDER BY ALL LIMIT 10% OFFSET 1",
        "SELECT hours_between(now()::TIMESTAMP, now()::TIMESTAMP, 'UTC'), planday.end_instant(NULL, NULL, 'UTC')",
        "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a EXCEPT SELECT 3",
        "SELECT CASE WHEN portal LIKE 'o%' OR date BETWEEN '2026-01-01' AND today() THEN 1 END FROM marts.hours",
    ],
)
def test_a_question_may_use_the_language(attached: duckdb.DuckDBPyConnection, allowed: Allowed, sql: str) -> None:
    text = check(attached, sql, allowed)
    attached.execute(text)


@pytest.mark.parametrize("number", range(14))
def test_recipes_are_allowed(attached: duckdb.DuckDBPyConnection, allowed: Allowed, number: int) -> None:
    assert check(attached, RECIPES[number], allowed).startswith(("SELECT", "WITH"))


def test_questions_of_all_marts_are_allowed(attached: duckdb.DuckDBPyConnection, allowed: Allowed) -> None:
    questions = [question.sql for one in (*marts(), *macros()) for question in one.questions]
    of_marts = [sql for sql in questions if not re.search(r"\b(FROM|JOIN) (?!marts|sync)[a-z_]+\.[a-z_]+", sql)]
    assert len(questions) > len(of_marts) > 60
    for sql in of_marts:
        assert check(attached, sql, allowed)
    for sql in set(questions) - set(of_marts):
        with pytest.raises(QuestionError, match="not for assistants"):
            check(attached, sql, allowed)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "this is 0 statements"),
        ("SELECT 1; SELECT 2", "this is 2 statements"),
        ("SELECT 1; DROP TABLE hr.employees", "this is 2 statements"),
        ("EXPLAIN SELECT 1", "this is EXPLAIN"),
        ("PIVOT marts.hours ON kind USING sum(planned_hours)", "A PIVOT needs its values"),
        ("SELECT $1", "write the value"),
        ("SELECT " + "1," * 20_000 + "1", "more than 20000 characters"),
        ("FROM labour_daily", "did you mean marts.labour_daily"),
        ("FROM marts.labour_dayly", "did you mean marts.labour_daily"),
        ("FROM hr.employees", "not for assistants"),
        ("SELECT portal FROM marts.hours AS hr, hr.employees", "not for assistants"),
        ("SELECT * FROM marts.hours AT (VERSION => 1)", "AT is not allowed"),
        ("FROM a.b.c.marts.hours", "there is no a.b.c.marts.hours"),
        ("FROM system.marts.hours", "there is no system.marts.hours"),
        ("WITH x AS (INSERT INTO sync.runs VALUES (1) RETURNING *) FROM x", "INSERT_QUERY_NODE"),
        ("SELECT summ(1)", "did you mean sum"),
        ("SELECT main.getenv('HOME')", "the function getenv is not allowed"),
        ("SELECT hr.abs(1)", "write abs without the schema hr"),
        ("FROM marts.overtime_over(db := 'x')", "leave out `db`"),
        ("FROM marts.overtime_over(db = 'x')", "leave out `db`"),
        ("FROM marts.overtime_over(37, NULL, NULL, NULL, ['planday.hr.employees'])", "leave out `db`"),
        ("FROM hr.employees_as_of(now())", "the function hr.employees_as_of is not allowed"),
    ],
)
def test_a_refusal_says_what_to_do(attached: duckdb.DuckDBPyConnection, allowed: Allowed, sql: str, why: str) -> None:
    with pytest.raises(QuestionError) as refused:
        check(attached, sql, allowed)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "name", ["duckdb_tables", "sqlite_master", "pg_class", "secrets.csv", "/etc/passwd", "warehouse.duckdb"]
)
def test_a_cte_cannot_stand_for_something_else(
    attached: duckdb.DuckDBPyConnection, allowed: Allowed, name: str
) -> None:
    """Where a CTE is out of scope, its name would be found elsewhere."""
    with pytest.raises(QuestionError, match="a CTE cannot be called"):
        check(attached, f'SELECT * FROM (WITH "{name}" AS (SELECT 1) FROM "{name}"), "{name}"', allowed)


def test_a_cte_out_of_scope_is_nothing(attached: duckdb.DuckDBPyConnection, allowed: Allowed) -> None:
    text = check(attached, "SELECT * FROM (WITH employees AS (SELECT 1) FROM employees), employees", allowed)
    with pytest.raises(duckdb.CatalogException, match="employees does not exist"):
        attached.execute(text)


def test_a_cte_named_like_a_table_hides_it(attached: duckdb.DuckDBPyConnection, allowed: Allowed) -> None:
    text = check(attached, 'WITH "hr" AS (SELECT 1 AS a), employees AS (FROM hr) SELECT * FROM employees', allowed)
    assert attached.execute(text).fetchall() == [(1,)]


def test_tables_are_allowed_on_request(attached: duckdb.DuckDBPyConnection) -> None:
    everything = read_allowed(attached, None)
    for sql in ("FROM hr.employees", "FROM hr_history.employees", "FROM hr.employees_as_of(now())", "FROM marts.hours"):
        attached.execute(check(attached, sql, everything))
    for sql in ("FROM duckdb_tables()", "FROM information_schema.tables", "SELECT current_setting('threads')"):
        with pytest.raises(QuestionError):
            check(attached, sql, everything)


def test_functions_of_the_list_exist(attached: duckdb.DuckDBPyConnection) -> None:
    """A wrong name would allow nothing; and what reads files, settings or the catalogue is not among them."""
    there = {name for (name,) in attached.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert there >= FUNCTIONS | TABLE_FUNCTIONS
    risky = re.compile(
        r"read_|_scan$|^glob|sniff|^query|^duckdb_|^pg_|pragma|setting|variable|getenv|sleep|nextval|serialize|log_"
    )
    found = sorted(name for name in there if risky.search(name))
    assert len(found) > 100
    assert not [name for name in found if name in FUNCTIONS | TABLE_FUNCTIONS and not name.startswith("json_")]
