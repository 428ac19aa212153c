"""Case f: 500 portals configured: how long definitions take to load, a look for incidents, the minute in which all tick."""

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

from benchmarks.installation import BIN, ROOT, THIS, Bench
from benchmarks.measure import fast_server, run
from benchmarks.reading import MONTH_ALONE, Result
from planday_io.catalogue import CATALOGUE
from planday_io.months import shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import demo_sandbox


def definitions(*, portals: int = 500, times: int = 3) -> list[Result]:
    """Loading the code location, beyond `import dagster`."""
    names = [f"portal_{number}" for number in range(portals)]
    with tempfile.TemporaryDirectory() as folder:
        one = Bench(Path(folder) / "bench", "http://127.0.0.1:9")
        one.configure("hr.departments, hr.employees, scheduling.shifts", names, defaults=MONTH_ALONE)
        found: list[float] = []
        for _ in range(times):
            done = run([sys.executable, "-m", "benchmarks.loading"], one.folder, {"PYTHONPATH": str(ROOT)})
            found.append(float(done.output.split()[-1]))
    own = statistics.median(found)
    return [Result("f", f"definitions of {portals} portals", f"{own:.2f} s beyond `import dagster`", "1 s")]


def a_look(*, portals: int = 500, months: int = 3) -> list[Result]:
    """What sensors do each minute: every portal has the slices of a portal that was read in full."""
    sandbox = demo_sandbox(limits=Limits(((100_000, 1.0),), ((100_000, 1.0),)))
    names = [f"portal_{number}" for number in range(portals)]
    with served(sandbox) as address, tempfile.TemporaryDirectory() as folder:
        read = Path(folder) / "read"
        write_config(sandbox, read, address, history_start=shifted(THIS, 1 - months))
        whole = Bench(read, address)
        whole.add_settings()
        whole.command("sync", "oslo")
        one = Bench(Path(folder) / "bench", address)
        one.configure(", ".join(CATALOGUE.domains()), names, history_start=shifted(THIS, 1 - months))
        count = 0
        for file in (read / "lake").rglob("*.parquet"):
            for name in names:
                copy = one.folder / str(file.relative_to(read)).replace("/oslo/", f"/{name}/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.hardlink_to(file)
                count += 1
        done = run(
            [sys.executable, "-m", "benchmarks.looking"],
            one.folder,
            {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(one.folder)},
        )
    first, *later = [line.split() for line in done.output.splitlines()]
    text = (
        f"{later[-1][0]} s, the first {first[0]} s; marks and slices to publish {later[-1][1]} s; "
        f"{first[2]} incidents, peak {done.peak_mib:.0f} MiB"
    )
    return [Result("f", f"a look over {portals} portals with {count} slices", text, "a minute")]


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
        command = [str(BIN / "dagster-daemon"), "run", "-w", "workspace.yaml"]
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
