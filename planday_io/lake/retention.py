"""The rules of `retention` as they apply to one portal now, for whoever reads or writes its slices.

Not here: what the rules do (`expiry`), the nightly pass over all files (`planday_io.privacy.retention`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue import Catalogue, Table
from planday_io.config import Config
from planday_io.lake.expiry import LEAVING, Expiry
from planday_io.lake.leaving import ACTIVE, GONE, LISTS, Lists
from planday_io.lake.persons import owner_link, rows_of_people
from planday_io.lake.slices import Lake, SliceKey


class PortalRetention:
    """The rules of one portal. A portal that the configuration lacks has none: nobody says whose data is held there."""

    def __init__(self, config: Config, lake: Lake, portal: str) -> None:
        self._settings = config.portals.get(portal)
        self._lake = lake
        self._portal = portal
        self._seen: tuple[dict[SliceKey, str], Lists] | None = None

    def at(self, at: datetime, fresh: Mapping[str, pa.Table] | None = None) -> Expiry:
        """What is too old.

        Args:
            at: UTC instant of the read, or now; its day in the portal's zone counts.
            fresh: rows of the lists of who is there and who left that were read just now, by full name.

        Raises:
            StorageError: a list cannot be read. Then it is not known what may be written.
        """
        if self._settings is None or not self._settings.retention.ages():
            return Expiry()
        zone = ZoneInfo(self._settings.timezone)
        cutoffs = self._settings.retention.cutoffs(at.astimezone(zone).date())
        left: dict[int, date] = {}
        if needs_leavers(cutoffs):
            lists = self._lists()
            for name in (ACTIVE, GONE):
                if fresh and name in fresh:
                    lists = lists.with_rows(name, fresh[name])
            left = lists.left(zone)
        held = frozenset(self._settings.retention.hold)
        return Expiry(cutoffs=cutoffs, left=left, held=held, zone=zone.key)

    def knows_leavers(self) -> bool:
        """Whether it is known who left, or no rule depends on it."""
        rules = self._settings.retention.ages() if self._settings else {}
        return not needs_leavers(rules) or self._lists().is_known

    def unknown_held(self) -> list[int]:
        """Ids of `hold` that nobody in the lists has, so perhaps typing errors; none before both lists were read."""
        lists = self._lists()
        held = {*self._settings.retention.hold} if self._settings else set[int]()
        return sorted(held - lists.ids()) if held and lists.is_known else []

    def _lists(self) -> Lists:
        """The lists as they are in the lake; read again where their files changed."""
        found = self._lake.indexed(SliceKey.of(name, self._portal, None) for name in LISTS)
        ids = {key: entry.slice_id for key, entry in found.entries.items()}
        if self._seen is None or self._seen[0] != ids:
            self._seen = ids, Lists.in_lake(self._lake, self._portal)
        return self._seen[1]


def needs_leavers(rules: Collection[str]) -> bool:
    """Whether rules depend on who left: those about leaving, and those about records that are in force until then."""
    return bool({*rules} & {*LEAVING, "free_text", "pay"})


def held_rows(expiry: Expiry, catalogue: Catalogue, table: Table, parents: Mapping[str, pa.Table]) -> set[int]:
    """Of a table whose rows belong to another one's: ids there of people whose data is held.

    Args:
        expiry: says who is held.
        catalogue: knows the other table.
        table: the one whose rows belong.
        parents: rows of other tables, by full name; a history's rows under the name of its table.
    """
    link = owner_link(table)
    if not (expiry.held and link and link[1] in parents):
        return set()
    held = expiry.held
    return rows_of_people(catalogue, catalogue.table(link[1]), parents[link[1]], lambda _ids: held)
