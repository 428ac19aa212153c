"""Finds what the warehouse shows and the lake no longer has: reported, or refused if rows would be lost for good.

Damaged files are found in `planday_io.lake.parquet`, a missing lake in `planday_io.lake.presence`.
"""

from __future__ import annotations

from collections.abc import Collection

from planday_io.errors import PublicationError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.presence import lost_slice, older_slice, older_text
from planday_io.lake.renames import unfinished_renames
from planday_io.state import SliceEntry, SliceKey
from planday_io.warehouse.recovery import is_read_again
from planday_io.warehouse.standing import Standing


class Losses:
    """Compares the present file, if there is one, with its lake.

    Args:
        accepts: accept the loss of what the lake no longer has.
        removed_portal: key of a portal that was removed, or empty.
    """

    def __init__(
        self, installation: Installation, current: Standing | None, *, accepts: bool, removed_portal: str
    ) -> None:
        self._lake = installation.lake
        self._warehouse = installation.config.warehouse
        self._tables = installation.catalogue.lake_tables
        self._catalogue = installation.catalogue
        self._shown = current.shown if current is not None else {}
        self._accepts = accepts
        self._removed_portal = removed_portal
        self.problems: dict[SliceKey, StorageError] = {}
        """The problems found, by slice."""

    def lost(self) -> set[SliceKey]:
        """Slices that the file shows and the lake has no file for: reported, and their rows stay."""
        lost = {key for key in self._needed() if not self._lake.has_file(key)}
        for key in sorted(lost, key=str):
            self.problems[key] = lost_slice(key, "the lake has no file for it")
        return lost

    def _needed(self) -> list[SliceKey]:
        """Slices that the file shows and that must not be lost."""
        if self._accepts:
            return []
        moving = {portal for pair in unfinished_renames(self._lake.root) for portal in pair} | {self._removed_portal}
        return [key for key in self._shown if key.full_name in self._tables and key.portal not in moving]

    def changed(self) -> dict[SliceKey, bool]:
        """True for slices that differ between file and lake, False for equal ones whose bytes are not verified yet."""
        there = self._lake.indexed(self._lake.slices())
        found = dict.fromkeys(there.unusable, True)
        for key, entry in there.entries.items():
            shown = self._shown.get(key)
            is_changed = shown is None or shown.slice_id != entry.slice_id
            if is_changed or not entry.is_verified:
                found[key] = is_changed
        return found

    def is_current(self, key: SliceKey, there: SliceEntry) -> bool:
        """Whether a slice is at least as new as in the file; one from a backup is not."""
        shown = None if self._accepts else self._shown.get(key)
        why = older_text(key, there, shown.slice_id, shown.read_at) if shown is not None else ""
        if why:
            self.problems[key] = older_slice(key, why, is_derived=not is_read_again(self._catalogue, key))
        return not why

    def refuse_loss(self, kept: Collection[SliceKey]) -> None:
        """Refuse a new file if it would lose rows that only the present one has."""
        gone = [key for key in self._needed() if key not in kept]
        if gone:
            first = min(gone, key=str)
            raise PublicationError(
                f"{self._warehouse} has to be written again from the lake, and of the slices that it shows {len(gone)} "
                f"are not there. {self.problems.get(first) or lost_slice(first, 'the lake has no file for it')}"
            )

    def refuse_another_lake(self) -> None:
        known: set[str] = set()
        for key in self._needed():
            number, portal = self._shown[key].portal_id, key.portal
            # Checking one slice per portal is enough.
            if not number or portal in known:
                continue
            try:
                provenance = self._lake.provenance(key)
            except StorageError:  # damaged or refused: reported when it is frozen
                continue
            if provenance is None:
                continue
            known.add(portal)
            if provenance.portal_id != number:
                raise PublicationError(
                    f"{self._warehouse} shows Planday portal {number} as '{portal}', and in {self._lake.root} '{portal}' is "
                    f"portal {provenance.portal_id}: they do not belong together. Correct `lake` or `warehouse` in "
                    "portals.yaml, or, if the lake is right, `planday publish --rebuild`. Nothing was changed"
                )
