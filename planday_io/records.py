"""Records: the small JSON files of the state folder and the lake, read as typed values.

The one place where bytes of such a file become a value. A file that is cut, binary, not UTF-8, valid JSON of another shape,
or a folder, is a `DamagedFileError` here, so that whoever reads records has to decide about one kind of error only.

Not here: which records there are, and what becomes of a damaged one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from planday_io.errors import DamagedFileError
from planday_io.files import storage_errors

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
