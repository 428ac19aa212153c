"""The managers' page of an installation that published the planted weeks of `tests.support.weeks`, taken apart."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from planday_io.catalogue import CATALOGUE
from planday_io.config.grid import grid_months
from planday_io.lake.installation import Installation
from planday_io.reports.managers import write_managers_report
from tests.support.tables import put_all
from tests.support.weeks import ZONES, World, world_of


@dataclass
class Planted:
    """What is true, and an installation that has published it."""

    world: World
    installation: Installation
    now: datetime

    @property
    def file(self) -> Path:
        """Where pages are written."""
        return self.installation.config.warehouse.with_name("managers.html")

    def write(self, **how: Any) -> str:
        """A page as it is written."""
        write_managers_report(self.installation, self.file, now=self.now, **how)
        return self.file.read_text()

    @cached_property
    def page(self) -> str:
        """That about everything, with characters in place of entities."""
        return html.unescape(self.write())

    @contextmanager
    def edited(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The published file, open for writing."""
        with duckdb.connect(str(self.installation.config.warehouse)) as db:
            yield db


def plant(folder: Path, blank: Path) -> Planted:
    """Publish the weeks as read completely just now."""
    world = world_of(datetime.now(UTC).date())
    shutil.copyfile(blank, folder / "warehouse.duckdb")
    portals = "".join(
        f"  {key}: {{client_id: none, refresh_token: {{env: NONE}}, timezone: {zone}}}\n" for key, zone in ZONES.items()
    )
    file = folder / "portals.yaml"
    file.write_text(
        f"history_start: {world.last_month[0]:%Y-%m}\n"
        "currency: NOK\ndefaults:\n  schedules: {nightly: {enabled: false}, weekly: {enabled: false}}\n"
        f"portals:\n{portals}"
    )
    planted = Planted(world, Installation.load(file, CATALOGUE), datetime.combine(world.today, time(12), UTC))
    with planted.edited() as db:
        db.execute("SET TimeZone = 'UTC'")
        world.write(db)
        _put_slices(planted, db)
    return planted


def _put_slices(planted: Planted, db: duckdb.DuckDBPyConnection) -> None:
    """Every table of every month was read at noon of today."""
    config = planted.installation.config
    read = {"slice_id": "s", "fetched_at": planted.now}
    db.execute("DELETE FROM sync.slices")
    rows: list[tuple[str, dict[str, Any]]] = []
    for portal in config.portals:
        months = grid_months(config, portal, planted.now)
        for endpoint in planted.installation.endpoints_of(portal):
            for table in endpoint.tables:
                of_table = {"table_name": table.full_name, "portal": portal, **read}
                of_months = months if table.is_monthly else [None]
                rows += [("sync.slices", {**of_table, "month": month}) for month in of_months]
    put_all(db, rows)


def section_of(page: str, portal: str) -> str:
    """The part about a portal."""
    begin = page.index(f'<details class="portal" id="{portal}"')
    end = page.find('<details class="portal"', begin + 10)
    return page[begin : end if end > 0 else page.index("<h2>What the figures are")]


def table_of(part: str, caption: str) -> dict[str, list[str]]:
    """The rows of the table with a caption or heading: name -> cells as text, without numbers of notes."""
    begin = part.index(caption)
    rows = re.findall(
        r"<tr[^>]*><th scope=\"row\">(.*?)</th>(.*?)</tr>", part[begin : part.index("</table>", begin)], re.DOTALL
    )
    return {
        text_of(name): [text_of(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", cells, re.DOTALL)]
        for name, cells in rows
    }


def text_of(markup: str) -> str:
    """What a reader sees, without notes and second lines of names."""
    markup = re.sub(r"<sup>.*?</sup>|<span class=\"soft under\">.*?</span>", "", markup, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", markup)).strip()
