"""Where the configuration is. Importing it loads nothing else, unlike reading it (`planday_io.config`)."""

from __future__ import annotations

import os
from pathlib import Path

from planday_io.errors import ConfigError


def find_config(folder: Path | None = None) -> Path:
    """The configuration file: `PLANDAY_CONFIG`, else `portals.yaml` in `folder` (the current one) or `DAGSTER_HOME`.

    Raises:
        ConfigError: there is none.
    """
    if named := os.environ.get("PLANDAY_CONFIG"):
        try:
            path = Path(named).expanduser().absolute()
        except RuntimeError:
            raise ConfigError("PLANDAY_CONFIG begins with the home folder of an account that has none") from None
        if not path.is_file():
            raise ConfigError(f"PLANDAY_CONFIG names {path}, which is not a file: correct it, or unset it")
        return path
    places = [(folder or Path.cwd()).absolute()]
    if home := os.environ.get("DAGSTER_HOME"):
        places.append(Path(home).absolute())
    for place in places:
        if (path := place / "portals.yaml").is_file():
            return path
    raise ConfigError(
        f"there is no portals.yaml in {places[0]}: copy portals.example.yaml to portals.yaml and fill it in, name "
        "another file with PLANDAY_CONFIG, or run `planday demo`, which needs none"
    )
