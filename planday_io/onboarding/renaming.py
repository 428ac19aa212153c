"""`planday portals rename`: a portal's data, state and entry in portals.yaml under another key. Nothing is read again.

    note ─► owed histories ─► slices ─► state ─► list of the forgotten ─► portal id ─► portals.yaml ─► warehouse ─► note

Each step can be done twice, and the note in the lake (`planday_io.lake.renames`) is there from the first to the last one:
until it goes, nothing is read or written under either key. So the same command finishes a rename that was stopped anywhere.

Hashes stay the same, because they are keyed by Planday's id of the portal. The budget is not moved, because it covers the
last minute only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from planday_io.config.values import nearest
from planday_io.errors import ConfigError
from planday_io.files import storage_errors
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.history import Histories
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.installation import Installation
from planday_io.lake.renames import begin_rename, end_rename, move_slice, remove_empty_folders, unfinished_renames
from planday_io.lake.slices import Lake
from planday_io.onboarding.editing import replace_text, text_with_key
from planday_io.warehouse import Report, publish, unreported


@dataclass(frozen=True, slots=True)
class Renaming:
    """What a rename did.

    Args:
        slices: that were moved by this attempt.
        edited: whether the key in the configuration file was replaced; otherwise the new one was there already.
    """

    slices: int
    edited: bool


def command(old: str, new: str) -> str:
    """The command, as typed."""
    return f"planday portals rename {old} {new}"


def rename_portal(installation: Installation, old: str, new: str, report: Report = unreported) -> Renaming:
    """Give a portal another key, in the lake, the state folder, portals.yaml and the warehouse.

    No run of either key may be in progress. One that begins meanwhile is refused. portals.yaml has the old key, or the new
    one already. `report` gets what was published.

    Raises:
        ConfigError: it cannot be done. Nothing was changed.
        DamagedSliceError, LostSliceError: data of the portal is damaged or missing. Nothing was changed.
        StorageError: a step failed. The same command continues there.
    """
    config = installation.config
    journal = installation.state.commands
    owed = [entry.command for entry in journal.unfinished()]
    _check(installation, old, new, is_owed=command(old, new) in owed)
    lake = installation.lake
    lake.require()
    if (old, new) not in unfinished_renames(config.lake):
        _check_data(lake, old)
    # Before anything is moved, check that the file can be edited and is valid afterwards.
    text = text_with_key(config.file, installation.catalogue, old, new) if old in config.portals else None
    # Other interrupted renames of these keys had not begun to move anything, or they would have been refused.
    others = [one for one in owed if one.startswith((command(old, ""), command(new, ""))) and one != command(old, new)]
    with (
        journal.carry_out(command(old, new), [old, new], supersedes=others),
        storage_errors(config.lake, f"rename portal '{old}' in"),
    ):
        begin_rename(config.lake, old, new)
        moved = _move(installation, old, new)
        if text is not None:
            replace_text(config.file, text)
        # Settings of portals are published by their keys, so this needs the new one.
        report(publish(installation.reloaded(), rebuild=True, removed_portal=old))
        end_rename(config.lake, old, new)
    return Renaming(moved, edited=text is not None)


def _check(installation: Installation, old: str, new: str, *, is_owed: bool) -> None:
    """Raises ConfigError if the rename makes no sense, or would mix two portals."""
    config, lake = installation.config, installation.lake
    identities = PortalIdentities(installation)
    file = config.file.name
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", new):
        raise ConfigError(
            f"'{new}' cannot be a portal's key: it takes lower-case letters, digits and _, and does not begin with _"
        )
    if old == new:
        raise ConfigError(f"'{old}' and '{new}' are the same key")
    pairs = unfinished_renames(config.lake)
    if other := next((pair for pair in pairs if pair != (old, new) and {old, new} & {*pair}), None):
        raise ConfigError(f"another rename of these keys is not finished: run `{command(*other)}` first")
    has_old = identities.known(old) is not None or bool(lake.slices(portal=old))
    # An earlier attempt may have moved everything except the last note.
    if (old, new) in pairs or (is_owed and new in config.portals and old not in config.portals and not has_old):
        return
    if old not in config.portals and not has_old:
        known = {*config.portals, *(key.portal for key in lake.slices())}
        raise ConfigError(f"there is no portal '{old}', neither configured nor in the lake{nearest(old, known)}")
    if old in config.portals and new in config.portals:
        raise ConfigError(
            f"{file} has both '{old}' and '{new}', which are two portals. If '{new}' is only to be the new name, take its "
            f"entry out and run this again: the entry of the old key gets the new name"
        )
    if old not in config.portals and new not in config.portals:
        raise ConfigError(
            f"'{old}' is in the lake but not in {file}, and neither is '{new}'. Add the entry of '{new}' first, or remove "
            f"the data with `planday forget --portal {old}`"
        )
    if identities.has_data(new):
        raise ConfigError(
            f"there is data of a portal '{new}' already. Choose another key, or remove that data first: `planday forget "
            f"--portal {new}`"
        )
    number, theirs = identities.known(old), identities.known(new)
    stated = config.portals[new].portal_id if new in config.portals else None
    for found, where in ((theirs, "was connected before as"), (stated, f"is in {file}")):
        if number is not None and found is not None and found != number:
            raise ConfigError(
                f"'{old}' is Planday portal {number}, and '{new}' {where} portal {found}: these are two portals, and their "
                f"rows must not be mixed"
            )


def _check_data(lake: Lake, portal: str) -> None:
    """Refuse to move incomplete data: a damaged file would stop the rename half-way, and a missing one would go unnoticed.

    Raises:
        DamagedSliceError: a file differs from what was written.
        LostSliceError: the lake knows less than was published.
    """
    published = [key for key in lake.state.slices.published() if key.portal == portal]
    for key in sorted({*lake.slices(portal=portal), *published}, key=str):
        lake.check(key)
        lake.refuse_loss(key)


def _move(installation: Installation, old: str, new: str) -> int:
    """Move everything but the configuration and the warehouse. Returns how many slices were moved now."""
    config = installation.config
    lake = installation.lake
    histories = Histories(lake, installation.catalogue, config)
    for key in histories.owed():
        if key.portal == old:
            with lake.locked(key):
                histories.follow(key)
    moved = 0
    # A run that passed its last check before the note was there may write one more slice.
    while keys := lake.slices(portal=old):
        for key in keys:
            move_slice(lake, key, new)
        moved += len(keys)
    remove_empty_folders(lake, old)
    ForgottenPeople(config.lake, installation.state).rename(old, new)
    installation.state.rename_portal(old, new)
    return moved
