"""People to forget: recognising them without storing their ids, and changing their rows.

The lake holds a salt and a list of pseudonyms per portal. A person is forgotten if the pseudonym of their id is listed; it
also replaces the id in rows that are kept for totals. Pseudonyms are negative, so they cannot be ids of Planday's.

Applied to everything that is read and again, under the slice's lock, to everything that is written, so that a run does not
bring back people who are forgotten during the run. Slices already in the lake are cleaned by
`planday_io.privacy.erasure`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Table
from planday_io.errors import DamagedFileError, StorageError
from planday_io.files import storage_errors, write_text
from planday_io.frames.types import replaced
from planday_io.lake.persons import PERSONAL, blanked, columns_of, is_in, owner_link
from planday_io.state import State
from planday_io.state.records import encoded, read_record


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The forgotten people of one portal; the salt is the portal's, hexadecimal."""

    salt: str = ""
    pseudonyms: frozenset[int] = frozenset()

    def pseudonym(self, employee_id: int) -> int:
        """The pseudonym of an id: a negative number. A pseudonym given as the id is returned unchanged."""
        if employee_id < 0:
            return employee_id
        digest = hmac.new(bytes.fromhex(self.salt), str(employee_id).encode(), hashlib.sha256).digest()
        return -1 - int.from_bytes(digest[:7], "big")

    def holds(self, employee_id: int) -> bool:
        return bool(self.salt) and self.pseudonym(employee_id) in self.pseudonyms

    def ids_in(self, column: pa.ChunkedArray) -> dict[int, int]:
        """The forgotten among the ids of a column, with their pseudonyms."""
        if not self.pseudonyms:
            return {}
        pairs = {number: self.pseudonym(number) for number in pc.unique(column).to_pylist() if number is not None}
        return {number: stand_in for number, stand_in in pairs.items() if stand_in in self.pseudonyms}

    def applied(self, rows: pa.Table, table: Table, parents: Collection[int] = ()) -> pa.Table:
        """The rows of a table without what must be forgotten.

        Where they belong to another table's rows, `parents` are ids there whose people are forgotten.
        """
        if not self.pseudonyms:
            return rows
        for person in table.people:
            gone = self.ids_in(rows.column(person.column))
            if not gone:
                continue
            is_theirs = is_in(rows.column(person.column), gone)
            match person.role:
                case "owner":
                    rows = rows.filter(pc.invert(is_theirs))
                case "worker":
                    rows = blanked(rows, is_theirs, columns_of(table, PERSONAL))
                    numbers = [gone.get(number, number) for number in rows.column(person.column).to_pylist()]
                    rows = replaced(rows, person.column, pa.array(numbers, pa.int64()))
                case "actor":
                    rows = blanked(rows, is_theirs, person.texts)
        if parents and (link := owner_link(table)):
            rows = blanked(rows, is_in(rows.column(link[0]), parents), columns_of(table, PERSONAL))
        return rows


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is in the file of a list; see `Forgotten`."""

    salt: str
    people: tuple[int, ...]


FORGOTTEN = "_forgotten"
"""The folder of the lists in a lake."""
_PORTAL = re.compile(r"[a-z0-9_]+")
_RESTORE = "Restore it from a backup, or remove it: the next run writes it again from the copy in the state database"


class ForgottenPeople:
    """The lists of one lake. Each has a copy in the state, which shows when the one in the lake became shorter."""

    def __init__(self, lake: Path, state: State) -> None:
        self._folder = lake / FORGOTTEN
        self._copies = state.forgotten
        self._locks = state.locks

    def of(self, portal: str) -> Forgotten:
        """The list of a portal. A missing list is written again from its copy.

        Raises:
            StorageError: it cannot be read, or people are missing from it. Then nothing may be written.
        """
        listed, copy = self._read(portal), self._copy_of(portal)
        if copy.salt and (listed.salt != copy.salt or not copy.pseudonyms <= listed.pseudonyms):
            # Lost, or another process changed one of the two in between.
            with self._locks.hold(f"forgotten.{portal}"):
                return self._restored(portal)
        return listed

    def _restored(self, portal: str) -> Forgotten:
        listed, copy = self._read(portal), self._copy_of(portal)
        if copy.salt and not listed.salt:
            self._write(portal, copy)
            return copy
        if copy.pseudonyms and (listed.salt != copy.salt or not copy.pseudonyms <= listed.pseudonyms):
            missing = len(copy.pseudonyms - listed.pseudonyms)
            raise StorageError(
                f"{self._path(portal)} lacks {missing} of the {len(copy.pseudonyms)} people of portal '{portal}' who "
                f"are to be forgotten, and nobody was removed from it with `planday forget --undo`. {_RESTORE}; until then "
                f"nothing of portal '{portal}' is written"
            )
        return listed

    def add(self, portal: str, *employee_ids: int) -> Forgotten:
        with self._locks.hold(f"forgotten.{portal}"):
            known = self._restored(portal)
            known = known if known.salt else Forgotten(secrets.token_hex(16))
            people = Forgotten(known.salt, known.pseudonyms | {*map(known.pseudonym, employee_ids)})
            # The list is written first: the copy is never longer than the list, whenever the process is killed.
            self._write(portal, people)
            self._copies.keep(portal, people.salt, people.pseudonyms)
            return people

    def put(self, portal: str, people: Forgotten) -> None:
        """Write the list of a portal in a lake that is being restored, so that nobody uses it yet. The state gets no copy."""
        with self._locks.hold(f"forgotten.{portal}"):
            self._write(portal, people)

    def remove(self, portal: str, employee_id: int) -> bool:
        """Remove a person from the list. Returns whether they were on it."""
        with self._locks.hold(f"forgotten.{portal}"):
            listed, copy = self._read(portal), self._copy_of(portal)
            # The copy is written first: it is never longer than the list, whenever the process is killed.
            if was_copied := copy.holds(employee_id):
                self._copies.keep(portal, copy.salt, copy.pseudonyms - {copy.pseudonym(employee_id)})
            if was_listed := listed.holds(employee_id):
                self._write(portal, Forgotten(listed.salt, listed.pseudonyms - {listed.pseudonym(employee_id)}))
            return was_copied or was_listed

    def drop(self, portal: str) -> None:
        """Remove a portal's list, together with the portal. Raises StorageError."""
        doing = "remove the list of forgotten people in"
        with self._locks.hold(f"forgotten.{portal}"), storage_errors(self._path(portal), doing):
            self._copies.forget(portal)
            self._path(portal).unlink(missing_ok=True)

    def keep_copies(self) -> None:
        """Copy lists that have no copy yet: those of a lake that this state sees for the first time."""
        for portal in sorted(self._listed() - {*self._copies.all()}):
            # A damaged list is reported when its portal is written.
            with self._locks.hold(f"forgotten.{portal}"), suppress(DamagedFileError):
                if not self._copy_of(portal).salt and (listed := self._read(portal)).salt:
                    self._copies.keep(portal, listed.salt, listed.pseudonyms)

    def portals(self) -> list[str]:
        """Portals that have a list, or had one."""
        return sorted({*self._listed(), *self._copies.all()})

    def rename(self, old: str, new: str) -> None:
        """Give a portal's list, salt included, and its copy to another key. Raises StorageError."""
        with self._locks.hold(f"forgotten.{old}"), storage_errors(self._path(old), "move"):
            if self._path(old).exists():
                self._path(old).replace(self._path(new))
            self._copies.rename(old, new)

    def fingerprint(self) -> str:
        """A text that changes when somebody is added to or removed from any list. Raises StorageError.

        A damaged list without a copy blocks writing its own portal, and blocks no publication.
        """
        copies = self._copies.all()
        lists = {}
        for portal in self.portals():
            copy = copies.get(portal)
            try:
                listed = self._read(portal)
            except DamagedFileError:
                listed = Forgotten("" if copy else "damaged")
            if listed.salt or copy:
                lists[portal] = sorted(listed.pseudonyms | (copy.pseudonyms if copy else frozenset()))
        return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()[:16] if lists else ""

    def _copy_of(self, portal: str) -> Forgotten:
        copy = self._copies.all().get(portal)
        return Forgotten(copy.salt, copy.pseudonyms) if copy else Forgotten()

    def _read(self, portal: str) -> Forgotten:
        file = self._path(portal)
        try:
            return _read_list(file)
        except DamagedFileError as error:
            remedy = _RESTORE if self._copy_of(portal).salt else "Restore it from a backup"
            raise DamagedFileError(
                f"{error}. {remedy}; until then nothing of portal '{portal}' is written", file
            ) from None

    def _write(self, portal: str, people: Forgotten) -> None:
        file = self._path(portal)
        with storage_errors(file, "write the list of forgotten people in"):
            write_text(file, encoded(_Stored(people.salt, tuple(sorted(people.pseudonyms)))))

    def _listed(self) -> set[str]:
        return {file.stem for file in _lists_in(self._folder)}

    def _path(self, portal: str) -> Path:
        return self._folder / f"{portal}.json"


def read_lists(folder: Path, *, skips_damaged: bool = False) -> dict[str, Forgotten]:
    """The lists in a folder, which is the `_forgotten` of a lake or a copy of it: portal -> people.

    Raises:
        DamagedFileError: one is damaged, and not skipped.
        StorageError: one cannot be read.
    """
    found = {}
    for file in _lists_in(folder):
        try:
            found[file.stem] = _read_list(file)
        except DamagedFileError as error:
            if not skips_damaged:
                raise DamagedFileError(f"{error}. Take another copy of it", file) from None
    return found


def _lists_in(folder: Path) -> list[Path]:
    """Files of lists. Those with other names are none: a copy, an editor's backup."""
    return sorted(file for file in folder.glob("*.json") if _PORTAL.fullmatch(file.stem))


def _read_list(file: Path) -> Forgotten:
    """A list; one without salt where there is no file. Raises DamagedFileError."""
    try:
        stored = read_record(file, _Stored, "the list of forgotten people") or _Stored("", ())
        bytes.fromhex(stored.salt)
    except (DamagedFileError, ValueError):
        raise DamagedFileError(f"{file} is damaged: it lists people to forget", file) from None
    return Forgotten(stored.salt, frozenset(stored.people))
