"""Publish the portals.yaml of a folder in a process of its own, and print seconds and slices.

python -m benchmarks.publishing FOLDER [rebuild | compare_all]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.warehouse import publish


def main(folder: str, how: str = "") -> None:
    """One publication."""
    installation = Installation.load(Path(folder) / "portals.yaml", CATALOGUE)
    began = time.perf_counter()
    done = publish(installation, rebuild=how == "rebuild", compare_all=how == "compare_all")
    sys.stdout.write(f"{time.perf_counter() - began:.2f} {done.slices}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
