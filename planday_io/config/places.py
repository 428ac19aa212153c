"""Validates that an installation's paths suit Dagster and DuckDB and do not overlap. `values.path` validates single ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from planday_io.config.model import Config
from planday_io.errors import ConfigError

_OWN_FILES = ("portals.yaml", "portals.example.yaml", ".env", "dagster.yaml", "workspace.yaml")
_NOT_TAKEN = "*?[\\"
"""Dagster searches dagster.yaml with the folder as a glob pattern: if nothing matches, it runs with telemetry and
without limits; if another folder matches, it merges that file. SQLAlchemy and DuckDB cut a path at `?`. SQLAlchemy reads
`%20` in Dagster's home as a space and creates its files in another folder. DuckDB reads patterns and turns `\\` into `/`."""


def refuse_home(home: Path) -> None:
    """Refuse an installation folder or DAGSTER_HOME in which Dagster would not find its settings.

    Raises:
        ConfigError: the path is refused; the message says what to do.
    """
    for folder in (home, Path(os.environ.get("DAGSTER_HOME") or home).absolute()):
        if what := misread_in(folder) or " and ".join(re.findall(r"%[0-9a-fA-F]{2}", str(folder))):
            shown = str(folder).encode(errors="backslashreplace").decode()
            raise ConfigError(
                f"the folder {shown} has {what} in its path, which Dagster and DuckDB do not take as part of a name: move "
                "the installation to a folder without such characters, or rename that folder"
            )


def misread_in(path: Path) -> str:
    """The part of a path that Dagster or DuckDB would misread; empty if there is none."""
    if found := [char for char in _NOT_TAKEN if char in str(path)]:
        return " and ".join(found)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return ""


def misplaced(config: Config) -> Iterator[tuple[str, Path, str]]:
    """Unusable paths: key, path, what was expected."""
    for key, place in (("lake", config.lake), ("warehouse", config.warehouse)):
        if what := misread_in(place):
            yield key, place, f"a path without {what}, which DuckDB does not take as part of a name"
    lake, warehouse = _real(config.lake), _real(config.warehouse)
    if warehouse in (_real(config.home), *_real(config.home).parents):
        yield "warehouse", config.warehouse, "a file; there is a folder of that name"
    elif warehouse in [_real(config.home / name) for name in _OWN_FILES] or warehouse == _real(config.file):
        yield "warehouse", config.warehouse, "a file of its own, because it is replaced"
    elif lake in (warehouse, *warehouse.parents):
        yield "warehouse", config.warehouse, f"a file outside the lake, {config.lake}"
    for state in (config.state, config.home / ".dagster"):
        if _real(state) in (lake, *lake.parents):
            yield "lake", config.lake, f"a folder outside {state}, which is not for data"
        if _real(state) in (warehouse, *warehouse.parents):
            yield "warehouse", config.warehouse, f"a file outside {state}, which is not for data"


def own_place(config: Config, place: Path) -> Path | None:
    """The folder or file of this program that a place is, or is in; None if it is in none of them."""
    inside = (_real(place), *_real(place).parents)
    owned = (config.lake, config.state, config.home / ".dagster", config.warehouse, config.file)
    return next((own for own in owned if _real(own) in inside), None)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
