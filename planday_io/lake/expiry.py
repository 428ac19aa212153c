"""Removes from rows what is too old by the rules of `retention`.

A rule, not a list: the same rows give the same result whenever they are read, so nothing that was removed comes back when a
month is read again. It is applied to everything that is read, to histories when they follow, and each night to the files of
the lake (`planday_io.privacy.retention`).

    rule                    what                                       from which rows
    free_text               texts that people typed, _extra            whose day is older (*)
    punches                 rows of punchclock                         whose day is older
    pay                     rows of payroll and pay; costs of others   whose day is older (*)
    contact_after_leaving,  columns of the class; texts and _extra     about people who left before
    identity_.., sensitive_..   of the person's own records

    (*) Rows without a day are in force (a record, a rate, an absence without an end) until their person leaves.

Ids stay, and so do hours and days, so that totals, headcounts and turnover do. Texts in a person's own records (custom
fields, values of `hr.employee_history`) may hold an address or a name, whatever their class.

Not here: who left when (`leaving`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Table
from planday_io.config.retention import Rule
from planday_io.lake.leaving import FIRST_DAY
from planday_io.lake.persons import blanked, columns_of, is_in, owner_link
from planday_io.months import first_day, last_day, shifted

LEAVING: Mapping[Rule, str] = {
    "contact_after_leaving": "contact",
    "identity_after_leaving": "identity",
    "sensitive_after_leaving": "sensitive",
}
"""Rules about people who left, and the privacy class that each removes."""
_WHOLE_ROWS: Mapping[Rule, frozenset[str]] = {
    "punches": frozenset({"punchclock"}),
    "pay": frozenset({"payroll", "pay"}),
}
"""Domains whose rows are removed whole."""
_CLASSES: Mapping[Rule, str] = {"pay": "pay"}


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule did to some rows: how many it removed, and how many lost values."""

    removed: int = 0
    cleared: int = 0

    def __add__(self, other: Effect) -> Effect:
        return Effect(self.removed + other.removed, self.cleared + other.cleared)

    def __bool__(self) -> bool:
        return bool(self.removed or self.cleared)


@dataclass(frozen=True, slots=True)
class Expired:
    """Rows without what is too old, and what each rule removed."""

    rows: pa.Table
    effects: dict[Rule, Effect]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What is too old in one portal on one day.

    Args:
        cutoffs: the first day that is kept, by rule.
        left: the day on which each person left who is no longer there.
        held: employees whose data is kept.
        zone: of the portal, whose days count.
    """

    cutoffs: Mapping[Rule, date] = field(default_factory=dict)
    left: Mapping[int, date] = field(default_factory=dict)
    held: frozenset[int] = frozenset()
    zone: str = "UTC"

    def __bool__(self) -> bool:
        return bool(self.cutoffs)

    def gone(self, rule: Rule) -> set[int]:
        """People who left before the first day that a rule keeps."""
        return {number for number, day in self.left.items() if day < self.cutoffs[rule]} - self.held

    def token(self, table: Table, month: str | None) -> str:
        """A digest of what the rules can remove from a slice, for comparing; empty if that is nothing."""
        parts = []
        for rule in self._rules_of(table, month):
            if rule in LEAVING or _ends_with_people(table):
                parts.append(f"{rule} {sorted(self.gone(rule))}")
            if rule not in LEAVING:
                is_all = month is not None and self.cutoffs[rule] > last_day(shifted(month, 1))
                parts.append(f"{rule} {'all' if is_all else self.cutoffs[rule]}")
        if not parts:
            return ""
        return hashlib.sha256(f"{sorted(self.held)} {parts}".encode()).hexdigest()[:16]

    def applied(
        self, rows: pa.Table, table: Table, month: str | None = None, held_rows: Collection[int] = ()
    ) -> Expired:
        """The rows of a table without what is too old.

        Args:
            rows: of one slice, or of a part of it.
            table: their declaration, which may be a history's.
            month: of the slice.
            held_rows: where rows belong to another table's rows: ids there of people whose data is held.
        """
        effects: dict[Rule, Effect] = {}
        for rule in self._rules_of(table, month):
            if not rows.num_rows:
                break
            is_old = self._without_held(self._too_old(rule, rows, table, month), rows, table, held_rows)
            if table.domain in _WHOLE_ROWS.get(rule, ()):
                effect = Effect(removed=_count(is_old))
                rows = rows.filter(pc.invert(is_old)) if effect else rows
            else:
                names = [name for name in _columns(rule, table) if name in rows.schema.names]
                effect = Effect(cleared=_count(pc.and_(is_old, _has_any(rows, names))) if names else 0)
                rows = blanked(rows, is_old, names) if effect else rows
            if rule in LEAVING:
                rows, signed = self._without_signatures(rule, rows, table)
                effect += signed
            if effect:
                effects[rule] = effect
        return Expired(rows, effects)

    def _rules_of(self, table: Table, month: str | None) -> Iterator[Rule]:
        """The rules that can remove something from a table's slice."""
        for rule, cutoff in self.cutoffs.items():
            takes = bool(_columns(rule, table)) or table.domain in _WHOLE_ROWS.get(rule, ())
            if rule in LEAVING:
                can = bool(table.people)
            elif month is not None:
                # A row may be in the slice of the month before or after that of its day.
                can = cutoff > first_day(shifted(month, -1))
            else:
                can = bool(table.day_columns) or _ends_with_people(table)
            if takes and can and table.domain != "sync":
                yield rule

    def _too_old(self, rule: Rule, rows: pa.Table, table: Table, month: str | None) -> pa.ChunkedArray:
        if rule in LEAVING:
            return _about(rows, table, self.gone(rule), ("owner", "worker"))
        days = _days(rows, table, self.zone)
        if month is not None:
            days = pc.fill_null(days, last_day(month))
        is_old = pc.fill_null(pc.less(days, pa.scalar(self.cutoffs[rule])), fill_value=False)
        # What is in force, such as a record, a rate or an absence without an end, becomes old when the person leaves.
        return pc.or_(is_old, pc.and_(pc.is_null(days), _about(rows, table, self.gone(rule), ("owner", "worker"))))

    def _without_held(
        self, is_old: pa.ChunkedArray, rows: pa.Table, table: Table, held_rows: Collection[int]
    ) -> pa.ChunkedArray:
        if self.held:
            is_old = pc.and_not(is_old, _about(rows, table, self.held, ("owner", "worker")))
        if held_rows and (link := owner_link(table)) and link[0] in rows.schema.names:
            is_old = pc.and_not(is_old, is_in(rows.column(link[0]), held_rows))
        return is_old

    def _without_signatures(self, rule: Rule, rows: pa.Table, table: Table) -> tuple[pa.Table, Effect]:
        """Empty the names of people who changed others' rows."""
        effect = Effect()
        for person in table.people:
            texts = [name for name in person.texts if table.column(name).privacy == LEAVING[rule]]
            texts = [name for name in texts if {name, person.column} <= {*rows.schema.names}]
            if person.role == "actor" and texts:
                is_theirs = pc.and_(is_in(rows.column(person.column), self.gone(rule)), _has_any(rows, texts))
                effect += Effect(cleared=_count(is_theirs))
                rows = blanked(rows, is_theirs, texts)
        return rows, effect


def _is_own(table: Table) -> bool:
    """Whether the rows are people's own records."""
    return any(person.role == "owner" for person in table.people)


def _ends_with_people(table: Table) -> bool:
    """Whether rows without a day become old when the person leaves: they have no month to go by."""
    return not table.is_monthly and any(person.role != "actor" for person in table.people)


def _columns(rule: Rule, table: Table) -> list[str]:
    """Columns that a rule empties."""
    if rule == "free_text":
        return columns_of(table, {"free_text"})
    wanted = {LEAVING.get(rule) or _CLASSES.get(rule, "")}
    if rule in LEAVING and _is_own(table):
        return columns_of(table, wanted | {"free_text"})
    return columns_of(table, wanted)[:-1]


def _days(rows: pa.Table, table: Table, zone: str) -> pa.ChunkedArray:
    """The day of each row: the first of the table's day columns that has one. Of an instant, the day in the zone."""
    nothing = pa.scalar(None, pa.date32())
    found = pa.chunked_array([pa.nulls(rows.num_rows, pa.date32())])
    for name in reversed([name for name in table.day_columns if name in rows.schema.names]):
        values = rows.column(name)
        if pa.types.is_timestamp(values.type) and values.type.tz:
            values = pc.local_timestamp(values.cast(pa.timestamp(values.type.unit, zone)))
        days = values.cast(pa.date32())
        days = pc.if_else(pc.less(days, pa.scalar(FIRST_DAY)), nothing, days)
        found = pc.coalesce(days, found)
    return found


def _about(rows: pa.Table, table: Table, ids: Collection[int], roles: Collection[str]) -> pa.ChunkedArray:
    """Which rows are about one of some people."""
    mask = pa.chunked_array([pa.repeat(pa.scalar(value=False), rows.num_rows)])
    for person in table.people:
        if person.role in roles and person.column in rows.schema.names and ids:
            mask = pc.or_(mask, is_in(rows.column(person.column), ids))
    return mask


def _has_any(rows: pa.Table, names: Collection[str]) -> pa.ChunkedArray:
    """Which rows have a value in one of some columns."""
    mask = pa.chunked_array([pa.repeat(pa.scalar(value=False), rows.num_rows)])
    for name in names:
        mask = pc.or_(mask, pc.is_valid(rows.column(name)))
    return mask


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
