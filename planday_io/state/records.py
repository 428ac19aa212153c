"""Records: the small JSON files of the state folder and the lake, read as typed values.

The one place where bytes of such a file become a value. A file that is cut, binary, not UTF-8, valid JSON of another shape,
or a folder, is a `DamagedFileError` here, so that whoever reads records has to decide about one kind of error only.

Not here: which records there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from planday_io.errors import DamagedFileError
from planday_io.files import storage_errors, write_text
from planday_io.state.folder import set_aside

T = TypeVar("T")


def read_record(path: Path, kind: type[T], what: str) -> T | None:
    """The value in a file, or None where there is no file.

    Args:
        path: the file.
        kind: type of the value; a dataclass, or a container of plain types. Members that it does not know are ignored.
        what: what the file holds, for errors: "the portal id".

    Raises:
        DamagedFileError: the file holds something else.
        StorageError: it cannot be read.
    """
    with storage_errors(path, f"read {what} in"):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except (IsADirectoryError, NotADirectoryError):
            raise DamagedFileError(f"{path} is damaged: there is a folder where {what} should be", path) from None
    return decoded(content, kind, path, what)


def decoded(content: bytes, kind: type[T], path: Path, what: str) -> T:
    """The value that the content of a file stands for. Raises DamagedFileError."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        # The text of the error may quote the content, so it is not repeated.
        raise DamagedFileError(f"{path} is damaged: it does not hold {what}", path) from None


def encoded(value: object) -> str:
    """The text of a record."""
    return msgspec.json.encode(value).decode()


def write_record(path: Path, value: object) -> None:
    """Write a record, all or nothing, for this account only. Raises StorageError."""
    with storage_errors(path, "write"):
        _make_way(path)
        write_text(path, encoded(value), mode=0o600)


def remove_record(path: Path) -> None:
    """Remove a record. Raises StorageError."""
    with storage_errors(path, "remove"):
        _make_way(path)
        path.unlink(missing_ok=True)


def _make_way(path: Path) -> None:
    """Set aside a folder that is in the place of a file. Raises StorageError."""
    if path.is_dir():
        set_aside(path)
