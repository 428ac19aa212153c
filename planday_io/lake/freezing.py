"""Freezes slices for a publication or a backup: hard links in a folder of its own, so that what is read is what was verified,
even if slices are replaced meanwhile.

Not here: the files of slices (`slices`), what is published (`planday_io.warehouse`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import keep_copy, storage_errors, sweep, temporary
from planday_io.lake import parquet
from planday_io.lake.index import entry_of, stamp_of
from planday_io.lake.places import decoded
from planday_io.lake.slices import Lake, Provenance, SliceKey
from planday_io.state import SliceEntry

if TYPE_CHECKING:
    import pyarrow as pa  # see planday_io.lake.parquet

_FOLDER = "frozen"


@dataclass(frozen=True, slots=True)
class FrozenSlice:
    """A slice of which every byte was verified.

    Args:
        provenance: of the slice.
        file: the second name of its file.
        columns: of the file.
    """

    provenance: Provenance
    file: Path
    columns: pa.Schema


class Frozen:
    """Frozen slices, their entries for the index, and why others cannot be read.

    Args:
        lake: of the slices.
        stack: ends when they are no longer needed.
    """

    def __init__(self, lake: Lake, stack: ExitStack) -> None:
        self.slices: dict[SliceKey, FrozenSlice] = {}
        self.entries: dict[SliceKey, SliceEntry] = {}
        self.unusable: dict[SliceKey, StorageError] = {}
        self._lake = lake
        self._stack = stack
        self._folder: Path | None = None

    def freeze(self, keys: Iterable[SliceKey]) -> None:
        """Freeze slices, again if they were frozen before. Those that were never pulled are left out."""
        for key in keys:
            path = self._lake.root
            try:
                path = self._lake.path(key)
                with storage_errors(path, "read the slice"):
                    if (name := self._name(key)) is None:
                        continue
                    stamp = stamp_of(self._lake.root, key)
                    try:
                        keep_copy(path, name)
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                provenance, columns = parquet.verified(name, partial(decoded, path, key))
                self.slices[key] = FrozenSlice(provenance, name, columns)
                # A file that was replaced meanwhile has another stamp, so the entry is ignored.
                self.entries[key] = entry_of(provenance, stamp, is_verified=stamp == stamp_of(self._lake.root, key))
            except DamagedSliceError as error:
                self.unusable[key] = DamagedSliceError(path, error.why)
            except StorageError as error:
                self.unusable[key] = error

    def leave_out(self, key: SliceKey, why: StorageError) -> None:
        """Leave out a slice that cannot be used."""
        self.slices.pop(key, None)
        self.entries.pop(key, None)
        self.unusable[key] = why

    def _name(self, key: SliceKey) -> Path | None:
        """A name for a slice that no file has; None if there is no lake. Raises OSError."""
        if self._folder is None:
            if not self._lake.root.exists():
                return None
            folder = self._stack.enter_context(temporary(self._lake.root / _FOLDER))
            folder.mkdir(mode=0o700)
            self._folder = folder
        name = self._folder / f"{key}.parquet"
        if key in self.slices or key in self.unusable:
            self.slices.pop(key, None)
            self.entries.pop(key, None)
            self.unusable.pop(key, None)
            name.unlink(missing_ok=True)
        return name


@contextmanager
def frozen(lake: Lake, keys: Iterable[SliceKey]) -> Iterator[Frozen]:
    """Freeze slices until the block ends. Others may freeze theirs meanwhile, each in a folder of its own."""
    with ExitStack() as stack:
        found = Frozen(lake, stack)
        found.freeze(keys)
        yield found


def sweep_frozen(lake: Lake) -> int:
    """Remove what killed publications and backups left, a name per slice. Returns how many folders. Raises StorageError."""
    with storage_errors(lake.root, "remove what a killed process left in"):
        return sweep(lake.root, of=_FOLDER)
