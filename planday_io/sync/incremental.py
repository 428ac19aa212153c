"""Decides what to read of an endpoint, given its previous slices.

A snapshot is read completely. A fan-out that can detect changed parents reads new and modified ones and carries the others
over. A feed reads new rows and never loses one.

Calls are laid out in `planday_io.reading.calls`; what is carried over is merged in `planday_io.sync.merge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from planday_io.catalogue import VERSION, Endpoint, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import DamagedSliceError
from planday_io.lake.policies import policies_of
from planday_io.lake.slices import Lake, Provenance
from planday_io.reading.calls import Call, Params, Parent, ParentKey, calls_of
from planday_io.state import SliceKey

_SETTLED = timedelta(minutes=2)
"""A row modified less than this before it was read may have changed again within the same second."""
_SAFE = timedelta(days=1)
"""Zones of stamps are unknown, so a modification counts as seen only when it is this much older than the read."""

ONCE = "once"
"""Suffix in a slice's `covered` for parents of `FanOut.once`."""
IN_NEITHER = "in-neither"
"""Suffix in a slice's `covered` for parents whose rows are kept although neither list of `FanOut` had them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """What to read of an endpoint, and what is carried over from its previous slices.

    Args:
        calls: to make.
        window: what they ask for, in words for the provenance.
        kept: parents that are up to date, with their digests.
        once: parents that are read once, with their digests.
        kept_once: those of `once` that are up to date.
        digests: the other parents.
        listed: ids of all parents, if they are those of both lists of `FanOut`.
    """

    calls: Sequence[Call]
    window: str
    kept: Mapping[ParentKey, str] = field(default_factory=dict)
    once: Mapping[ParentKey, str] = field(default_factory=dict)
    kept_once: Mapping[ParentKey, str] = field(default_factory=dict)
    digests: Mapping[ParentKey, str] = field(default_factory=dict)
    listed: frozenset[int] | None = None


class IncrementalRead:
    """The previous slices of an endpoint, and what follows from them for its next read.

    Args:
        endpoint: its declaration.
        lake: where the previous slices are.
        portal: config key.
        month: of the slices, or None where they cover the portal.
        policies: privacy policy in force; rows read under another one are not carried over.
        full: read everything. A feed whose refresh requests were lost also reads everything.

    Raises:
        DamagedSliceError: a slice is damaged, and cannot be read again, because Planday may no longer send old rows of
        a feed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        lake: Lake,
        portal: str,
        month: str | None,
        policies: PrivacyPolicy,
        *,
        full: bool,
    ) -> None:
        self._endpoint = endpoint
        self._lake = lake
        self._portal = portal
        self._month = month
        provenances = {table: self._provenance_of(table) for table in endpoint.tables}
        self._before = provenances[endpoint.tables[0]]
        lost_at = lake.state.refresh_requests.lost_at() if endpoint.change_detection else None
        full = full or (lost_at is not None and self._before is not None and self._before.fetched <= lost_at)
        # Rows read under another policy or catalogue, or without columns that there are now, cannot be carried over.
        self._is_comparable = not full and all(
            provenance is not None
            and provenance.policies == policies_of(table, policies)
            and provenance.catalogue_version == VERSION
            and not provenance.absent
            for table, provenance in provenances.items()
        )

    def _key(self, table: Table) -> SliceKey:
        return SliceKey.of(table.full_name, self._portal, self._month)

    def _provenance_of(self, table: Table) -> Provenance | None:
        """The provenance of a slice that can be carried over, partly or completely; None if all of it is read again."""
        key = self._key(table)
        try:
            provenance = self._lake.provenance(key)
            if self._endpoint.feed or self._endpoint.is_incremental:
                self._lake.check(key)
        except DamagedSliceError as error:
            if self._endpoint.feed:
                raise DamagedSliceError(
                    error.file,
                    error.why,
                    "It cannot be read again as a whole, because it also holds rows that Planday no longer sends. Restore "
                    "the newest backup of it; if there is none, accept the loss with `planday publish --rebuild`. Nothing "
                    "was written",
                ) from None
            return None
        return provenance

    @property
    def since(self) -> datetime | None:
        """For a feed, the instant from which rows are wanted; None for all of them."""
        feed = self._endpoint.feed
        if feed is None or self._before is None or not self._is_comparable:
            return None
        return self._before.fetched - timedelta(days=feed.overlap_days)

    def plan(
        self,
        *,
        days: tuple[date, date] | None = None,
        parents: Sequence[Parent] | None = None,
        extra: Params = (),
        has_both_lists: bool = False,
    ) -> ReadPlan:
        """What to read.

        Args:
            days: first and last day wanted, if the endpoint has a window.
            parents: the rows to fan out over, if it fans out.
            extra: parameters of every call.
            has_both_lists: the parents are those of `FanOut.parent` and of `FanOut.once`.
        """
        since = self._since_params()
        window = f"since {since[0][1]}" if since else window_of(days)
        if parents is None:
            calls = calls_of(self._endpoint, days=days, extra=(*extra, *since))
            return ReadPlan(calls=calls, window=window)
        listed = frozenset(parent.key[0] for parent in parents) if has_both_lists else None
        once = {parent.key: parent.digest for parent in parents if parent.is_once}
        # Parents that were requested before and whose row has not changed since.
        before = self._before.covered if self._before and self._is_comparable else {}
        kept_once = {key: digest for key, digest in once.items() if before.get(f"{key[0]}/{ONCE}") == digest}
        due_once = [parent for parent in parents if parent.is_once and parent.key not in kept_once]
        parents = [parent for parent in parents if not parent.is_once]
        due, known = parents, list[Parent]()
        kept: dict[ParentKey, str] = {}
        if self._is_comparable and self._endpoint.is_incremental:
            current, covered = self._up_to_date(parents), self._covered()
            kept = {parent.key: covered.get(parent.key, "") for parent in parents if parent.key in current}
            due = [parent for parent in parents if parent.key not in current]
            window = f"{len(due)} new or modified of {len(parents)}"
        elif since:
            covered = self._covered()
            known = [parent for parent in parents if parent.key in covered]
            due = [parent for parent in parents if parent.key not in covered]
        if once:
            window += f"; {len(due_once)} new or modified of {len(once)} who left"
        calls = [
            *calls_of(self._endpoint, days=days, parents=[*due, *due_once], extra=extra),
            *calls_of(self._endpoint, days=days, parents=known, extra=(*extra, *since)),
        ]
        digests = {parent.key: parent.digest for parent in parents}
        return ReadPlan(
            calls=calls, window=window, kept=kept, once=once, kept_once=kept_once, digests=digests, listed=listed
        )

    def _since_params(self) -> Params:
        feed, since = self._endpoint.feed, self.since
        if feed is None or feed.since_param is None or since is None:
            return ()
        text = since.strftime("%Y-%m-%dT%H:%M:%SZ") if feed.is_instant else since.date().isoformat()
        return ((feed.since_param, text),)

    def _covered(self) -> dict[ParentKey, str]:
        covered = self._before.covered if self._before else {}
        marks = (ONCE, IN_NEITHER)
        return {tuple(map(int, key.split("/"))): digest for key, digest in covered.items() if not key.endswith(marks)}

    def _up_to_date(self, parents: Sequence[Parent]) -> set[ParentKey]:
        """Parents whose rows were read after they were last modified."""
        fan_out = self._endpoint.fan_out
        assert fan_out is not None and fan_out.changed_by is not None  # noqa: S101, PT018 - it is incremental
        if fan_out.changed_by == "*":
            covered = self._covered()
            return {row.key for row in parents if not row.is_open and covered.get(row.key) == row.digest}
        return self._read_since_modified(parents, fan_out.changed_by)

    def _read_since_modified(self, parents: Sequence[Parent], changed_by: str) -> set[ParentKey]:
        table = self._endpoint.tables[0]
        modified_of = {parent.key: parent.modified for parent in parents}
        columns = (parent_column(self._endpoint, table) or table.key[0], changed_by, "_fetched_at")
        previous = self._lake.read(self._key(table), [*dict.fromkeys(columns)])
        current: set[ParentKey] = set()
        for parent, stamp, fetched in zip(*(previous.column(name).to_pylist() for name in columns), strict=True):
            modified = modified_of.get((parent,))
            if modified is None or fetched is None:
                continue
            same = stamp == modified and fetched - modified > _SETTLED
            if same or modified < fetched - _SAFE:
                current.add((parent,))
        return current


def window_of(days: tuple[date, date] | None) -> str:
    """The days that a read asks for, in words for the provenance."""
    return f"{days[0]} to {days[1]}" if days else "all"


def parent_column(endpoint: Endpoint, table: Table) -> str | None:
    """The column of one of the endpoint's tables that names the fan-out's parent."""
    path_param = endpoint.fan_out.bind[0][0] if endpoint.fan_out else None
    return next((column.name for column in table.columns if path_param in (column.path_param, column.name)), None)
