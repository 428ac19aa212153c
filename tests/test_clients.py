"""The published file opens and reads in DuckDB 1.2, 1.4 and the current one.

The suite asks the current client; `make clients` installs the older ones beside it and asks them as well (PLANDAY_CLIENTS
names their Pythons).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import month_of, shifted
from planday_io.warehouse.definitions import MARTS
from tests.conftest import EVERYTHING, Make

CLIENTS = [sys.executable, *os.environ.get("PLANDAY_CLIENTS", "").split()]
ASK = """
import duckdb, json, sys
db = duckdb.connect(sys.argv[1], read_only=True)
tables = [".".join(row) for row in db.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()]
counts = {name: len(db.execute(f"SELECT * FROM {name}").fetchall()) for name in tables + json.loads(sys.argv[2])}
attached = duckdb.connect()
attached.execute(f"ATTACH '{sys.argv[1]}' AS planday (READ_ONLY)")
attached.execute("USE planday")
counts["attached"] = attached.execute("SELECT count(*) FROM marts.hours").fetchone()[0]
sql = "SELECT comment FROM duckdb_columns() WHERE table_name = 'employees' AND column_name = 'zip'"
(comment,) = db.execute(sql).fetchone()
print(json.dumps({"version": duckdb.__version__, "counts": counts, "comment": comment}))
"""


@pytest.mark.parametrize("client", CLIENTS, ids=lambda path: Path(path).parts[-3])
def test_every_table_and_view_is_read(make: Make, client: str) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    for endpoint in CATALOGUE.endpoints:
        if endpoint.grid == "portal":
            planday.refresh(endpoint.name)
    planday.read_months([shifted(month_of(datetime.now(UTC).date()), -1)])
    views = [f"marts.{name}" for name in MARTS] + ["hr.employees_as_of(now())", "scheduling.shifts_as_of(now())"]
    done = subprocess.run(
        [client, "-c", ASK, str(planday.config.warehouse), json.dumps(views)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    sys.stdout.write(f"\nduckdb {told['version']}: {len(told['counts'])} tables and views\n")
    assert told["counts"].keys() >= set(CATALOGUE.lake_tables)
    ours = {name: planday.query(f"SELECT count(*) FROM {name}")[0][0] for name in told["counts"] if name != "attached"}
    ours["attached"] = ours["marts.hours"]
    assert told["counts"] == ours
    assert ours["marts.hours"] > 0
    assert told["comment"] == "Postal code."
