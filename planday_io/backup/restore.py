"""Restores a backup into an installation that has nothing yet.

The whole backup is verified before anything is written. Then the lake is extracted beside its place and renamed into it in
one step; where the place is a mount, it is extracted inside and moved entry by entry. The state comes last: until it is
there, the same command starts again, and accepts files in the lake that are those of the backup, byte for byte.

People who were forgotten after the backup was made are on the lists before there is a state, so that no read writes them, and
the state owes forgetting them from its first moment on.

Not here: publishing the warehouse and forgetting those people, which the command does afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from planday_io.backup import archive
from planday_io.backup.archive import CONFIGURATION, LAKE, STATE, Manifest, Progress, verify
from planday_io.backup.people import later_than, read_later
from planday_io.catalogue import VERSION, Catalogue
from planday_io.config import find_config, load_config
from planday_io.errors import BackupError, ConfigError
from planday_io.files import is_temporary, link_target, storage_errors, sweep, sync_folder, temporary, write_text
from planday_io.lake.forgotten import FORGOTTEN, Forgotten, ForgottenPeople, read_lists
from planday_io.lake.installation import Installation
from planday_io.lake.presence import NAME
from planday_io.lake.provenance import FORMAT as LAKE_FORMAT
from planday_io.privacy.erasure import command
from planday_io.state import STATE_VERSION

__all__ = ["Restored", "restore", "verify"]

_NOT_OURS = ("lost+found",)
"""What a newly formatted disk has; it does not count as data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored.

    Args:
        installation: that has it now.
        manifest: of the backup.
        took_configuration: whether portals.yaml is the backup's, because there was none.
        to_forget: portal -> pseudonyms of those who were forgotten after the backup was made.
    """

    installation: Installation
    manifest: Manifest
    took_configuration: bool
    to_forget: dict[str, frozenset[int]]


def restore(
    file: Path, folder: Path, catalogue: Catalogue, progress: Progress, *, forgotten: Path | None = None
) -> Restored:
    """Restore a backup. Lake and state go where `portals.yaml` in the folder says, else where that of the backup does.

    Args:
        file: the backup.
        folder: where `portals.yaml` is looked for, and written.
        catalogue: of this program.
        progress: called with the bytes read.
        forgotten: a folder of later lists of forgotten people, if there is one.

    Raises:
        BackupError: the backup is damaged, of a later version, does not fit the lists, or there is something already.
            Nothing was written.
        ConfigError: `portals.yaml` or the folder of lists is wrong. Nothing was written.
        StorageError: something cannot be read or written. The same command begins again.
    """
    manifest = archive.read_manifest(file)
    _refuse_later(file, manifest)
    kept = read_later(forgotten) if forgotten is not None else {}
    archive.verify(file, progress)
    try:
        config_file, takes = find_config(folder), False
    except ConfigError:
        if os.environ.get("PLANDAY_CONFIG"):
            raise
        config_file, takes = folder / CONFIGURATION, True
    with storage_errors(folder, "restore into"):
        sweep(config_file.parent, of=config_file.name)
    with storage_errors(folder, "restore into"), temporary(config_file) as proposed:
        if takes:
            archive.extract_one(file, CONFIGURATION, proposed)
        try:
            config = load_config(proposed if takes else config_file, catalogue)
        except ConfigError as error:
            raise ConfigError(str(error).replace(proposed.name, f"{CONFIGURATION} of the backup")) from None
        installation = Installation(config, catalogue)
        with installation.state.locks.hold("restore"):
            _refuse_occupied(file, manifest, installation)
            configuration = {config_file: proposed.read_text(encoding="utf-8")} if takes else {}
            added = _restore_data(file, manifest, installation, kept, progress, configuration)
    return Restored(
        installation=Installation.load(config_file, catalogue),
        manifest=manifest,
        took_configuration=takes,
        to_forget=added,
    )


def _refuse_later(file: Path, manifest: Manifest) -> None:
    ours = archive.Versions(lake=LAKE_FORMAT, catalogue=VERSION, state=STATE_VERSION)
    theirs = manifest.versions
    if theirs.lake > ours.lake or theirs.catalogue > ours.catalogue or theirs.state > ours.state:
        raise BackupError(
            f"{file} was made by version {manifest.program} of this program, which is later than this one: install that "
            "version, and restore with it. Nothing was restored"
        )


def _refuse_occupied(file: Path, manifest: Manifest, installation: Installation) -> None:
    root, state, warehouse = installation.config.lake, installation.state, installation.config.warehouse
    if os.path.lexists(warehouse):
        raise _occupied(f"there is a warehouse, {warehouse}", file)
    if state.is_there():
        raise _occupied(
            f"there is a state in {state.folder} (after a restore that was interrupted, run `planday publish`)",
            file,
        )
    if (found := _entries(root)) and not _is_begun(root, manifest):
        raise _occupied(f"the lake {root} is not empty ({found[0].name})", file)


def _is_begun(root: Path, manifest: Manifest) -> bool:
    """Whether everything in a lake's folder is from this backup, as after a restore that was killed. Lists of forgotten
    people may be longer.
    """
    members = {one.name: one for one in manifest.members}
    passed = (*_NOT_OURS, FORGOTTEN)
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in passed]
    for path in (one for one in files if not is_temporary(Path(one.relative_to(root).parts[0]))):
        name = f"{LAKE}{path.relative_to(root).as_posix()}"
        if name not in members or archive.member_of(name, path) != members[name]:
            return False
    return True


def _restore_data(
    file: Path,
    manifest: Manifest,
    installation: Installation,
    kept: Mapping[str, Forgotten],
    progress: Progress,
    configuration: Mapping[Path, str],
) -> dict[str, frozenset[int]]:
    """Restore lake and state, and `portals.yaml` before them. Returns whom to forget again: portal -> pseudonyms."""
    root, state = installation.config.lake, installation.state
    with storage_errors(root, "restore the lake in"):
        lake = link_target(root)
        # Nothing can be renamed onto a mount, or from the disk beside it.
        is_mount = lake.is_mount()
        lake.parent.mkdir(parents=True, exist_ok=True)
        sweep(lake) if is_mount else sweep(lake.parent, of=lake.name)
        with temporary(lake / "restored" if is_mount else lake) as inside:
            inside.mkdir()
            archive.extract(file, inside, progress)
            new = inside / LAKE
            new.mkdir(exist_ok=True)
            # Lists that are there already are from a restore that was killed, or were put there for this one.
            later = later_than(new, [*kept.items(), *read_lists(lake / FORGOTTEN).items()])
            for path, text in configuration.items():
                write_text(path, text)
            # One call for thousands of files.
            os.sync()
            if is_mount or _entries(lake):
                # What is there is from this backup. The name comes last: a lake without one does not count as complete.
                for entry in sorted(new.iterdir(), key=lambda one: (one.name == NAME, one.name)):
                    if not os.path.lexists(lake / entry.name):
                        entry.rename(lake / entry.name)
            else:
                new.rename(lake)
            sync_folder(lake if is_mount else lake.parent)
            for portal, people in later.lists.items():
                ForgottenPeople(lake, state).put(portal, people)
            owed = {command(portal, one): portal for portal, added in later.added.items() for one in sorted(added)}
            state.restore(inside / STATE, manifest.replaced_tokens, owed)
    return later.added


def _entries(root: Path) -> list[Path]:
    """What is in a lake's folder, except what a new disk has, and what a killed restore left."""
    there = sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in there if path.name not in _NOT_OURS and not is_temporary(path)]


def _occupied(what: str, file: Path) -> BackupError:
    return BackupError(
        f"{what}: a backup is restored where there is nothing yet. Use an empty folder, or move away what is there. To put "
        f"back a part only, stop the services and take it out with `tar -xf {file.name} lake/...`. Nothing was restored"
    )
