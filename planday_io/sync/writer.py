"""Writes the tables of an endpoint: merged with the previous slices, guarded, without forgotten people, with histories.

All tables of an endpoint are written, or none. Reading is in `planday_io.sync.reader`, merging in
`planday_io.sync.merge`, slices as files in `planday_io.lake.slices`.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass

from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.client.http import Counters
from planday_io.errors import DamagedSliceError, ShrunkSnapshotError
from planday_io.lake.guard import check_shrink
from planday_io.lake.history import Histories
from planday_io.lake.installation import Installation
from planday_io.lake.policies import policies_of
from planday_io.lake.slices import Provenance
from planday_io.state import SliceKey
from planday_io.sync.merge import merged
from planday_io.sync.reader import CompleteRead, PortalReader
from planday_io.sync.sensitive import not_granted


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """The result of refreshing one table; counts and names only, no personal data.

    Args:
        rows: of the slice now.
        received: rows that the read received; `account` says how the slice's rows follow from them.
        account: how, in words.
        previous_rows: of the slice before, or None.
        verdict: why the read counts as complete.
        window: the requested range.
        counters: requests and waiting of the whole endpoint; zero for tables that share another one's calls.
        seconds: from the first request to the file.
        rereads: lists that had to be read again.
        gone: parents that vanished between list and detail.
        path: of the slice file, relative to the lake.
        warnings: what did not fit the catalogue.
        requested_months: months found to need another read.
    """

    table: str
    rows: int
    received: int
    account: str
    previous_rows: int | None
    verdict: str
    window: str
    counters: Counters
    seconds: float
    rereads: int
    gone: int
    path: str
    month: str | None = None
    warnings: tuple[str, ...] = ()
    requested_months: tuple[str, ...] = ()


class SliceWriter:
    """Writes the slices of one portal in one run; see `planday_io.sync.session` for its arguments."""

    def __init__(self, installation: Installation, reader: PortalReader, *, run_id: str, batch: str | None) -> None:
        self.config = installation.config
        self.connection = reader.connection
        self.lake = reader.lake
        self.reader = reader
        self.histories = Histories(self.lake, installation.catalogue, self.config)
        self.changed = self.lake.state.refresh_requests
        self.guards = self.config.portals[self.connection.portal].guards
        self.run_id = run_id
        self.batch = batch or ""

    def require(self, endpoint: Endpoint, month: str | None, *, replaces_lost: bool = False) -> None:
        """Check that the slices of an endpoint may be written.

        Args:
            endpoint: that is to be read.
            month: of its slices, or None.
            replaces_lost: slices that were published and are lost, or older, are read again. A feed is not, because Planday
                may no longer send all of its rows.

        Raises:
            LostSliceError: the lake lacks what was published.
            StorageError: the list of people who are to be forgotten cannot be used.
        """
        self.lake.require()
        self.reader.require_forgotten()
        if self.lake.state.files.warehouse() is None and not self.lake.has_slices() and self.config.warehouse.is_file():
            # Only here: DuckDB takes 13 MiB and is not needed to read.
            from planday_io.warehouse.standing import refuse_empty_lake

            refuse_empty_lake(self.lake, self.config.warehouse)
        for table in endpoint.tables if endpoint.feed or not replaces_lost else ():
            # Planday may no longer send rows of a feed that the older file lacks.
            key = SliceKey.of(table.full_name, self.connection.portal, month)
            self.lake.refuse_loss(key, allows_older=endpoint.feed is None)

    def write(
        self, read: CompleteRead, *, began: float, requested_months: tuple[str, ...] = (), accept_shrink: bool = False
    ) -> list[TableReport]:
        """Merge, guard and write all tables of an endpoint, or none.

        Args:
            read: of the endpoint.
            began: `time.monotonic()` when reading began.
            requested_months: months that the read found to need another read.
            accept_shrink: skip the guard against shrinking this once.

        Raises:
            PlandayError: nothing was written, unless the error says otherwise.
        """
        with ExitStack() as locks:
            for table in read.endpoint.tables:
                locks.enter_context(self.lake.locked(read.key(table)))
            # If the key was renamed or forgotten during the read, its data must not come back.
            self.connection.confirm_identity()
            slices = [_NewSlice(self, read, table) for table in read.endpoint.tables]
            for one in slices:
                one.guard(accept_shrink=accept_shrink)
            new = {one.key: one for one in slices if not one.is_superseded}
            slice_ids = self.lake.announce(new, self.histories.to_follow(new)) if new else {}
            # Children are written first: the parent's stamps decide what is up to date, so they must never be ahead.
            for key, one in reversed(new.items()):
                one.write(slice_ids[key])
            self.histories.try_to_follow(new, {key: one.rows for key, one in new.items()})
        return [one.report(began, requested_months) for one in slices]


class _NewSlice:
    """One table's slice that is about to be written. Create and use it within the slice's lock."""

    def __init__(self, writer: SliceWriter, read: CompleteRead, table: Table) -> None:
        self._writer = writer
        self._read = read
        self._table = table
        self.key = read.key(table)
        self._is_first = table is read.endpoint.tables[0]
        self._part = read.result.tables[table.full_name]
        self._before = writer.lake.usable_provenance(self.key)
        rows, self._covered = merged(writer.lake, read, table)
        self._carried = rows.num_rows - self._part.table.num_rows
        # A person may have been forgotten since this read began.
        rows = writer.reader.without_forgotten(table, rows, read.context.month, read.result.rows())
        # What is carried over from the previous slice may have become too old since.
        self.rows = writer.reader.without_expired(table, rows, read.context, read.result.rows()).rows
        self._expired = self._part.expired + rows.num_rows - self.rows.num_rows
        self.is_superseded = self._before is not None and self._before.fetched > read.context.fetched_at

    def guard(self, *, accept_shrink: bool) -> None:
        """Refuse a suspicious snapshot. Raises ShrunkSnapshotError; then nothing of the endpoint may be written."""
        context = self._read.context
        portal = context.portal
        # If the previous file is damaged, compare with what was published of it.
        published = self._writer.lake.state.slices.published_of(self.key) if self._before is None else None
        before_rows = self._before.kept if self._before else published.rows if published else None
        if before_rows is None or self.is_superseded or accept_shrink or not self._read.endpoint.is_snapshot:
            return
        if self._read.result.is_absent and before_rows:
            raise ShrunkSnapshotError(
                f"{self._table.full_name} of portal '{portal}' had {before_rows} rows, and the API answers now that "
                "there is no such list. Nothing was written and the previous data stays. If it is true: --accept-shrink"
            )
        # Deletions and moves seen in the month explain an equal loss in each of its tables.
        since = self._before.fetched if self._before else published.read_at if published else context.fetched_at
        gone = self._writer.changed.share_gone(portal, context.month, since)
        guard = self._writer.guards.of(self._table.full_name)
        check_shrink(
            f"{self._table.full_name} of portal '{portal}'" + (f" in {context.month}" if context.month else ""),
            before_rows=math.floor(before_rows * (1 - gone)),
            # What retention removed did not vanish from Planday.
            after_rows=self.rows.num_rows + self._expired,
            min_ratio=guard.min_ratio,
            max_lost_rows=guard.max_lost_rows,
            explain=self._vanished,
        )

    def _vanished(self) -> str:
        """How the new rows differ from the previous ones, in counts."""
        key = ["portal", *self._table.key]
        try:
            previous = self._writer.lake.read(self.key, key)
        except DamagedSliceError:
            return "the previous file is damaged, so they cannot be compared"
        before, after = (set(zip(*(t.column(n).to_pylist() for n in key), strict=True)) for t in (previous, self.rows))
        gone, stayed, new = len(before - after), len(before & after), len(after - before)
        return f"of {len(before)} keys {gone} vanished, {stayed} stayed, {new} are new"

    def report(self, began: float, requested_months: tuple[str, ...]) -> TableReport:
        before, part, read = self._before, self._part, self._read.result
        lake, name = self._writer.lake, self._table.full_name
        warnings = part.drift.warnings(name)
        if self._is_first:
            warnings += not_granted(self._read.endpoint, self._read.refused, self.rows)
        if (file := lake.set_aside.pop(self.key, None)) is not None:
            warnings.append(
                f"the previous file of {name} was damaged. All of it was read again, and the damaged file was kept as "
                f"{file.relative_to(lake.root)}: remove it when it is no longer needed"
            )
        return TableReport(
            table=name,
            rows=before.kept if self.is_superseded and before else self.rows.num_rows,
            received=part.received,
            account=self._account(),
            previous_rows=before.kept if before else None,
            verdict=part.verdict,
            window=self._read.plan.window,
            counters=read.counters if self._is_first else Counters(),
            seconds=time.monotonic() - began,
            rereads=read.rereads if self._is_first else 0,
            gone=read.gone if self._is_first else 0,
            path=str(lake.path(self.key).relative_to(lake.root)),
            month=self._read.context.month,
            warnings=tuple(warnings),
            requested_months=requested_months,
        )

    def _account(self) -> str:
        """How the rows of the slice follow from those received."""
        if self.is_superseded:
            return "not written: a later read had already written the slice"
        part, rows = self._part, self.rows.num_rows
        forgotten = part.received - part.elsewhere + self._carried - self._expired - rows
        terms = (
            (part.elsewhere, "- {} of other months (more days are requested than the month has)"),
            (self._carried, "+ {} kept from earlier reads (only what changed is requested)"),
            (self._expired, "- {} that are too old (`retention` of portals.yaml)"),
            (forgotten, "- {} of people who were forgotten"),
        )
        return " ".join([f"{part.received} received", *(text.format(n) for n, text in terms if n), f"= {rows}"])

    def write(self, slice_id: str) -> None:
        writer, part, context = self._writer, self._part, self._read.context
        provenance = Provenance(
            run_id=writer.run_id,
            portal_id=context.portal_id,
            fetched_at=context.fetched_at.isoformat(),
            window=self._read.plan.window,
            requests=self._read.result.counters.requests if self._is_first else 0,
            expected_total=part.total,
            received=part.received,
            distinct_keys=part.received,
            kept=0,
            verdict=part.verdict,
            catalogue_version=VERSION,
            policies=policies_of(self._table, writer.config.privacy),
            covered=self._covered,
            batch=writer.batch,
        )
        writer.lake.write(self.key, self.rows, provenance, slice_id)
