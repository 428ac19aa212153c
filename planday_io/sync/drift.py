"""What in Planday's answers changed: each read of a table compared with the catalogue and with earlier reads.

`frames` counts what differs while rows become columns; `session.refresh` has it judged here once per read, also where the
read failed. What is remembered is in `planday_io.state.drift`; `sync.drift` of the warehouse and alerts come from there.

- A member, or a value of an enumeration, is new until somebody accepts it or the catalogue knows it. Where the catalogue
  says that a table's members are unknown, those of its first read are accepted: they are no change.
- A member is gone when it was in most rows of each of several reads, and is in none of many rows now. Planday leaves
  members out where they are null, so one that was rare is never called gone, nor in a table with few rows. Of tables with
  months, those are compared that ended a month ago or earlier and are still read.
- A retyped member is over after a week of reads with its declared type only, because months are read one by one.
- A scope is lost, or an endpoint missing, only if the same endpoint answered before; that ends when it answers again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from planday_io.catalogue import Endpoint, Table
from planday_io.catalogue.model import ChildArray
from planday_io.config.grid import window_months
from planday_io.errors import ApiError, MissingScopeError, PageForbiddenError, StorageError
from planday_io.frames.members import nested_members
from planday_io.frames.schema_drift import OTHERS, ROW, DriftKind, SchemaDrift, Sighting
from planday_io.lake.installation import Installation
from planday_io.months import month_of, shifted
from planday_io.state import DriftEntry, SeenMembers
from planday_io.state.drift import DriftMemory

_LOG = logging.getLogger(__name__)

ROWS_TO_JUDGE = 20
"""A read of fewer rows says nothing about a member that is missing."""
_READS = 5
_SHARE = 0.5
"""If half of the rows have a member, chance keeps it out of all of 20 rows once in a million reads."""
_SETTLED_MONTHS = 2
"""A month can be compared once the second month after it has begun."""
_OVER = timedelta(days=7)
_MOST = 200
"""Entries of one table of one portal; what comes after them counts as one, because names of members may be data."""
_Key = tuple[str, str, str]
_OF_ENDPOINT = ("scope_lost", "refused", "not_found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One read of an endpoint, complete or not.

    Args:
        endpoint: its declaration.
        month: of the slices, or None.
        at: UTC instant at which the read began.
        drift: full name of a table -> what was counted.
        refused: see `SensitiveMembers`.
        error: why it is not complete, or None.
    """

    endpoint: Endpoint
    month: str | None
    at: datetime
    drift: Mapping[str, SchemaDrift]
    refused: Mapping[str, str]
    error: Exception | None = None


def record(installation: Installation, portal: str, observations: list[Observation]) -> None:
    """Remember what reads showed. If it cannot be stored, that is logged: a full disk must not fail a read because of it."""
    for one in observations:
        is_settled = not one.endpoint.tables[0].is_monthly
        if one.month is not None:
            is_settled = shifted(one.month, _SETTLED_MONTHS) <= month_of(one.at.date())
            is_settled = is_settled and one.month in window_months(installation.config, portal, one.at)
        for table in one.endpoint.tables:
            judge = _Judge(one, table, portal, is_settled=is_settled)
            try:
                installation.state.drift.follow(portal, table.full_name, judge.judge)
            except StorageError as error:
                _LOG.warning("the schema drift of %s was not recorded: %s", table.full_name, error)
                return


class _Judge:
    """One table of one read.

    Args:
        observation: the read.
        table: one of its endpoint's.
        portal: config key.
        is_settled: whether its rows can be compared with those of other reads. Punches and approvals come with time, so the
            members of a month that goes on, or has just ended, say nothing; nor do those of old months.
    """

    def __init__(self, observation: Observation, table: Table, portal: str, *, is_settled: bool) -> None:
        self._read, self._table, self._portal = observation, table, portal
        self._drift = observation.drift.get(table.full_name, SchemaDrift())
        self._is_complete = observation.error is None
        self._is_first = table is observation.endpoint.tables[0]
        self._is_comparable = is_settled and self._is_complete and self._drift.rows >= ROWS_TO_JUDGE
        self._refused = [
            (value, scope, {table.column(name).member for name in columns})
            for value, scope, columns in (observation.endpoint.opt_in.values if observation.endpoint.opt_in else ())
            if observation.refused.get(value) and self._is_first
        ]

    def judge(self, memory: DriftMemory) -> DriftMemory:
        """What is remembered after this read."""
        sightings = self._drift.sightings()
        if memory.seen is not None:
            sightings += [*self._of_endpoint(memory), *self._gone(memory)]
        entries = {_key(one): one for one in memory.entries}
        seen = set()
        for one in sightings:
            key: _Key = (one.kind, one.path, one.found)
            if key not in entries and len(entries) >= _MOST:
                one, key = replace(one, path=OTHERS, found=""), (one.kind, OTHERS, "")  # noqa: PLW2901
            if key not in seen:
                entries[key] = self._entry(one, entries.get(key))
                if memory.seen is None and self._table.confidence == "unknown" and one.kind == "new_member":
                    entries[key] = replace(entries[key], accepted_at=self._read.at)
            seen.add(key)
        for key, entry in entries.items():
            if key not in seen and entry.is_open and self._is_over(entry):
                entries[key] = replace(entry, ended_at=self._read.at)
        return DriftMemory(self._seen(memory.seen), tuple(sorted(entries.values(), key=_key)))

    def _entry(self, one: Sighting, before: DriftEntry | None) -> DriftEntry:
        if before is not None and before.is_open:
            last = max(before.last_seen, self._read.at)
            return replace(before, last_seen=last, reads=before.reads + 1, rows=one.rows, is_fatal=one.is_fatal)
        return DriftEntry(
            portal=self._portal,
            table=self._table.full_name,
            kind=one.kind,
            path=one.path,
            found=one.found,
            expected=one.expected,
            is_fatal=one.is_fatal,
            first_seen=self._read.at,
            last_seen=self._read.at,
            rows=one.rows,
        )

    def _of_endpoint(self, memory: DriftMemory) -> Iterator[Sighting]:
        """What the API refuses now and answered before."""
        endpoint, error = self._read.endpoint, self._read.error
        if self._is_first and isinstance(error, MissingScopeError) and not isinstance(error, PageForbiddenError):
            kind: DriftKind = "scope_lost" if endpoint.scope else "refused"
            yield Sighting(kind=kind, path=endpoint.path, found=endpoint.scope or "403", is_fatal=True)
        elif self._is_first and isinstance(error, ApiError) and error.status == 404:
            yield Sighting(kind="not_found", path=endpoint.path, found="404", is_fatal=True)
        shares = memory.seen.shares if memory.seen else {}
        is_open = {(one.path, one.found) for one in memory.entries if one.kind == "scope_lost" and one.is_open}
        for value, scope, members in self._refused:
            if (value, scope) in is_open or any(shares.get(member) for member in members):
                yield Sighting(kind="scope_lost", path=value, found=scope)

    def _gone(self, memory: DriftMemory) -> Iterator[Sighting]:
        """Members that were there and are in no row now."""
        if memory.seen is None or not self._is_comparable:
            return
        missing = {one.path for one in memory.entries if one.kind == "gone_member" and one.is_open and not one.is_fatal}
        if memory.seen.reads >= _READS and memory.seen.shares.keys() == self._drift.watched:
            missing |= {member for member, share in memory.seen.shares.items() if share >= _SHARE}
        for member in sorted(missing - self._not_asked()):
            if member in self._drift.watched and not self._drift.present[member]:
                yield Sighting(kind="gone_member", path=member, rows=self._drift.rows)

    def _not_asked(self) -> set[str]:
        return {member for _, _, members in self._refused for member in members}

    def _seen(self, before: SeenMembers | None) -> SeenMembers | None:
        if not self._is_complete:
            return before
        if before is None:
            before = SeenMembers(portal=self._portal, table=self._table.full_name)
        if not self._is_comparable:
            return before
        # Rounded, so that most nights change nothing.
        rows, present = self._drift.rows, self._drift.present
        shares = {member: round(min(present[member], rows) / rows, 2) for member in self._drift.watched}
        if before.shares.keys() != shares.keys():
            # The catalogue or the privacy policy is another one, so what was counted begins again.
            return replace(before, reads=1, shares=shares)
        kept = self._not_asked()
        lowest = {member: was if member in kept else min(was, shares[member]) for member, was in before.shares.items()}
        return replace(before, reads=min(before.reads + 1, _READS), shares=lowest)

    def _is_over(self, entry: DriftEntry) -> bool:
        """Whether an entry that this read did not show is over."""
        match entry.kind:
            case "new_member":
                return entry.path in self._declared()
            case "new_value":
                values = [column.values for column in self._table.columns if column.member == entry.path]
                return entry.path != OTHERS and not any(one and entry.found not in one for one in values)
            case "retyped":
                return self._is_complete and self._came(entry.path) and self._read.at - entry.last_seen >= _OVER
            case "gone_member":
                return self._is_complete and self._drift.present[entry.path] > 0
            case kind if kind in _OF_ENDPOINT:
                return self._is_complete
        return False

    def _declared(self) -> set[str]:
        """Paths of the members that the catalogue knows."""
        columns, tables = self._table.columns, self._read.endpoint.tables if self._is_first else ()
        return {
            *(column.member for column in columns),
            *(f"{head}[].{name}" for head, inner in nested_members(columns).items() for name in inner),
            *(one.rows.member for one in tables if isinstance(one.rows, ChildArray)),
        }

    def _came(self, path: str) -> bool:
        """Whether rows of this read had the member that a path begins with."""
        if path in (ROW, OTHERS):
            return self._drift.rows > 0
        members = [member for member, rows in self._drift.present.items() if rows]
        return any(path == member or path.startswith((f"{member}.", f"{member}[")) for member in members)


def _key(entry: DriftEntry) -> _Key:
    return entry.kind, entry.path, entry.found
