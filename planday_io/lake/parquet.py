"""The bytes of a slice: written with a checksum and verified when read. Each kind of failure has its error.

    the system refuses (rights, disk, a folder)  StorageError: says nothing about the file
    a later format                               StorageError: upgrade
    not what was written                         DamagedSliceError

The checksum (CRC-32) covers every byte of the file except its own digits, so it also finds a flipped bit that decodes to
another number. Verifying costs a fiftieth of decoding. Files of earlier versions have no checksum and are decoded instead.

Not here: where slices are (`slices`).
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from planday_io.errors import DamagedSliceError, StorageError
from planday_io.files import storage_errors

if TYPE_CHECKING:
    # Imported by the functions: commands that open no slice, because none has changed, do not need it.
    import pyarrow as pa
    import pyarrow.parquet as pq

T = TypeVar("T")

META = b"planday"
_SUM = b"planday-crc32:"
"""The prefix of the checksum in the file's metadata."""
_DIGITS = 10
_ROWS = 122_880
"""Rows per row group: what DuckDB reads at a time, and what is in memory while writing."""


def write(table: pa.Table, file: Path, provenance: bytes) -> None:
    """Write a table with its provenance. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Numbers and instants hardly repeat, so a dictionary costs more time and space than it saves.
    texts = [column.name for column in table.schema if pa.types.is_string(column.type)]
    schema = table.schema.with_metadata({META: provenance})
    with (
        pa.OSFile(str(file), "wb") as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=texts) as writer,
    ):
        writer.write_table(table.cast(schema), row_group_size=_ROWS)
        writer.add_key_value_metadata({"planday.checksum": (_SUM + b"0" * _DIGITS).decode()})
    content = file.read_bytes()
    begin = content.rindex(_SUM) + len(_SUM)
    with file.open("r+b") as opened:
        opened.seek(begin)
        opened.write(_checksum(content, begin))


def provenance(file: Path) -> tuple[bytes, int]:
    """The provenance of a file and its stated number of rows; reads only the footer.

    Raises:
        DamagedSliceError: it has none.
        StorageError: it cannot be read.
    """
    import pyarrow.parquet as pq

    with _told_apart(file):
        return _stored(pq.read_metadata(file), file)


def columns(file: Path) -> pa.Schema:
    """The columns of a file; reads only the footer. Raises like `provenance`."""
    import pyarrow.parquet as pq

    with _told_apart(file):
        return _columns(pq.read_metadata(file))


def footer(file: Path, parse: Callable[[bytes, int], T]) -> tuple[T, pa.Schema]:
    """What `parse` makes of the provenance and the stated number of rows, and the columns; reads only the footer.

    Raises like `provenance`, and what `parse` raises.
    """
    import pyarrow.parquet as pq

    with _told_apart(file):
        found = pq.read_metadata(file)
        return parse(*_stored(found, file)), _columns(found)


def read(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a verified file, or some of their columns. Raises like `provenance`."""
    with _told_apart(file):
        content = file.read_bytes()
        opened = _checked(content, file)
        return opened.read(columns=None if columns is None else [*columns]).replace_schema_metadata(None)


def check(file: Path) -> None:
    """Verify a file. Raises like `provenance`."""
    with _told_apart(file):
        content = file.read_bytes()
        opened = _checked(content, file)
        if _SUM not in content:
            opened.read()


def verified(file: Path, parse: Callable[[bytes, int], T]) -> tuple[T, pa.Schema]:
    """Verify every byte of a file, which is read once. Raises like `provenance`, and what `parse` raises.

    Args:
        file: of the slice.
        parse: gets the provenance and the number of rows before the bytes are verified, because a file of a later format
            need not have this checksum.

    Returns:
        What `parse` returned, and the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _told_apart(file):
        content = file.read_bytes()
        read = pq.read_metadata(pa.BufferReader(content))
        found = parse(*_stored(read, file))
        if _SUM in content:
            _verify(content, file)
        else:
            pq.ParquetFile(pa.BufferReader(content)).read()
        return found, _columns(read)


def _stored(found: pq.FileMetaData, file: Path) -> tuple[bytes, int]:
    stored = (found.metadata or {}).get(META)
    if stored is None:
        raise DamagedSliceError(file, "it has no provenance")
    return stored, found.num_rows


def _columns(found: pq.FileMetaData) -> pa.Schema:
    return found.schema.to_arrow_schema().remove_metadata()


def _checked(content: bytes, file: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _verify(content, file)
    return pq.ParquetFile(pa.BufferReader(content))


def _verify(content: bytes, file: Path) -> None:
    begin = content.rfind(_SUM) + len(_SUM)
    if begin >= len(_SUM) and content[begin : begin + _DIGITS] != _checksum(content, begin):
        raise DamagedSliceError(file, "its checksum does not agree with its content")


def _checksum(content: bytes, begin: int) -> bytes:
    view = memoryview(content)
    return b"%010d" % zlib.crc32(view[begin + _DIGITS :], zlib.crc32(view[:begin]))


@contextmanager
def _told_apart(file: Path) -> Iterator[None]:
    """Distinguish refusals of the system from bytes that are not Parquet: Arrow raises OSError for both."""
    import pyarrow as pa

    try:
        with storage_errors(file, "read"):
            try:
                yield
            except pa.ArrowNotImplementedError:  # a flipped bit may name an encoding that Arrow lacks
                raise DamagedSliceError(file, "it cannot be decoded") from None
            except OSError as error:
                if error.errno is None and file.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file) from None
                if error.errno is None:
                    raise DamagedSliceError(file, "it cannot be decoded") from None
                raise
    except StorageError:
        raise
    except (pa.ArrowException, ValueError, KeyError, TypeError, OverflowError):
        raise DamagedSliceError(file, "it is not a complete Parquet file") from None
