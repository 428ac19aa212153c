"""What is installed: the wheel, the locks, the container and the services."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RUN, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def pinned(lock: Path) -> dict[str, str]:
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    found = dict(re.fullmatch(r"([a-z0-9.-]+)==(\S+) \\", line).groups() for line in lines)
    assert len(found) == len(lines)
    return found


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def needed(name: str, found: set[str]) -> None:
    """What is installed here says what it needs; extras and other platforms are left out."""
    if name in found:
        return
    found.add(name)
    for requirement in requires(name) or ():
        if ";" not in requirement:
            needed(name_of(requirement), found)


def test_locks_hold_names_versions_and_hashes() -> None:
    for lock in (RUN, DEV, *ROOT.glob("tests/clients/*.lock")):
        pinned(lock)
        rest = [line.strip(" \\") for line in lock.read_text().splitlines() if line.startswith(" ")]
        assert [line for line in rest if not re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line)] == []


def test_nothing_is_pinned_twice() -> None:
    assert set(pinned(RUN)) & set(pinned(DEV)) == set()


def test_running_needs_the_first_lock_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found: set[str] = set()
    for requirement in [*project["dependencies"], *extras["postgres"], *extras["build"]]:
        needed(name_of(requirement).replace(".", "-"), found)
    missing = {name.replace(".", "-") for name in found} - set(pinned(RUN))
    assert missing == set()
    assert {name_of(requirement) for requirement in extras["dev"]} <= set(pinned(DEV))


def test_every_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {name_of(requirement) for requirement in project["dependencies"]}
    of_assistant = {name_of(requirement) for requirement in project["optional-dependencies"]["mcp"]}
    imported = set()
    for path in [*(ROOT / "planday_io").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        text = path.read_text()
        imported |= set(re.findall(r"^ *(?:import|from) ([a-z_]+)[\w.]*(?: import| as|,|$)", text, re.MULTILINE))
    sources = packages_distributions()
    known = {name: {source.lower().replace("_", "-") for source in sources[name]} for name in imported & set(sources)}
    own = {"planday_io", "pipelines"}
    assert {name for name, of in known.items() if not of & declared and name not in own} == of_assistant
    for path in [*(ROOT / "planday_io").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        if path.parent.name != "assistant":
            assert not re.search(rf"^ *(import|from) ({'|'.join(of_assistant)})\b", path.read_text(), re.MULTILINE), (
                path
            )
    assert {"dagster", "duckdb", "yaml"} <= set(known)


def test_containers_and_services_install_the_first_lock() -> None:
    container = (ROOT / "docs/deploy/Containerfile").read_text()
    assert "--require-hashes -r requirements.lock\n" in container
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "install"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for text in (container, recipe):
        assert "requirements.lock" in text
        assert "requirements-dev.lock" not in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.processes
def test_wheel_has_every_file(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "planday_io", "pipelines"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "planday_io/py.typed" in tracked
    assert set(tracked) - set(names) == set()


@pytest.mark.processes
def test_wheel_makes_the_home_of_a_demo(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = """
import pathlib, pipelines, planday_io
from pipelines.cli import demo
print(pipelines.__file__, planday_io.__file__)
with demo.local_planday(pathlib.Path("demo").absolute()):
    pass
"""
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(name).is_relative_to(tmp_path / "site") for name in done.stdout.split())
    home = tmp_path / "demo"
    assert (home / "workspace.yaml").read_text() == (ROOT / "workspace.yaml").read_text()
    ours, theirs = (yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (ROOT, home))
    stock, quick = ours.pop("storage"), theirs.pop("storage")
    assert theirs == ours
    assert quick["custom"] == {"module": "pipelines.storage", "class": "SqliteStorage", "config": stock["sqlite"]}
