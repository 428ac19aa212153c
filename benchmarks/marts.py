"""Case m: the documented questions of every mart, over a warehouse of five million shifts and all that belongs to them.

The rows are made up by SQL (`marts.sql`), and each history has a version or two of each row. Marts, with arguments or
without, are found in their lists, so a new one is measured without a line here.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from string import Template

import duckdb

from benchmarks.reading import Result
from planday_io.catalogue import CATALOGUE
from planday_io.catalogue.history import history_column
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import duckdb_columns, quote
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.warehouse.definitions import define, sql_name
from planday_io.warehouse.mart_files import Question, macros, marts
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones

SQL = Path(__file__).with_suffix(".sql")
SETTLING = Question(
    "How much did months of the last two years still move?",
    "SELECT portal, figure, days_after, count(moved_percent) AS months, round(max(abs(moved_percent)), 1) AS largest_percent "
    "FROM sync.settling WHERE month >= strftime(today() - INTERVAL 2 YEAR, '%Y-%m') GROUP BY ALL ORDER BY ALL",
)
"""The one of docs/querying.md."""
CHANGED = {"scheduling.shifts": "* REPLACE (start_date_time - INTERVAL 1 HOUR AS start_date_time)"}
"""Tables whose former versions differ from the current ones -> how."""


def questions(*, shifts: int = 5_000_000, months: int = 60, times: int = 3) -> list[Result]:
    """Make the warehouse, and ask."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "warehouse.duckdb"
        make(file, shifts, months)
        return ask(file, shifts, times)


def make(file: Path, shifts: int, months: int) -> None:
    """Make a warehouse whose last month is the next one."""
    with duckdb.connect(str(file)) as db:
        db.execute("SET TimeZone = 'UTC'")
        ((today,),) = db.execute("SELECT today()").fetchall()
        last = shifted(month_of(today), 1)
        first = first_day(shifted(last, 1 - months))
        define(db, CATALOGUE, PrivacyPolicy())
        sizes = {
            "shifts": shifts,
            "people": max(200, shifts // 500),
            "days": (last_day(last) - first).days + 1,
            "first": first,
        }
        db.execute(Template(SQL.read_text(encoding="utf-8")).substitute(sizes))
        _make_histories(db)
        write_zones(db, again=True)
        write_settings(db, {})
        db.execute("CHECKPOINT")


def _make_histories(db: duckdb.DuckDBPyConnection) -> None:
    """Each row is current since before its month; of those with a month one in ten had another version before."""
    for name, history in CATALOGUE.histories.items():
        table = CATALOGUE.table(name)
        columns = ", ".join(
            f"{quote(column)} AS {quote(history_column(column))}"
            for column, _ in duckdb_columns(table, PrivacyPolicy())
        )
        known, changed = ("month || '-01'", "month || '-05'") if table.is_monthly else ("'2020-01-01'", "")
        of_row = f"hash({quote(table.key[0])}) % 10 = 0"
        since = f"CAST({known} AS TIMESTAMPTZ) - INTERVAL 20 DAY"
        then = f"CAST({changed} AS TIMESTAMPTZ)"
        source, target = sql_name(table), sql_name(history)
        db.execute(
            f"INSERT INTO {target} BY NAME SELECT {columns}, true AS is_current, "
            f"{f'CASE WHEN {of_row} THEN {then} ELSE {since} END' if changed else since} AS valid_from FROM {source}"
        )
        if changed:
            db.execute(
                f"INSERT INTO {target} BY NAME SELECT {columns}, false AS is_current, {since} AS valid_from, "
                f"{then} AS valid_to FROM (SELECT {CHANGED.get(name, '*')} FROM {source} WHERE {of_row})"
            )


def ask(file: Path, shifts: int, times: int, names: Iterable[str] = ()) -> list[Result]:
    """Ask all questions of some marts, or of all."""
    asked = {f"marts.{mart.name}": mart.questions for mart in marts()}
    asked |= {f"marts.{macro.name}": macro.questions for macro in macros()} | {"sync.settling": (SETTLING,)}
    chosen = {name: questions for name, questions in asked.items() if not names or name.partition(".")[2] in names}
    return [_asked(file, name, questions, shifts, times) for name, questions in chosen.items()]


def _asked(file: Path, name: str, questions: Iterable[Question], shifts: int, times: int) -> Result:
    found: list[tuple[float, float]] = []
    with duckdb.connect(str(file), read_only=True) as db:
        db.execute("SET enable_progress_bar = false")
        for question in questions:
            seconds, processor = zip(*(_timed(db, question.sql) for _ in range(times)), strict=True)
            found.append((statistics.median(seconds), statistics.median(processor)))
            sys.stderr.write(f"  {name}: {found[-1][0]:.2f} s, CPU {found[-1][1]:.2f} s: {question.text}\n")
    slowest = max(found)
    each = ", ".join(f"{seconds:.2f}" for seconds, _ in found)
    what = f"questions of `{name}`, {shifts} shifts (median of {times})"
    return Result("m", what, f"{each} s; the slowest with {slowest[1]:.1f} s of CPU", "5 s each")


def _timed(db: duckdb.DuckDBPyConnection, sql: str) -> tuple[float, float]:
    before = os.times()
    db.execute(sql).fetchall()
    after = os.times()
    return after.elapsed - before.elapsed, after.user + after.system - before.user - before.system
