"""State as versions before the state database kept it: in files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from planday_io.lake.installation import Installation
from planday_io.state.state_database import database_file
from tests.support.damage import lose_state


def old_failures(state: Path, portal: str, *tables: str, since: str = "2026-11-01T00:00:00+00:00") -> Path:
    """Failures of a portal, with the lock beside them. Returns the file."""
    folder = state / "failures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{portal}.lock").touch()
    file = folder / f"{portal}.json"
    members = {"portal": portal, "month": None, "cause": "api", "error": "e", "run_id": "r", "since": since}
    file.write_text(json.dumps([{**members, "table": table} for table in tables]))
    return file


def old_baseline(state: Path, portal: str, table: str, reading: str, since: str) -> Path:
    """Since when a table of a portal is read. Returns the file."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "watched.lock").touch()
    file = state / "watched.json"
    file.write_text(json.dumps({portal: {table: [reading, since]}}))
    return file


def old_alerts(state: Path, since: str, channel: str = "mail") -> Path:
    """An incident that is open, reported by a channel, and one that ended, whose end a webhook has to report."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "alerts.lock").touch()
    tables = ["hr.skills", "scheduling.shifts 2026-11"]
    incident = {"portal": "oslo", "cause": "api", "tables": tables, "since": since, "error": "e", "run_id": "r"}
    told = {channel: ["hr.skills"]}
    file = state / "alerts.json"
    opened = {"oslo api": {"incident": incident, "seen": since, "told": told, "all_tables": ["hr.skills"]}}
    ended = [{"incident": {**incident, "portal": "london"}, "at": since, "channels": ["webhook"]}]
    file.write_text(json.dumps({"open": opened, "ended": ended}))
    return file


def old_mark(state: Path, portal: str, month: str, *endpoints: str, at: str) -> Path:
    """A month to be read again. Returns the file."""
    folder = state / "changed"
    folder.mkdir(parents=True, exist_ok=True)
    (state / "locks").mkdir(exist_ok=True)
    (state / "locks" / "changed.lock").touch()
    file = folder / f"{portal}.{month}.json"
    file.write_text(json.dumps({"tables": endpoints, "at": at, "gone": 0.25}))
    return file


def old_command(state: Path, command: str, since: str) -> Path:
    """The note of a command that was begun, with its lock. Returns the note."""
    folder = state / "unfinished"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "0123456789abcdef.json"
    file.with_suffix(".lock").touch()
    file.write_text(json.dumps({"command": command, "portals": [], "since": since, "step": "half"}))
    return file


def old_shared(state: Path, portal: str) -> Path:
    """Ids that runs started together shared. Returns the file."""
    folder = state / "batches" / "sync-0123456789ab"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{portal}.hr.departments.parquet"
    file.write_bytes(b"PAR1")
    return file


_SLICE = """
CREATE TABLE slice (
    domain TEXT NOT NULL, "table" TEXT NOT NULL, portal TEXT NOT NULL, month TEXT NOT NULL,
    stamp TEXT NOT NULL, slice_id TEXT NOT NULL, read_at TEXT NOT NULL, rows BIGINT NOT NULL, received BIGINT NOT NULL,
    verdict TEXT NOT NULL, is_verified TEXT NOT NULL,
    PRIMARY KEY (domain, "table", portal, month)
);
INSERT INTO slice SELECT
    domain, "table", portal, month, stamp, slice_id, read_at, rows, received, verdict, is_verified FROM indexed_slice;
DROP TABLE indexed_slice;
"""
_SINCE = {11: ("drift", "seen_members", "retention_note"), 12: ("retention_note",)}
"""Version of the database -> tables that came later."""


def as_of_version(state: Path, version: int) -> None:
    """Make the state database what version 11 or 12 of it was: the index of slices was another table, with less in it."""
    file = database_file(state)
    with closing(sqlite3.connect(file)) as db:
        dropped = "".join(f"DROP TABLE {name};" for name in _SINCE[version])
        db.executescript(f"{_SLICE} {dropped} UPDATE about SET version = {version};")
    # Another inode: a process that has looked at the database looks again.
    shutil.copyfile(file, f"{file}.copy")
    Path(f"{file}.copy").replace(file)


@contextmanager
def old_run(state: Path, name: str) -> Iterator[str]:
    """A run that writes, and its process; they are alive while the block runs, and then killed. Yields the process's mark."""
    mark = "4711-0123456789abcdef"
    for folder in ("writers", "processes"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "writers" / name).write_text(mark)
    with FileLock(state / "processes" / mark):
        yield mark


def old_locks(state: Path, *names: str) -> None:
    """Locks that were held once, whose files were left: those of names, of the budget and of a token."""
    for folder in ("locks", "tokens"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    for name in (*(f"locks/{name}" for name in names), "budget", "tokens/oslo"):
        (state / f"{name}.lock").touch()


def old_portal(lake: Path, portal: str, content: bytes) -> Path:
    """Which portal a key stands for, in the lake. Returns the file."""
    file = lake / "_portals" / f"{portal}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def old_forgotten(state: Path, portal: str, content: bytes) -> Path:
    """The copy of a list of forgotten people. Returns the file."""
    file = state / "forgotten" / f"{portal}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def old_slices(
    state: Path, *, pending: dict[str, str], published: dict[str, dict[str, object]], owed: dict[str, str]
) -> list[Path]:
    """What waits for a publication (by whom), what was published, whose history is owed (since when). Returns the files."""
    files = []
    for name, contents in (
        ("pending", pending),
        ("published", {key: json.dumps(mark) for key, mark in published.items()}),
        ("history", owed),
    ):
        for key, content in contents.items():
            (state / name).mkdir(parents=True, exist_ok=True)
            (state / name / key).write_text(content)
            files.append(state / name / key)
    return files


def old_names(state: Path, lake: str, *headers: str) -> list[Path]:
    """By what lake and warehouse were recognised. Returns the files."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "lake.json").write_text(json.dumps({"lake": lake}))
    (state / "publication.json").write_text(json.dumps({"headers": headers}))
    return [state / "lake.json", state / "publication.json"]


def old_place(lake: Path, domain: str, table: str, portal: str, month: str | None = None) -> Path:
    """Where version 0.1 keeps the file of a slice."""
    folder = lake / domain / table / f"portal={portal}"
    return (folder / f"month={month}" if month else folder) / "data.parquet"


def old_layout(lake: Path) -> list[Path]:
    """Move all slices to where version 0.1 kept them. Returns their files."""
    found = []
    for file in sorted(lake.glob("[a-z]*/*/**/data.parquet")):
        domain, table, portal, *month = file.parent.relative_to(lake).parts
        old = old_place(lake, domain, table, portal, *month)
        old.parent.mkdir(parents=True, exist_ok=True)
        found.append(file.rename(old))
        for folder in (file.parent, file.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
    return found


def as_of_version_0_1(installation: Installation) -> None:
    """Put slices where version 0.1 kept them, and what is known of them, of the lake and of the warehouse file into files."""
    old_layout(installation.config.lake)
    slices, files = installation.state.slices, installation.state.files
    folder = installation.state.folder
    pending = {str(key): one.writer for key, one in slices.pending().items()}
    published: dict[str, dict[str, object]] = {
        str(key): {"slice_id": one.slice_id, "read_at": one.read_at.isoformat(), "kept": one.rows}
        for key, one in slices.published().items()
    }
    owed = {str(key): at.isoformat() if at else "" for key, at in installation.state.histories.all().items()}
    lake, headers = files.lake(), files.warehouse() or ()
    lose_state(folder)
    old_slices(folder, pending=pending, published=published, owed=owed)
    old_names(folder, lake, *headers)
