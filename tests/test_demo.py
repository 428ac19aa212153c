"""What the demo prints last: each line works when it is pasted where the demo was started."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pipelines.cli.demo import next_steps
from tests.support.installation import Installation, Make
from tests.support.workbooks import opened


def last_lines(planday: Installation, cwd: Path) -> dict[str, str]:
    lines = next_steps(planday.config, planday.folder, cwd)
    return {name: command.strip() for name, _, command in (line.partition(":  ") for line in lines if line)}


@pytest.mark.processes
@pytest.mark.parametrize("where", ["above", "inside", "elsewhere"])
def test_printed_commands_work_as_printed(make: Make, tmp_path: Path, where: str) -> None:
    made = make()
    folder = tmp_path / 'it\'s my "demo" $HOME æ'
    folder.mkdir()
    planday = Installation(folder, made.sandbox, made.address)
    planday.refresh("hr.employees")
    planday.publish()
    (folder / "planday-report.html").write_text("<html>")
    cwd = {"above": tmp_path, "inside": folder, "elsewhere": tmp_path / "elsewhere"}[where]
    cwd.mkdir(exist_ok=True)
    lines = last_lines(planday, cwd)
    asked = subprocess.run(["sh", "-c", lines["Query it"]], cwd=cwd, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert "first_name" in asked.stdout
    done = subprocess.run(["sh", "-c", lines["Open it in Excel"]], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert opened(folder / "labour.xlsx").sheetnames == ["How complete", "labour_daily"]
    program, demo, *options, shown = shlex.split(lines["See it in Dagster"])
    assert (demo, options) == ("demo", ["--ui", "--folder"])
    assert (cwd / shown).resolve() == folder.resolve()
    assert (cwd / program).exists()
    assert Path(unquote(urlsplit(lines["Open in a browser"]).path)).read_text() == "<html>"
