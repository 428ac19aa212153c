"""From the lake to `warehouse.duckdb`: a copy, the changed slices, checks, a rename.

Why not write into the file: DuckDB lets one process write, and a reader blocks it (of twelve concurrent writers eleven
failed). Readers keep the file they opened until they connect again, so nobody ever sees half a publication.

What one run wrote appears together: slices of runs in progress are left for later. A file is written anew, from the whole
lake, where a copy could keep what must be gone: when the privacy policy became stricter, when somebody was forgotten, or when
another program edited the file.

A slice that cannot be used (damaged, unreadable, lost) is left out and reported as a problem; its previous rows stay, and
the rest is published. Where that would take rows away that nothing else holds, the publication is refused.

    place: links, logs of other programs ─► standing: is the file ours, what does it show ─► filling: rows ─► rename ─► place

Not here: what a slice is (`planday_io.lake`), tables and marts (`definitions`), the ledger (`ledger`).
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

from planday_io.catalogue import Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import DamagedSliceError, PublicationError, StorageError
from planday_io.files import locked, replacing, storage_errors, sweep
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.history import Histories
from planday_io.lake.policies import tighten
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.slices import Lake, SliceKey
from planday_io.warehouse import filling, ledger
from planday_io.warehouse.definitions import fingerprint
from planday_io.warehouse.filling import Slices
from planday_io.warehouse.losses import Losses
from planday_io.warehouse.place import Holder, Place, headers_of
from planday_io.warehouse.standing import Record, Standing, attached, explained, standing


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publication did.

    Args:
        slices: how many slices were replaced; 0 when the warehouse was current.
        rows: of those slices.
        seconds: it took.
        is_rebuild: whether everything was written anew.
        notices: what people should know about the file, such as edits of another program.
        problems: slices that could not be used, and why. Their previous rows stay.
    """

    slices: int
    rows: int
    seconds: float
    is_rebuild: bool
    notices: tuple[str, ...] = ()
    problems: dict[SliceKey, StorageError] = field(default_factory=dict)


def publish(
    lake: Lake,
    warehouse: Path,
    *,
    catalogue: Catalogue,
    policies: PrivacyPolicy,
    state: Path,
    rebuild: bool = False,
    compare_all: bool = False,
    forgetting: bool = False,
    removed_portal: str = "",
) -> Publication:
    """Bring the warehouse file up to date with the lake.

    One process publishes at a time; one that waited finds its slices published by the other and does nothing.

    Args:
        lake: the record.
        warehouse: the file to renew, or a link to it.
        catalogue: the tables there are; slices of other tables are left alone.
        policies: what is stricter than a slice allows is taken out of it first.
        state: folder of locks.
        rebuild: write a new file from the whole lake, also with what runs in progress wrote so far, whatever file is there,
            and without what the lake no longer has.
        compare_all: look at every slice instead of those known to have changed.
        forgetting: write a new file because something was taken out of the lake: no copy of the previous one may stay, and
            nothing else may be missing.
        removed_portal: key of the portal that was taken out as a whole, or got another key. Nothing else may be missing then.

    Raises:
        PublicationError: the file is as it was before.
    """
    began = time.monotonic()
    try:
        with locked(state / "locks" / "publish.lock"):
            publisher = _Publisher(
                lake,
                warehouse,
                catalogue,
                policies,
                state,
                accepts_loss=rebuild and not removed_portal,
                hides=forgetting,
                removed_portal=removed_portal,
            )
            return publisher.publish(began, rebuild=rebuild or forgetting, compare_all=compare_all)
    except PublicationError:
        raise
    except StorageError as error:
        raise PublicationError(f"{warehouse} was not renewed: {error}") from None


class _Publisher:
    """One publication. Make and use it within the lock of publications."""

    def __init__(
        self,
        lake: Lake,
        warehouse: Path,
        catalogue: Catalogue,
        policies: PrivacyPolicy,
        state: Path,
        *,
        accepts_loss: bool,
        hides: bool,
        removed_portal: str,
    ) -> None:
        self._lake = lake
        self._place = Place(warehouse)
        self._record = Record(state)
        self._catalogue = catalogue
        self._policies = policies
        self._state = state
        self._accepts_loss = accepts_loss
        self._people = ForgottenPeople(lake.root, state)
        self._notices: list[str] = []
        self._losses = Losses(lake, warehouse, catalogue, accepts=accepts_loss, removed_portal=removed_portal)
        self._problems = self._losses.problems
        self._removed_portal = removed_portal
        self._hides = hides
        self._keeps = ""
        self._blocked: dict[SliceKey, StorageError] = {}
        if accepts_loss:
            lake.accept()
        else:
            lake.require()
        self._people.keep_copies()
        self._histories = Histories(lake, state, catalogue, policies)
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
            is_anew = self._must_be_anew(current) or rebuild
            self._follow_histories()
            lost = self._losses.lost(current)
            # What a run in progress replaced is in no other file now, so a new file takes it over.
            takes_held = rebuild or (is_anew and current is not None)
            keys = self._candidates(current, is_anew=is_anew, compare_all=compare_all, takes_held=takes_held)
            with self._lake.frozen(key for key in keys if key not in lost and key not in self._blocked) as frozen:
                unusable = frozen.unusable | self._blocked
                self._leave_out(unusable)
                slices = {key: one for key, one in frozen.slices.items() if takes_held or not self._lake.is_held(key)}
                slices = {key: one for key, one in slices.items() if self._losses.is_current(key, one[0], current)}
                carried = [key for key in unusable if is_anew and current and self._may_carry(key, current)]
                if is_anew:
                    kept = {key for key, error in unusable.items() if isinstance(error, DamagedSliceError)} | {*carried}
                    self._losses.refuse_loss(current, {*slices, *kept})
                else:
                    shown = {one.slice_id for one in current.shown.values()} if current and compare_all else ()
                    slices = {key: one for key, one in slices.items() if one[0].slice_id not in shown}
                    if not slices and current and current.made == self._wanted:
                        return self._done(began, {}, is_rebuild=False)
                self._renew(current, slices, carried, is_anew=is_anew)
                for key, (provenance, _) in slices.items():
                    self._lake.published(key, provenance)
            for key, found in unusable.items():
                if self._accepts_loss and isinstance(found, DamagedSliceError):
                    self._lake.give_up(key)
        return self._done(began, slices, is_rebuild=is_anew)

    def _done(self, began: float, slices: Slices, *, is_rebuild: bool) -> Publication:
        rows = sum(provenance.kept for provenance, _ in slices.values())
        seconds = time.monotonic() - began
        return Publication(len(slices), rows, seconds, is_rebuild, tuple(self._notices), dict(self._problems))

    @contextmanager
    def _standing(self, *, rebuild: bool) -> Iterator[Standing | None]:
        """The file that is there; None where there is none, or where it may be replaced whatever it is."""
        if not os.path.lexists(self._place.file):
            yield None
            return
        with ExitStack() as stack:
            found = None
            try:
                found = stack.enter_context(
                    standing(self._place, self._record, self._catalogue, self._policies, self._wanted)
                )
            except PublicationError:
                if not rebuild:
                    raise
                self._keeps = "The previous file, which was no warehouse or damaged,"
            if found is not None:
                self._losses.refuse_another_lake(found)
            yield found

    def _candidates(
        self, current: Standing | None, *, is_anew: bool, compare_all: bool, takes_held: bool
    ) -> list[SliceKey]:
        everything = is_anew or compare_all
        candidates = self._lake.slices() if everything else self._lake.pending()
        keys = [key for key in candidates if key.full_name in self._catalogue.lake_tables]
        keys = self._without_renames(keys, is_anew=is_anew)
        keys = [key for key in keys if takes_held or not self._lake.is_held(key)]
        for key in keys:
            try:
                tighten(self._lake, self._catalogue, self._policies, [key])
            except DamagedSliceError:
                # Reported where the slices are checked.
                continue
            except StorageError as error:
                self._blocked[key] = error
        if current is not None and not everything:
            # A row that was left out for that of another month may be wanted again when either is replaced.
            touched = {(self._endpoint(key), key.portal) for key in keys if key.month}
            keys += [key for key in current.doubled - set(keys) if (self._endpoint(key), key.portal) in touched]
        return keys

    def _without_renames(self, keys: list[SliceKey], *, is_anew: bool) -> list[SliceKey]:
        """Without slices of portals whose rename is not finished: readers see all of them under one name, and once.

        A new file takes them over, each under its present name.
        """
        pairs = unfinished_renames(self._lake.root)
        moved = {portal for pair in pairs for portal in pair}
        if not is_anew:
            return [key for key in keys if key.portal not in moved]
        names = dict(pairs)
        there = set(keys)
        return [key for key in keys if replace(key, portal=names.get(key.portal, "")) not in there]

    def _must_be_anew(self, current: Standing | None) -> bool:
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
        """Whether the file may hold what must not be in it any more: then no copy of it is kept, either."""
        made = current.made
        return made is not None and (made.is_looser_than(self._policies) or made.forgotten != self._wanted.forgotten)

    def _may_carry(self, key: SliceKey, current: Standing) -> bool:
        """Whether the rows that the present file shows of a damaged slice can be taken over."""
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
        for key, error in unusable.items():
            self._problems[key] = error
            if isinstance(error, DamagedSliceError):
                # Looked at again until it is whole: a damaged file stays a problem.
                self._lake.publish_again(key)

    def _endpoint(self, key: SliceKey) -> str:
        """What months of the same rows have in common; a history's versions stand in several of them rightly."""
        if key.full_name in self._catalogue.lake_tables and filling.is_derived(self._catalogue, key):
            return key.full_name
        return self._catalogue.endpoint_of(key.full_name).name

    def _renew(self, current: Standing | None, slices: Slices, carried: list[SliceKey], *, is_anew: bool) -> None:
        place = self._place
        holder = place.holder()
        made = self._wanted if is_anew or current is None or current.made != self._wanted else None
        must_hide = self._hides or (current is not None and self._must_hide(current))
        with storage_errors(place.path, "renew the warehouse"):
            place.file.parent.mkdir(parents=True, exist_ok=True)
            sweep(place.file.parent)
            with replacing(place.path) as temporary:
                previous = self._prepare(temporary, current, is_anew=is_anew)
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
                # From here to the rename it takes no time: what is on its way to the disk already is not waited for again.
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                built = headers_of(temporary)
                # Of the present file as well: a kill before the rename leaves it in its place.
                present = [current.headers] if current is not None and not current.is_edited else []
                self._record.note([*present, built])
                if self._keeps and not must_hide:
                    self._notices.append(f"{self._keeps} was kept as {place.keep_copy().name}")
                # Before the rename: until then readers see the previous publication, as it was published.
                moved = place.set_aside_logs()
        self._settle(built, moved, holder)
        if must_hide:
            self._remove_set_aside()

    def _remove_set_aside(self) -> None:
        """Copies that were set aside may hold what was taken out of the warehouse and the lake."""
        files = [*self._place.set_aside(), *self._lake.damaged_files()]
        for file in files:
            with storage_errors(file, "remove a file that was set aside"):
                file.unlink(missing_ok=True)
        if files:
            self._notices.append(
                f"{len(files)} files that had been set aside were removed, because they may hold what has to be gone: "
                + ", ".join(file.name for file in files)
            )

    def _prepare(self, temporary: Path, current: Standing | None, *, is_anew: bool) -> Path | None:
        """Begin the new file, as a copy or empty; then returns the previous one, where it can be read."""
        if is_anew or current is None:
            temporary.unlink()
            return current.source if current is not None else None
        if current.is_copy:
            current.source.replace(temporary)
        else:
            shutil.copyfile(current.source, temporary)
        return None

    def _settle(self, built: str, moved: list[Path], holder: Holder | None) -> None:
        """Look at the file under its own name, as a reader would: no log may be applied to it."""
        place = self._place
        for _ in range(5):
            # A program that has the previous file open may begin a log beside the new one at any time.
            moved += place.set_aside_logs()
            if place.headers() != built:
                break
            try:
                with attached(place.path) as db:
                    is_clean = filling.log_bytes(db) == 0
            except duckdb.Error:
                # Another program has opened it for writing in between; it can have changed nothing yet but a log.
                is_clean = not place.logs()
            if is_clean and not place.logs():
                self._record.note([built])
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
