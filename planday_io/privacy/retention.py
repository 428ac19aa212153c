"""The nightly pass of `retention`: removes what became too old from every file, publishes, and searches every byte for it.

    journal ─► slices and histories of the lake ─► ledger (`sync.retention`) ─► new warehouse ─► search

A value that is also in rows that stay (a first name, a street) cannot be searched for. Where a text that others typed names
somebody who left, that is reported: the rule `free_text` removes the text when it is old.

The rules are in `planday_io.lake.expiry`; reading and writing apply them too, so this pass finds what has aged since. A slice
that was cleaned is noted in the state together with what the rules can remove from it, and is read again only when either has
changed: a night costs as much as became too old, not as much as there is.

The whole pass may be repeated, and is owed after a kill. A file that cannot be read or written is reported, and the rest is
done.

Not here: people and portals to forget at once (`erasure`), delivered files (`planday_io.delivery.ageing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from planday_io.catalogue import Table
from planday_io.config.retention import Rule
from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import storage_errors, sweep
from planday_io.lake.expiry import Effect, Expired, Expiry
from planday_io.lake.installation import Installation
from planday_io.lake.leaving import ACTIVE
from planday_io.lake.logs import Taken, log_retention
from planday_io.lake.persons import PERSONAL, owner_link, rows_in_lake
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.retention import PortalRetention
from planday_io.monitoring.messages import some
from planday_io.privacy.scanning import INSIDE_FROM, occurrences, scan, texts_in
from planday_io.state import REBUILD, RetentionNote, SliceEntry, SliceKey
from planday_io.warehouse import Report, publish, unreported

COMMAND = "planday retention"
_MOST_SEARCHED = 400
"""Values that are searched for in every byte, of the million that a first pass over years may remove: names, addresses
and numbers first, then the longest texts. DuckDB matches 400 at once in 5 µs a row, and 800 in 250 µs (2026-11-27)."""


@dataclass(slots=True)
class Retained:
    """The result of a pass.

    Args:
        taken: by portal, table and rule.
        held: people whose data is held, by portal.
        unknown_held: ids of `hold` that nobody in the lists of a portal has, by portal.
        not_known: portals with rules about people who left, and without the lists that say who did.
        not_configured: portals of the lake that are not in the configuration: nothing of theirs is removed.
        looked_at: slices that were read.
        errors: slices that could not be cleaned, and why.
        values: how many different values were removed.
        searched: how many of them were searched for afterwards.
        shared: how many were not, because they are also in rows that stay.
        files: how many files were searched.
        places: where a value was found.
        unreadable: files that cannot be decoded, so only their bytes were searched.
        mentions: table and column of texts that others typed -> how many of the names, addresses and numbers removed are in
            such texts. They stay until the rule `free_text` removes the text.
        is_partly_blind: whether an interrupted pass had removed values that are no longer known, so that nobody searched
            for them.
    """

    taken: list[Taken] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    unknown_held: dict[str, list[int]] = field(default_factory=dict)
    not_known: list[str] = field(default_factory=list)
    not_configured: list[str] = field(default_factory=list)
    looked_at: int = 0
    errors: dict[SliceKey, StorageError] = field(default_factory=dict)
    values: int = 0
    searched: int = 0
    shared: int = 0
    files: int = 0
    places: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    mentions: dict[str, int] = field(default_factory=dict)
    is_partly_blind: bool = False

    @property
    def is_complete(self) -> bool:
        return not (self.errors or self.places)


def remarks(done: Retained) -> list[str]:
    """Sentences about what a pass left in place or could not decide, none of which is a failure."""
    lines = [
        f"Texts in {place}, typed by others, still have {count} of the names, addresses and numbers removed; the rule "
        "`free_text` removes such texts when they are old."
        for place, count in sorted(done.mentions.items())
    ]
    if done.is_partly_blind:
        lines.append("An interrupted pass had already removed values: those were not searched for.")
    if done.unreadable:
        lines.append(f"Cannot be decoded, so only their bytes were searched: {some(done.unreadable)}.")
    if done.held:
        lines.append(f"Data of people that `hold` names is kept: {sum(done.held.values())}.")
    lines += [
        f"`hold` of {portal} names ids that nobody has: {some([*map(str, ids)])}. Correct them, or data that you mean to "
        "hold is removed."
        for portal, ids in done.unknown_held.items()
    ]
    if done.not_known:
        lines.append(
            f"Who left is not known in {some(done.not_known)}: hr.employees and hr.deactivated_employees were not both "
            "read, so rules about people who left remove nothing."
        )
    if done.not_configured:
        lines.append(
            f"Portals that are not configured have no rules: {some(done.not_configured)}. `planday forget --portal` "
            "removes one."
        )
    return lines


def preview(installation: Installation, now: datetime) -> Retained:
    """What a pass would remove, in counts. Nothing is changed or noted. Raises StorageError."""
    installation.lake.require()
    return _Pass(installation, now, changes=False).run()


def retain(installation: Installation, now: datetime, report: Report = unreported) -> Retained:
    """Remove what is too old at a UTC instant from lake and warehouse, and search for it afterwards.

    Raises:
        StorageError: the lake is not there, or the warehouse cannot be renewed. It is owed until it is done.
    """
    config, state = installation.config, installation.state
    with state.commands.carry_out(COMMAND) as work, storage_errors(config.lake, "remove what is too old from"):
        installation.lake.require()
        one = _Pass(installation, now, changes=True)
        done = one.run()
        if done.taken:
            log_retention(installation.lake, done.taken, now)
        done.is_partly_blind = work.is_resumed
        if one.has_written or work.is_resumed:
            sweep(config.lake, deep=True)
            with state.locks.hold("publish"):
                sweep(config.warehouse.parent)
            # A copy of the previous file may keep old values in free blocks, so a new one is written.
            report(publish(installation, forgetting=True))
            state.commands.settle([REBUILD])
            one.search(done)
        if done.is_complete:
            state.files.note_retention(now)
        return done


class _Pass:
    """One pass over the lake."""

    def __init__(self, installation: Installation, now: datetime, *, changes: bool) -> None:
        self._installation = installation
        self._lake = installation.lake
        self._tables: Mapping[str, Table] = installation.catalogue.lake_tables
        self._now = now
        self._changes = changes
        self.has_written = False
        self._names: set[str] = set()
        """Names, addresses and numbers that were removed."""
        self._notes: set[str] = set()
        """Texts that people typed, likewise."""
        self._entries: dict[SliceKey, SliceEntry] = {}
        self._noted: dict[SliceKey, RetentionNote] = {}
        self._seen: dict[SliceKey, RetentionNote] = {}
        self._held: dict[str, set[int] | StorageError] = {}

    def run(self) -> Retained:
        done = Retained()
        config = self._installation.config
        moving = {portal for pair in unfinished_renames(self._lake.root) for portal in pair}
        keys: dict[str, list[SliceKey]] = defaultdict(list)
        for key in self._lake.slices():
            if key.full_name in self._tables:
                keys[key.portal].append(key)
        for portal in sorted(keys):
            if portal not in config.portals:
                done.not_configured.append(portal)
            elif portal not in moving:
                self._seen = {}
                try:
                    self._portal(portal, keys[portal], done)
                except StorageError as error:
                    # Without the lists of who left, nothing of the portal is removed; the other portals go on.
                    done.errors[SliceKey.of(ACTIVE, portal)] = error
                self._lake.state.retention.note(self._seen)
        return done

    def _portal(self, portal: str, keys: list[SliceKey], done: Retained) -> None:
        rules = PortalRetention(self._installation.config, self._lake, portal)
        expiry = rules.at(self._now)
        if not expiry:
            return
        done.held |= {portal: len(expiry.held)} if expiry.held else {}
        if unknown := rules.unknown_held():
            done.unknown_held[portal] = unknown
        if not rules.knows_leavers():
            done.not_known.append(portal)
        self._entries = self._lake.indexed(keys).entries
        self._noted = self._lake.state.retention.notes(keys)
        self._held = self._rows_held(keys, expiry)
        effects: dict[tuple[str, Rule], Effect] = {}
        # Lists of who left come last: after a kill the next pass still knows.
        for key in sorted(keys, key=lambda key: (key.domain == "hr", str(key))):
            try:
                for rule, effect in self._slice(key, expiry, done).items():
                    name = self._tables[key.full_name].published_name
                    effects[name, rule] = effects.get((name, rule), Effect()) + effect
            except StorageError as error:
                done.errors[key] = error
        for (name, rule), effect in sorted(effects.items()):
            cutoff, held = expiry.cutoffs[rule], len(expiry.held)
            done.taken.append(Taken(portal, name, rule, cutoff, effect.removed, effect.cleared, held))

    def _slice(self, key: SliceKey, expiry: Expiry, done: Retained) -> dict[Rule, Effect]:
        """Clean one slice. Returns what each rule removed."""
        table = self._tables[key.full_name]
        token = expiry.token(table, key.month)
        if not token or self._is_noted(key, token):
            return {}
        with self._lake.locked(key):
            provenance = self._lake.provenance(key)
            if provenance is None:
                return {}
            before = self._lake.read(key)
            done.looked_at += 1
            link = owner_link(table)
            held_rows = self._held.get(link[1], set[int]()) if link else ()
            if isinstance(held_rows, StorageError):
                raise held_rows
            found = expiry.applied(before, table, key.month, held_rows)
            if found.effects and self._changes:
                self._names |= _taken_texts(before, found, table, PERSONAL - {"free_text"})
                self._notes |= _taken_texts(before, found, table, {"free_text"})
                # Before the write, because the file may be in place even if that fails.
                self.has_written = True
                provenance = self._lake.write(key, found.rows, provenance)
            if self._changes:
                self._seen[key] = RetentionNote(slice_id=provenance.slice_id, token=token)
            return found.effects

    def _is_noted(self, key: SliceKey, token: str) -> bool:
        """Whether an earlier pass removed from this very file what the rules can remove."""
        entry, note = self._entries.get(key), self._noted.get(key)
        return entry is not None and note is not None and (note.slice_id, note.token) == (entry.slice_id, token)

    def _rows_held(self, keys: list[SliceKey], expiry: Expiry) -> dict[str, set[int] | StorageError]:
        """For tables whose rows belong to rows of another one: ids there of people whose data is held, of all months.

        Where a slice of the other table cannot be read, why: then nobody can tell whose rows they are.
        """
        if not expiry.held:
            return {}
        found: dict[str, set[int] | StorageError] = {}
        for name in sorted({link[1] for table in self._tables.values() if (link := owner_link(table))}):
            try:
                found[name] = rows_in_lake(
                    self._lake, self._installation.catalogue, keys, name, lambda _ids: expiry.held
                )
            except StorageError as error:
                found[name] = error
        return found

    def search(self, done: Retained) -> None:
        """Search every byte for values that were removed and that no row has any more."""
        names = {text for text in self._names if len(text) >= INSIDE_FROM}
        notes = {text for text in self._notes if len(text) >= INSIDE_FROM} - names
        done.values = len(names | notes)
        readable = []
        for key in self._lake.slices():
            if key.full_name not in self._tables:
                continue
            # A damaged slice is an error of its own, and its file is searched as it is.
            with suppress(DamagedSliceError):
                rows = self._lake.read(key)
                readable.append(key)
                for name in rows.schema.names:
                    there = texts_in(rows.column(name))
                    names -= there
                    notes -= there
        done.shared = done.values - len(names | notes)
        chosen = {*sorted(names | notes, key=lambda text: (text in notes, -len(text)))[:_MOST_SEARCHED]}
        others = occurrences(self._installation, readable, chosen)
        done.shared += len(others.values)
        done.mentions = {place: len(found & names) for place, found in others.typed.items() if found & names}
        found = scan(self._installation, chosen - others.values)
        done.searched, done.files = len(chosen - others.values), found.files
        done.places, done.unreadable = found.places, found.unreadable


def _taken_texts(before: pa.Table, found: Expired, table: Table, classes: Collection[str]) -> set[str]:
    """Texts of columns of some privacy classes that are in the rows before, and not in those after."""
    texts: set[str] = set()
    for column in table.columns:
        if column.privacy in classes and column.name in before.schema.names:
            texts |= texts_in(before.column(column.name)) - texts_in(found.rows.column(column.name))
    return texts
