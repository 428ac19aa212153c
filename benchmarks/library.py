"""This package without Dagster: refresh some tables of a portal, and nothing else. Prints the rows."""

from __future__ import annotations

import sys
from pathlib import Path

from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.sync.session import PortalSession, refresh


def main(config: str, portal: str, *tables: str) -> None:
    """Refresh `table` or `table@YYYY-MM`, one after the other."""
    session = PortalSession(Installation.load(Path(config), CATALOGUE), portal, run_id="bench")
    for wanted in tables:
        table, _, month = wanted.partition("@")
        for report in refresh(session, table, month=month or None):
            sys.stdout.write(f"{report.table} {report.rows}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
