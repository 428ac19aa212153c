"""Which slices are missing, and why: what `planday sync --missing` reads, and `planday status` names the command for.

    absent     never read, though the portal has the table and the month; not a month that has begun to be in the window since
               its schedule was due
    lost       was there, and its file is gone
    damaged    its file is not what was written: cut, overwritten, with flipped bits
    older      its file is older than what was published of it, as after part of a backup was put back
    failed     the last read failed
    outdated   read with older definitions of its table, or before the table had all of its columns
    stale      a schedule should have read it again since (`freshness`)
    unreadable the system refuses its file, which says nothing about what is in it

Of tables that are read on request, and by no schedule, only slices that were there are missing: those that are lost, damaged
or older. Nothing about this is remembered: what was read is no longer missing.

Some of it cannot be read again, because Planday no longer sends it or is never asked for it: a feed, a history, the log of
runs, a month before `history_start`, a table that `resources` leaves out. Of these, an older file of a feed or a history is
restored from the published file when every slice is compared with it (`planday_io.warehouse.recovery`).

Not here: reading them, restoring older files (`pipelines.cli.missing`), incidents (`incidents`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from planday_io.catalogue import VERSION, Catalogue, Endpoint, Table
from planday_io.config import Config
from planday_io.config.grid import grid_months, window_months
from planday_io.errors import DamagedSliceError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.presence import older_text
from planday_io.lake.slices import Indexed, SliceKey
from planday_io.monitoring.failures import INSTALLATION
from planday_io.monitoring.freshness import Freshness, freshness_of
from planday_io.monitoring.older_files import OLDER_FILES
from planday_io.state import Failure, IndexedTable, PublishedSlice

Reason = Literal["absent", "lost", "damaged", "older", "failed", "outdated", "stale", "unreadable"]

WORDS: dict[Reason, str] = {
    "absent": "never read",
    "lost": "lost",
    "damaged": "damaged",
    "older": "older than published",
    "failed": "failed last",
    "outdated": "read with older definitions",
    "stale": "stale",
    "unreadable": "cannot be looked at",
}
_NAMED = 3
"""So many portals are named in a command."""
_UNREADABLE = "the reason has to be fixed first"
_ONE_SLICE: frozenset[str | None] = frozenset([None])
"""The months of a table that has none."""
_FEED = "Planday may no longer send all of its rows"
_DERIVED = "Planday cannot be asked for it"
_BEFORE = "it is not among the months from `history_start` on"
_LEFT_OUT = "`resources` of portals.yaml leaves its table out"


@dataclass(frozen=True, slots=True)
class MissingSlice:
    """A slice that is missing.

    Args:
        key: which one.
        reason: see the module.
        why: of a damaged file or a failed read, the error; where it cannot be read again, why.
    """

    key: SliceKey
    reason: Reason
    why: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing in some portals.

    Args:
        slices: that Planday can be asked for.
        older: of feeds and histories, that a publication restores. A feed that has to be read afterwards is in
            `slices` as well.
        unrecoverable: that Planday cannot be asked for all of.
        unreadable: portals whose files cannot be looked at, and why.
    """

    slices: tuple[MissingSlice, ...] = ()
    older: tuple[MissingSlice, ...] = ()
    unrecoverable: tuple[MissingSlice, ...] = ()
    unreadable: Mapping[str, StorageError] = field(default_factory=dict)

    @property
    def can_be_mended(self) -> bool:
        """Whether there is anything that the command reads or restores."""
        return bool(self.slices or self.older)

    def counts(self) -> dict[Reason, int]:
        """How many of the slices are missing for each reason, in the order of `WORDS`."""
        found = Counter(one.reason for one in self.slices)
        return {reason: found[reason] for reason in WORDS if found[reason]}

    def counts_of_portals(self) -> dict[str, Counter[Reason]]:
        """The same for each portal."""
        found: dict[str, Counter[Reason]] = {}
        for one in self.slices:
            found.setdefault(one.key.portal, Counter())[one.reason] += 1
        return found

    def sentence(self) -> str:
        """How many slices are to be read, and why, such as "3 slices of 2 portals are missing: 1 lost, 2 stale", and how many
        to be restored; or empty.
        """
        texts = []
        if self.slices:
            reasons = ", ".join(f"{count} {WORDS[reason]}" for reason, count in self.counts().items())
            slices, portals = _counted(len(self.slices), "slice"), _counted(len(self.counts_of_portals()), "portal")
            texts.append(f"{slices} of {portals} {'is' if len(self.slices) == 1 else 'are'} missing: {reasons}")
        if self.older:
            files = _counted(len(self.older), "older file")
            texts.append(f"{files} {'is' if len(self.older) == 1 else 'are'} to be restored from the warehouse")
        return "; ".join(texts)

    def command(self, config: Config) -> str:
        """The command that reads them, and restores older files."""
        of = {one.key.portal for one in (*self.slices, *self.older)}
        portals = [portal for portal in config.portals if portal in of]
        names = f" {' '.join(portals)}" if len(portals) <= _NAMED and len(portals) < len(config.portals) else ""
        return f"planday sync{names} --missing"

    def reads(self, catalogue: Catalogue) -> dict[str, dict[str | None, list[str]]]:
        """Portal -> month, or None for snapshots -> names of endpoints to read, in the catalogue's order."""
        endpoints = {table.full_name: endpoint.name for endpoint in catalogue.endpoints for table in endpoint.tables}
        wanted: dict[str, dict[str | None, set[str]]] = {}
        for one in self.slices:
            months = wanted.setdefault(one.key.portal, {})
            months.setdefault(one.key.month, set()).add(endpoints[one.key.full_name])
        order = {endpoint.name: number for number, endpoint in enumerate(catalogue.endpoints)}
        return {
            portal: {month: sorted(names, key=order.__getitem__) for month, names in months.items()}
            for portal, months in wanted.items()
        }


def missing_of(
    installation: Installation,
    portals: Sequence[str],
    now: datetime,
    *,
    verifies: bool = False,
    fresh: Mapping[str, Mapping[str, Freshness] | StorageError] | None = None,
) -> Missing:
    """What is missing in portals. Nothing is asked of Planday.

    Args:
        installation: the one to inspect.
        portals: config keys.
        now: UTC instant.
        verifies: look at every file, and at every byte of it. Otherwise only files of tables of which something is known to
            be wrong are looked at, so that months that nobody reads any more may be lost or damaged unnoticed.
        fresh: the freshness of the tables of each portal, or why it is not known; where the caller has it already.

    Raises:
        StorageError: the state cannot be read.
    """
    try:
        installation.lake.require()
    except StorageError as error:
        return Missing(unreadable=dict.fromkeys(portals, error))
    tables = {(table.domain, table.name) for endpoint in installation.catalogue.endpoints for table in endpoint.tables}
    index, failures = installation.state.slices.indexed_tables(tables, VERSION), installation.state.failures.all()
    wrong = {} if verifies else _known_to_be_wrong(installation, failures.get(INSTALLATION, ()))
    own = freshness_of(installation, portals, now, counts_refused=True) if fresh is None else fresh
    slices: list[MissingSlice] = []
    older: list[MissingSlice] = []
    unrecoverable: list[MissingSlice] = []
    unreadable: dict[str, StorageError] = {}
    for portal in portals:
        try:
            if isinstance(known := own[portal], StorageError):
                raise known
            failed = {(one.table, one.month): one.error for one in failures.get(portal, ())}
            inspection = _Inspection(installation, portal, now, known, failed, index.get(portal, {}))
            found = inspection.missing(None if verifies else wrong.get(portal, set()))
        except StorageError as error:
            unreadable[portal] = error
            continue
        slices += found.slices
        older += found.older
        unrecoverable += found.unrecoverable
    return Missing(tuple(slices), tuple(older), tuple(unrecoverable), unreadable)


def _known_to_be_wrong(installation: Installation, failures: Sequence[Failure]) -> dict[str, set[str]]:
    """Portal -> full names of tables and histories that a publication, or a look at all files, found something wrong with.

    Args:
        installation: the one to inspect.
        failures: those of the installation itself.
    """
    keys = [key for one in failures if (key := SliceKey.parse(one.table))]
    if any(one.table == OLDER_FILES for one in failures):
        keys += installation.lake.older_than_published()
    found: dict[str, set[str]] = {}
    for key in keys:
        found.setdefault(key.portal, set()).add(key.full_name)
    return found


class _Inspection:
    """An inspection of one portal.

    Args:
        installation: that it belongs to.
        portal: config key.
        now: UTC instant.
        fresh: the freshness of its tables.
        failed: table and month -> error of the last read.
        known: full name of each table -> what the index has of it.
    """

    def __init__(
        self,
        installation: Installation,
        portal: str,
        now: datetime,
        fresh: Mapping[str, Freshness],
        failed: Mapping[tuple[str, str | None], str],
        known: Mapping[str, IndexedTable],
    ) -> None:
        self._config, self._catalogue = installation.config, installation.catalogue
        self._lake, self._state = installation.lake, installation.state
        self._portal, self._now = portal, now
        self._fresh, self._failed, self._known = fresh, failed, known
        self._endpoints = installation.endpoints_of(portal)
        self._grid: frozenset[str | None] = frozenset(grid_months(self._config, portal, now))
        self._windows: dict[datetime, tuple[frozenset[str | None], frozenset[str | None]]] = {}
        self._there = Indexed({}, {})
        self._published: dict[SliceKey, PublishedSlice] = {}
        self._verifies = False

    def missing(self, wrong: AbstractSet[str] | None) -> Missing:
        """What is missing; None looks at everything, else at tables with a name among those, and at others of which something
        is known to be wrong.

        Raises:
            StorageError: the state or the lake cannot be read.
        """
        self._verifies = wrong is None
        suspected = {table for table, _ in self._failed} | (wrong or set())
        tables = [
            (endpoint, table)
            for endpoint in self._endpoints
            for table in endpoint.tables
            if self._verifies or (name := table.full_name) in suspected or not self._seems_complete(table, name)
        ]
        if not tables and not wrong and not self._verifies:
            return Missing()
        self._published = self._published_of(tables, wrong)
        keys: dict[SliceKey, tuple[Endpoint, Table]] = {}
        for endpoint, table in tables:
            fresh, known = self._fresh[table.full_name], self._known.get(table.full_name)
            months = self._wanted(table, fresh) | _months_of(known)
            months |= {month for name, month in self._failed if name == table.full_name}
            keys |= {SliceKey.of(table.full_name, self._portal, month): (endpoint, table) for month in months}
        there = {*self._published, *(self._lake.slices(portal=self._portal) if self._verifies else ())}
        declared = {table.full_name: (endpoint, table) for endpoint, table in tables}
        keys |= {key: declared[key.full_name] for key in there if key.full_name in declared}
        others = [key for key in there if key not in keys and (wrong is None or key.full_name in wrong)]
        self._there = self._lake.indexed([*keys, *others])
        slices, older, unrecoverable = [], [], []
        for key in sorted(keys, key=lambda key: (key.month is not None, key)):
            endpoint, table = keys[key]
            loss, is_of_grid = self._loss(key), key.month is None or key.month in self._grid
            is_older_feed = loss is not None and loss.reason == "older" and endpoint.feed is not None
            if loss and is_older_feed:
                older.append(loss)
            if loss and not is_older_feed:
                why = self._why_unrecoverable(loss, endpoint, is_of_grid=is_of_grid)
                unrecoverable += [replace(loss, why=_joined(loss.why, why))] if why else []
                slices += [] if why else [loss]
            elif is_of_grid and (due := self._due(key, table)):
                slices.append(due)
        for loss, why in self._others(sorted(others, key=str)):
            if loss.reason == "older" and not why:
                older.append(loss)
            else:
                unrecoverable.append(replace(loss, why=_joined(loss.why, why)))
        return Missing(tuple(slices), tuple(older), tuple(unrecoverable))

    def _published_of(
        self, tables: Sequence[tuple[Endpoint, Table]], wrong: AbstractSet[str] | None
    ) -> dict[SliceKey, PublishedSlice]:
        if wrong is None:
            return self._state.slices.published(self._portal)
        own = {(table.domain, table.name) for _, table in tables}
        return self._state.slices.published_of_tables(
            self._portal, own | {(domain, name) for domain, _, name in (one.partition(".") for one in wrong)}
        )

    def _why_unrecoverable(self, loss: MissingSlice, endpoint: Endpoint, *, is_of_grid: bool) -> str:
        """Why a slice that is lost cannot be read again, or empty."""
        if loss.reason == "unreadable":
            return _UNREADABLE
        if endpoint.feed:
            return _FEED
        return "" if is_of_grid else _BEFORE

    def _seems_complete(self, table: Table, name: str) -> bool:
        """Whether nothing that is known without looking at files speaks against it."""
        fresh, known = self._fresh[name], self._known.get(name)
        if fresh.is_stale or fresh.damage or (known and known.is_outdated):
            return False
        return table.on_request or (fresh.last is not None and self._wanted(table, fresh) <= _months_of(known))

    def _wanted(self, table: Table, fresh: Freshness) -> frozenset[str | None]:
        """The months that there should be; of a table that is read on request, those that a schedule should have read."""
        if table.on_request and not fresh.is_stale:
            return frozenset()
        if not table.is_monthly:
            return _ONE_SLICE
        window, whole = self._months(fresh.allowed_since)
        return window if table.on_request else whole

    def _months(self, since: datetime | None) -> tuple[frozenset[str | None], frozenset[str | None]]:
        """The months of the window that were in it when a schedule was due, and with them the months outside the window."""
        due = since or self._now
        if due not in self._windows:
            now, then = (frozenset(window_months(self._config, self._portal, at)) for at in (self._now, due))
            self._windows[due] = now & then, self._grid - (now - then)
        return self._windows[due]

    def _due(self, key: SliceKey, table: Table) -> MissingSlice | None:
        """Why a slice of which the lake lacks nothing, or will lack nothing, is to be read."""
        fresh, entry, published = self._fresh[table.full_name], self._there.entries.get(key), self._published.get(key)
        if table.on_request and fresh.allowed_since is None:
            return None
        # An older file is read from where the published one was.
        read_at = max((one.read_at for one in (entry, published) if one), default=None)
        is_old = fresh.is_stale and read_at and fresh.allowed_since and read_at < fresh.allowed_since
        why = self._failed.get((table.full_name, key.month), "")
        applies: dict[Reason, object] = {
            "failed": why,
            "absent": entry is None and key.month in self._wanted(table, fresh),
            "outdated": entry and (entry.definitions != VERSION or entry.lacks_columns),
            "stale": is_old and (key.month is None or key.month in self._months(fresh.allowed_since)[0]),
        }
        return next((MissingSlice(key, reason, why) for reason, is_so in applies.items() if is_so), None)

    def _loss(self, key: SliceKey) -> MissingSlice | None:
        """What the lake lacks of a slice that was there."""
        if error := self._there.unusable.get(key):
            return _unusable(key, error)
        entry, published = self._there.entries.get(key), self._published.get(key)
        if entry is None:
            return MissingSlice(key, "lost") if published else None
        if published and (why := older_text(key, entry, published.slice_id, published.read_at)):
            return MissingSlice(key, "older", why)
        if self._verifies:
            try:
                self._lake.check(key)
            except StorageError as broken:
                return _unusable(key, broken)
        return None

    def _others(self, keys: Sequence[SliceKey]) -> Iterator[tuple[MissingSlice, str]]:
        """Losses among slices that no read would bring back, and why: histories, the log of runs, tables that are left out.

        No reason for an older file that a publication restores.
        """
        own = {table.full_name: endpoint.feed for endpoint in self._catalogue.endpoints for table in endpoint.tables}
        for key in keys:
            if key.full_name in self._catalogue.lake_tables and (loss := self._loss(key)):
                is_read = key.full_name in own and own[key.full_name] is None
                why = _LEFT_OUT if key.full_name in own else _DERIVED
                yield loss, "" if loss.reason == "older" and not is_read else why


def _months_of(known: IndexedTable | None) -> frozenset[str | None]:
    return known.months if known else frozenset()


def _unusable(key: SliceKey, error: StorageError) -> MissingSlice:
    if isinstance(error, DamagedSliceError):
        return MissingSlice(key, "damaged", error.why)
    return MissingSlice(key, "unreadable", str(error))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _joined(*texts: str) -> str:
    return "; ".join(filter(None, texts))
