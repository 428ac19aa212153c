"""Which Planday portal each key of the configuration stands for, recorded at its first run.

One key is one Planday portal and one Planday portal is one key. A token of another portal under an old key would mix
the rows of two companies, whose ids overlap (docs/decisions.md#portals-and-tokens). A second key for the same portal (a
copied token, a key that was renamed in portals.yaml, a consent given while logged in elsewhere) would double every
figure.

Every slice has the id as well: whatever is recorded, a lake takes rows of its own portals only. The record (`State.portals`)
binds a key before its first slice, and saves reading slices afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from planday_io.errors import PortalIdentityError, StorageError
from planday_io.lake.installation import Installation
from planday_io.lake.layout import folders_of, portals_in
from planday_io.lake.renames import unfinished_renames
from planday_io.lake.slices import SliceKey

_NO_DATA = "sync"
"""The domain of the log of runs. Failed runs are logged too, so a row there does not mean that the portal has data."""


class PortalIdentities:
    """The portal ids of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._config = installation.config
        self._lake = installation.lake

    def known(self, portal: str) -> int | None:
        """The id of a key: from its record, or from its slices where there is none. None for a new key."""
        return self._lake.state.portals.ids().get(portal) or self._in_slices(portal)

    def has_data(self, portal: str) -> bool:
        """Whether the lake holds any table of a key, other than the log of runs."""
        return next(self._data_of(portal), None) is not None

    def verify(self, portal: str, portal_id: int, *, remember: bool = True) -> None:
        """Check the id behind a token before anything is written under a key; `remember` records that of a new key.

        Raises:
            PortalIdentityError: the key stands for another portal, or another key stands for this portal.
        """
        self.refuse_while_renamed(portal)
        self._check_stated(portal, portal_id)
        if self._lake.state.portals.ids().get(portal) == portal_id and self._in_slices(portal) in (portal_id, None):
            self._check_others(portal, portal_id, is_new=False)
        elif not remember:
            self._check_new(portal, portal_id)
        else:
            # Under one lock: of two first runs for one portal, the second finds the first one's record.
            with self._lake.state.locks.hold("identities"):
                self._check_new(portal, portal_id)
                self._lake.state.portals.record(portal, portal_id)

    def confirm(self, portal: str, portal_id: int) -> None:
        """Check that a key still stands for the portal that was read. Call it within the lock of what is to be written.

        Raises:
            PortalIdentityError: the key was renamed, forgotten, or given another portal while the run was reading.
        """
        self.refuse_while_renamed(portal)
        if self.known(portal) != portal_id:
            raise PortalIdentityError(
                f"portal '{portal}' was renamed, forgotten or connected to another Planday portal while this run was "
                f"reading. The rows it read were not written"
            )

    def forget(self, portal: str) -> None:
        """Remove the record of a key. Runs that are reading it will write nothing. Raises StorageError."""
        # Version 0.1 recorded the id in the lake.
        (self._config.lake / "_portals" / f"{portal}.json").unlink(missing_ok=True)
        self._lake.state.portals.forget(portal)

    def refuse_while_renamed(self, portal: str) -> None:
        """Raises PortalIdentityError while a key is being renamed, from or to, until that is finished."""
        for old, new in unfinished_renames(self._config.lake):
            if portal in (old, new):
                raise PortalIdentityError(
                    f"portal '{old}' is being renamed to '{new}', which is not finished, so nothing of it is read or "
                    f"written. If no such command is running, `planday portals rename {old} {new}` continues where it "
                    "stopped"
                )

    def owner(self, portal_id: int, *, besides: str, is_new: bool = True) -> str | None:
        """The key, other than `besides`, that stands for a portal. None where there is none.

        With `is_new`, data without a record is searched as well, which takes longer.
        """
        for key, stated in self._stated().items():
            if key != besides and stated == portal_id:
                return key
        recorded = self._lake.state.portals.ids()
        for key in sorted({*recorded} - {besides}):
            if recorded[key] == portal_id and (key in self._config.portals or self.has_data(key)):
                return key
        unrecorded = (portals_in(self._config.lake) if is_new else set()) - {besides, *recorded}
        return next((key for key in sorted(unrecorded) if self._in_slices(key) == portal_id), None)

    def _check_stated(self, portal: str, portal_id: int) -> None:
        stated = self._stated().get(portal)
        if stated is not None and stated != portal_id:
            other = self.owner(portal_id, besides=portal)
            raise PortalIdentityError(
                f"{self._config.file.name} says that portal '{portal}' is Planday portal {stated} (`portal_id`), but its "
                f"token opens portal {portal_id}{f', which is portal {other!r} here' if other else ''}. Nothing was "
                f"written. {self._right_token(portal)}; or correct `portal_id`"
            )

    def _check_new(self, portal: str, portal_id: int) -> None:
        bound = self._in_slices(portal)
        if bound is not None and bound != portal_id:
            other = self.owner(portal_id, besides=portal)
            raise PortalIdentityError(
                f"the token of portal '{portal}' belongs to Planday portal "
                f"{portal_id}{f' (portal {other!r} here)' if other else ''}, and until now '{portal}' was portal {bound}. "
                f"Nothing was written. {self._right_token(portal)}"
                + ("" if other else f"; or give portal {portal_id} a key of its own")
            )
        self._check_others(portal, portal_id, is_new=True)

    def _check_others(self, portal: str, portal_id: int, *, is_new: bool) -> None:
        other = self.owner(portal_id, besides=portal, is_new=is_new)
        if other is None:
            return
        # Without a record, data has to say whose it is.
        has_data = self.has_data(portal) and not (is_new and self._in_slices(portal) is None)
        # Otherwise only this key has data, and the other one never got beyond this check.
        if not has_data or self.has_data(other):
            raise PortalIdentityError(self.double(portal, other, portal_id, both_have_data=has_data))

    def double(self, portal: str, other: str, portal_id: int, *, both_have_data: bool = False) -> str:
        """The error for two keys of one portal, with what to do."""
        file = self._config.file.name
        if both_have_data:
            return (
                f"portals '{portal}' and '{other}' are both Planday portal {portal_id}, and both have data, so every "
                f"figure counts twice. Nothing was written. Take the key that is not to stay out of {file} and remove its "
                f"data: `planday forget --portal {portal}` or `planday forget --portal {other}`"
            )
        if other not in self._config.portals:
            return (
                f"the token of portal '{portal}' opens Planday portal {portal_id}, whose data are in the lake under "
                f"'{other}', a key that is no longer in {file}. Under two keys every figure would count twice, so nothing "
                f"was written. If '{portal}' is its new name: `planday portals rename {other} {portal}`. If the old data "
                f"may go: `planday forget --portal {other}`"
            )
        return (
            f"portals '{portal}' and '{other}' are the same Planday portal {portal_id}: under two keys every figure would "
            f"count twice, and perhaps under another customer's name. Nothing was written for '{portal}'. "
            f"{self._right_token(portal)}. If '{other}' has the wrong token, correct that;  if '{portal}' "
            f"is only another name for '{other}', take it out of {file} (`planday portals rename {other} {portal}` gives "
            f"the data the new name)"
        )

    def _right_token(self, portal: str) -> str:
        return (
            f"If '{portal}' is to be another portal, run `planday authorize {portal}` and log in to that portal, or put its "
            f"Token where {self._config.file.name} reads it"
        )

    def _stated(self) -> dict[str, int]:
        return {key: one.portal_id for key, one in self._config.portals.items() if one.portal_id is not None}

    def _in_slices(self, portal: str) -> int | None:
        """The id in the first slice of a key that can be read and has one."""
        for key in self._data_of(portal):
            with suppress(StorageError):
                provenance = self._lake.provenance(key)
                if provenance is not None and provenance.portal_id:
                    return provenance.portal_id
        return None

    def _data_of(self, portal: str) -> Iterator[SliceKey]:
        """The slices of a key, lazily: the first usually suffices."""
        for folder in folders_of(self._config.lake, portal):
            domain, table = folder.parts[-3:-1]
            if domain != _NO_DATA:
                yield from self._lake.slices(f"{domain}.{table}", portal)
