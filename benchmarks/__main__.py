"""`make bench`: the cases by letter, or all of them; writes what was measured into docs/performance.md.

python -m benchmarks            all cases, 25 minutes
python -m benchmarks a g        some of them, printed only
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import counting, portals, publication, reading, start
from benchmarks.reading import Result

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CASES: dict[str, list[Callable[[], list[Result]]]] = {
    "a": [reading.at_full_speed],
    "b": [reading.at_the_pace_of_the_budget],
    "c": [counting.backfill],
    "d": [counting.night],
    "e": [publication.one_month],
    "f": [portals.definitions, portals.the_minute_in_which_all_tick],
    "g": [reading.memory],
    "h": [reading.one_call_per_employee],
    "start": [start.commands],
}


def main(letters: list[str]) -> None:
    """Run cases and print a table; with all of them, renew the page."""
    lines = ["| Case | What | Measured | To reach |", "|---|---|---|---|"]
    sys.stdout.write("\n".join(lines) + "\n")
    for letter in letters or CASES:
        for case in CASES[letter]:
            for one in case():
                lines.append(f"| {one.case} | {one.what} | {one.measured} | {one.wanted} |")
                sys.stdout.write(lines[-1] + "\n")
                sys.stdout.flush()
    if not letters:
        text = PAGE.read_text(encoding="utf-8")
        head, _, rest = text.partition(BEGIN)
        tail = rest.partition(END)[2]
        PAGE.write_text(f"{head}{BEGIN}\n{_machine()}\n\n" + "\n".join(lines) + f"\n{END}{tail}", encoding="utf-8")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("dagster", "duckdb", "httpx", "msgspec", "pyarrow")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, `make bench`: {os.cpu_count()} cores, {memory:.0f} GiB, Python "
        f"{platform.python_version()}, {versions}; dlt as in `benchmarks/requirements.lock`."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
