"""The Dagster instance that commands use, and how a new folder gets one."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from pipelines.storage_faults import dagster_storage
from planday_io.errors import ConfigError
from planday_io.files import write_text
from planday_io.lake.installation import Installation
from planday_io.state import State


def open_instance(installation: Installation) -> dg.DagsterInstance:
    """The instance of the installation, see `instance_at`."""
    return instance_at(installation.config.home, installation.state)


def instance_at(folder: Path, state: State) -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, else of the configuration's folder.

    Relative paths of dagster.yaml belong to the home folder, so this process moves there. The first use of a fresh
    folder migrates its database; twelve processes doing that at once would fail, so they take turns.

    Raises:
        ConfigError: DAGSTER_HOME is not a folder.
        StorageError: Dagster's storage cannot be used.
    """
    if not os.environ.get("DAGSTER_HOME"):
        os.environ["DAGSTER_HOME"] = str(folder)
    home = os.environ["DAGSTER_HOME"]
    if not Path(home).is_absolute() or not Path(home).is_dir():
        raise ConfigError(
            f"DAGSTER_HOME is {home!r}, which is not the absolute path of a folder: set it to {folder}, or unset it"
        )
    os.chdir(home)
    with state.locks.hold("instance"), dagster_storage():
        _bring_settings(Path(home))
        instance = dg.DagsterInstance.get()
        instance.get_runs_count()
        instance.event_log_storage.get_maximum_record_id()
    return instance


def _bring_settings(home: Path) -> None:
    """Copy our dagster.yaml into a folder that never had one. Without it, Dagster sends telemetry and has no limits."""
    file = home / "dagster.yaml"
    if not file.exists() and not (home / "history").exists():
        write_text(file, packaged("dagster.yaml").read_text(encoding="utf-8"))


def packaged(name: str) -> Path:
    """Where `dagster.yaml` or `workspace.yaml` of this version is: in the installed wheel, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    folder = package / "home"
    return (folder if folder.exists() else package.parent) / name
