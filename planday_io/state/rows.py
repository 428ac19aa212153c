"""The rows of the state database, as values. Its tables are made from these classes (`schema`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]

_KEY = re.compile(r"([a-z0-9_]+)\.([a-z0-9_]+)\.([a-z0-9_]+)(?:\.([0-9]{4}-(?:0[1-9]|1[0-2])))?")
_IS_KEY = {"is_key": True}

SHARED_FOR = timedelta(hours=1)
"""How long runs that were started together use what one of them read."""
STATE_VERSION = 13
"""The version of the state database. A higher one is refused."""
REBUILD = "planday publish --rebuild"
"""The command that makes the warehouse from nothing, as it has to be typed."""


@dataclass(frozen=True, slots=True, order=True)
class SliceKey:
    """Identifies a slice. `month` is `YYYY-MM`, or None for tables with one slice per portal."""

    domain: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    portal: str = field(metadata=_IS_KEY)
    month: str | None = field(default=None, metadata=_IS_KEY)

    @classmethod
    def of(cls, full_name: str, portal: str, month: str | None = None) -> SliceKey:
        """The key for a table's full name."""
        domain, _, table = full_name.partition(".")
        return cls(domain, table, portal, month)

    @classmethod
    def parse(cls, text: str) -> SliceKey | None:
        """Parses the text of `str`, which named files in earlier versions; None for other texts (`.DS_Store`)."""
        found = _KEY.fullmatch(text)
        return cls(*found.groups()) if found else None

    @property
    def full_name(self) -> str:
        """`domain.table`."""
        return f"{self.domain}.{self.table}"

    def __str__(self) -> str:
        return ".".join(part for part in (self.domain, self.table, self.portal, self.month) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A table, or one of its months, that failed for good and was not read since.

    Args:
        portal: config key, or the name that stands for the whole installation.
        table: full name, or what else failed, such as the warehouse.
        month: of facts, or None.
        cause: a name in `planday_io.monitoring.failures.CAUSES`, or one that another version knows.
        error: the error's text.
        run_id: Dagster's run, or empty.
        since: UTC instant of the first failure in a row.
    """

    portal: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    month: str | None = field(metadata=_IS_KEY)
    cause: str
    error: str
    run_id: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is wrong.

    Args:
        portal: config key, or the name that stands for the whole installation.
        cause: a name in `planday_io.monitoring.failures.CAUSES`, or one that another version knows.
        tables: full names, for facts followed by a space and the month.
        since: UTC instant at which it began, to the second.
        error: text of the first error, or empty.
        run_id: Dagster's run of that error, or empty.
    """

    portal: str
    cause: str
    tables: tuple[str, ...]
    since: Instant
    error: str = ""
    run_id: str = ""

    @property
    def names(self) -> set[str]:
        """The tables without their months."""
        return {table.partition(" ")[0] for table in self.tables}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An incident that was noticed, until every channel that reported it has reported its end.

    Args:
        incident: as it is, or as it was at its end.
        noticed_at: UTC instant at which it was first noticed.
        all_tables: every table that it was ever about.
        ended_at: UTC instant of its end, or None while it is open.
        deliveries: channel -> tables that it reported; once the incident ended, channels that have not reported the end.
        number: its place among the others, given when they are stored.
    """

    number: Count = field(default=0, compare=False, metadata=_IS_KEY)
    incident: Incident
    noticed_at: Instant
    all_tables: tuple[str, ...]
    ended_at: Instant | None = None
    deliveries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ended(self, at: datetime) -> Notice:
        """The notice of an incident that is over, since an instant (UTC) if not before."""
        if self.ended_at:
            return self
        # The end names every table that the incident was ever about; the error no longer matters.
        return replace(self, incident=replace(self.incident, tables=self.all_tables, error=""), ended_at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRequest:
    """A month that has to be read again.

    Args:
        portal: config key.
        month: `YYYY-MM`.
        endpoints: by name.
        requested_at: UTC instant; what was read later is up to date.
        share_gone: share of the month's rows that were found deleted or moved to another month.
    """

    portal: str = field(metadata=_IS_KEY)
    month: str = field(metadata=_IS_KEY)
    endpoints: tuple[str, ...]
    requested_at: Instant
    share_gone: Share = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedCommand:
    """A command that was begun and has not ended.

    Args:
        command: as it has to be typed to finish it.
        portals: config keys it is about; empty where it concerns all.
        since: UTC instant at which it was first begun.
        step: the last step that it reached, in the command's own words, or empty.
        name: random, and part of the name of its lock.
    """

    name: str = field(default="", metadata=_IS_KEY)
    command: str
    portals: tuple[str, ...]
    since: Instant
    step: str = ""


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most `limit` requests in any `seconds`."""

    limit: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenCopy:
    """A copy of a portal's list of forgotten people, by pseudonym, with the portal's salt."""

    portal: str = field(metadata=_IS_KEY)
    salt: str
    pseudonyms: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEntry:
    """What a slice's file says about itself.

    Args:
        stamp: of the file that was read; another file has another one.
        slice_id: differs for every write.
        read_at: UTC instant of the read.
        rows: of the slice.
        received: rows that the read received.
        verdict: why the read counts as complete.
        definitions: version of the catalogue that it was read with.
        lacks_columns: whether it was read before the catalogue had all of its columns.
        is_verified: every byte of the file was verified.
    """

    stamp: str
    slice_id: str
    read_at: Instant
    rows: Count
    received: Count
    verdict: str
    definitions: Count
    lacks_columns: bool = False
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class IndexedTable:
    """What the index has of one table of one portal.

    Args:
        months: that have a slice; None stands for the slice of a table without months.
        is_outdated: whether any of them was read with older definitions.
    """

    months: frozenset[str | None]
    is_outdated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSlice:
    """A slice that was written, or is being written, since it was last published.

    Args:
        slice_id: the id that it gets; empty where it is only to be checked again.
        writer: the run that writes it, or empty.
        since: UTC instant.
    """

    slice_id: str
    writer: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSlice:
    """What was published last of a slice; `read_at` is the UTC instant of its read."""

    slice_id: str
    read_at: Instant
    rows: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionNote:
    """From one write of a slice (`slice_id`), retention removed all that its rules can remove (`token`)."""

    slice_id: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedHistory:
    """A slice whose history has to follow, and when it was read before, where that is known."""

    last_read_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How schedules read a table, as a text to compare, and since when."""

    portal: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    reading: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalId:
    """Planday's id of the portal that a key was last read from."""

    portal: str = field(metadata=_IS_KEY)
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedIdsOfTable:
    """Ids that runs of one batch (runs that were started together) share."""

    batch: str = field(metadata=_IS_KEY)
    portal: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    ids: tuple[int, ...]
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """The marks by which the lake or the warehouse file is recognised."""

    name: str = field(metadata=_IS_KEY)
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryState:
    """How far a delivery of portals.yaml is.

    Args:
        name: of the delivery.
        schedule: when its schedule is due, as a text to compare.
        settled: UTC instant of the newest tick that needs no delivery any more: delivered, given up, or older than the
            delivery.
        open: UTC instant of the tick that is being delivered, or None.
        remarks: what the runs of that tick did not do, for whoever receives it.
        attempts: how many failed for that tick.
        retry_at: UTC instant of the next one, or None for now.
        error: of the last attempt, or empty.
        delivered_at: UTC instant of the last delivery, or None.
    """

    name: str = field(metadata=_IS_KEY)
    schedule: str
    settled: Instant
    open: Instant | None = None
    remarks: tuple[str, ...] = ()
    attempts: Count = 0
    retry_at: Instant | None = None
    error: str = ""
    delivered_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMembers:
    """Which members the rows of a table had in the reads that can be compared.

    Args:
        portal: config key.
        table: full name.
        reads: how many such reads there were, counted only as far as they are needed.
        shares: member -> the lowest share of rows that had it, over these reads.
    """

    portal: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    reads: Count = 0
    shares: Mapping[str, Share] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEntry:
    """Something that differs from the catalogue.

    Args:
        portal: config key.
        table: full name; for an endpoint, its first table.
        kind: a name in `planday_io.frames.schema_drift.DriftKind`, or one that another version knows.
        path: of the member, or of the endpoint; for a refused opt-in, its value.
        found: JSON type, value of an enumeration, scope or status; or empty.
        expected: type that is declared, or empty.
        is_fatal: the table could not be read because of it.
        first_seen: UTC instant of the first read that showed it, since it last ended.
        last_seen: UTC instant of the last read that showed it.
        reads: how many reads showed it since `first_seen`.
        rows: how many rows had it in the last one.
        accepted_at: UTC instant at which somebody accepted it, or None.
        ended_at: UTC instant of the read that no longer had it, or None.
    """

    portal: str = field(metadata=_IS_KEY)
    table: str = field(metadata=_IS_KEY)
    kind: str = field(metadata=_IS_KEY)
    path: str = field(metadata=_IS_KEY)
    found: str = field(metadata=_IS_KEY)
    expected: str = ""
    is_fatal: bool = False
    first_seen: Instant
    last_seen: Instant
    reads: Count = 1
    rows: Count = 0
    accepted_at: Instant | None = None
    ended_at: Instant | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last read still had it."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The name of a table whose rows were lost with a damaged database, until its reader has handled the loss."""

    kind: str = field(metadata=_IS_KEY)
    at: Instant
