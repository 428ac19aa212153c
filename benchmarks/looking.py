"""Look three times for what sensors of the portals.yaml here look for. A line each: seconds of incidents and of the rest."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dagster import DagsterInstance

from pipelines.alerting import notify
from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.sync.changes import settle


def main() -> None:
    """Incidents, then refresh requests and slices to publish; the third word is the number of incidents."""
    installation = Installation.load(Path("portals.yaml"), CATALOGUE)
    with DagsterInstance.get() as instance:
        for _ in range(3):
            began = time.perf_counter()
            found = notify(installation, instance)
            seconds = time.perf_counter() - began
            settle(installation)
            installation.lake.pending()
            rest = time.perf_counter() - began - seconds
            sys.stdout.write(f"{seconds:.1f} {rest:.1f} {len(found.open)}\n")


if __name__ == "__main__":
    main()
