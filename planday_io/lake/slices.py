"""Slices as files: where they are, their provenance, and how they are read and replaced.

A slice is one table of one portal (and, for facts, one month). An empty slice is a file with no rows ("none"); no file
means "never pulled". The provenance travels in the Parquet file's key-value metadata, so that the ledger `sync.slices` can be
rebuilt from the lake alone.

Not here: whether a read was complete (`planday_io.reading`), whether it may shrink (`guard`), DuckDB.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import keep_copy, replacing, storage_errors, sweep, temporary, unique_end
from planday_io.lake import parquet, presence
from planday_io.lake.provenance import FORMAT, Provenance
from planday_io.lake.published import Mark, PublishedMarks, older_text
from planday_io.state import SliceKey, State
from planday_io.state.records import make_way, remove_record

__all__ = ["FORMAT", "Frozen", "Lake", "Provenance", "SliceKey"]

_FILE = "data.parquet"
_DAMAGED = "_damaged-"
"""Prefix of a damaged file that was set aside: readers of Parquet folders ignore names with it."""


_ORIGIN_FIELDS = frozenset(member.name for member in fields(Provenance))

_FETCHED: dict[Path, tuple[tuple[int, int], datetime]] = {}
"""When slices were read, by file and file status: freshness checks all of them every minute."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Slices frozen for a publication.

    Args:
        slices: provenance and a second name of the file.
        unusable: slices that cannot be read, and why.
    """

    slices: dict[SliceKey, tuple[Provenance, Path]]
    unusable: dict[SliceKey, StorageError]


class Lake:
    """The lake of one installation.

    Args:
        root: folder of the files.
        state: of the installation: locks, and the list of slices that are not published yet.
        writer: what writes; see `planday_io.state.runs`. What it wrote is published when it has ended.
    """

    def __init__(self, root: Path, state: State, writer: str = "") -> None:
        self.root = root
        self.marks = PublishedMarks(state)
        self.state = state
        self.set_aside: dict[SliceKey, Path] = {}
        """Damaged files set aside by this process, by slice."""
        self._writer = writer
        self._pending = state.folder / "pending"

    def require(self, *, creates: bool = False) -> None:
        """Check that this is the lake that was written before. Raises LostSliceError; see `planday_io.lake.presence`."""
        presence.require(
            self.root,
            self.state,
            has_slices=self.has_slices,
            was_published=lambda: not self.marks.is_empty(),
            creates=creates,
        )

    def accept(self) -> None:
        """Accept the lake as it is: give up slices that were published and are lost. Raises StorageError."""
        presence.adopt(self.root, self.state)
        for key in filter(None, map(SliceKey.parse, self.marks.names())):
            if self.lost(key):
                self.marks.remove(key)

    def has_slices(self) -> bool:
        """Whether the lake has any slice."""
        return next(self.root.glob(f"*/*/portal=*/**/{_FILE}"), None) is not None

    def path(self, key: SliceKey) -> Path:
        """Where a slice's file is, or would be."""
        folder = self.root / key.domain / key.table / f"portal={key.portal}"
        return (folder / f"month={key.month}" if key.month else folder) / _FILE

    def locked(self, key: SliceKey) -> AbstractContextManager[None]:
        """One process at a time from reading a slice to replacing it."""
        return self.state.locks.hold(f"slice.{key}")

    def provenance(self, key: SliceKey) -> Provenance | None:
        """The provenance of a slice, or None when it was never pulled.

        Raises:
            DamagedSliceError: the file is not what was written.
            StorageError: it cannot be read, or is of a later format.
        """
        path = self.path(key)
        if not self._exists(path):
            return None
        with storage_errors(path, "read the slice"):
            return self._provenance_in(path, key)

    def usable_provenance(self, key: SliceKey) -> Provenance | None:
        """The provenance of a slice, or None if it was never pulled or its file is damaged. Raises StorageError."""
        try:
            return self.provenance(key)
        except DamagedSliceError:
            return None

    def check(self, key: SliceKey) -> None:
        """Verify every byte of a slice. Raises like `provenance`."""
        path = self.path(key)
        if self._exists(path):
            parquet.check(path)

    def lost(self, key: SliceKey) -> str:
        """Why the lake has less of a slice than was published, or an empty text. Raises StorageError."""
        mark = self.marks.of(key)
        if mark is None:
            return ""
        provenance = self.usable_provenance(key)
        if provenance is None:
            return "" if self._exists(self.path(key)) else "the lake has no file for it"
        return older_text(key, provenance, mark.slice_id, mark.read_at)

    def _exists(self, path: Path) -> bool:
        with storage_errors(path, "read the slice"):
            try:
                path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def fetched_at(self, key: SliceKey) -> datetime | None:
        """When the read of a slice began (UTC), or None when it was never pulled. Files that did not change are not opened
        again in this process. Raises StorageError, see `provenance`.
        """
        path = self.path(key)
        with storage_errors(path, "look at the slice"):
            try:
                stat = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        stamp = (stat.st_mtime_ns, stat.st_ino)
        known = _FETCHED.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, self._provenance_in(path, key).fetched.astimezone(UTC))
            _FETCHED[path] = known
        return known[1]

    @contextmanager
    def frozen(self, keys: Iterable[SliceKey]) -> Iterator[Frozen]:
        """Freeze slices by hard links until the block ends, whoever replaces them meanwhile.

        Slices that were never pulled are left out. Every byte of the others is verified.
        """
        found = Frozen({}, {})
        with ExitStack() as stack:
            folder: Path | None = None
            for key in keys:
                path = self.path(key)
                try:
                    with storage_errors(path, "read the slice"):
                        if folder is None and self.root.exists():
                            folder = stack.enter_context(temporary(self.root / "frozen"))
                            folder.mkdir(mode=0o700)
                        if folder is None:
                            continue
                        name = folder / f"{key}.parquet"
                        try:
                            keep_copy(path, name)
                        except (FileNotFoundError, NotADirectoryError):
                            continue
                    provenance = self._provenance_in(name, key)
                    parquet.check(name)
                    found.slices[key] = (provenance, name)
                except DamagedSliceError as error:
                    found.unusable[key] = DamagedSliceError(path, error.why)
                except StorageError as error:
                    found.unusable[key] = error
            yield found

    def _provenance_in(self, path: Path, key: SliceKey) -> Provenance:
        text, rows = parquet.provenance(path)
        try:
            stored = json.loads(text)
            if stored.get("format", 0) > FORMAT:
                raise StorageError(
                    f"{path} was written by a later version of this program (lake format {stored['format']}, this one "
                    f"reads {FORMAT}): upgrade, nothing was changed"
                )
            provenance = Provenance(**{name: value for name, value in stored.items() if name in _ORIGIN_FIELDS})
            provenance.fetched  # noqa: B018 - a time that cannot be read is damage
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedSliceError(path, f"it does not say where {key} comes from") from None
        if provenance.kept != rows:
            raise DamagedSliceError(path, f"it has {rows} rows and should have {provenance.kept}")
        return provenance

    def read(self, key: SliceKey, columns: list[str] | None = None) -> pa.Table:
        """The rows of a slice. Raises like `provenance`."""
        return parquet.read(self.path(key), columns)

    def rows_with(self, key: SliceKey, column: str, values: pa.Array) -> pa.Table:
        """The rows of a slice whose column has one of some values. Raises StorageError when it cannot be read."""
        found = self.read(key, [column]).column(column)
        mask = pc.is_in(found, values.cast(found.type))
        return self.read(key).filter(mask) if pc.any(mask).as_py() else self.read(key).slice(0, 0)

    def write(self, key: SliceKey, table: pa.Table, provenance: Provenance) -> Provenance:
        """Replace a slice, all or nothing. Call it within `locked(key)`.

        Args:
            key: which slice.
            table: exactly the declared columns.
            provenance: `kept` and `slice_id` are filled in here.

        Returns:
            The provenance as stored.

        Raises:
            StorageError: it cannot be written; the previous slice is untouched.
        """
        stored = replace(provenance, kept=table.num_rows, slice_id=secrets.token_hex(8))
        path = self.path(key)
        self.require(creates=True)
        with storage_errors(path, "write the slice"):
            # Before the slice: a kill in between costs a needless publication, never a missed one.
            self._mark_pending(key, self._writer)
            if path.parent.exists():
                sweep(path.parent)
            self._set_damaged_aside(key)
            with replacing(path) as temporary:
                parquet.write(table, temporary, json.dumps(asdict(stored)).encode())
        return stored

    def _mark_pending(self, key: SliceKey, writer: str) -> None:
        self._pending.mkdir(parents=True, exist_ok=True)
        marker = self._pending / str(key)
        make_way(marker)
        marker.write_text(writer)

    def _set_damaged_aside(self, key: SliceKey) -> None:
        """Keep a damaged file under another name, so that people can decide what to recover from it."""
        path = self.path(key)
        try:
            self.provenance(key)
            self.check(key)
        except DamagedSliceError:
            aside = path.with_name(f"{_DAMAGED}{path.name}-{unique_end()}")
            keep_copy(path, aside)
            self.set_aside[key] = aside

    def pending(self) -> list[SliceKey]:
        """Slices written since they were last published, without those of runs in progress."""
        if not self._pending.exists():
            return []
        keys = []
        is_active: dict[str, bool] = {}
        with storage_errors(self._pending, "list the slices to publish in"):
            markers = sorted(self._pending.iterdir())
        for marker in markers:
            # What has another name is no marker: an editor's backup, `.DS_Store`.
            key, writer = SliceKey.parse(marker.name), _writer_in(marker)
            if key is None or writer is None:
                continue
            if writer and is_active.setdefault(writer, self.state.runs.is_alive(writer)):
                continue
            keys.append(key)
        return keys

    def pending_since(self) -> datetime | None:
        """The UTC instant since when the oldest of `pending` waits, or None. Raises StorageError."""
        with storage_errors(self._pending, "list the slices to publish in"):
            stamps = []
            for key in self.pending():
                with suppress(FileNotFoundError):
                    stamps.append((self._pending / str(key)).stat().st_mtime)
        return datetime.fromtimestamp(min(stamps), UTC) if stamps else None

    def is_held(self, key: SliceKey) -> bool:
        """Whether a run in progress wrote a slice: it is published together with what else that run writes."""
        writer = _writer_in(self._pending / str(key))
        return bool(writer) and self.state.runs.is_alive(str(writer))

    def remove(self, key: SliceKey) -> None:
        """Remove a slice. Call it within `locked(key)`."""
        path = self.path(key)
        with storage_errors(path, "remove the slice"):
            # First: a kill in between leaves a slice without a mark, never a mark without a slice.
            self.marks.remove(key)
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                if folder.exists() and not any(folder.iterdir()):
                    folder.rmdir()
            remove_record(self._pending / str(key))

    def published(self, key: SliceKey, provenance: Provenance) -> None:
        """Note that a slice was published, and strike it off the pending ones, unless it was written again since."""
        with self.locked(key), storage_errors(self._pending, "note what is published in"):
            self.marks.note(key, Mark(provenance.slice_id, provenance.fetched, provenance.kept))
            with suppress(DamagedSliceError):
                there = self.provenance(key)
                if there is None or there.slice_id == provenance.slice_id:
                    remove_record(self._pending / str(key))

    def publish_again(self, key: SliceKey) -> None:
        """Make the next publication check a slice again. Raises StorageError."""
        with storage_errors(self._pending, "mark a slice in"):
            self._mark_pending(key, "")

    def give_up(self, key: SliceKey) -> None:
        """Set a damaged file aside, so that its table is read from the start. Raises StorageError."""
        path = self.path(key)
        with self.locked(key), storage_errors(path, "set the slice aside"):
            self._set_damaged_aside(key)
            path.unlink(missing_ok=True)
            remove_record(self._pending / str(key))
            self.marks.remove(key)

    def damaged_files(self) -> list[Path]:
        """Damaged files that were set aside and still exist."""
        return sorted(self.root.glob(f"*/*/portal=*/**/{_DAMAGED}*"))

    def slices(self, table: str | None = None, portal: str | None = None) -> list[SliceKey]:
        """All slices, or those of a table (full name), or of a portal."""
        found = []
        for path in self.root.glob(f"{table.replace('.', '/') if table else '*/*'}/portal={portal or '*'}/**/{_FILE}"):
            parts = path.relative_to(self.root).parts
            month = parts[3].partition("=")[2] if len(parts) > 4 else None
            found.append(SliceKey(parts[0], parts[1], parts[2].partition("=")[2], month))
        return sorted(found, key=str)


def _writer_in(marker: Path) -> str | None:
    """Who wrote a slice that waits for publication: empty where the marker does not say so, None where there is none.

    A marker that is damaged or cannot be read still says that its slice changed, which is what counts.
    """
    try:
        return marker.read_bytes().decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""
