"""Reads what Dagster's SQLite storage says of its daemon and its schedules, without Dagster.

Importing Dagster and opening its storage takes longer than all else that `planday status` does. Only tables of the one
migration revision that is known here are read; Dagster is asked for everything else.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_REVISION = "29b539ebc72a"
"""The migration of Dagster that made the tables as they are known here: the last one of 1.13."""


@dataclass(frozen=True, slots=True)
class DagsterState:
    """What Dagster's storage says.

    Args:
        heartbeats: seconds since the epoch of the newest one of each kind of daemon.
        instigators: name of a schedule or sensor, and its status, such as "STOPPED".
    """

    heartbeats: list[float]
    instigators: list[tuple[str, str]]


def state_in_files(home: Path) -> DagsterState | None:
    """What the files say; None where the storage is another one, or the files are not as expected.

    Args:
        home: the folder of dagster.yaml.
    """
    try:
        folder = _storage(yaml.safe_load((home / "dagster.yaml").read_bytes()))
        if folder is None:
            return None
        storage = home / folder
        # Only to notice that it is damaged.
        _read(storage / "history/runs/index.db", "SELECT max(id) FROM event_logs")
        beats = _read(storage / "history/runs.db", "SELECT body FROM daemon_heartbeats")
        states = _read(storage / "schedules/schedules.db", "SELECT instigator_body FROM instigators")
        return DagsterState(
            heartbeats=[float(one["timestamp"]) for one in map(json.loads, beats)],
            instigators=[
                (one["origin"]["job_name"], one["status"]["__enum__"].rpartition(".")[2])
                for one in map(json.loads, states)
            ],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError, sqlite3.Error):
        return None


def _storage(settings: object) -> str | None:
    """The folder of the storage that a dagster.yaml names, or None where it names another one."""
    match settings:
        case {"storage": {"sqlite": {"base_dir": str(folder)}}}:
            return folder
        case {"storage": {"custom": {"module": "pipelines.storage", "config": {"base_dir": str(folder)}}}}:
            return folder
    return None


def _read(database: Path, query: str) -> list[Any]:
    """A column of a database of the known revision. Raises LookupError if it is of another."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        if db.execute("SELECT version_num FROM alembic_version").fetchall() != [(_REVISION,)]:
            raise LookupError(database)
        return [value for (value,) in db.execute(query)]
