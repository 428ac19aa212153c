"""Publications where there is much: a rebuild of a large lake, nothing to do, and a night in which many portals end one after
the other.

The night's clock is not awaited: runs end when the budget of one app lets them, each publication takes the seconds that it
really takes, and what the runs would decide by the clock they are asked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import made_up
from benchmarks.installation import ROOT
from benchmarks.measure import Measured, run
from benchmarks.reading import Result
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.warehouse import publish
from planday_io.warehouse.pace import next_due

_PORTALS = 200
_ROWS_OF_25_MIB = 5600
"""Rows of a month's slice where a portal takes 25 MiB of the warehouse."""
_SECONDS_PER_PORTAL = 15.0
"""A night takes 505 requests per portal (case d), and the budget of an app is 2,000 a minute."""


def rebuild(*, portals: int = _PORTALS, rows: int = 20) -> list[Result]:
    """Case p: a rebuild of 32,600 slices, and publications with nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        installation = made_up.installation_of(Path(folder), portals)
        made_up.write(installation, _all(portals), rows=rows, run="first")
        results = []
        for how, wanted in (("rebuild", "60 s"), ("", "1 s"), ("compare_all", "")):
            done = _publish(installation, how)
            seconds, slices = done.output.split()
            what = {"rebuild": "rebuild", "": "nothing to do", "compare_all": "nothing to do, all compared"}[how]
            measured = f"{seconds} s, CPU {done.cpu_seconds:.1f} s, peak {done.peak_mib:.0f} MiB; {slices} written"
            size = installation.config.warehouse.stat().st_size / 2**20
            all_slices = portals * made_up.SLICES_PER_PORTAL
            results.append(Result("p", f"{what}, {all_slices} slices, {size:.0f} MiB", measured, wanted))
        return results


def night(*, portals: int = _PORTALS, rows: int = _ROWS_OF_25_MIB, folder: Path | None = None) -> list[Result]:
    """Case p: the publications of a night, without checks of marts: nobody works the hours of the made-up rows."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        installation = made_up.installation_of(Path(place), portals)
        made_up.write(installation, _all(portals), rows=rows, run="first")
        _publish(installation, "rebuild")
        size = installation.config.warehouse.stat().st_size / 2**20
        now = begin = datetime.now(UTC)
        publishing, published, longest = 0.0, 0, timedelta()
        waiting_since: list[datetime] = []
        for number, portal in enumerate(made_up.names(portals), 1):
            now = max(now, begin + timedelta(seconds=number * _SECONDS_PER_PORTAL))
            made_up.write(installation, _of_night(portal), rows=rows, run=f"night {number}")
            waiting_since.append(now)
            if number < portals and next_due(installation.state, now):
                continue
            began = time.perf_counter()
            publish(installation)
            seconds = time.perf_counter() - began
            now += timedelta(seconds=seconds)
            installation.state.files.note_publication(now, seconds)
            longest = max(longest, now - min(waiting_since))
            waiting_since.clear()
            publishing, published = publishing + seconds, published + 1
        took = (now - begin).total_seconds()
        what = f"night of {portals} portals x {size / portals:.0f} MiB ({took / 60:.0f} minutes)"
        measured = (
            f"{published} publications of {publishing / published:.1f} s = {publishing / took:.1%} of the night; shown "
            f"{longest.total_seconds() / 60:.1f} minutes after a run at the latest"
        )
        return [Result("p", what, measured, "5 %")]


def _all(portals: int) -> list[SliceKey]:
    return [key for portal in made_up.names(portals) for key in made_up.keys_of(portal)]


def _of_night(portal: str) -> list[SliceKey]:
    """The slices of a portal that a night reads: two months of facts, and all that is no fact."""
    keys = made_up.keys_of(portal)
    months = sorted({key.month for key in keys if key.month})[-2:]
    return [key for key in keys if key.month is None or key.month in months]


def _publish(installation: Installation, how: str) -> Measured:
    command = [
        sys.executable,
        "-m",
        "benchmarks.publishing",
        str(installation.config.file.parent),
        *filter(None, [how]),
    ]
    return run(command, ROOT, {"PYTHONPATH": str(ROOT)})
