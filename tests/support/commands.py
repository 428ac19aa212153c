"""The program in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.installation import Installation

_PATIENCE_SECONDS = 240
PLANDAY = str(Path(sys.executable).with_name("planday"))


def environment(planday: Installation) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "PLANDAY_CONFIG")}
    for name in ("dagster.yaml", "workspace.yaml"):
        (planday.folder / name).write_text((Path(__file__).parents[2] / name).read_text())
    return {**kept, "PLANDAY_CONFIG": str(planday.config_path)}


def planday_command(
    planday: Installation, *arguments: str, seconds: float = _PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    return run_command(planday, PLANDAY, *arguments, seconds=seconds)


def run_command(
    planday: Installation, *command: str, given: str | None = None, seconds: float = _PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a program in the installation's environment, for so many seconds at most; `given` is its standard input."""
    return subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=environment(planday),
        cwd=planday.folder,
        timeout=seconds,
    )


def summary(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def started(planday: Installation, *arguments: str) -> subprocess.Popen[str]:
    """The program, running with what it starts in a group of its own. Its output ends when all of them have ended."""
    return subprocess.Popen(
        [PLANDAY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(planday),
        cwd=planday.folder,
        start_new_session=True,
    )


def killed(process: subprocess.Popen[str]) -> None:
    """SIGKILL for a program and what it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
