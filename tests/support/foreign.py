"""Another program that has a DuckDB file open for writing: a real process, which can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """
import sys, duckdb
db = duckdb.connect(sys.argv[1])
for line in sys.stdin:
    db.execute(line)
    print("done", flush=True)
"""


class Foreign:
    """The program. It begins with the first statement."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, *statements: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for statement in statements:
            self._process.stdin.write(statement + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        """End it as a user does: DuckDB writes its log into the file."""
        self._process.communicate()


@contextmanager
def foreign(file: Path) -> Iterator[Foreign]:
    program = Foreign(file)
    try:
        yield program
    finally:
        if program._process.poll() is None:
            program.kill()


def killed_after(file: Path, *statements: str) -> None:
    """A program edits the file and is killed: its log stays."""
    with foreign(file) as program:
        program.run(*statements)
        program.kill()


def closed_after(file: Path, *statements: str) -> None:
    """A program edits the file and ends."""
    with foreign(file) as program:
        program.run(*statements)
        program.close()
