"""Stores and removes a refresh token where portals.yaml reads it: in `.env` or in a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dotenv

from planday_io.config.model import SecretRef
from planday_io.config.secrets import env_names
from planday_io.errors import StorageError
from planday_io.files import replacing, storage_errors, temporary, write_text
from planday_io.texts import TextError, decode

_BYTES = "latin-1"
"""For dotenv, which then passes every byte on: names and tokens are ASCII, comments are whatever they are."""


def place_of(ref: SecretRef, home: Path) -> Path:
    """The file that holds a secret."""
    return (home / Path(ref.file).expanduser()).resolve() if ref.file is not None else home / ".env"


def keep(ref: SecretRef, token: str, home: Path) -> Path:
    """Store a refresh token where portals.yaml reads it. Returns the file. Raises StorageError."""
    place = place_of(ref, home)
    with storage_errors(place, "write the refresh token to"):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if ref.env is not None:
            _change_env(place, lambda copy: dotenv.set_key(copy, str(ref.env), token, encoding=_BYTES))
        else:
            write_text(place, token + "\n", mode=0o600)
    return place


def _change_env(file: Path, change: Callable[[Path], object]) -> None:
    """Change `.env` all or nothing: dotenv itself would replace it with a file that may be on another disk.

    It is UTF-8 afterwards, without a byte order mark, as Dagster reads it. Bytes of comments that are not UTF-8 stay as
    they are.
    """
    with replacing(file, mode=0o600) as copy:
        if file.exists():
            copy.write_bytes(_text_of(file).encode(errors="surrogateescape"))
        change(copy)
        copy.chmod(0o600)


def _text_of(file: Path) -> str:
    """The content of `.env`. Raises StorageError if it is not text."""
    try:
        return decode(file.read_bytes(), strict=False)
    except TextError as error:
        raise StorageError(f"cannot change {file}: {error}") from None


def try_to_write(place: Path) -> None:
    """Check that a file can be written, before an administrator consents. Raises StorageError."""
    with storage_errors(place, "write the refresh token to"):
        if place.name == ".env" and place.exists():
            _text_of(place)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with temporary(place) as probe:
            probe.touch(mode=0o600)


def remove(ref: SecretRef, home: Path) -> list[str]:
    """Remove a refresh token from where portals.yaml reads it. Returns the place, for people. Raises StorageError."""
    file = place_of(ref, home)
    if ref.env is None:
        with storage_errors(file, "remove the refresh token in"):
            file.unlink(missing_ok=True)
        return [str(file)]
    name = ref.env
    removed = []
    with storage_errors(file, "remove the refresh token in"):
        if file.exists() and name in env_names(file):
            _change_env(file, lambda copy: dotenv.unset_key(copy, name, encoding=_BYTES))
            removed.append(f"{name} in {file}")
    if name in os.environ:
        removed.append(f"(the environment variable {name} is yours to unset)")
    return removed
