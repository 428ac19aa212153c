"""What the program prints when it is asked for help."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typer.testing import CliRunner

from pipelines.cli.main import app


def helped(*command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def listed(text: str, title: str) -> list[str]:
    """First words of the entries below a title of the help text."""
    block = text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
    return [line for line in block.splitlines() if re.match(r"  \S", line)]


def commands(*above: str) -> Iterator[tuple[str, ...]]:
    """Every command there is, as it is typed."""
    below = [line.split()[0] for line in listed(helped(*above), "Commands")]
    if not below:
        yield above
    for name in below:
        yield from commands(*above, name)
