"""`docs/commands.md` against what the program prints when it is asked for help."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from tests.support.help import commands, helped, listed

PAGE = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()


COMMANDS = list(commands())


def section(command: tuple[str, ...]) -> str:
    start = PAGE.index(f"\n## planday {' '.join(command)}\n")
    end = PAGE.find("\n## ", start + 1)
    return PAGE[start:end]


def test_help_lists_the_commands_of_the_page() -> None:
    assert len(COMMANDS) > 10
    assert re.findall(r"^## planday (.+)$", PAGE, re.MULTILINE) == [" ".join(command) for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids="_".join)
def test_every_option_and_argument_is_documented(command: tuple[str, ...]) -> None:
    text = helped(*command)
    shown = section(command)
    options = set(re.findall(r"--[a-z-]+", "\n".join(listed(text, "Options")))) - {"--help"}
    documented = "\n".join(re.findall(r"^\| `(.+?)` \|", shown, re.MULTILINE))
    assert options <= set(re.findall(r"--[a-z-]+", documented))
    for line in listed(text, "Arguments"):
        assert f"`{line.split()[0]}" in shown
    assert " ".join(text.partition("\n\n")[2].partition("\n\n")[0].split()) in shown


def test_version_is_that_of_the_package() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"planday {version('planday-warehouse')}\n")
