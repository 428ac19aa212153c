"""Installations in folders with any name: all of it works there, or the folder is refused before anything is made."""

from __future__ import annotations

import subprocess

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.errors import ConfigError
from tests.support.commands import PLANDAY, environment, planday_command
from tests.support.installation import Installation, Make

pytestmark = pytest.mark.processes

ODD = "a b#c%d{e}'f\"g;h$HOME&(i)~!æ é]=^|<>,:@+\nj"
"""What a folder may be called, and what a shell, an address, SQL or a pattern might take as something else."""


def moved(made: Installation, name: str) -> Installation:
    folder = made.folder / name
    folder.mkdir(parents=True)
    return Installation(folder, made.sandbox, made.address)


def test_every_command_works_in_an_oddly_named_folder(planday: Installation) -> None:
    here = moved(planday, ODD)
    beside = sorted(planday.folder.iterdir())
    for arguments in (
        ("check",),
        ("sync", "--resources", "portal,hr.departments"),
        ("publish", "--rebuild"),
        ("status", "--json"),
        ("report",),
        ("alert",),
        ("sync", "oslo", "--resources", "hr.departments"),
    ):
        done = planday_command(here, *arguments)
        # Tables that were never read are stale: 1, and a report of it.
        expected = (0, 1) if arguments[0] in ("status", "alert") else (0,)
        assert done.returncode in expected, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr
    assert here.query("SELECT count(DISTINCT portal) FROM hr.departments") == [(3,)]
    assert sorted(planday.folder.iterdir()) == beside, "nothing beside the folder"
    assert (here.folder / ".dagster/storage/history/runs.db").exists(), "dagster.yaml was found"
    assert not (here.folder / ".telemetry").exists()


@pytest.mark.parametrize("place", ["lake", "warehouse"])
def test_lake_and_warehouse_may_be_named_anything(make: Make, place: str) -> None:
    planday = make()
    value = ODD.replace("\n", "") + ("/shown.duckdb" if place == "warehouse" else "")
    written = value.replace("\\", "\\\\").replace('"', '\\"')
    planday.edit_config("defaults:\n", f'{place}: "{written}"\ndefaults:\n')
    planday.refresh("hr.departments")
    (planday.folder / value).parent.mkdir(exist_ok=True)
    planday.publish()
    planday.publish(rebuild=True)
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]
    assert (planday.folder / value).exists()


@pytest.mark.parametrize(
    "name",
    ["plan[day]", "a%20b", "what?", "a*", "[", "back\\slash", "x/y?/z", b"caf\xe9".decode(errors="surrogateescape")],
)
@pytest.mark.parametrize("as_home", [False, True])
def test_folders_that_dagster_misreads_are_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, as_home: bool
) -> None:
    here = make()
    folder = here.folder / name
    folder.mkdir(parents=True)
    path = here.config_path
    if as_home:
        monkeypatch.setenv("DAGSTER_HOME", str(folder))
    else:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        path = folder / "portals.yaml"
        path.write_text(here.config_path.read_text())
    with pytest.raises(ConfigError, match="do not take as part of a name: move the installation to a folder") as caught:
        load_config(path, CATALOGUE)
    str(caught.value).encode()


def test_a_refused_folder_stays_as_it_is(planday: Installation) -> None:
    here = moved(planday, "plan[day]")
    env = environment(here)
    before = sorted(here.folder.rglob("*"))
    for command in ("check", "sync", "status", "alert", "publish"):
        done = subprocess.run([PLANDAY, command], cwd=here.folder, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, "has [ in its path" in done.stderr) == (2, True), done.stderr
    assert sorted(here.folder.rglob("*")) == before
