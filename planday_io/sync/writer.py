"""Writes the tables of an endpoint: merged with the previous slices, guarded, without forgotten people, with histories.

All tables of an endpoint are written, or none. Reading is `planday_io.sync.session`; slices as files are
`planday_io.lake.slices`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from planday_io.catalogue import VERSION, Table
from planday_io.client.http import Counters
from planday_io.errors import DamagedSliceError, ShrunkSnapshotError
from planday_io.lake.guard import check_shrink
from planday_io.lake.history import Histories
from planday_io.lake.installation import Installation
from planday_io.lake.policies import policies_of
from planday_io.lake.slices import Lake, Provenance
from planday_io.reading.read import EndpointRead
from planday_io.sync.connection import PortalConnection
from planday_io.sync.erased import ErasedRows
from planday_io.sync.incremental import IncrementalRead
from planday_io.sync.sensitive import SensitiveMembers


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """The result of refreshing one table; counts and names only, no personal data.

    Args:
        table: full name.
        rows: of the slice now.
        received: rows received.
        previous_rows: of the slice before, or None.
        expected_total: what the API stated, or None.
        verdict: why the read counts as complete.
        window: the requested range.
        counters: requests and waiting of the whole endpoint; zero for tables that share another one's calls.
        seconds: from the first request to the file.
        rereads: lists that had to be read again.
        gone: parents that vanished between list and detail.
        path: of the slice file, relative to the lake.
        month: of the slice, or None.
        warnings: what did not fit the catalogue.
        marked: months found to need another read.
        superseded: not written, because another process wrote a later read.
    """

    table: str
    rows: int
    received: int
    previous_rows: int | None
    expected_total: int | None
    verdict: str
    window: str
    counters: Counters
    seconds: float
    rereads: int
    gone: int
    path: str
    month: str | None = None
    warnings: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    superseded: bool = False


class SliceWriter:
    """Writes the slices of one portal in one run.

    Args:
        installation: the installation.
        catalogue: the tables there are.
        connection: of the portal; nothing is written if the key has come to mean another portal.
        lake: the record.
        erased: removes forgotten people.
        sensitive: knows what the portal's token was not given.
        run_id: written into every slice.
        batch: name of the runs that this one was started together with, or empty.
    """

    def __init__(
        self,
        installation: Installation,
        connection: PortalConnection,
        lake: Lake,
        erased: ErasedRows,
        sensitive: SensitiveMembers,
        *,
        run_id: str,
        batch: str,
    ) -> None:
        config = installation.config
        self.connection = connection
        self.lake = lake
        self.erased = erased
        self.sensitive = sensitive
        self.policies = config.privacy
        self.histories = Histories(lake, installation.catalogue, config.privacy)
        self.changed = lake.state.refresh_requests
        self.guards = config.portals[connection.portal].guards
        self.run_id = run_id
        self.batch = batch

    def write(
        self, plan: IncrementalRead, read: EndpointRead, began: float, *, accept_shrink: bool
    ) -> list[TableReport]:
        """Merge, guard and write all tables of an endpoint, or none.

        Args:
            plan: of the read.
            read: its result.
            began: `time.monotonic()` when reading began.
            accept_shrink: skip the guard against shrinking this once.

        Raises:
            PlandayError: nothing was written, unless the error says otherwise.
        """
        with ExitStack() as locks:
            for table in plan.endpoint.tables:
                locks.enter_context(self.lake.locked(plan.key(table)))
            # If the key was renamed or forgotten during the read, its data must not come back.
            self.connection.confirm_identity()
            slices = [_NewSlice(self, plan, table, read) for table in plan.endpoint.tables]
            for one in slices:
                one.guard(accept_shrink=accept_shrink)
            # Children first: the parent's stamps decide what is up to date, so they must never be ahead.
            for one in reversed(slices):
                one.write()
        return [one.report(began) for one in slices]


class _NewSlice:
    """One table's slice that is about to be written. Create and use it within the slice's lock."""

    def __init__(self, writer: SliceWriter, plan: IncrementalRead, table: Table, read: EndpointRead) -> None:
        self._writer = writer
        self._plan = plan
        self._table = table
        self._read = read
        self._is_first = table is plan.endpoint.tables[0]
        self._part = read.tables[table.full_name]
        self._before = writer.lake.usable_provenance(plan.key(table))
        # A person may have been forgotten since this read began.
        self._rows = writer.erased.of(table, plan.merged(table, read), plan.month, read.rows())
        self._is_superseded = self._before is not None and self._before.fetched > plan.fetched_at

    def guard(self, *, accept_shrink: bool) -> None:
        """Refuse a suspicious snapshot. Raises ShrunkSnapshotError; then nothing of the endpoint may be written."""
        plan, portal = self._plan, self._writer.connection.portal
        # If the previous file is damaged, compare with what was published of it.
        mark = self._writer.lake.marks.of(plan.key(self._table)) if self._before is None else None
        before_rows = self._before.kept if self._before else mark.kept if mark else None
        if before_rows is None or self._is_superseded or accept_shrink or not plan.endpoint.is_snapshot:
            return
        if self._read.is_absent and before_rows:
            raise ShrunkSnapshotError(
                f"{self._table.full_name} of portal '{portal}' had {before_rows} rows, and the API answers now that "
                "there is no such list. Nothing was written and the previous data stays. If it is true: --accept-shrink"
            )
        # Deletions and moves seen in the month explain the same share of every table.
        since = self._before.fetched if self._before else mark.read_at if mark else plan.fetched_at
        gone = self._writer.changed.share_gone(portal, plan.month, since)
        guard = self._writer.guards.of(self._table.full_name)
        check_shrink(
            f"{self._table.full_name} of portal '{portal}'" + (f" in {plan.month}" if plan.month else ""),
            before_rows=math.floor(before_rows * (1 - gone)),
            after_rows=self._rows.num_rows,
            min_ratio=guard.min_ratio,
            max_lost_rows=guard.max_lost_rows,
            explain=self._vanished,
        )

    def _vanished(self) -> str:
        """How the new rows differ from the previous ones, in counts."""
        key = ["portal", *self._table.key]
        try:
            previous = self._writer.lake.read(self._plan.key(self._table), key)
        except DamagedSliceError:
            return "the previous file is damaged, so they cannot be compared"
        before, after = (set(zip(*(t.column(n).to_pylist() for n in key), strict=True)) for t in (previous, self._rows))
        gone, stayed, new = len(before - after), len(before & after), len(after - before)
        return f"of {len(before)} keys {gone} vanished, {stayed} stayed, {new} are new"

    def write(self) -> None:
        """Write the slice, unless a later read was written meanwhile. Raises StorageError."""
        if self._is_superseded:
            return
        key = self._plan.key(self._table)
        self._writer.histories.begin(key)
        self._writer.lake.write(key, self._rows, self._provenance())
        self._writer.histories.try_to_follow(key, self._rows)

    def report(self, began: float) -> TableReport:
        """The report of what was done."""
        before, part, read = self._before, self._part, self._read
        lake = self._writer.lake
        return TableReport(
            table=self._table.full_name,
            rows=before.kept if self._is_superseded and before else self._rows.num_rows,
            received=part.received,
            previous_rows=before.kept if before else None,
            expected_total=part.total,
            verdict=part.verdict,
            window=self._plan.window,
            counters=read.counters if self._is_first else Counters(),
            seconds=time.monotonic() - began,
            rereads=read.rereads if self._is_first else 0,
            gone=read.gone if self._is_first else 0,
            path=str(lake.path(self._plan.key(self._table)).relative_to(lake.root)),
            month=self._plan.month,
            warnings=(
                *part.drift.warnings(self._table.full_name),
                *(self._writer.sensitive.not_granted(self._plan.endpoint, self._rows) if self._is_first else ()),
                *self._set_aside(),
            ),
            superseded=self._is_superseded,
        )

    def _set_aside(self) -> Iterator[str]:
        lake = self._writer.lake
        if (file := lake.set_aside.pop(self._plan.key(self._table), None)) is not None:
            yield (
                f"the previous file of {self._table.full_name} was damaged. All of it was read again, and the damaged "
                "file was kept "
                f"as {file.name}: remove it when nobody needs it"
            )

    def _provenance(self) -> Provenance:
        writer, part = self._writer, self._part
        portal_id = writer.connection.portal_id
        assert portal_id is not None  # noqa: S101 - verified before anything is read
        return Provenance(
            run_id=writer.run_id,
            portal_id=portal_id,
            fetched_at=self._plan.fetched_at.isoformat(),
            window=self._plan.window,
            requests=self._read.counters.requests if self._is_first else 0,
            expected_total=part.total,
            received=part.received,
            distinct_keys=part.distinct,
            kept=0,
            verdict=part.verdict,
            catalogue_version=VERSION,
            policies=policies_of(self._table, writer.policies),
            covered=self._plan.covers(self._read, self._table),
            batch=writer.batch,
        )
