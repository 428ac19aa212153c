"""Forgetting a person, or a portal: removes it from the lake, its histories and the published file, and verifies that.

A person's own records are deleted. In rows about their work (shifts, punches, payments) a pseudonym replaces the id and
other personal data is removed, so that sums stay. Then every byte of the lake and the warehouse is searched for what was
known about the person. The list of forgotten people (`planday_io.lake.forgotten`) keeps later reads from bringing it back.

Texts that others typed about the person are removed where they are found, and reported; a later read may bring them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Catalogue, Table
from planday_io.errors import ConfigError
from planday_io.files import storage_errors, sweep
from planday_io.frames.types import replaced
from planday_io.lake.forgotten import Forgotten, ForgottenPeople
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.installation import Installation
from planday_io.lake.persons import PERSONAL, is_in, owner_link, rows_in_lake
from planday_io.lake.slices import Lake, SliceKey
from planday_io.privacy.scanning import INSIDE_FROM, NAMES, as_words, scan, texts_in
from planday_io.state import REBUILD
from planday_io.warehouse import Report, publish, unreported

if TYPE_CHECKING:
    from planday_io.state.unfinished import Work

_SHORTEST = 3


@dataclass(slots=True)
class Forgetting:
    """The result of forgetting. Counts and names of tables only.

    Args:
        removed: table, as the warehouse calls it -> rows that were deleted.
        kept: table -> rows that stay under a pseudonym.
        mentions: table -> rows about others from which a value was removed.
        values: how many values of the person were looked for.
        files: how many files were searched.
        places: where one of them was still found.
        is_partly_blind: whether an interrupted attempt had already deleted records of the person; values that were only
            in those were not searched for.
    """

    removed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    mentions: dict[str, int] = field(default_factory=dict)
    values: int = 0
    files: int = 0
    places: list[str] = field(default_factory=list)
    is_partly_blind: bool = False


_OWN_RECORDS = "own records"
"""Step of forgetting a person after which it is no longer known what to look for."""


def command(portal: str, employee_id: int | None = None, *, undo: bool = False) -> str:
    """The command that forgets a portal or a person, or undoes that, as typed."""
    person = f" --employee {employee_id}" if employee_id is not None else ""
    return f"planday forget --portal {portal}{person}{' --undo' if undo else ''}"


def forget_person(installation: Installation, portal: str, employee_id: int, report: Report = unreported) -> Forgetting:
    """Forget a person of a portal. Like `forget_people`, and raises ConfigError where `portals.yaml` holds the person."""
    _refuse_held(installation, portal, employee_id)
    return forget_people(installation, {portal: [employee_id]}, report)


def forget_people(
    installation: Installation, people: Mapping[str, Collection[int]], report: Report = unreported
) -> Forgetting:
    """Forget people, in the lake and in the warehouse, which is published once. Doing it twice does no harm.

    Args:
        installation: that has them.
        people: portal -> ids of employees, or pseudonyms of ids where the lake's list of that portal is there.
        report: called with the publication.

    Returns:
        What was done. If it names places, a value of a person is in a row about somebody else, and stays there.

    Raises:
        StorageError: the lake cannot be written. It is owed until it is run again, see `planday_io.state.unfinished`.
    """
    config, lake = installation.config, installation.lake
    for portal in people:
        PortalIdentities(installation).refuse_while_renamed(portal)
    done = Forgetting()
    values: set[str] = set()
    with ExitStack() as stack:
        works = {
            (portal, number): stack.enter_context(
                installation.state.commands.carry_out(
                    command(portal, number), [portal], supersedes=[command(portal, number, undo=True)]
                )
            )
            for portal, numbers in people.items()
            for number in sorted(numbers)
        }
        for portal, numbers in people.items():
            with storage_errors(config.lake, f"forget a person of portal '{portal}' in"):
                lake.require()
                # From here on no read writes them any more; existing slices are cleaned afterwards.
                listed = ForgottenPeople(config.lake, installation.state).add(portal, *numbers)
                theirs = _People(lake, installation.catalogue, portal, listed, numbers)
                values |= theirs.remove([works[portal, number] for number in numbers], done)
        with storage_errors(config.lake, "forget people in"):
            sweep(config.lake, deep=True)
            _republish(installation, report)
            done.values = len(values)
            scanned = scan(installation, values)
            done.files, done.places = scanned.files, scanned.places
            done.places += [f"{name}, perhaps: it cannot be decoded" for name in scanned.unreadable]
    return done


def remember_person(installation: Installation, portal: str, employee_id: int, report: Report = unreported) -> bool:
    """Stop forgetting a person: later reads include them again. Returns whether they were forgotten."""
    config = installation.config
    PortalIdentities(installation).refuse_while_renamed(portal)
    with installation.state.commands.carry_out(
        command(portal, employee_id, undo=True), [portal], supersedes=[command(portal, employee_id)]
    ) as work:
        was = ForgottenPeople(config.lake, installation.state).remove(portal, employee_id)
        if was or work.is_resumed:
            _republish(installation, report)
    return was or work.is_resumed


def _refuse_held(installation: Installation, portal: str, employee_id: int | None = None) -> None:
    """Refuse to remove people whose data `portals.yaml` keeps: nothing brings it back."""
    settings = installation.config.portals.get(portal)
    held = {*settings.retention.hold} if settings else set[int]()
    if held if employee_id is None else employee_id in held:
        who = "people" if employee_id is None else f"employee {employee_id}"
        raise ConfigError(
            f"`hold` of portal '{portal}' in portals.yaml keeps {who} of it, because of a dispute, say. When that is over, "
            "take the id out there, and run this again. Nothing was removed"
        )


def forget_portal(installation: Installation, portal: str, report: Report = unreported) -> dict[str, int]:
    """Remove everything of a portal from lake, state and warehouse. Returns table -> slices removed.

    The portal need not be in the configuration. It is owed until it is done, see `planday_io.state.unfinished`.

    Raises:
        ConfigError: `portals.yaml` holds people of the portal.
    """
    _refuse_held(installation, portal)
    config, lake, journal = installation.config, installation.lake, installation.state.commands
    identities = PortalIdentities(installation)
    identities.refuse_while_renamed(portal)
    # Nothing is left of the portal afterwards, so commands about its people, tokens and key have nothing left to do.
    others = [entry.command for entry in journal.unfinished() if entry.portals == (portal,)]
    with (
        journal.carry_out(command(portal), [portal], supersedes=others),
        storage_errors(config.lake, f"remove portal '{portal}' from"),
    ):
        lake.require()
        # This comes first, so that a run that is reading the portal now writes nothing of it afterwards.
        identities.forget(portal)
        keys = lake.slices(portal=portal)
        installation.state.slices.remove(keys)
        for key in keys:
            with lake.locked(key):
                lake.remove(key)
        installation.state.forget_portal(portal)
        ForgottenPeople(config.lake, installation.state).drop(portal)
        sweep(config.lake, deep=True)
        _republish(installation, report, portal)
        return dict(Counter(installation.catalogue.published_name(key.full_name) for key in keys))


@dataclass(frozen=True, slots=True)
class _Values:
    """Texts known about the people only.

    Args:
        names: what identifies them: names, addresses, numbers.
        notes: texts typed about them.
    """

    names: set[str]
    notes: set[str]


class _People:
    """People in the slices of a portal, whose list of forgotten people has them already."""

    def __init__(
        self, lake: Lake, catalogue: Catalogue, portal: str, listed: Forgotten, numbers: Collection[int]
    ) -> None:
        self._lake = lake
        self._catalogue = catalogue
        self._people = Forgotten(listed.salt, frozenset(map(listed.pseudonym, numbers)))
        keys = (key for key in lake.slices(portal=portal) if key.full_name in catalogue.lake_tables)
        self.slices = sorted(keys, key=self.owns)
        """Their own records last: a second try after a kill still knows what to look for."""
        links = filter(None, map(owner_link, catalogue.lake_tables.values()))
        self._parents = {
            table: rows_in_lake(lake, catalogue, self.slices, table, self._people.ids_in)
            for table in {table for _, table in links}
        }
        """For tables whose rows belong to rows of another table: ids of their rows there."""

    def owns(self, key: SliceKey) -> bool:
        """Whether a slice is of a table of people's own records."""
        return any(one.role == "owner" for one in self._catalogue.lake_tables[key.full_name].people)

    def _parents_of(self, table: Table) -> tuple[str, set[int]] | None:
        """If the rows belong to another table's rows: the column that names those, and theirs among them."""
        link = owner_link(table)
        return (link[0], self._parents[link[1]]) if link else None

    def _rows_of(self, rows: pa.Table, table: Table) -> pa.Array:
        """Which rows belong to them."""
        mask = pa.repeat(pa.scalar(value=False), rows.num_rows)
        belongs = [
            (one.column, {*self._people.ids_in(rows.column(one.column))}) for one in table.people if one.role != "actor"
        ]
        for column, ids in [*belongs, *filter(None, [self._parents_of(table)])]:
            mask = pc.or_(mask, is_in(rows.column(column), ids))
        return mask

    def values(self) -> _Values:
        """The values to search for. A text that others have as well (a first name) does not identify anybody."""
        names, notes, signed, others, typed = (set[str]() for _ in range(5))
        for key in self.slices:
            table = self._catalogue.lake_tables[key.full_name]
            rows = self._lake.read(key)
            is_theirs = self._rows_of(rows, table)
            own, rest = rows.filter(is_theirs), rows.filter(pc.invert(is_theirs))
            for column in table.columns:
                if column.name not in rows.schema.names:
                    continue
                is_note = column.privacy == "free_text"
                if column.privacy in PERSONAL:
                    (notes if is_note else names).update(texts_in(own.column(column.name)))
                (typed if is_note else others).update(texts_in(rest.column(column.name)))
            for person in (one for one in table.people if one.role == "actor"):
                acted = rows.filter(is_in(rows.column(person.column), self._people.ids_in(rows.column(person.column))))
                for name in (one for one in person.texts if table.column(one).privacy == "identity"):
                    signed |= texts_in(acted.column(name))
        # A text that others typed may be about the person, so it removes a name from the search only if the name is
        # short.
        others -= signed
        names = {one for one in (names | signed) - others if len(one) >= INSIDE_FROM or one not in typed}
        return _Values(
            {one for one in names if len(one) >= _SHORTEST},
            {one for one in notes - others - typed - names if len(one) >= _SHORTEST},
        )

    def remove(self, works: Collection[Work], done: Forgetting) -> set[str]:
        """Remove them from all slices. Returns the values to search for."""
        done.is_partly_blind |= any(work.step == _OWN_RECORDS for work in works)
        values = self.values()
        for key in self.slices:
            for work in works if self.owns(key) else ():
                if work.step != _OWN_RECORDS:
                    work.reach(_OWN_RECORDS)
            self.clean(key, values.names, done)
        return values.names | values.notes

    def clean(self, key: SliceKey, names: set[str], done: Forgetting) -> None:
        """Remove them from one slice."""
        table = self._catalogue.lake_tables[key.full_name]
        with self._lake.locked(key):
            provenance = self._lake.provenance(key)
            if provenance is None:
                return
            before = self._lake.read(key)
            parents = self._parents_of(table)
            rows = self._people.applied(before, table, parents[1] if parents else ())
            theirs = int(pc.sum(self._rows_of(before, table)).as_py() or 0)
            gone = before.num_rows - rows.num_rows
            rows, mentions = _without_mentions(rows, table, names)
            for counts, count in ((done.removed, gone), (done.kept, theirs - gone), (done.mentions, mentions)):
                if count > 0:
                    counts[table.published_name] = counts.get(table.published_name, 0) + count
            covered = dict(provenance.covered)
            if any(person.column == table.key[0] for person in table.people):
                # The table fans out over employees.
                covered = {
                    name: digest for name, digest in covered.items() if not self._people.holds(int(name.split("/")[0]))
                }
            if not rows.equals(before) or covered != provenance.covered:
                self._lake.write(key, rows, replace(provenance, covered=covered))


def _without_mentions(rows: pa.Table, table: Table, names: set[str]) -> tuple[pa.Table, int]:
    """Remove what names the person from texts about others. Returns the rows and how many cells were emptied.

    A typed text is emptied if it contains a longer value as words; a name of somebody else only if it equals the value.
    """
    words = as_words(names)
    if not words:
        return rows, 0
    emptied = 0
    for column in table.columns:
        if column.privacy not in PERSONAL or column.name not in rows.schema.names:
            continue
        kind = rows.schema.field(column.name).type
        is_list = pa.types.is_list(kind)
        if not pa.types.is_string(kind.value_type if is_list else kind):
            continue
        texts = rows.column(column.name)
        texts = pc.binary_join(texts, "\n") if is_list else texts
        if column.privacy in NAMES:
            hit = pc.is_in(texts, pa.array(sorted(one for one in names if len(one) >= INSIDE_FROM), pa.string()))
        else:
            hit = pc.fill_null(pc.match_substring_regex(texts, words), fill_value=False)
        if count := int(pc.sum(hit).as_py() or 0):
            emptied += count
            rows = replaced(rows, column.name, pc.if_else(hit, pa.scalar(None, kind), rows.column(column.name)))
    return rows, emptied


def _republish(installation: Installation, report: Report, portal: str = "") -> None:
    with installation.state.locks.hold("publish"):
        sweep(installation.config.warehouse.parent)
    report(publish(installation, forgetting=True, removed_portal=portal))
    installation.state.commands.settle([REBUILD])
