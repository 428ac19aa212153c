"""Asks Dagster's instance in a process beside this one. Importing it loads nothing heavy.

Importing Dagster and opening its storage takes as long as all else that `planday status` does. So the question is asked
before anything else is imported: the module `pipelines.scheduler`, run as a program, answers it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Question:
    """A question that is being answered.

    Args:
        process: that answers it.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def answer(self) -> bytes | None:
        """The last line that the process wrote, or None if it failed."""
        out, _ = self._process.communicate()
        return None if self._process.returncode else out.splitlines()[-1]


@contextmanager
def asked(home: Path) -> Iterator[Question | None]:
    """Ask the instance of the installation in a folder. Nothing is written there: the configuration may be wrong.

    None where Dagster is loaded here, because asking it takes no time then, and where it has no settings yet.
    """
    if "dagster" in sys.modules or not (Path(os.environ.get("DAGSTER_HOME") or home) / "dagster.yaml").is_file():
        yield None
        return
    command = [sys.executable, "-P", "-m", "pipelines.scheduler", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield Question(process)
        finally:
            process.kill()
