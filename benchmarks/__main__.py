"""`make bench`: the cases by letter, or all of them; writes what was measured into docs/performance.md.

python -m benchmarks            all cases, half an hour
python -m benchmarks a g        some of them; what the page says of the others stays
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import counting, marts, nights, portals, publication, reading, side_by_side, start, status
from benchmarks.reading import Result

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = ("| Case | What | Measured | To reach | On |", "|---|---|---|---|---|")
CASES: dict[str, list[Callable[[], list[Result]]]] = {
    "a": [reading.at_full_speed],
    "b": [reading.at_the_pace_of_the_budget],
    "c": [counting.backfill],
    "d": [counting.night],
    "e": [publication.one_month],
    "f": [portals.definitions, portals.a_look, portals.the_minute_in_which_all_tick],
    "g": [reading.memory],
    "h": [reading.one_call_per_employee],
    "i": [side_by_side.three_portals],
    "m": [marts.questions],
    "p": [nights.rebuild, nights.night],
    "start": [start.commands],
    "status": [status.commands],
}


def main(letters: list[str]) -> None:
    """Run cases, print what was measured, and put it in the place of what the page says of these cases."""
    for letter in letters or CASES:
        lines = [line for case in CASES[letter] for line in _lines(case())]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        _renew(letter, lines)


def _lines(results: list[Result]) -> list[str]:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return [f"| {one.case} | {one.what} | {one.measured} | {one.wanted} | {today} |" for one in results]


def _renew(letter: str, lines: list[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    measured, _, tail = rest.partition(END)
    kept = {case: [line for line in measured.splitlines() if line.startswith(f"| {case} |")] for case in CASES}
    rows = [line for found in {**kept, letter: lines}.values() for line in found]
    PAGE.write_text("\n".join([f"{head}{BEGIN}", _machine(), "", *HEAD, *rows, f"{END}{tail}"]), encoding="utf-8")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("dagster", "duckdb", "httpx", "msgspec", "pyarrow")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"`make bench`, on {os.cpu_count()} cores, {memory:.0f} GiB, Python "
        f"{platform.python_version()}, {versions}; dlt as in `benchmarks/requirements.lock`."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
