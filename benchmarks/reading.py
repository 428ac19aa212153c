"""Cases a, b, g and h: reading at full speed, at the budget's pace, with more and more rows, and one call per employee."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.installation import THIS, Bench
from benchmarks.measure import Measured, alternating, fast_server, median, requests_of
from planday_io.months import shifted

MONTH_ALONE = "window: {past_months: 0, future_months: 0}"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a table: a case, what was measured, and the figure that it was to reach."""

    case: str
    what: str
    measured: str
    wanted: str


@contextmanager
def bench(resources: str, history_start: str = THIS, **server: str | float | bool) -> Iterator[Bench]:
    """A fresh installation beside a fast server."""
    with tempfile.TemporaryDirectory() as folder, fast_server(**server) as address:
        made = Bench(Path(folder) / "bench", address)
        made.configure(resources, history_start=history_start, defaults=MONTH_ALONE)
        yield made


def at_full_speed(*, employees: int = 20_000, shifts: int = 500_000, times: int = 5) -> list[Result]:
    """Case a: against a floor written by hand, and dlt."""
    with bench("hr.employees, scheduling.shifts", employees=employees, shifts=shifts, months=THIS) as one:

        def library() -> Measured:
            one.clear()
            return one.library("hr.employees", f"scheduling.shifts@{THIS}")

        def sync() -> Measured:
            one.clear()
            return one.command("sync")

        ours = {
            "floor": lambda: one.other("floor.py"),
            "floor without pandas": one.floor_without_pandas,
            "library": library,
            "sync": sync,
        }
        found = alternating(ours, times)
        found |= alternating({"dlt, Parquet": lambda: one.other("dlt_source.py", "parquet")}, 2)
        found |= alternating({"dlt, its default": lambda: one.other("dlt_source.py", "default")}, 1)
    floor = median(found["floor"])
    wanted = {
        "library": "1.25 x floor, 350 MiB",
        "sync": f"1.25 x floor + 4 s = {1.25 * floor + 4:.1f} s",
        "dlt, Parquet": "5 x library",
        "dlt, its default": "15 x library",
    }
    library_seconds = median(found["library"])
    return [
        Result(
            "a",
            f"{name} ({len(runs)} x)",
            f"{median(runs):.2f} s = {median(runs) / floor:.2f} x floor = {median(runs) / library_seconds:.2f} x library, "
            f"CPU {median(runs, 'cpu_seconds'):.1f} s, peak {median(runs, 'peak_mib'):.0f} MiB",
            wanted.get(name, ""),
        )
        for name, runs in found.items()
    ]


def at_the_pace_of_the_budget(*, employees: int = 20_000, shifts: int = 500_000, times: int = 3) -> list[Result]:
    """Case b: 20 requests a second, 60 ms until an answer. Each time with a server of its own, which counts from nothing."""
    runs: list[tuple[float, float, int]] = []
    refused = 0
    for _ in range(times):
        with bench(
            "hr.employees, scheduling.shifts",
            employees=employees,
            shifts=shifts,
            months=THIS,
            limits=True,
            latency=0.06,
        ) as one:
            seconds = one.library("hr.employees", f"scheduling.shifts@{THIS}").seconds
            counted = requests_of(one.address)
        refused += counted.pop("refused", 0)
        requests = sum(counted.values())
        runs.append((seconds / (requests / 20), seconds, requests))
    ratio, seconds, requests = sorted(runs)[times // 2]
    return [
        Result(
            "b",
            f"library, {requests} requests ({times} x)",
            f"{seconds:.1f} s = {ratio:.3f} x {requests / 20:.1f} s, {refused} refused",
            "1.08 x, 0 refused",
        )
    ]


def memory(*, rows: int = 50_000) -> list[Result]:
    """Case g: slices of equal size, 1, 4 and 16 of them; and one slice, 1, 4 and 16 times as long, beside its Arrow data."""
    slices: list[tuple[str, float]] = []
    months = [shifted(THIS, -number) for number in range(16)]
    with bench("scheduling.shifts", months[-1], shifts=rows, months=",".join(months)) as one:
        for count in (1, 4, 16):
            one.clear()
            peak = one.library(*(f"scheduling.shifts@{month}" for month in months[:count])).peak_mib
            slices.append((f"{count} slices", peak))
    found = [
        Result("g", name, f"peak {peak:.0f} MiB = {peak / slices[0][1]:.2f} x", "1.3 x" if name == "16 slices" else "")
        for name, peak in slices
    ]
    for factor in (1, 4, 16):
        with bench("scheduling.shifts", shifts=rows * factor, months=THIS) as one:
            peak = one.library(f"scheduling.shifts@{THIS}").peak_mib
            arrow = pq.read_table(one.folder / f"lake/scheduling/shifts/oslo/{THIS}/data.parquet").nbytes / 2**20
        text = f"peak {peak:.0f} MiB = {peak / arrow:.1f} x its {arrow:.0f} MiB of Arrow data"
        found.append(Result("g", f"{rows * factor} rows", text, "4 x" if factor == 16 else ""))
    return found


def one_call_per_employee(*, employees: int = 1_000) -> list[Result]:
    """Case h: the fan-out at the budget. 1,000 calls: a minute takes 750. A quarter of them for comparison, in memory."""
    peaks = []
    for count in (employees // 4, employees):
        with bench("hr.employees, hr.employee_details", employees=count, limits=True, latency=0.06) as one:
            run = one.library("hr.employees", "hr.employee_details")
            counted = requests_of(one.address)
        peaks.append(run.peak_mib)
    refused = counted.pop("refused", 0)
    requests = sum(counted.values())
    # 750 at once at 20 a second, the rest when the minute is over.
    least = requests / 20 if requests <= 750 else 60 * ((requests - 1) // 750) + ((requests - 1) % 750 + 1) / 20
    return [
        Result(
            "h",
            f"library, {requests} requests",
            f"{run.seconds:.1f} s = {run.seconds / least:.3f} x {least:.1f} s, {refused} refused, "
            f"peak {peaks[1]:.0f} MiB = {peaks[1] / peaks[0]:.2f} x that of a quarter of the calls",
            "1.08 x, memory flat",
        )
    ]
