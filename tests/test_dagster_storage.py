"""Dagster's own storage on a full disk, damaged or gone, and definitions it refuses: a message and an incident."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy.exc
import yaml

from pipelines.cli.status import current_health, notify_now
from pipelines.definitions import definitions_fault
from pipelines.storage_faults import DagsterStorageError, dagster_storage, file_fault, storage_fault
from planday_io.errors import ConfigError
from planday_io.monitoring.failures import INSTALLATION
from tests.support.commands import PLANDAY, environment, planday_command
from tests.support.installation import Hook, Installation

pytestmark = pytest.mark.processes

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture
def home(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation that this process works in, with Dagster's files."""
    environment(planday)
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    monkeypatch.chdir(planday.folder)
    return planday


def test_a_disk_with_little_left_is_told(planday: Installation) -> None:
    """Real ones: the whole installation on a file system of its own, filled up to what is left."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody mount a file system")
    env = environment(planday)
    script = f"""
        mkdir ../small && mount -t tmpfs -o size=24m none ../small && cp -a . ../small/ && cd ../small
        export PLANDAY_CONFIG=$PWD/portals.yaml
        {PLANDAY} sync oslo --resources hr.departments >/dev/null 2>&1; echo "before $?"
        for left in 0 60 300; do
            rm -f filler; dd if=/dev/zero of=filler bs=1k 2>/dev/null; truncate -s -${{left}}k filler
            {PLANDAY} sync oslo --resources hr.departments 2>&1; echo "sync with $left: $?"
        done
        {PLANDAY} status 2>&1; echo "status: $?"
        rm filler; {PLANDAY} sync oslo --resources hr.departments 2>&1; echo "then $?"
    """
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script], cwd=planday.folder, env=env, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "free some space" in said
    codes = [line for line in said.splitlines() if line.startswith(("before", "sync with", "status:", "then"))]
    assert codes[0] == "before 0", said
    assert codes[1:3] == ["sync with 0: 1", "sync with 60: 1"], said
    assert codes[-2:] == ["status: 1", "then 0"], said


@pytest.mark.parametrize("file", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
@pytest.mark.parametrize("damage", ["garbage", "empty folder in its place", "cut"])
def test_a_damaged_database_is_an_incident(home: Installation, hook: Hook, damage: str, file: str) -> None:
    """Of settings that Dagster took before: what is read without it says nothing that it would not."""
    assert notify_now(home.installation).open == []
    assert current_health(home.installation).incidents == ()
    database = home.folder / ".dagster/storage" / file
    for other in database.parent.glob(f"{database.name}-*"):
        other.unlink()
    if damage == "garbage":
        database.write_bytes(os.urandom(8192))
    elif damage == "cut":
        database.write_bytes(database.read_bytes()[:5000])
    else:
        database.unlink()
        database.mkdir()
    state = current_health(home.installation)
    assert [(one.portal, one.cause, one.tables) for one in state.incidents] == [(INSTALLATION, "storage", ("dagster",))]
    assert "Dagster's storage cannot be used" in state.incidents[0].error
    assert [one.cause for one in notify_now(home.installation).open] == ["storage"]
    assert [one["incidents"][0]["cause"] for one in hook.take()] == ["storage"]
    shutil.rmtree(home.folder / ".dagster")
    assert notify_now(home.installation).open == []
    assert [one["event"] for one in hook.take()] == ["recovered"]


def test_commands_tell_a_damaged_database(planday: Installation) -> None:
    environment(planday)
    database = planday.folder / ".dagster/storage/history/runs.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"this is no database" * 500)
    for arguments in (("sync", "oslo", "--resources", "hr.departments"), ("status", "oslo"), ("alert",)):
        done = planday_command(planday, *arguments)
        assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (1, False), done.stderr
    assert "move .dagster/storage away" in planday_command(planday, "sync", "oslo").stderr


@pytest.mark.parametrize("is_known", [False, True])
def test_a_broken_dagster_yaml_is_an_incident(home: Installation, is_known: bool) -> None:
    if is_known:
        assert current_health(home.installation).incidents == ()
    (home.folder / "dagster.yaml").write_text("storage: {nobody: {knows: this}}\n")
    (incident,) = current_health(home.installation).incidents
    assert (incident.cause, incident.tables) == ("storage", ("dagster",))
    assert "dagster.yaml" in incident.error


def test_settings_that_are_missing_are_put_there(home: Installation) -> None:
    (home.folder / "dagster.yaml").unlink()
    current_health(home.installation)
    assert (home.folder / "dagster.yaml").read_text() == (Path(__file__).parents[1] / "dagster.yaml").read_text()
    assert (home.folder / ".dagster/storage/history/runs.db").exists()
    assert not (home.folder / ".telemetry").exists()


def test_files_of_others_are_named() -> None:
    told = file_fault(PermissionError(errno.EACCES, "Permission denied", "/srv/pages/report.html"))
    assert str(told) == (
        "cannot use /srv/pages/report.html: Permission denied. Check that the folder exists and that this account may write "
        "there."
    )
    assert file_fault(PermissionError(errno.EACCES, "Permission denied", "/srv/.dagster/storage/runs.db")) is None
    assert file_fault(OSError("nothing more")) is None


@pytest.mark.parametrize("value", ["relative", "/nobody/has/this/folder"])
def test_dagster_home_without_folder_is_refused(
    planday: Installation, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", value)
    with pytest.raises(ConfigError, match="not the absolute path of a folder: set it to"):
        current_health(planday.installation)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (sqlite3.OperationalError("database or disk is full"), "The disk is full: free some space"),
        (sqlite3.OperationalError("disk I/O error"), "full or failing"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "may not be written"),
        (sqlite3.OperationalError("unable to open database file"), "Check that the folder exists"),
        (sqlite3.OperationalError("database is locked"), "Another program has locked it"),
        (sqlite3.DatabaseError("file is not a database"), "It is damaged or of another version"),
        (sqlite3.OperationalError("no such column: x"), "dagster instance migrate"),
        (sqlite3.OperationalError("something new"), "Check the disk, the folder .dagster"),
        (OSError(errno.ENOSPC, "Kein Platz"), "The disk is full: free some space"),
        (OSError(errno.EROFS, "Read-only file system"), "may not be written"),
        (yaml.YAMLError("bad"), "its dagster.yaml"),
    ],
)
def test_storage_faults_say_what_to_do(error: Exception, says: str) -> None:
    wrapped = sqlalchemy.exc.OperationalError("INSERT INTO runs", {"secret": "value"}, error)
    for one in (error, wrapped) if isinstance(error, sqlite3.Error) else (error,):
        with pytest.raises(DagsterStorageError) as caught, dagster_storage():
            raise one
        assert says in str(caught.value)
        assert "secret" not in str(caught.value)
    assert storage_fault(TypeError("of this program")) is None


def test_definitions_nobody_foresaw_are_an_incident(
    home: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster refuses for a reason that none of our checks knows: a later version with another rule."""

    def refuse(_: dg.Definitions) -> None:
        raise dg.DagsterInvalidDefinitionError("names may not hold the letter o any more\nmore")

    assert notify_now(home.installation).open == []
    with monkeypatch.context() as later:
        later.setattr(dg.Definitions, "validate_loadable", staticmethod(refuse))
        touch(home.config_path)
        (incident,) = current_health(home.installation).incidents
        assert (incident.portal, incident.cause, incident.tables) == (INSTALLATION, "config", ("portals.yaml",))
        assert "DagsterInvalidDefinitionError: names may not hold the letter o any more)" in incident.error
        assert [one.cause for one in notify_now(home.installation).open] == ["config"]
        assert [one["incidents"][0]["cause"] for one in hook.take()] == ["config"]
    touch(home.config_path)
    assert definitions_fault(home.config_path) is None
    assert notify_now(home.installation).open == []
    assert [one["event"] for one in hook.take()] == ["recovered"]


def touch(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
