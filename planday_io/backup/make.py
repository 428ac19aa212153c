"""Makes a backup while runs go on: what belongs in it, and how it shows one moment.

In it: all slices, the name of the lake, the lists of forgotten people, unfinished renames, the state database, and
`portals.yaml`.

Not in it: secrets. `.env`, the files that `portals.yaml` names and rotated refresh tokens stay where they are: a token in
a file that is copied to other places opens the portal to whoever finds it, and one that was replaced since is dead, or even
ends the one in use. Nor what is made from the rest (the warehouse), what is over in a minute (the budget), Dagster's
storage, or files that were set aside, which may hold what was removed since.

The moment: commands of several steps (forget, rename) wait while the state is copied and the slices are frozen by links, so
that nobody is half forgotten in a backup. Runs are not waited for. What one of them has written so far is in the backup, as
it would be in the lake if the run were killed then. A history is frozen before its slice, so it never knows of a read that
its slice does not have; after a restore it follows the slice (`planday_io.state.schema.settle_restored`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from planday_io.backup import archive
from planday_io.backup.archive import CONFIGURATION, LAKE, STATE, Manifest, Progress, Versions
from planday_io.catalogue import VERSION
from planday_io.config.places import own_place
from planday_io.errors import ConfigError
from planday_io.files import is_temporary, storage_errors, sweep, temporary
from planday_io.lake.freezing import frozen
from planday_io.lake.installation import Installation
from planday_io.lake.layout import BESIDE, file_of
from planday_io.lake.presence import lost_slice
from planday_io.lake.provenance import FORMAT as LAKE_FORMAT
from planday_io.lake.slices import SliceKey
from planday_io.state import STATE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was made.

    Args:
        file: where it is.
        manifest: what it says about itself.
        size: of the file, in bytes.
    """

    file: Path
    manifest: Manifest
    size: int


def back_up(installation: Installation, file: Path, progress: Progress) -> Backup:
    """Write a backup of an installation, all or nothing, for this account only. An older backup of that name is replaced.

    Slices that are damaged, unreadable or lost are left out, and named in the manifest.

    Raises:
        ConfigError: the file is in a place of this program, its folder does not exist, or it is there and is not a backup.
        LostSliceError: the lake is missing, or another one.
        StorageError: something cannot be read or written.
    """
    file = file.absolute()
    _refuse(installation, file)
    with storage_errors(file, "write the backup"):
        sweep(file.parent, of=file.name)
    with temporary(file) as folder:
        with storage_errors(file, "write the backup"):
            folder.mkdir(mode=0o700)
        with _frozen(installation, folder) as (manifest, sources):
            archive.write(file, manifest, sources, progress)
    return Backup(file=file, manifest=manifest, size=file.stat().st_size)


def _refuse(installation: Installation, file: Path) -> None:
    config = installation.config
    if own := own_place(config, file):
        raise ConfigError(f"{file} is {own}, or in it: write the backup to another place, best on another disk")
    if not file.parent.is_dir():
        raise ConfigError(f"{file.parent} is not a folder: create it, or mount its disk")
    if file.is_dir():
        raise ConfigError(f"{file} is a folder: name a file in it, such as {file / 'planday.tar'}")
    if file.exists() and not archive.is_backup(file):
        raise ConfigError(f"{file} exists and is no backup: remove it, or give the backup another name")
    installation.lake.require()


@contextmanager
def _frozen(installation: Installation, folder: Path) -> Iterator[tuple[Manifest, dict[str, Path]]]:
    """The manifest of a backup and its files, which stay as they are in the block; small ones are copied to `folder`."""
    lake, state = installation.lake, installation.state
    made_at = datetime.now(UTC)
    sources: dict[str, Path] = {}
    with ExitStack() as stack:
        with state.commands.paused():
            sources[STATE] = folder / "state"
            state.copy_to(sources[STATE])
            replaced_tokens = state.replaced_tokens()
            sources |= _small_files(installation, folder)
            # Asked before the slices are listed; otherwise one that is published in between would count as lost.
            published = state.slices.published()
            there = stack.enter_context(frozen(lake, _in_order(installation, lake.slices())))
        sources |= {f"{LAKE}{file_of(key)}": one.file for key, one in there.slices.items()}
        left_out = {str(key): str(error) for key, error in there.unusable.items()}
        for key in published.keys() - there.slices.keys() - there.unusable.keys():
            left_out[str(key)] = str(lost_slice(key, "the lake has no file for it"))
        yield (
            Manifest(
                made_at=made_at,
                program=version("planday-warehouse"),
                versions=Versions(lake=LAKE_FORMAT, catalogue=VERSION, state=STATE_VERSION),
                slices=len(there.slices),
                left_out=dict(sorted(left_out.items())),
                replaced_tokens=replaced_tokens,
                members=tuple(archive.member_of(name, path) for name, path in sources.items()),
            ),
            sources,
        )


def _small_files(installation: Installation, folder: Path) -> dict[str, Path]:
    """Copies of the configuration and of what is beside the slices in the lake: name in the backup -> copy."""
    root = installation.config.lake
    found = {CONFIGURATION: installation.config.file}
    with storage_errors(root, "read"):
        for pattern in BESIDE:
            for path in sorted(root.glob(pattern)):
                if path.is_file() and not is_temporary(path):
                    found[f"{LAKE}{path.relative_to(root).as_posix()}"] = path
        copies = {name: folder / f"{number}" for number, name in enumerate(found)}
        for name, path in found.items():
            shutil.copyfile(path, copies[name])
    return copies


def _in_order(installation: Installation, keys: list[SliceKey]) -> list[SliceKey]:
    """Slices, each right behind its history."""
    tables = {history.full_name: name for name, history in installation.catalogue.histories.items()}

    def place(key: SliceKey) -> tuple[str, bool]:
        table = tables.get(key.full_name)
        if table is None:
            return str(key), True
        return str(replace(key, table=table.partition(".")[2])), False

    return sorted(keys, key=place)
