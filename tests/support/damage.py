"""What can happen to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from planday_io.state.state_database import database_file

DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "no utf-8": lambda path: path.write_bytes(b'{"at": "\xff\xfe"}'),
    "utf-16": lambda path: path.write_bytes("{}".encode("utf-16")),
    "null": lambda path: path.write_bytes(b"null"),
    "list": lambda path: path.write_bytes(b"[1, 2]"),
    "number": lambda path: path.write_bytes(b"1e999999"),
    "nested": lambda path: path.write_bytes(b"[" * 200_000),
    "other members": lambda path: path.write_bytes(b'{"tables": 1, "at": [], "refresh_token": {}, "open": 0}'),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: max(1, path.stat().st_size // 2)]),
    "folder": lambda path: (path.unlink(), path.mkdir(), (path / "x").write_text("x")),
}


def lose_state(folder: Path) -> None:
    """Delete the state database of a state folder, if there is one."""
    database_file(folder).unlink(missing_ok=True)


def damage_state(folder: Path, kind: str) -> None:
    """Damage the state database of a state folder, if there is one."""
    if database_file(folder).exists():
        DAMAGE[kind](database_file(folder))
