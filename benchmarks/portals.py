"""Case f: 500 portals configured. How long definitions take to load, and the minute in which all schedules tick."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.installation import BIN, ROOT, Bench
from benchmarks.measure import fast_server, run
from benchmarks.reading import MONTH_ALONE, Result

_LOAD = """
import time, sys
began = time.perf_counter()
import dagster
loaded = time.perf_counter()
from pathlib import Path
from pipelines.definitions import build_definitions
build_definitions(Path("portals.yaml")).get_repository_def()
print(loaded - began, time.perf_counter() - loaded)
"""


def definitions(*, portals: int = 500, times: int = 3) -> list[Result]:
    """Loading the code location, beyond `import dagster`."""
    names = [f"portal_{number}" for number in range(portals)]
    with tempfile.TemporaryDirectory() as folder:
        one = Bench(Path(folder) / "bench", "http://127.0.0.1:9")
        one.configure("hr.departments, hr.employees, scheduling.shifts", names, defaults=MONTH_ALONE)
        found: list[float] = []
        for _ in range(times):
            done = run([sys.executable, "-c", _LOAD], one.folder, {"PYTHONPATH": str(ROOT)})
            found.append(float(done.output.split()[-1]))
    own = statistics.median(found)
    return [Result("f", f"definitions of {portals} portals", f"{own:.2f} s beyond `import dagster`", "1 s")]


def the_minute_in_which_all_tick(*, portals: int = 500, patience: float = 240.0) -> list[Result]:
    """A real daemon; every portal's nightly schedule is due at the same minute."""
    names = [f"portal_{number}" for number in range(portals)]
    with tempfile.TemporaryDirectory() as folder, fast_server(employees=50, shifts=0) as address:
        one = Bench(Path(folder) / "bench", address)
        due = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=3)
        cron = f"schedules: {{nightly: {{cron: '{due.minute} {due.hour} * * *', resources: [hr.employees]}}}}"
        one.configure("hr.employees", names, defaults=f"timezone: UTC\n  {cron}")
        with _daemon(one.folder):
            pause = threading.Event()
            pause.wait(max(0.0, due.timestamp() - time.time()))
            count = 0
            while count < portals and time.time() < due.timestamp() + patience:
                pause.wait(1)
                count = _runs(one.folder)
            seconds = time.time() - due.timestamp()
    text = f"{count} runs {seconds:.0f} s after the minute began"
    return [Result("f", f"{portals} schedules due at once", text, f"{portals} runs within 120 s")]


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    env = {**os.environ, "DAGSTER_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / "daemon.log").open("wb") as log:
        command = [BIN / "dagster-daemon", "run", "-w", "workspace.yaml"]
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _runs(folder: Path) -> int:
    """Runs that schedules launched, from Dagster's own table of runs."""
    file = next((folder / ".dagster").rglob("runs.db"), None)
    if file is None:
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as db:
        row = db.execute("SELECT count(*) FROM run_tags WHERE key = 'dagster/schedule_name'").fetchone()
    return int(row[0])
