"""Case status: `planday status` of many portals with two years of slices each, and what reads the same facts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.installation import THIS, Bench
from benchmarks.measure import median
from benchmarks.reading import Result
from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.months import shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import demo_sandbox

WANTED = {"status": "2 s", "status --json": "", "metrics": "", "status --tables --json": ""}


def commands(*, portals: int = 500, months: int = 24, times: int = 5) -> list[Result]:
    """The whole command, from start to end, on files that the index knows."""
    with _installation(portals, months) as (one, count):
        # No daemon runs, which is wrong. The first notes that definitions can be made of this configuration.
        first = one.command("status", "--json", codes=(1,))
        found = {
            name: [one.command(*name.split(), codes=(0, 1)) for _ in range(1 if "--tables" in name else times)]
            for name in WANTED
        }
    states = {portal["state"] for portal in json.loads(first.output)["portals"]}
    if states != {"ok"}:
        raise RuntimeError(f"portals should be well and are {states}")
    what = f"of {portals} portals x {months} months, {count} slices"
    return [Result("status", f"the first `planday status` {what}", f"{first.seconds:.2f} s", "")] + [
        Result(
            "status",
            f"`planday {name}` {what} ({len(runs)} x)",
            f"{median(runs):.2f} s, CPU {runs[0].cpu_seconds:.1f} s, peak {runs[0].peak_mib:.0f} MiB",
            WANTED[name],
        )
        for name, runs in found.items()
    ]


@contextmanager
def _installation(portals: int, months: int) -> Iterator[tuple[Bench, int]]:
    """One portal is read; the files of the others are links to its, which the index knows as well."""
    sandbox = demo_sandbox(limits=Limits(((100_000, 1.0),), ((100_000, 1.0),)))
    names = [f"portal_{number}" for number in range(portals)]
    start = shifted(THIS, 1 - months)
    with served(sandbox) as address, tempfile.TemporaryDirectory() as folder:
        place = write_config(sandbox, Path(folder) / "read", address, history_start=start)
        read = Bench(place.parent, address)
        read.add_settings()
        read.command("sync", "oslo", "--months", f"{start}..{THIS}")
        read.command("sync", "oslo")
        whole = Installation.load(place, CATALOGUE)
        one = Bench(Path(folder) / "bench", address)
        one.configure(", ".join(CATALOGUE.domains()), names, history_start=start)
        copy = Installation.load(one.folder / "portals.yaml", CATALOGUE)
        keys = whole.lake.slices()
        known = whole.lake.indexed(keys).entries
        for name in names:
            others = {key: replace(key, portal=name) for key in keys}
            for key, other in others.items():
                file = copy.lake.path(other)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.hardlink_to(whole.lake.path(key))
            copy.state.slices.index({other: known[key] for key, other in others.items()})
        yield one, len(keys) * portals
