"""How long commands take that read nothing or little: what is ours beside the waiting."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.installation import Bench
from benchmarks.measure import alternating, fast_server, median, requests_of
from benchmarks.reading import MONTH_ALONE, Result


def commands(*, portals: int = 10, times: int = 5) -> list[Result]:
    """`planday --help`, and `planday check` of some portals with an API that takes 60 ms."""
    names = [f"portal_{number}" for number in range(portals)]
    with tempfile.TemporaryDirectory() as folder, fast_server(employees=50, shifts=50, latency=0.06) as address:
        one = Bench(Path(folder) / "bench", address)
        one.configure("hr.employees, scheduling.shifts", names, defaults=MONTH_ALONE)
        cases = {
            "planday --help": lambda: one.command("--help"),
            f"planday check of {portals} portals, 60 ms": lambda: one.command("check", "--json"),
        }
        found = alternating(cases, times)
        findings = json.loads([*found.values()][1][0].output)["findings"]
        good = sum(finding["is_good"] for finding in findings)
        asked = sum(requests_of(address).values()) // times
    wanted = ("0.3 s", f"limited by latency: {asked} requests, {good} findings")
    return [
        Result("start", name, f"{median(runs):.2f} s", wish)
        for (name, runs), wish in zip(found.items(), wanted, strict=True)
    ]
