"""Row history (SCD type 2) of snapshot tables, one version per observed change.

The history of a slice is a slice itself (`employees_history`). It is updated by comparing its current versions with what a
read found, so a read that found nothing new changes nothing, be it a retry, a late run or the first run after missed nights.

A kill between writing a slice and its history is repaired: before a slice is replaced, its history is recorded as owed, and
the next read or publication updates the history first.

Reading is in `planday_io.reading`; when to write is decided in `planday_io.sync.writer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Catalogue, Table
from planday_io.catalogue.history import history_column
from planday_io.config import Config
from planday_io.errors import DamagedSliceError, LostSliceError
from planday_io.frames.types import arrow_schema, quote
from planday_io.lake.persons import owner_link
from planday_io.lake.policies import aligned, hidden_classes, policies_of, under_policy
from planday_io.lake.retention import PortalRetention, held_rows
from planday_io.lake.slices import Lake, Provenance, SliceKey


class Histories:
    """The histories of one lake. Call its methods within the lock of the slice."""

    def __init__(self, lake: Lake, catalogue: Catalogue, config: Config) -> None:
        self._lake = lake
        self._owed = lake.state.histories
        self._catalogue = catalogue
        self._config = config
        self._policies = config.privacy
        self._rules: dict[str, PortalRetention] = {}

    def key(self, key: SliceKey) -> SliceKey | None:
        """The history of a slice, as a slice; None if its table has no history."""
        history = self._catalogue.histories.get(key.full_name)
        return SliceKey.of(history.full_name, key.portal, key.month) if history else None

    def to_follow(self, keys: Iterable[SliceKey]) -> dict[SliceKey, datetime | None]:
        """Call this before replacing slices: updates histories that are owed.

        Returns:
            Slices whose history will have to follow, and when they were read before, for `Lake.announce`.
        """
        targets = {key: target for key in keys if (target := self.key(key)) is not None}
        owed, are_lost = (self._owed.all(), self._owed.are_lost()) if targets else ({}, False)
        found: dict[SliceKey, datetime | None] = {}
        for key, target in targets.items():
            before = self._lake.usable_provenance(key)
            if before and (key in owed or are_lost or not self._lake.path(target).exists()):
                self.try_to_follow([key])
            published = self._lake.state.slices.published_of(key)
            # The history has seen what was published also where an older file of the slice was put back.
            known = [one for one in (before and before.fetched, published and published.read_at) if one]
            found[key] = max(known, default=None)
        return found

    def try_to_follow(self, keys: Iterable[SliceKey], rows: Mapping[SliceKey, pa.Table] | None = None) -> None:
        """Like `follow`, for slices whose rows are in memory; a damaged or lost history is not updated, but reported."""
        followed = []
        for key in keys:
            with suppress(DamagedSliceError, LostSliceError):
                self._follow(key, (rows or {}).get(key))
                followed.append(key)
        self._owed.settle(followed)

    def follow(self, key: SliceKey) -> None:
        """Updates the history of a slice.

        Raises:
            DamagedSliceError: the slice or its history is damaged. Nothing was written.
            LostSliceError: the history was published and is not in the lake. Nothing was written.
        """
        self._follow(key, None)
        self._owed.settle([key])

    def _follow(self, key: SliceKey, rows: pa.Table | None) -> None:
        target = self.key(key)
        provenance = self._lake.provenance(key) if target else None
        if target is None or provenance is None:
            return
        # Stricter policies and forgetting rewrite the history under its own lock.
        with self._lake.locked(target):
            self._lake.refuse_loss(target)
            seen = self._owed.all().get(key)
            self._record(key, target, self._lake.read(key) if rows is None else rows, provenance, seen)

    def owed(self) -> list[SliceKey]:
        """Slices whose history is owed; if that record was lost, every slice that has a history."""
        tables = self._catalogue.histories
        if self._owed.are_lost():
            self._owed.find_again(key for key in self._lake.slices() if key.full_name in tables)
        return sorted((key for key in self._owed.all() if key.full_name in tables), key=str)

    def _record(
        self, key: SliceKey, target: SliceKey, rows: pa.Table, provenance: Provenance, seen: datetime | None
    ) -> None:
        table = self._catalogue.table(key.full_name)
        history = self._catalogue.histories[key.full_name]
        schema = arrow_schema(history, self._policies)
        before = self._lake.provenance(target)
        if before is None:
            versions, compared = schema.empty_table(), []
        else:
            stored = under_policy(self._lake.read(target), history, before, self._policies)
            hides = bool(hidden_classes(history, before, self._policies))
            compared = _compared(table, before, stored, policies_of(table, self._policies), hides=hides)
            versions = aligned(stored, schema)
            # The rows just read were cleaned too: what became too old in between is no change.
            versions = self._without_expired(history, target, versions, provenance.fetched)
        advanced = advance(versions, rows, table=table, compared=compared, at=provenance.fetched, seen=seen)
        held, absent = policies_of(history, self._policies), [history_column(name) for name in provenance.absent]
        if before is not None and advanced.equals(versions) and (before.policies, before.absent) == (held, absent):
            return
        self._lake.write(
            target,
            advanced,
            replace(
                provenance,
                window="versions",
                requests=0,
                expected_total=None,
                received=0,
                distinct_keys=advanced.num_rows,
                verdict="history",
                policies=held,
                covered={},
                absent=absent,
            ),
        )

    def _without_expired(self, history: Table, target: SliceKey, versions: pa.Table, at: datetime) -> pa.Table:
        rules = self._rules.setdefault(target.portal, PortalRetention(self._config, self._lake, target.portal))
        expiry = rules.at(at)
        above = {}
        if expiry.held and (link := owner_link(history)):
            parent = SliceKey.of(
                link[1], target.portal, target.month if self._catalogue.table(link[1]).is_monthly else None
            )
            with suppress(DamagedSliceError):
                above = {link[1]: self._lake.read(parent)} if self._lake.provenance(parent) else {}
        held = held_rows(expiry, self._catalogue, history, above)
        return expiry.applied(versions, history, target.month, held).rows if expiry else versions


def advance(
    versions: pa.Table,
    snapshot: pa.Table,
    *,
    table: Table,
    compared: list[str],
    at: datetime,
    seen: datetime | None,
) -> pa.Table:
    """The versions after applying a read.

    Args:
        versions: the versions before the read, in the columns of the table's history.
        snapshot: the rows that the read found, in the columns of the table.
        table: the declaration.
        compared: columns whose change makes a new version. Other columns take the value found: they were not kept before, or
            are new in the catalogue.
        at: UTC instant of the read.
        seen: UTC instant of the read before it, or None.

    Returns:
        In the columns of `versions`, sorted by key and `valid_from`. Rows with a null in their key have no versions, because
        they cannot be recognised again, unless an ordinal is part of the key: such rows are recognised by their content.
    """
    of_slice = ["portal", *(["month"] if table.is_monthly else [])]
    key = [*of_slice, *(name for name in table.key if name not in of_slice)]
    # With an ordinal, rows are recognised even if another part of their key is null.
    lasting = snapshot if table.ordinal else _with_whole_keys(snapshot, key)
    if not versions.num_rows:
        return _begun(versions.schema, lasting, key=key, at=at, seen=seen)
    own = [name for name in snapshot.schema.names if name != "_fetched_at"]
    renamed = {name: history_column(name) for name in snapshot.schema.names}
    if _is_as_before(versions, lasting, own=own, key=key):
        return versions

    def pairs(template: str, names: list[str], joint: str) -> str:
        return joint.join(template.format(n=quote(n), h=quote(renamed[n])) for n in names)

    ordinal = table.ordinal
    head = [name for name in key if name != ordinal]
    same = [name for name in compared if name != ordinal]
    same_head = pairs("s.{n} IS NOT DISTINCT FROM v.{h}", head, " AND ")
    same_row = pairs("s.{n} IS NOT DISTINCT FROM v.{h}", same, " AND ") or "true"
    columns = versions.schema.names
    closing = {
        "valid_to": "$at AS valid_to",
        "is_current": "false AS is_current",
        "ended_after": "$seen AS ended_after",
    }
    closed = ", ".join(closing.get(name, quote(name)) for name in columns)
    held = ["_fetched_at", *(name for name in columns if name not in {*renamed.values()})]
    nth_open = nth_found = "1"
    found = "SELECT * FROM begun"
    if ordinal:
        # A row in between renumbers those behind it, so rows are matched by content, and equal ones in order. A version keeps
        # its number; a new one takes the lowest that no open version of its group has.
        held.append(ordinal)
        of_group = pairs("{n}", head, ", ")
        nth_found = f"row_number() OVER (PARTITION BY {pairs('{n}', [*head, *same], ', ')} ORDER BY {quote(ordinal)})"
        nth_open = f"row_number() OVER (PARTITION BY {pairs('{h}', [*head, *same], ', ')} ORDER BY {quote(ordinal)})"
        found = f"""
            SELECT s.* REPLACE (v.number AS {quote(ordinal)})
            FROM (
                SELECT *, row_number() OVER (PARTITION BY {of_group} ORDER BY {quote(ordinal)}) AS _row_free FROM begun
            ) AS s
            JOIN (
                SELECT *, row_number() OVER (PARTITION BY {pairs("{h}", head, ", ")} ORDER BY number) AS _row_free
                FROM (
                    SELECT * EXCLUDE (_row_count), unnest(range(_row_count)) AS number
                    FROM (SELECT {pairs("{n} AS {h}", head, ", ")}, count(*) AS _row_count FROM found GROUP BY {of_group})
                ) AS s
                WHERE NOT EXISTS (
                    FROM open AS v WHERE v._row IN (SELECT open_number FROM unchanged)
                    AND {pairs("s.{h} IS NOT DISTINCT FROM v.{h}", head, " AND ")} AND v.{quote(ordinal)} = s.number
                )
            ) AS v ON {same_head} AND s._row_free = v._row_free
        """
    # No column's name begins with _row (see `Column`), so this hides none.
    # Drop versions that began with this read: the same read is being applied again.
    query = f"""
        WITH open AS (SELECT row_number() OVER () AS _row, {nth_open} AS _row_nth, * FROM versions WHERE is_current),
        found AS (SELECT row_number() OVER () AS _row, {nth_found} AS _row_nth, * FROM snapshot),
        unchanged AS (
            SELECT v._row AS open_number, s._row AS found_number
            FROM open AS v JOIN found AS s ON {same_head} AND {same_row} AND s._row_nth = v._row_nth
        ),
        begun AS (SELECT * FROM found WHERE _row NOT IN (SELECT found_number FROM unchanged))
        SELECT {_quoted(columns)} FROM versions WHERE NOT is_current
        UNION ALL BY NAME
        SELECT {pairs("s.{n} AS {h}", [name for name in own if name != ordinal], ", ")},
            {", ".join(f"v.{quote(name)}" for name in held)}
        FROM unchanged JOIN open AS v ON v._row = open_number JOIN found AS s ON s._row = found_number
        UNION ALL BY NAME
        SELECT {closed} FROM open AS v
        WHERE v._row NOT IN (SELECT open_number FROM unchanged) AND v.valid_from < $at
        UNION ALL BY NAME
        SELECT {pairs("s.{n} AS {h}", [*own, "_fetched_at"], ", ")}, $at AS valid_from, NULL::TIMESTAMPTZ AS valid_to,
            true AS is_current, $seen::TIMESTAMPTZ AS changed_after, NULL::TIMESTAMPTZ AS ended_after
        FROM ({found}) AS s
    """
    order = ", ".join(quote(renamed[name]) for name in key)
    import duckdb  # a first read needs none

    with duckdb.connect(":memory:", config={"threads": 2}) as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("versions", versions)
        db.register("snapshot", lasting)
        result = db.sql(
            f"SELECT {_quoted(columns)} FROM ({query}) ORDER BY {order}, valid_from", params={"at": at, "seen": seen}
        ).to_arrow_table()
    return result.cast(versions.schema)


def _with_whole_keys(snapshot: pa.Table, key: list[str]) -> pa.Table:
    for name in key:
        if snapshot.column(name).null_count:
            snapshot = snapshot.filter(pc.is_valid(snapshot.column(name)))
    return snapshot


def _is_as_before(versions: pa.Table, snapshot: pa.Table, *, own: list[str], key: list[str]) -> bool:
    """Whether a read found exactly the current versions: most nights change nothing in most tables."""
    is_current = versions.column("is_current")
    if pc.sum(is_current).as_py() != snapshot.num_rows:
        return False
    current = versions.filter(is_current).select([history_column(name) for name in own]).rename_columns(own)
    return bool(current.equals(_by_key(snapshot, key).select(own)))


def _begun(schema: pa.Schema, snapshot: pa.Table, *, key: list[str], at: datetime, seen: datetime | None) -> pa.Table:
    """The versions after the first read: every row is current from then on. Same as `advance`, without a join."""
    snapshot = _by_key(snapshot, key)
    values = {"valid_from": at, "valid_to": None, "is_current": True, "changed_after": seen, "ended_after": None}
    source = {history_column(name): name for name in snapshot.schema.names}
    columns = [
        pa.chunked_array([pa.repeat(pa.scalar(values[field.name], field.type), snapshot.num_rows)])
        if field.name in values
        else snapshot.column(source[field.name]).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _by_key(snapshot: pa.Table, key: list[str]) -> pa.Table:
    # All rows of a slice have the same portal and month.
    names = [name for name in key if name not in ("portal", "month")] or key[:1]
    order = pc.sort_indices(snapshot, [(name, "ascending") for name in names])
    # Most lists come in this order. Then they are not copied, which takes 110 MiB for half a million rows.
    return snapshot if np.array_equal(order, np.arange(len(order))) else snapshot.take(order)


def _quoted(names: list[str]) -> str:
    return ", ".join(map(quote, names))


def _compared(table: Table, before: Provenance, versions: pa.Table, now: dict[str, str], *, hides: bool) -> list[str]:
    """Columns whose privacy policy is the same now as then."""
    alike = {name for name, policy in now.items() if before.policies.get(name) == policy}
    there = set(versions.schema.names) - set(before.absent)
    names = [c.name for c in table.columns if c.privacy in alike and history_column(c.name) in there]
    # Under `drop`, only the names of unknown members are stored; once a policy hides anything, not even those.
    keeps_unknown = "unknown" in alike and now["unknown"] != "drop" and not hides
    return [*names, "_extra"] if keeps_unknown else names
