"""Publishes the lake to `warehouse.duckdb`: copy the file, write changed slices, check, rename.

It does not write into the file itself, because DuckDB allows one writing process and readers block it (of twelve concurrent
writers eleven failed). Readers keep the file they opened until they connect again, so nobody sees half a publication.

Slices of one run appear together: those of runs in progress are left for later. The file is rebuilt from the whole lake if a
copy could keep what must be removed: when the privacy policy became stricter, when somebody was forgotten, or when another
program edited the file.

A slice that cannot be used (damaged, unreadable, lost) is reported as a problem; its previous rows stay, and the rest is
published. The publication is refused if rows would be lost that exist nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from planday_io.errors import DamagedSliceError, PublicationError, StorageError
from planday_io.files import copy_content, replacing, storage_errors, sweep
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.freezing import Frozen, frozen, sweep_frozen
from planday_io.lake.history import Histories
from planday_io.lake.installation import Installation
from planday_io.lake.policies import adapt, outdated
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.slices import SliceKey
from planday_io.lake.upgrade import upgrade
from planday_io.warehouse import ledger, pace, settings
from planday_io.warehouse.definitions import fingerprint
from planday_io.warehouse.filling import Slices, derived_tables, fill
from planday_io.warehouse.losses import Losses
from planday_io.warehouse.place import Holder, Place, headers_of
from planday_io.warehouse.recovery import recover
from planday_io.warehouse.standing import Standing, explained, standing


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of a publication.

    Args:
        changed: slices that were replaced; none if the warehouse was current.
        tables: of those slices, as `schema.name` in the warehouse.
        rows: of those slices.
        notices: messages about the file for people, such as edits by another program.
        problems: unusable slices, and why. Their previous rows stay.
        is_redefined: the file was renewed without a changed slice, say because tables, views or settings are new.
    """

    changed: tuple[SliceKey, ...]
    tables: frozenset[str]
    rows: int
    seconds: float
    is_rebuild: bool
    notices: tuple[str, ...] = ()
    problems: dict[SliceKey, StorageError] = field(default_factory=dict)
    is_redefined: bool = False

    @property
    def slices(self) -> int:
        return len(self.changed)


def publish(
    installation: Installation,
    *,
    rebuild: bool = False,
    compare_all: bool = False,
    forgetting: bool = False,
    removed_portal: str = "",
) -> Publication:
    """Bring the warehouse file up to date with the lake.

    One process publishes at a time; a process that waited finds its slices published and does nothing.

    Args:
        installation: slices of tables that its catalogue lacks are left alone; values that its privacy policy no longer
            allows are removed from slices first.
        rebuild: write a new file from the whole lake, including slices of runs in progress and without what the lake no
            longer has, whatever file is there.
        compare_all: compare every slice, not only those known to have changed.
        forgetting: write a new file because data was removed from the lake: no copy of the previous file may stay, and
            nothing else may be missing.
        removed_portal: key of a portal that was removed or renamed. Nothing else may be missing then.

    Raises:
        PublicationError: the file is unchanged.
    """
    began = time.monotonic()
    try:
        with installation.state.locks.hold(pace.LOCK):
            alone_since = time.monotonic()
            publisher = _Publisher(installation, rebuild=rebuild, forgetting=forgetting, removed_portal=removed_portal)
            slices, is_rebuild = publisher.publish(compare_all=compare_all)
            if publisher.is_renewed and not is_rebuild:
                # It was renewed, whether or not that can be noted.
                with suppress(StorageError):
                    pace.note(installation.state, time.monotonic() - alone_since)
    except PublicationError:
        raise
    except StorageError as error:
        raise PublicationError(f"{installation.config.warehouse} was not renewed: {error}") from None
    rows, seconds = sum(one.provenance.kept for one in slices.values()), time.monotonic() - began
    tables = frozenset(installation.catalogue.published_name(key.full_name) for key in slices)
    return Publication(
        tuple(slices),
        tables,
        rows,
        seconds,
        is_rebuild,
        tuple(publisher.notices),
        dict(publisher.losses.problems),
        is_redefined=publisher.is_renewed and not slices and not is_rebuild,
    )


class _Publisher:
    """One publication. Create and use it within the publication lock."""

    def __init__(self, installation: Installation, *, rebuild: bool, forgetting: bool, removed_portal: str) -> None:
        lake, catalogue, policies = installation.lake, installation.catalogue, installation.config.privacy
        self.notices: list[str] = []
        self.is_renewed = False
        self._installation = installation
        self._lake = lake
        self._place = Place(installation.config.warehouse)
        self._state = installation.state
        self._catalogue = catalogue
        self._derived = derived_tables(catalogue)
        self._policies = policies
        self._rebuild = rebuild or forgetting
        self._accepts_loss = rebuild and not removed_portal
        self._forgetting = forgetting
        self._removed_portal = removed_portal
        self._keeps = ""
        self._again: set[SliceKey] = set()
        if self._accepts_loss:
            lake.accept()
        else:
            lake.require()
        with suppress(StorageError):  # A lake that nobody may write to is published nevertheless.
            sweep_frozen(lake)
        self._people = ForgottenPeople(lake.root, lake.state)
        self.notices += upgrade(lake, catalogue, policies, self._people)
        self._people.keep_copies()
        self._histories = Histories(lake, catalogue, installation.config)
        self._wanted = ledger.Published(
            fingerprint(catalogue, policies),
            ledger.privacy_of(policies),
            self._people.fingerprint(),
            settings.fingerprint_of(installation.config.portals),
        )

    def publish(self, *, compare_all: bool) -> tuple[Slices, bool]:
        """Publish. Returns the slices that were replaced, and whether the file is new."""
        if self._place.holder() is None:
            self._report_logs(self._place.set_aside_logs(), None)
        with self._standing() as current:
            is_rebuild = self._must_rebuild(current) or self._rebuild
            self._check_people()
            if current is not None and not self._accepts_loss:
                self._recover_slices(current, compare_all=compare_all)
            self._follow_histories()
            lost = self.losses.lost()
            # A rebuild must include slices of running runs: their predecessors no longer exist.
            takes_held = self._rebuild or (is_rebuild and current is not None)
            keys = self._candidates(current, is_rebuild=is_rebuild, compare_all=compare_all, takes_held=takes_held)
            with frozen(self._lake, (key for key in keys if key not in lost)) as there:
                self._adapt(there)
                unusable = there.unusable
                damaged = [key for key, error in unusable.items() if isinstance(error, DamagedSliceError)]
                self.losses.problems.update(unusable)
                if damaged:
                    # The slice is checked again until its file is intact: a damaged file remains a problem.
                    self._lake.publish_again(damaged)
                usable = self._without_held([*there.slices], takes_held=takes_held)
                usable = [key for key in usable if self.losses.is_current(key, there.entries[key])]
                carried = [key for key in unusable if is_rebuild and current and self._may_carry(key, current)]
                slices = {
                    key: there.slices[key] for key in usable if is_rebuild or not self._is_shown(key, there, current)
                }
                if is_rebuild:
                    self.losses.refuse_loss({*slices, *damaged, *carried})
                if is_rebuild or slices or current is None or current.made != self._wanted:
                    self._renew(current, slices, carried, is_rebuild=is_rebuild)
                self._lake.published({key: there.entries[key] for key in usable})
            for key in damaged if self._accepts_loss else ():
                self._lake.give_up(key)
        return slices, is_rebuild

    @contextmanager
    def _standing(self) -> Iterator[Standing | None]:
        """The present file; None if there is none, or if it may be replaced in any case."""
        found = None
        with ExitStack() as stack:
            if os.path.lexists(self._place.file):
                try:
                    found = stack.enter_context(
                        standing(self._place, self._state, self._catalogue, self._policies, self._wanted)
                    )
                except PublicationError:
                    if not self._rebuild:
                        raise
                    self._keeps = "The previous file, which was not a warehouse or was damaged,"
            self.losses = Losses(
                self._installation, found, accepts=self._accepts_loss, removed_portal=self._removed_portal
            )
            if found is not None and found.made is not None:
                self.losses.refuse_another_lake()
            yield found

    def _check_people(self) -> None:
        for portal in self._people.portals():
            try:
                self._people.of(portal)
            except StorageError as error:
                self.losses.problems[SliceKey("forgotten", "people", portal)] = error

    def _recover_slices(self, current: Standing, *, compare_all: bool) -> None:
        """Restore histories and feeds whose files are older than what the present file shows, from that file."""
        owed = filter(None, map(self._histories.key, self._histories.owed()))
        keys = [
            key
            for key in self._lake.older_than_published(None if compare_all else owed)
            if self._may_carry(key, current)
        ]
        notices, problems = recover(self._installation, keys, current, self._wanted)
        self.notices += notices
        self.losses.problems.update(problems)

    def _follow_histories(self) -> None:
        for key in self._histories.owed():
            try:
                with self._lake.locked(key):
                    self._histories.follow(key)
            except StorageError as error:
                self.losses.problems[self._histories.key(key) or key] = error

    def _candidates(
        self, current: Standing | None, *, is_rebuild: bool, compare_all: bool, takes_held: bool
    ) -> list[SliceKey]:
        keys = self._known_tables([*(self._lake.slices() if is_rebuild else self._lake.pending())])
        if current is not None and not is_rebuild:
            changed = self.losses.changed() if compare_all else {}
            keys = self._known_tables([*dict.fromkeys([*keys, *changed])])
            # A row left out in favour of another month may be needed again when either month is replaced.
            touched = {(self._endpoint(key), key.portal) for key in keys if key.month and changed.get(key, True)}
            doubled = self._known_tables([key for key, shown in current.shown.items() if shown.elsewhere])
            self._again = {key for key in doubled if (self._endpoint(key), key.portal) in touched}
            keys = [*dict.fromkeys([*keys, *self._again])]
        return self._without_held(self._without_renames(keys, is_rebuild=is_rebuild), takes_held=takes_held)

    def _adapt(self, there: Frozen) -> None:
        """Carry out stricter policies, and give files today's columns, where frozen slices need it. They are frozen again."""
        changed = []
        for key in outdated(self._catalogue, self._policies, there.slices):
            try:
                with suppress(DamagedSliceError):  # reported when it is frozen again
                    adapt(self._lake, self._catalogue, self._policies, [key])
                changed.append(key)
            except StorageError as error:
                there.leave_out(key, error)
        there.freeze(changed)

    def _is_shown(self, key: SliceKey, there: Frozen, current: Standing | None) -> bool:
        """Whether the file already shows a slice as it is frozen."""
        shown = current.shown.get(key) if current is not None and key not in self._again else None
        return shown is not None and shown.slice_id == there.entries[key].slice_id != ""

    def _known_tables(self, keys: list[SliceKey]) -> list[SliceKey]:
        return [key for key in keys if key.full_name in self._catalogue.lake_tables]

    def _without_held(self, keys: list[SliceKey], *, takes_held: bool) -> list[SliceKey]:
        held = set() if takes_held else self._lake.held()
        return [key for key in keys if key not in held]

    def _without_renames(self, keys: list[SliceKey], *, is_rebuild: bool) -> list[SliceKey]:
        """Leave out slices of portals with an unfinished rename: readers see all of a portal's slices under one name, once.

        A new file includes them, each under its present name.
        """
        pairs = unfinished_renames(self._lake.root)
        moved = {portal for pair in pairs for portal in pair}
        if not is_rebuild:
            return [key for key in keys if key.portal not in moved]
        names = dict(pairs)
        there = set(keys)
        return [key for key in keys if replace(key, portal=names.get(key.portal, "")) not in there]

    def _must_rebuild(self, current: Standing | None) -> bool:
        if current is None:
            return True
        if current.is_edited:
            self.notices.append(
                f"{self._place.path} is not as it was published: another program edited it. It is written again from the lake"
            )
            self._keeps = "The edited file"
        made = current.made
        return (
            made is None or current.is_edited or not current.is_known or current.is_retyped or self._must_hide(current)
        )

    def _must_hide(self, current: Standing) -> bool:
        """Whether the file may hold data that must be removed, so that no copy of it may be kept."""
        made = current.made
        return made is not None and (made.is_looser_than(self._policies) or made.forgotten != self._wanted.forgotten)

    def _may_carry(self, key: SliceKey, current: Standing) -> bool:
        """Whether the present file's rows of a damaged slice can be copied."""
        return (
            key in current.shown
            and key.portal != self._removed_portal
            and current.made is not None
            and not current.is_edited
            and not self._must_hide(current)
        )

    def _endpoint(self, key: SliceKey) -> str:
        """What slices of the same rows have in common; versions of a history may rightly be in several months."""
        if key.full_name in self._derived:
            return key.full_name
        return self._catalogue.endpoint_of(key.full_name).name

    def _renew(self, current: Standing | None, slices: Slices, carried: list[SliceKey], *, is_rebuild: bool) -> None:
        place = self._place
        holder = place.holder()
        must_hide = self._forgetting or (current is not None and self._must_hide(current))
        with storage_errors(place.path, "renew the warehouse"):
            place.file.parent.mkdir(parents=True, exist_ok=True)
            sweep(place.file.parent)
            with replacing(place.path) as temporary:
                self._prepare(temporary, current, is_rebuild=is_rebuild)
                wal = temporary.with_name(temporary.name + ".wal")
                try:
                    previous = current.source if current is not None else None
                    fill(self._installation, temporary, slices, self._wanted, previous=previous, carried=carried)
                    if wal.exists():
                        raise PublicationError(f"{place.path} was not renewed: a write-ahead log remained")
                except duckdb.Error as error:
                    raise explained(error, place.path) from None
                finally:
                    wal.unlink(missing_ok=True)
                # Flushed now, so that the flush before the rename has nothing left to wait for.
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                built = headers_of(temporary)
                # Note the present file's headers as well: a kill before the rename leaves that file in place.
                present = [current.headers] if current is not None and not current.is_edited else []
                self._state.files.note_warehouse([*present, built])
                if self._keeps and not must_hide:
                    self.notices.append(f"{self._keeps} was kept as {place.keep_copy().name}")
                # Before the rename: until then readers see the previous publication, as it was published.
                moved = place.set_aside_logs()
        self.is_renewed = True
        self._settle(built, moved, holder)
        if must_hide:
            self._remove_set_aside()

    def _remove_set_aside(self) -> None:
        """Remove copies that were set aside: they may hold data removed from warehouse and lake."""
        files = [*self._place.set_aside(), *self._lake.files_set_aside()]
        for file in files:
            with storage_errors(file, "remove a file that was set aside"):
                file.unlink(missing_ok=True)
        if files:
            self.notices.append(
                f"{len(files)} files that had been set aside were removed, because they may hold data that must be removed: "
                + ", ".join(file.name for file in files)
            )

    def _prepare(self, temporary: Path, current: Standing | None, *, is_rebuild: bool) -> None:
        """Make the new file a copy of the present one, or remove it, so that an empty one is made."""
        if is_rebuild or current is None:
            temporary.unlink()
        elif current.holder is not None:
            current.source.replace(temporary)
        else:
            copy_content(current.source, temporary)

    def _settle(self, built: str, moved: list[Path], holder: Holder | None) -> None:
        """Check the file under its final name: it is the one that was built, and readers find no log to apply to it."""
        place = self._place
        for _ in range(5):
            # A program that has the previous file open may create a log beside the new one at any time.
            moved += place.set_aside_logs()
            if headers_of(place.file) != built:
                break
            if not place.logs():
                self._state.files.note_warehouse([built])
                self._report_logs(moved, holder)
                return
        raise PublicationError(
            f"{place.path} was renewed, but {holder or 'another program'} changes it faster than its edits can be set "
            "aside: close that program, then run `planday publish`"
        )

    def _report_logs(self, moved: Iterable[Path], holder: Holder | None) -> None:
        names = ", ".join(path.name for path in moved)
        if names:
            self.notices.append(
                f"Another program{f', {holder},' if holder else ''} edited {self._place.path}. Its edits were set aside "
                f"as {names}, and readers see what was published"
            )
        if holder:
            self.notices.append(
                f"{holder} has the previous {self._place.path.name} open for writing, which keeps others from opening "
                "it. Close it, and open the file read-only"
            )
