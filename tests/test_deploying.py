"""The files in docs/deploy: what can be tried of them without a container engine and without root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"


def enter(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """What the image does before a command, with an empty volume."""
    env = {"DAGSTER_HOME": str(home), "PLANDAY_APP": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run([DEPLOY / "entrypoint.sh", *command], env=env, capture_output=True, text=True, check=False)


def test_empty_volume_gets_missing_settings_only(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("mine")
    done = enter(tmp_path, "echo", "two  words")
    assert (done.returncode, done.stdout) == (0, "two  words\n"), done.stderr
    assert (tmp_path / "dagster.yaml").read_text() == "mine"
    assert (tmp_path / "workspace.yaml").read_text() == (ROOT / "workspace.yaml").read_text()


def test_what_the_image_copies_is_there() -> None:
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name


@pytest.mark.parametrize("unit", sorted(path.name for path in DEPLOY.glob("planday-*")))
def test_systemd_takes_the_units(tmp_path: Path, unit: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd on this machine")
    for path in DEPLOY.glob("planday-*"):
        # The program stands where the project's guide puts it, which is not here.
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/planday/.venv/bin/", "/bin/true "))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit in line]) == (0, []), done.stderr
