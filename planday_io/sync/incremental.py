"""Decides what to read of an endpoint, and merges the result with the previous slice.

A snapshot is read completely. A fan-out that can detect changed parents reads new and modified ones and carries the others
over. A feed reads new rows and never loses one.

Calls are laid out in `planday_io.reading.calls`; guards and writing are `planday_io.sync.writer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import DamagedSliceError
from planday_io.frames.build import from_frame, to_frame
from planday_io.lake.policies import aligned, policies_of, under_policy
from planday_io.lake.slices import Lake, Provenance, SliceKey
from planday_io.reading.calls import Call, Params, Parent, ParentKey, calls_of
from planday_io.reading.read import EndpointRead

_SETTLED = timedelta(minutes=2)
"""A row modified less than this before it was read may have changed again within the same second."""
_SAFE = timedelta(days=1)
"""Zones of stamps are unknown, so a modification counts as seen only when it is this much older than the read."""


_ONCE = "once"
"""Suffix in a slice's `covered` for parents of `FanOut.once`."""
_IN_NEITHER = "in-neither"
"""Suffix in a slice's `covered` for parents whose rows are kept although neither list of `FanOut` had them."""


class IncrementalRead:
    """The plan of one read of one endpoint.

    Args:
        endpoint: its declaration.
        lake: where the previous slices are.
        portal: config key.
        month: of the slices, or None where they cover the portal.
        policies: privacy policy in force; rows read under another one are not carried over.
        fetched_at: UTC instant the read begins.
        full: read everything.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        lake: Lake,
        portal: str,
        month: str | None,
        policies: PrivacyPolicy,
        fetched_at: datetime,
        *,
        full: bool,
    ) -> None:
        self.endpoint = endpoint
        self.month = month
        self.fetched_at = fetched_at
        self._lake = lake
        self._portal = portal
        self._policies = policies
        self._provenances = {table.full_name: self._provenance_of(table) for table in endpoint.tables}
        # Rows read under another policy or catalogue cannot be carried over.
        comparable = all(
            provenance is not None
            and provenance.policies == policies_of(table, policies)
            and provenance.catalogue_version == VERSION
            for table in endpoint.tables
            for provenance in (self._provenances[table.full_name],)
        )
        self._is_comparable = comparable and not full
        self._is_partial = self._is_comparable and (endpoint.feed is not None or endpoint.is_incremental)
        self.window = "all"
        self._kept: dict[ParentKey, str] = {}
        self._once: dict[ParentKey, str] = {}
        self._kept_once: dict[ParentKey, str] = {}
        self._digests: dict[ParentKey, str] = {}
        self._listed: set[int] | None = None
        self._in_neither: dict[str, set[int]] = {}

    def _provenance_of(self, table: Table) -> Provenance | None:
        """The provenance of a slice that can be carried over, partly or completely; None if all of it is read again.

        Raises:
            DamagedSliceError: the slice is damaged, and cannot be read again, because a feed may have forgotten its rows.
        """
        key = self.key(table)
        try:
            provenance = self._lake.provenance(key)
            if self.endpoint.feed or self.endpoint.is_incremental:
                self._lake.check(key)
        except DamagedSliceError as error:
            if self.endpoint.feed:
                raise DamagedSliceError(
                    error.file,
                    error.why,
                    "It cannot be read again as a whole, because it also holds rows that Planday no longer sends. "
                    "Restore the "
                    "newest backup of it; if there is none, accept the loss with `planday publish --rebuild`. Nothing was "
                    "written",
                ) from None
            return None
        return provenance

    def key(self, table: Table) -> SliceKey:
        """The slice of one of the endpoint's tables."""
        return SliceKey.of(table.full_name, self._portal, self.month)

    @property
    def since(self) -> datetime | None:
        """For a feed, the instant from which rows are wanted; None for all of them."""
        feed, provenance = self.endpoint.feed, self._provenances[self.endpoint.name]
        if feed is None or provenance is None or not self._is_partial:
            return None
        return provenance.fetched - timedelta(days=feed.overlap_days)

    def calls(
        self,
        *,
        days: tuple[date, date] | None = None,
        parents: Sequence[Parent] | None = None,
        extra: Params = (),
        has_both_lists: bool = False,
    ) -> list[Call]:
        """The calls of this read.

        Args:
            days: first and last day wanted, if the endpoint has a window.
            parents: the rows to fan out over, if it fans out.
            extra: parameters of every call.
            has_both_lists: the parents are those of `FanOut.parent` and of `FanOut.once`.
        """
        if days and self.endpoint.window:
            self.window = f"{days[0]} to {days[1]}"
        since = self._since_params()
        if parents is None:
            if since:
                self.window = f"since {since[0][1]}"
            return calls_of(self.endpoint, days=days, extra=(*extra, *since))
        if has_both_lists:
            self._listed = {parent.key[0] for parent in parents}
        once = self._due_once([parent for parent in parents if parent.is_once])
        parents = [parent for parent in parents if not parent.is_once]
        self._digests = {parent.key: parent.digest for parent in parents}
        due = list(parents)
        known: list[Parent] = []
        if self._is_partial and self.endpoint.is_incremental:
            current = self._up_to_date(parents)
            covered = self._covered()
            self._kept = {parent.key: covered.get(parent.key, "") for parent in parents if parent.key in current}
            due = [parent for parent in parents if parent.key not in current]
            self.window = f"{len(due)} new or modified of {len(parents)}"
        elif since:
            covered = self._covered()
            known = [parent for parent in parents if parent.key in covered]
            due = [parent for parent in parents if parent.key not in covered]
            self.window = f"since {since[0][1]}"
        if self._once:
            self.window += f"; {len(once)} new or modified of {len(self._once)} who left"
        return [
            *calls_of(self.endpoint, days=days, parents=[*due, *once], extra=extra),
            *calls_of(self.endpoint, days=days, parents=known, extra=(*extra, *since)),
        ]

    def take_over(self, read_at: datetime, days: tuple[date, date] | None) -> None:
        """Use a complete read that this run made for another table instead of reading again.

        Args:
            read_at: UTC instant that read began.
            days: first and last day it covers, if the endpoint has a window.
        """
        self.fetched_at = read_at
        if days:
            self.window = f"{days[0]} to {days[1]}"

    def merged(self, table: Table, read: EndpointRead) -> pa.Table:
        """The new slice: rows just read, and rows carried over from the previous slice. Call it within the lock."""
        new, key = read.tables[table.full_name].table, self.key(table)
        # Another process may have added to a feed since this read began; carried-over rows were chosen then.
        provenance = self._lake.provenance(key) if self.endpoint.feed else self._provenances[table.full_name]
        # A parent that the API no longer answers for keeps its rows, if they name the parent.
        keeps_left = self.endpoint.fan_out is not None and self.endpoint.fan_out.once is not None
        unknown = read.left if keeps_left else read.unknown if self._parent_column(table) else ()
        kept = {ids[0] for ids in (*self._kept, *self._kept_once, *unknown)}
        if provenance is None or not (kept or self.endpoint.feed or self._listed is not None):
            return new
        try:
            read_before = self._lake.read(key)
        except DamagedSliceError:
            if self._kept or self.endpoint.feed:
                raise
            # Rows of vanished parents are lost with the file, which is set aside.
            return new
        previous = under_policy(read_before, table, provenance, self._policies)
        if self.endpoint.feed:
            # Also after a full read: it is not known how long the API keeps the rows of a feed.
            return _merged_feed(table, previous, new)
        previous = aligned(previous, new.schema)
        kept |= self._found_in_neither(table, previous, provenance)
        carried = previous.filter(pc.is_in(previous.column(self._link(table)), pa.array(sorted(kept), pa.int64())))
        return pa.concat_tables([carried, new])

    def _found_in_neither(self, table: Table, previous: pa.Table, provenance: Provenance) -> set[int]:
        """Parents that have rows in the previous slice and are in neither list for the first time.

        The two lists are read one after the other, so a parent that moves between them may be in neither. The API may not
        answer for it later, so its rows stay until the next read does not find it either.
        """
        if self._listed is None:
            return set()
        absent = set(previous.column(self._link(table)).to_pylist()) - self._listed - {None}
        found = {number for number in absent if f"{number}/{_IN_NEITHER}" not in provenance.covered}
        self._in_neither[table.full_name] = found
        return found

    def covers(self, read: EndpointRead, table: Table) -> dict[str, str]:
        """Parents that a table's slice covers after this read, with their digests. Call it after `merged`.

        Parents covered by earlier reads only do not count: one that left the list is read again on return.
        """
        fan_out = self.endpoint.fan_out
        absent = {f"{number}/{_IN_NEITHER}": "" for number in sorted(self._in_neither.get(table.full_name, ()))}
        once = absent | {f"{key[0]}/{_ONCE}": digest for key, digest in sorted(self._once.items())}
        if fan_out is None or not (self.endpoint.feed or fan_out.changed_by == "*"):
            return once
        covered = self._kept | {key: self._digests[key] for key in read.answered if key in self._digests}
        return {"/".join(map(str, key)): digest for key, digest in sorted(covered.items())} | once

    def _due_once(self, parents: Sequence[Parent]) -> list[Parent]:
        """Parents to read of those that are read once: never requested yet, or with a changed row."""
        provenance = self._provenances[self.endpoint.name]
        before = provenance.covered if provenance and self._is_comparable else {}
        self._once = {parent.key: parent.digest for parent in parents}
        self._kept_once = {
            key: digest for key, digest in self._once.items() if before.get(f"{key[0]}/{_ONCE}") == digest
        }
        return [parent for parent in parents if parent.key not in self._kept_once]

    def _since_params(self) -> Params:
        feed, since = self.endpoint.feed, self.since
        if feed is None or feed.since_param is None or since is None:
            return ()
        text = since.strftime("%Y-%m-%dT%H:%M:%SZ") if feed.is_instant else since.date().isoformat()
        return ((feed.since_param, text),)

    def _covered(self) -> dict[ParentKey, str]:
        provenance = self._provenances[self.endpoint.name]
        covered = provenance.covered if provenance else {}
        marks = (_ONCE, _IN_NEITHER)
        return {tuple(map(int, key.split("/"))): digest for key, digest in covered.items() if not key.endswith(marks)}

    def _up_to_date(self, parents: Sequence[Parent]) -> set[ParentKey]:
        """Parents whose rows were read after they were last modified."""
        fan_out = self.endpoint.fan_out
        assert fan_out is not None and fan_out.changed_by is not None  # noqa: S101, PT018 - it is incremental
        if fan_out.changed_by == "*":
            covered = self._covered()
            return {row.key for row in parents if not row.is_open and covered.get(row.key) == row.digest}
        return self._read_since_modified(parents, fan_out.changed_by)

    def _read_since_modified(self, parents: Sequence[Parent], changed_by: str) -> set[ParentKey]:
        table = self.endpoint.tables[0]
        modified_of = {parent.key: parent.modified for parent in parents}
        previous = self._lake.read(self.key(table), [self._link(table), "_fetched_at", changed_by])
        current: set[ParentKey] = set()
        columns = (previous.column(name).to_pylist() for name in previous.schema.names)
        named = dict(zip(previous.schema.names, columns, strict=True))
        for parent, stamp, fetched in zip(
            named[self._link(table)], named[changed_by], named["_fetched_at"], strict=True
        ):
            modified = modified_of.get((parent,))
            if modified is None or fetched is None:
                continue
            same = stamp == modified and fetched - modified > _SETTLED
            if same or modified < fetched - _SAFE:
                current.add((parent,))
        return current

    def _link(self, table: Table) -> str:
        """The column of a table that holds the fan-out's parent."""
        return self._parent_column(table) or table.key[0]

    def _parent_column(self, table: Table) -> str | None:
        fan_out = self.endpoint.fan_out
        path_param = fan_out.bind[0][0] if fan_out else None
        return next((column.name for column in table.columns if path_param in (column.path_param, column.name)), None)


def _merged_feed(table: Table, previous: pa.Table, new: pa.Table) -> pa.Table:
    """Old and new rows, one per key; the new row wins. Nothing is removed."""
    previous = aligned(previous, new.schema)
    joined = to_frame(pa.concat_tables([previous, new]))
    latest = joined.drop_duplicates(subset=["portal", *table.key], keep="last")
    return from_frame(latest, previous.schema)
