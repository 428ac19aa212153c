"""Every query of `docs/recipes.md` gives what plain Python works out from a planted truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from planday_io.reports.documentation import marts_page
from planday_io.warehouse.mart_files import MARTS
from tests.support.edges_of_weeks import put_edges
from tests.support.recipes_of_pay import (
    Rows,
    cost_of_an_hour,
    cost_percent,
    next_two_weeks,
    planned_worked_paid,
    rounded,
    sales_per_hour,
    without_a_rate,
)
from tests.support.recipes_of_people import (
    filled_and_changed,
    late,
    no_shows,
    overtime,
    owed_for_vacation,
    short_rest,
    sickness,
    turnover,
)
from tests.support.roster_versions import put_changes
from tests.support.weeks import World, world_of

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text()
SECTIONS = re.findall(r"^## (\d+)\. (.*?)$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
QUERIES = {
    int(number): re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for number, _, text in SECTIONS
}

QUESTIONS = {
    1: "What was labour cost as a percentage of revenue, all included?",
    2: "Who worked overtime, over 37 hours a week or over the contract?",
    3: "Who worked more than six days in a row, or rested less than 11 hours?",
    4: "Who came more than five minutes late?",
    5: "How many shifts did nobody come to, and whose were they?",
    6: "How much sickness is there, who was ill how often, and what is the Bradford score?",
    7: "How high is the turnover, who left, and how long have people been there?",
    8: "How many hours were planned, worked and paid?",
    9: "How long before they began were open shifts filled, and what changed within seven days?",
    10: "What is owed for vacation that was earned and not taken?",
    11: "What does an hour cost on average, by employee group?",
    12: "How much is sold per hour of work, by weekday?",
    13: "Who worked without a rate or salary in Planday?",
    14: "What is planned for the next two weeks, and what will it cost?",
}


@pytest.fixture(scope="module")
def truth(empty: duckdb.DuckDBPyConnection) -> Iterator[tuple[duckdb.DuckDBPyConnection, World]]:
    """The planted weeks; within one transaction it remains the same day."""
    empty.execute("BEGIN")
    today = empty.execute("SELECT today()").fetchall()[0][0]
    world = world_of(today)
    put_edges(world)
    put_changes(world)
    world.write(empty)
    yield empty, world
    empty.execute("ROLLBACK")


ANSWERS: dict[int, Callable[[World], Rows]] = {
    1: cost_percent,
    2: overtime,
    3: short_rest,
    4: late,
    5: no_shows,
    6: sickness,
    7: turnover,
    8: planned_worked_paid,
    9: filled_and_changed,
    10: owed_for_vacation,
    11: cost_of_an_hour,
    12: sales_per_hour,
    13: without_a_rate,
    14: next_two_weeks,
}


@pytest.mark.parametrize("number", ANSWERS)
def test_recipe_gives_what_plain_python_says(truth: tuple[duckdb.DuckDBPyConnection, World], number: int) -> None:
    db, world = truth
    (query,) = QUERIES[number]
    expected = ANSWERS[number](world)
    assert expected
    found = db.execute(query).fetchall()
    assert [tuple(map(comparable, row)) for row in found] == [tuple(map(comparable, row)) for row in expected]


def comparable(value: Any) -> Any:
    """Numbers to the hundredth: SQL rounds some of them, and plain Python is exact."""
    return rounded(Decimal(str(value)), 2) if isinstance(value, int | float | Decimal) else value


def test_the_page_asks_these_questions() -> None:
    assert {int(number): question for number, question, _ in SECTIONS} == QUESTIONS
    assert ANSWERS.keys() == QUESTIONS.keys()
    assert [len(queries) for queries in QUERIES.values()] == [1] * len(QUESTIONS)


def test_recipes_read_marts_only() -> None:
    for (query,) in QUERIES.values():
        sources = re.findall(r"\b(?:FROM|JOIN) ([a-z_]+\.[a-z_]+)", query)
        assert sources
        assert set(sources) <= {f"marts.{name}" for name in MARTS}


def test_figures_of_the_field_name_views_that_exist() -> None:
    page = marts_page()
    table = page[page.index("| KPI |") : page.index("What Planday's API does not give")]
    figures = re.findall(r"^\| (?!KPI|-)([^|]+) \|.*\| `([a-z_.]+)` \|$", table, re.MULTILINE)
    assert len(figures) == len(dict(figures)) == 20
    assert {view for _, view in figures} <= {f"marts.{name}" for name in MARTS} | {"sync.settling"}
