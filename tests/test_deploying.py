"""The files in docs/deploy: what can be tried of them without a container engine and without root."""

from __future__ import annotations

import re
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


def test_caddy_takes_the_login(tmp_path: Path) -> None:
    if (caddy := shutil.which("caddy")) is None:
        pytest.skip("there is no Caddy on this machine")
    done = subprocess.run(
        [caddy, "adapt", "--config", DEPLOY / "Caddyfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr


def test_login_stands_before_both_services() -> None:
    """Each site of the proxy leads to the port of its own unit, which nobody else can reach."""
    ports = {}
    for unit in DEPLOY.glob("planday-webserver*.service"):
        (command,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        ports[re.search(r"-h 127\.0\.0\.1 -p (\d+)", command).group(1)] = "--read-only" in command  # type: ignore[union-attr]
    text = (DEPLOY / "Caddyfile").read_text()
    sites = dict(
        re.findall(r"^(dagster[\w.-]*) \{.*?^\treverse_proxy 127\.0\.0\.1:(\d+)$", text, re.MULTILINE | re.DOTALL)
    )
    assert {site: ports[port] for site, port in sites.items()} == {
        "dagster.example.com": False,
        "dagster-view.example.com": True,
    }
    assert text.count("basicauth {") == text.count("reverse_proxy") == 2


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
