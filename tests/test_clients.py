"""The published file opens and reads in DuckDB 1.2, 1.4, 1.5 and the current one: by itself, attached, exported and imported.

The suite asks the current client; `make clients` installs the older ones beside it and asks them as well (PLANDAY_CLIENTS
names the folder of their environments). Every client has to find the same values, in whichever way it opens the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import month_of, shifted
from planday_io.warehouse.mart_files import MARTS, macros, marts
from tests.support.installation import EVERYTHING, FAST, Installation

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1200)]

FOLDER = os.environ.get("PLANDAY_CLIENTS")
CLIENTS = [sys.executable, *map(str, sorted(Path(FOLDER).glob("duckdb-[0-9]*/bin/python")) if FOLDER else [])]
OLD_NAMES = [f"{name}_history" for name in CATALOGUE.histories]
VIEWS = [
    *(f"marts.{name}" for name in MARTS),
    *(f"sync.{name}" for name in ("failures", "findings", "schemas", "settling", "tables")),
]
QUESTIONS = [question.sql.removesuffix(";") for mart in (*marts(), *macros()) for question in mart.questions]
LONG_AGO = "scheduling.shifts_as_of('2020-01-01')"
MACROS = [
    *(f"{name}_as_of(now())" for name in CATALOGUE.histories),
    LONG_AGO,
    "marts.attendance_exceptions(tolerance_minutes := 1)",
    "marts.overtime_over(weekly_hours := 20, daily_hours := 7)",
    "marts.working_time_between(from_date := '2020-01-01')",
    "marts.working_time_findings_between(from_date := '2020-01-01')",
    "marts.roster_stability_between(from_date := '2020-01-01')",
]
SCALARS = [
    f"{call} AS found FROM (SELECT TIMESTAMP '2026-10-24 22:00' AS a, TIMESTAMP '2026-10-25 06:00' AS b, zone "
    "FROM (VALUES ('Europe/Oslo'), ('europe/london'), ('Romance Standard Time'), (NULL)) AS t(zone))"
    for call in ("{0}first_instant(a, zone)", "{0}end_instant(a, b, zone)", "{0}hours_between(a, b, zone)")
]
ASK = """
import duckdb, hashlib, json, re, sys
file, folder, how, views, macros, scalars, questions = *sys.argv[1:4], *map(json.loads, sys.argv[4:])

def digest(db, query):
    # Texts in a fixed order, lists and structs as JSON, so that any client's answer can be compared with any other's.
    rows = sorted(map(repr, db.execute(f"SELECT CAST(to_json(COLUMNS(*)) AS VARCHAR) FROM ({query})").fetchall()))
    return [len(rows), hashlib.sha256("".join(rows).encode()).hexdigest()]

if how == "direct":
    db, prefix = duckdb.connect(file, read_only=True), ""
elif how == "imported":
    duckdb.connect(file, read_only=True).execute(f"EXPORT DATABASE '{folder}' (FORMAT parquet)")
    db, prefix = duckdb.connect(), ""
    db.execute(f"IMPORT DATABASE '{folder}'")
else:
    db, prefix = duckdb.connect(), "another_name."
    db.execute(f"ATTACH '{file}' AS another_name (READ_ONLY)")
    if how == "used":
        db.execute("USE another_name")
        prefix = ""
db.execute("SET TimeZone = 'UTC'")
db.execute("SET enable_progress_bar = false")
where = "database_name = 'another_name'" if how == "attached" else "database_name = current_database()"
sql = f"SELECT schema_name, table_name FROM duckdb_tables() WHERE {where} ORDER BY ALL"
tables = [".".join(row) for row in db.execute(sql).fetchall()]
found = {name: digest(db, f"FROM {prefix}{name}") for name in tables + views}
attached = ", db := 'another_name')"
found |= {
    name: digest(db, f"FROM {prefix}{name[:-1] + attached if how == 'attached' else name}") for name in macros
}
found |= {query: digest(db, "SELECT " + query.format(prefix)) for query in scalars}
sql = f"SELECT DISTINCT schema_name, function_name FROM duckdb_functions() WHERE {where} AND function_type = 'table_macro'"
defined = sorted(".".join(row) for row in db.execute(sql).fetchall() if row[0] not in ("main", "pg_catalog"))
call = re.compile(rf"\\b((?:{'|'.join(map(re.escape, defined))})\\((?:[^()]|\\((?:[^()]|\\([^()]*\\))*\\))*)\\)")
for question in questions:
    # As an analyst would who attached the file: its name before each schema, and as an argument of macros.
    asked = question
    if how == "attached":
        asked = call.sub(lambda match: match[1] + attached[2 * match[1].endswith("(") :], asked)
    asked = re.sub(r"(?<!DISTINCT )\\b(FROM|JOIN) (?=[a-z_]+\\.[a-z_]+)", lambda match: match[0] + prefix, asked)
    found[question] = digest(db, asked)
sql = f"SELECT comment FROM duckdb_columns() WHERE {where} AND table_name = 'employees' AND column_name = 'zip'"
(comment,) = db.execute(sql).fetchone()
print(json.dumps({"version": duckdb.__version__, "found": found, "comment": comment, "macros": defined}))
"""


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One portal with a night on which clocks change, a zone that older clients do not know, and durations of all kinds."""
    from planday_io.sandbox.limits import Limits
    from planday_io.sandbox.serve import served
    from planday_io.sandbox.state import demo_sandbox
    from planday_io.sandbox.world import demo_portals

    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(4, 4, 4)))
    roster = sandbox.portals["oslo"].roster
    month = shifted(month_of(datetime.now(UTC).date()), -1)
    some = next(s for s in roster.shifts.values() if s["date"].startswith(month) and not s["employeeId"])
    for zone in ("America/Coyhaique", "Romance Standard Time", "Nowhere", ""):
        added = roster.add_shift(some["id"], date.fromisoformat(some["date"]))
        roster.edit_shift(added, timeZone=zone, employeeId=None, status="Open")
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("clients"), sandbox, address, resources=EVERYTHING)
        for endpoint in CATALOGUE.endpoints:
            if endpoint.grid == "portal":
                made.refresh(endpoint.name)
        made.read_months([month])
        yield made


def ask(client: str, planday: Installation, how: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [client, "-c", ASK, str(planday.config.warehouse), str(folder / "exported"), how]
        + [json.dumps(names) for names in (VIEWS + OLD_NAMES, MACROS, SCALARS, QUESTIONS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1000,
    )
    assert done.returncode == 0, done.stderr
    # Before it there may be a progress bar: 1.4 shows one while it exports and attaches.
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def ours(planday: Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the current client finds in the file itself."""
    return ask(sys.executable, planday, "direct", tmp_path_factory.mktemp("ours"))


@pytest.mark.parametrize("how", ["direct", "used", "attached", "imported"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda path: Path(path).parts[-3])
def test_every_client_finds_the_same(
    planday: Installation, ours: dict[str, Any], tmp_path: Path, client: str, how: str
) -> None:
    told = ask(client, planday, how, tmp_path)
    sys.stdout.write(f"\nduckdb {told['version']}, {how}: {len(told['found'])} tables and views\n")
    tables = {table.published_name for table in CATALOGUE.lake_tables.values()}
    assert told["found"].keys() >= {*tables, *VIEWS, *OLD_NAMES}
    assert {*told["macros"]} == {name.partition("(")[0] for name in MACROS}, "each macro is called"
    if told["found"] != ours["found"]:
        # Some rows depend on what time it is, and old clients take minutes.
        later = ask(sys.executable, planday, "direct", tmp_path)
        assert told["found"] == {
            name: ours["found"][name] if told["found"].get(name) == ours["found"][name] else found
            for name, found in later["found"].items()
        }
    assert how == "imported" or told["comment"] == "Postal code."


def test_what_is_compared_is_not_empty(ours: dict[str, Any]) -> None:
    counts = {name: count for name, (count, _) in ours["found"].items()}
    for name in OLD_NAMES:
        domain, _, table = name.removesuffix("_history").partition(".")
        assert ours["found"][name] == ours["found"][f"{domain}_history.{table}"]
    asked = (*VIEWS, *SCALARS, "hr.employees_as_of(now())", "scheduling.shifts_as_of(now())")
    # One is switched off, one needs two reads, and no read failed.
    empty = {"marts.pay_gap", "marts.roster_changes", "sync.failures"}
    assert {name for name in asked if not counts[name]} <= empty
    assert sum(counts[question] > 0 for question in QUESTIONS) > len(QUESTIONS) / 2
    assert counts[LONG_AGO] == 0, "nothing is known from before the first read"
