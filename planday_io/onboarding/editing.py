"""Edits one place of `portals.yaml`: comments, order and everything else stay byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from planday_io.catalogue import Catalogue
from planday_io.config.load import load_config, parsed
from planday_io.errors import ConfigError
from planday_io.files import replacing, storage_errors, temporary
from planday_io.texts import decode, encoding_of


def text_with_key(path: Path, catalogue: Catalogue, old: str, new: str) -> bytes:
    """The file with a portal's key replaced, also where deliveries name it, checked like any other configuration.

    Nothing is written.

    Raises:
        ConfigError: the key cannot be replaced without anything else changing, or the file would not be valid with it.
        StorageError: the folder of the file cannot be written, so the file could not be replaced either.
    """
    by_hand = f"replace the key `{old}` by `{new}` in {path.name} yourself, then run the same command again"
    content = path.read_bytes()
    before = parsed(path)
    text = decode(content)
    encoding = encoding_of(content).lower().removesuffix("-sig")
    mark = content[: len(content) - len(text.encode(encoding))]
    lines = text.split("\n")
    # From the end, so that what comes before in a line stays where it is.
    for line, column in sorted({*_places(before, old)}, reverse=True):
        place = lines[line][column:].lstrip("'\"") if 0 <= line < len(lines) else ""
        if not place.startswith(old):
            raise ConfigError(f"{path.name} writes the key of portal '{old}' in a way that cannot be edited: {by_hand}")
        start = lines[line].index(old, column)
        lines[line] = lines[line][:start] + new + lines[line][start + len(old) :]
    edited = mark + "\n".join(lines).encode(encoding)
    with storage_errors(path, f"write beside ({by_hand})"), temporary(path) as trial:
        try:
            trial.touch(mode=0o600)
            trial.write_bytes(edited)
            load_config(trial, catalogue)
            after = parsed(trial)
        except ConfigError as error:
            raise ConfigError(str(error).replace(trial.name, path.name)) from None
    portals = {new if key == old else key: value for key, value in before["portals"].items()}
    wanted = {**before, "portals": portals}
    for one in _deliveries(wanted):
        one["portals"] = [new if key == old else key for key in one["portals"]]
    if wanted != {**after} or [*portals] != [*after["portals"]]:
        raise ConfigError(
            f"the key of portal '{old}' cannot be replaced without changing other parts of the file: {by_hand}"
        )
    return edited


def _places(root: CommentedMap, key: str) -> Iterator[tuple[int, int]]:
    """Line and column, from 0, of the key of a portal, and of each place where a delivery names it."""
    yield root["portals"].lc.key(key) if key in root["portals"].lc.data else (-1, -1)
    for one in _deliveries(root):
        yield from (one["portals"].lc.item(number) for number, name in enumerate(one["portals"]) if name == key)


def _deliveries(root: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The deliveries that name portals."""
    return (one for one in root.get("deliver", {}).values() if "portals" in one)


def replace_text(path: Path, content: bytes) -> None:
    """Write the file all or nothing. Raises StorageError."""
    with storage_errors(path, "write"), replacing(path) as copy:
        copy.write_bytes(content)
