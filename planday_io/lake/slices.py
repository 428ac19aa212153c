"""Slices: where they are, what they know of their origin, how they are written.

A slice is one table of one portal (and, for facts, one month). An empty slice is a file with no rows ("none"); no file
means "never pulled". The origin travels in the Parquet file's key-value metadata, so that the ledger `sync.slices` can be
rebuilt from the lake alone.

Not here: whether a read was complete (`planday_io.reading`), whether it may shrink (`guard`), DuckDB.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from planday_io.errors import StorageError
from planday_io.files import locked, replacing, storage_errors, sweep, temporary_name
from planday_io.lake.writers import Writers

FORMAT = 1
"""Of the lake's layout. A slice of a later format is refused."""

_FILE = "data.parquet"
_ROWS = 122_880
"""Of a row group: what DuckDB reads at a time, and what is held in memory while a file is written."""
_META = b"planday"


@dataclass(frozen=True, slots=True, order=True)
class SliceKey:
    """Which slice. `month` is `YYYY-MM`, or None for tables whose slices cover a portal."""

    domain: str
    table: str
    portal: str
    month: str | None = None

    @classmethod
    def of(cls, full_name: str, portal: str, month: str | None = None) -> SliceKey:
        """From a table's full name."""
        domain, _, table = full_name.partition(".")
        return cls(domain, table, portal, month)

    @property
    def full_name(self) -> str:
        """`domain.table`."""
        return f"{self.domain}.{self.table}"

    def __str__(self) -> str:
        return ".".join(part for part in (self.domain, self.table, self.portal, self.month) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a slice comes from, and why it counts as complete.

    Args:
        run_id: Dagster's run.
        portal_id: Planday's id of the portal.
        fetched_at: UTC instant the read began.
        window: what was asked for, in words.
        requests: calls the whole endpoint took; 0 for child tables, which share their parent's.
        expected_total: the API's total, or None.
        received: rows that came.
        distinct_keys: different keys among them.
        kept: rows of the slice.
        verdict: total_matched, exhausted or document.
        catalogue_version: of the declarations.
        policies: privacy policy in force, per class that the table has.
        batch: name of the runs it was started together with, or empty.
        covered: fan-out: parents this slice covers, as `id` or `id/id`, and a digest of what they were, where the
            endpoint goes by that; as `id/once` those that are read once, whether the API answered or not.
        slice_id: differs for every write.
    """

    run_id: str
    portal_id: int
    fetched_at: str
    window: str
    requests: int
    expected_total: int | None
    received: int
    distinct_keys: int
    kept: int
    verdict: str
    catalogue_version: int
    policies: dict[str, str] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)
    batch: str = ""
    slice_id: str = ""
    format: int = FORMAT

    @property
    def fetched(self) -> datetime:
        """`fetched_at` as an instant."""
        return datetime.fromisoformat(self.fetched_at)


_FETCHED: dict[Path, tuple[tuple[int, int], datetime]] = {}
"""When slices were read, by file and what tells that the file is the same: freshness looks at all of them every minute."""

_ORIGIN_FIELDS = frozenset(member.name for member in fields(Origin))


class Lake:
    """The lake of one installation.

    Args:
        root: folder of the files.
        state: folder of locks and of the list of slices that are not published yet.
        writer: what writes; see `planday_io.lake.writers`. What it wrote is published when it has ended.
    """

    def __init__(self, root: Path, state: Path, writer: str = "") -> None:
        self.root = root
        self.writers = Writers(state)
        self._writer = writer
        self._locks = state / "locks"
        self._pending = state / "pending"

    def path(self, key: SliceKey) -> Path:
        """Where a slice's file is, or would be."""
        folder = self.root / key.domain / key.table / f"portal={key.portal}"
        return (folder / f"month={key.month}" if key.month else folder) / _FILE

    @contextmanager
    def locked(self, key: SliceKey) -> Iterator[None]:
        """One process at a time from reading a slice to replacing it."""
        with locked(self._locks / f"slice.{key}.lock"):
            yield

    def origin(self, key: SliceKey) -> Origin | None:
        """The origin of a slice, or None when it was never pulled.

        Raises:
            StorageError: the file is no slice, or of a later format.
        """
        path = self.path(key)
        return self._origin_in(path, key) if path.exists() else None

    def fetched_at(self, key: SliceKey) -> datetime | None:
        """When the read of a slice began (UTC), or None when it was never pulled. Files that did not change are not opened
        again in this process. Raises StorageError, see `origin`.
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
            known = (stamp, self._origin_in(path, key).fetched.astimezone(UTC))
            _FETCHED[path] = known
        return known[1]

    @contextmanager
    def frozen(self, keys: Iterable[SliceKey]) -> Iterator[dict[SliceKey, tuple[Origin, Path]]]:
        """Slices as they are now, whoever replaces them meanwhile: second names of their files, until the block ends.

        Keys of slices that were never pulled are left out. Raises StorageError.
        """
        names: dict[SliceKey, Path] = {}
        try:
            for key in keys:
                path = self.path(key)
                name = temporary_name(path)
                with storage_errors(path, "read the slice"):
                    try:
                        os.link(path, name)
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                    except OSError:  # a file system without links
                        shutil.copyfile(path, name)
                names[key] = name
            yield {key: (self._origin_in(name, key), name) for key, name in names.items()}
        finally:
            for name in names.values():
                name.unlink(missing_ok=True)

    def _origin_in(self, path: Path, key: SliceKey) -> Origin:
        try:
            metadata = pq.read_schema(path).metadata or {}
            stored = json.loads(metadata[_META])
            if stored.get("format", 0) > FORMAT:
                raise StorageError(
                    f"{path} was written by a later version of this program (lake format {stored['format']}, this one "
                    f"reads {FORMAT}): upgrade, nothing was changed"
                )
            return Origin(**{name: value for name, value in stored.items() if name in _ORIGIN_FIELDS})
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError, OSError):
            raise StorageError(
                f"{path} is no slice of this lake: move it away and sync portal '{key.portal}'"
            ) from None

    def read(self, key: SliceKey, columns: list[str] | None = None) -> pa.Table:
        """The rows of a slice. Raises StorageError when it cannot be read."""
        with storage_errors(self.path(key), "read the slice"):
            table = pq.ParquetFile(self.path(key)).read(columns=columns)
        return table.replace_schema_metadata(None)

    def rows_with(self, key: SliceKey, column: str, values: pa.Array) -> pa.Table:
        """The rows of a slice whose column has one of some values. Raises StorageError when it cannot be read."""
        found = self.read(key, [column]).column(column)
        mask = pc.is_in(found, values.cast(found.type))
        return self.read(key).filter(mask) if pc.any(mask).as_py() else self.read(key).slice(0, 0)

    def write(self, key: SliceKey, table: pa.Table, origin: Origin) -> Origin:
        """Replace a slice, all or nothing. Call it within `locked(key)`.

        Args:
            key: which slice.
            table: exactly the declared columns.
            origin: `kept` and `slice_id` are filled in here.

        Returns:
            The origin as stored.

        Raises:
            StorageError: it cannot be written; the previous slice is untouched.
        """
        stored = replace(origin, kept=table.num_rows, slice_id=secrets.token_hex(8))
        schema = table.schema.with_metadata({_META: json.dumps(asdict(stored)).encode()})
        path = self.path(key)
        with storage_errors(path, "write the slice"):
            # Marked before it is there: a kill in between costs one needless publication, never a forgotten one.
            self._pending.mkdir(parents=True, exist_ok=True)
            (self._pending / str(key)).write_text(self._writer)
            if path.parent.exists():
                sweep(path.parent)
            with replacing(path) as temporary:
                # Numbers and instants hardly repeat: a dictionary of them costs more time and space than it saves.
                texts = [column.name for column in schema if pa.types.is_string(column.type)]
                pq.write_table(
                    table.cast(schema), temporary, compression="zstd", row_group_size=_ROWS, use_dictionary=texts
                )
        return stored

    def pending(self) -> list[SliceKey]:
        """Slices written since they were last published, those of runs in progress left out."""
        if not self._pending.exists():
            return []
        keys = []
        is_active: dict[str, bool] = {}
        for marker in sorted(self._pending.iterdir()):
            try:
                writer = marker.read_text()
            except FileNotFoundError:
                continue
            if writer and is_active.setdefault(writer, self.writers.is_active(writer)):
                continue
            domain, table, portal, *month = marker.name.split(".")
            keys.append(SliceKey(domain, table, portal, month[0] if month else None))
        return keys

    def pending_since(self) -> datetime | None:
        """The UTC instant since when the oldest of `pending` waits, or None. Raises StorageError."""
        with storage_errors(self._pending, "look at the slices to publish in"):
            stamps = []
            for key in self.pending():
                with suppress(FileNotFoundError):
                    stamps.append((self._pending / str(key)).stat().st_mtime)
        return datetime.fromtimestamp(min(stamps), UTC) if stamps else None

    def is_held(self, key: SliceKey) -> bool:
        """Whether a run in progress wrote a slice: it is published together with what else that run writes."""
        marker = self._pending / str(key)
        try:
            writer = marker.read_text()
        except FileNotFoundError:
            return False
        return bool(writer) and self.writers.is_active(writer)

    def remove(self, key: SliceKey) -> None:
        """Take a slice away. Call it within `locked(key)`."""
        path = self.path(key)
        with storage_errors(path, "remove the slice"):
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                if folder.exists() and not any(folder.iterdir()):
                    folder.rmdir()
            (self._pending / str(key)).unlink(missing_ok=True)

    def published(self, key: SliceKey, slice_id: str) -> None:
        """Strike a slice off the pending ones, unless it was written again since."""
        with self.locked(key), storage_errors(self._pending, "note what is published in"):
            origin = self.origin(key)
            if origin is None or origin.slice_id == slice_id:
                (self._pending / str(key)).unlink(missing_ok=True)

    def slices(self, table: str | None = None, portal: str | None = None) -> list[SliceKey]:
        """Every slice there is, or those of a table (full name), or of a portal."""
        found = []
        for path in self.root.glob(f"{table.replace('.', '/') if table else '*/*'}/portal={portal or '*'}/**/{_FILE}"):
            parts = path.relative_to(self.root).parts
            month = parts[3].partition("=")[2] if len(parts) > 4 else None
            found.append(SliceKey(parts[0], parts[1], parts[2].partition("=")[2], month))
        return sorted(found, key=str)
