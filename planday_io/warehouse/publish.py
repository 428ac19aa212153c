"""Publishes the lake to `warehouse.duckdb`: copy the file, write changed slices, check, rename.

It does not write into the file itself, because DuckDB allows one writing process and readers block it (of twelve concurrent
writers eleven failed). Readers keep the file they opened until they connect again, so nobody sees half a publication.

Slices of one run appear together: those of runs in progress are left for later. The file is rebuilt from the whole lake if a
copy could keep what must be removed: when the privacy policy became stricter, when somebody was forgotten, or when another
program edited the file.

A slice that cannot be used (damaged, unreadable, lost) is reported as a problem; its previous rows stay, and the rest is
published. The publication is refused if rows would be lost that exist nowhere else.

    place: links, logs of other programs ─► standing: is the file ours, what does it show ─► filling: rows ─► rename ─► place
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from planday_io.errors import DamagedSliceError, PublicationError, StorageError
from planday_io.files import replacing, storage_errors, sweep
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.history import Histories
from planday_io.lake.installation import Installation
from planday_io.lake.policies import tighten
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.slices import Frozen, SliceKey
from planday_io.warehouse import filling, ledger
from planday_io.warehouse.definitions import fingerprint
from planday_io.warehouse.filling import Slices
from planday_io.warehouse.losses import Losses
from planday_io.warehouse.place import Holder, Place, headers_of
from planday_io.warehouse.standing import Standing, attached, explained, standing


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of a publication.

    Args:
        changed: slices that were replaced; none if the warehouse was current.
        rows: of those slices.
        seconds: duration.
        is_rebuild: whether the file was rebuilt.
        notices: messages about the file for people, such as edits by another program.
        problems: unusable slices, and why. Their previous rows stay.
    """

    changed: tuple[SliceKey, ...]
    rows: int
    seconds: float
    is_rebuild: bool
    notices: tuple[str, ...] = ()
    problems: dict[SliceKey, StorageError] = field(default_factory=dict)

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
        with installation.state.locks.hold("publish"):
            publisher = _Publisher(
                installation,
                accepts_loss=rebuild and not removed_portal,
                hides=forgetting,
                removed_portal=removed_portal,
            )
            return publisher.publish(began, rebuild=rebuild or forgetting, compare_all=compare_all)
    except PublicationError:
        raise
    except StorageError as error:
        raise PublicationError(f"{installation.config.warehouse} was not renewed: {error}") from None


class _Publisher:
    """One publication. Create and use it within the publication lock."""

    def __init__(
        self,
        installation: Installation,
        *,
        accepts_loss: bool,
        hides: bool,
        removed_portal: str,
    ) -> None:
        lake, catalogue, policies = installation.lake, installation.catalogue, installation.config.privacy
        warehouse = installation.config.warehouse
        self._lake = lake
        self._place = Place(warehouse)
        self._state = lake.state
        self._catalogue = catalogue
        self._policies = policies
        self._accepts_loss = accepts_loss
        self._people = ForgottenPeople(lake.root, lake.state)
        self._notices: list[str] = []
        self._losses = Losses(lake, warehouse, catalogue, accepts=accepts_loss, removed_portal=removed_portal)
        self._problems = self._losses.problems
        self._removed_portal = removed_portal
        self._hides = hides
        self._keeps = ""
        self._blocked: dict[SliceKey, StorageError] = {}
        self._again: set[SliceKey] = set()
        if accepts_loss:
            lake.accept()
        else:
            lake.require()
        self._people.keep_copies()
        self._histories = Histories(lake, catalogue, policies)
        self._wanted = ledger.Published(
            fingerprint(catalogue, policies), ledger.privacy_of(policies), self._people.fingerprint()
        )

    def publish(self, began: float, *, rebuild: bool, compare_all: bool) -> Publication:
        if self._place.holder() is None:
            self._report_logs(self._place.set_aside_logs(), None)
        for portal in self._people.portals():
            try:
                self._people.of(portal)
            except StorageError as error:
                self._problems[SliceKey("forgotten", "people", portal)] = error
        with self._standing(rebuild=rebuild) as current:
            is_rebuild = self._must_rebuild(current) or rebuild
            self._follow_histories()
            lost = self._losses.lost(current)
            # A rebuild must include slices of running runs: their predecessors no longer exist.
            takes_held = rebuild or (is_rebuild and current is not None)
            keys = self._candidates(current, is_rebuild=is_rebuild, compare_all=compare_all, takes_held=takes_held)
            with self._lake.frozen(key for key in keys if key not in lost and key not in self._blocked) as frozen:
                unusable = frozen.unusable | self._blocked
                self._leave_out(unusable)
                there = self._without_held([*frozen.slices], takes_held=takes_held)
                there = [key for key in there if self._losses.is_current(key, frozen.entries[key], current)]
                carried = [key for key in unusable if is_rebuild and current and self._may_carry(key, current)]
                slices = {
                    key: frozen.slices[key] for key in there if is_rebuild or not self._is_shown(key, frozen, current)
                }
                if is_rebuild:
                    kept = {key for key, error in unusable.items() if isinstance(error, DamagedSliceError)} | {*carried}
                    self._losses.refuse_loss(current, {*slices, *kept})
                if is_rebuild or slices or current is None or current.made != self._wanted:
                    self._renew(current, slices, carried, is_rebuild=is_rebuild)
                self._lake.published(frozen, there)
            for key, found in unusable.items():
                if self._accepts_loss and isinstance(found, DamagedSliceError):
                    self._lake.give_up(key)
        return self._done(began, slices, is_rebuild=is_rebuild)

    def _done(self, began: float, slices: Slices, *, is_rebuild: bool) -> Publication:
        rows, seconds = sum(provenance.kept for provenance, _ in slices.values()), time.monotonic() - began
        return Publication(tuple(slices), rows, seconds, is_rebuild, tuple(self._notices), dict(self._problems))

    @contextmanager
    def _standing(self, *, rebuild: bool) -> Iterator[Standing | None]:
        """The present file; None if there is none, or if it may be replaced whatever it is."""
        if not os.path.lexists(self._place.file):
            yield None
            return
        with ExitStack() as stack:
            found = None
            try:
                found = stack.enter_context(
                    standing(self._place, self._state, self._catalogue, self._policies, self._wanted)
                )
            except PublicationError:
                if not rebuild:
                    raise
                self._keeps = "The previous file, which was no warehouse or damaged,"
            if found is not None:
                self._losses.refuse_another_lake(found)
            yield found

    def _candidates(
        self, current: Standing | None, *, is_rebuild: bool, compare_all: bool, takes_held: bool
    ) -> list[SliceKey]:
        keys = self._lake.slices() if is_rebuild else self._lake.pending()
        if current is not None and not is_rebuild:
            changed = self._losses.changed(current) if compare_all else {}
            keys = self._known_tables([*dict.fromkeys([*keys, *changed])])
            # A row left out in favour of another month may be needed again when either month is replaced.
            touched = {(self._endpoint(key), key.portal) for key in keys if key.month and changed.get(key, True)}
            self._again = {key for key in current.doubled if (self._endpoint(key), key.portal) in touched}
            keys = [*dict.fromkeys([*keys, *self._again])]
        keys = self._without_renames(self._known_tables(keys), is_rebuild=is_rebuild)
        keys = self._without_held(keys, takes_held=takes_held)
        for key in keys:
            try:
                tighten(self._lake, self._catalogue, self._policies, [key])
            except DamagedSliceError:
                # Reported when the slices are checked.
                continue
            except StorageError as error:
                self._blocked[key] = error
        return keys

    def _is_shown(self, key: SliceKey, frozen: Frozen, current: Standing | None) -> bool:
        """Whether the file need not be renewed for a slice."""
        shown = current.shown.get(key) if current is not None and key not in self._again else None
        return shown is not None and shown.slice_id == frozen.entries[key].slice_id != ""

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
            self._notices.append(
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

    def _follow_histories(self) -> None:
        for key in self._histories.owed():
            try:
                with self._lake.locked(key):
                    self._histories.follow(key)
            except StorageError as error:
                self._problems[self._histories.key(key) or key] = error

    def _leave_out(self, unusable: dict[SliceKey, StorageError]) -> None:
        self._problems.update(unusable)
        # Checked again until it is intact: a damaged file remains a problem.
        damaged = [key for key, error in unusable.items() if isinstance(error, DamagedSliceError)]
        if damaged:
            self._lake.publish_again(damaged)

    def _endpoint(self, key: SliceKey) -> str:
        """What slices of the same rows have in common; versions of a history may rightly be in several months."""
        if key.full_name in self._catalogue.lake_tables and filling.is_derived(self._catalogue, key):
            return key.full_name
        return self._catalogue.endpoint_of(key.full_name).name

    def _renew(self, current: Standing | None, slices: Slices, carried: list[SliceKey], *, is_rebuild: bool) -> None:
        place = self._place
        holder = place.holder()
        made = self._wanted if is_rebuild or current is None or current.made != self._wanted else None
        must_hide = self._hides or (current is not None and self._must_hide(current))
        with storage_errors(place.path, "renew the warehouse"):
            place.file.parent.mkdir(parents=True, exist_ok=True)
            sweep(place.file.parent)
            with replacing(place.path) as temporary:
                previous = self._prepare(temporary, current, is_rebuild=is_rebuild)
                wal = temporary.with_name(temporary.name + ".wal")
                try:
                    work = filling.Filling(self._catalogue, self._policies, self._state)
                    work.check(temporary, work.write(temporary, slices, made, previous=previous, carried=carried))
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
                # The present file's headers as well: a kill before the rename leaves it in place.
                present = [current.headers] if current is not None and not current.is_edited else []
                self._state.files.note_warehouse([*present, built])
                if self._keeps and not must_hide:
                    self._notices.append(f"{self._keeps} was kept as {place.keep_copy().name}")
                # Before the rename: until then readers see the previous publication, as it was published.
                moved = place.set_aside_logs()
        self._settle(built, moved, holder)
        if must_hide:
            self._remove_set_aside()

    def _remove_set_aside(self) -> None:
        """Remove copies that were set aside: they may hold data removed from warehouse and lake."""
        files = [*self._place.set_aside(), *self._lake.damaged_files()]
        for file in files:
            with storage_errors(file, "remove a file that was set aside"):
                file.unlink(missing_ok=True)
        if files:
            self._notices.append(
                f"{len(files)} files that had been set aside were removed, because they may hold data that must be removed: "
                + ", ".join(file.name for file in files)
            )

    def _prepare(self, temporary: Path, current: Standing | None, *, is_rebuild: bool) -> Path | None:
        """Create the new file, as a copy or empty. If empty, return the previous file if it is readable."""
        if is_rebuild or current is None:
            temporary.unlink()
            return current.source if current is not None else None
        if current.is_copy:
            current.source.replace(temporary)
        else:
            shutil.copyfile(current.source, temporary)
        return None

    def _settle(self, built: str, moved: list[Path], holder: Holder | None) -> None:
        """Check the file under its final name, as a reader opens it: no log may be applied to it."""
        place = self._place
        for _ in range(5):
            # A program that has the previous file open may create a log beside the new one at any time.
            moved += place.set_aside_logs()
            if place.headers() != built:
                break
            try:
                with attached(place.path) as db:
                    is_clean = not filling.has_log(db)
            except duckdb.Error:
                # Another program opened it for writing in between; so far it can only have written a log.
                is_clean = not place.logs()
            if is_clean and not place.logs():
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
            self._notices.append(
                f"Another program{f', {holder},' if holder else ''} edited {self._place.path}. Its edits were set aside "
                f"as {names}, and readers see what was published"
            )
        if holder:
            self._notices.append(
                f"{holder} has the previous {self._place.path.name} open for writing, which keeps others from opening "
                "it. Close it, and open the file read-only"
            )
