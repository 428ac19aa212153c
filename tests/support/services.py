"""Web server and daemons of an installation."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.installation import Installation

BIN = Path(sys.executable).parent


class Services:
    """Web server and daemons of an installation; each in a process group of its own, with the runs it started."""

    def __init__(self, planday: Installation, env: dict[str, str]) -> None:
        self._planday, self._env = planday, env
        self._running: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, *command: str) -> None:
        log = (self._planday.folder / f"{command[0]}-{len(self._running)}.log").open("wb")
        self._running.append(
            subprocess.Popen(
                [BIN / command[0], *command[1:], "-w", "workspace.yaml"],
                cwd=self._planday.folder,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def start_all(self, daemons: int = 1) -> None:
        self.start("dagster-webserver", "-h", "127.0.0.1", "-p", str(self.port))
        for _ in range(daemons):
            self.start("dagster-daemon", "run")

    def kill_all(self) -> None:
        """SIGKILL for everything at once, as when the machine stops."""
        while self._running:
            process = self._running.pop()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ask(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/graphql", json={"query": query, "variables": variables}, timeout=60
        )
        document = answer.json()
        if not document.get("data"):
            raise ValueError(f"the web server could not answer: {document.get('errors')}")
        return document["data"]

    def runs(self) -> list[dict[str, Any]]:
        return self.ask("{runsOrError(limit: 500) {... on Runs {results {runId status tags {key value}}}}}")[
            "runsOrError"
        ]["results"]

    def count(self) -> Counter[str]:
        return Counter(run["status"] for run in self.runs())


def wait_until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Other processes give no event to wait for."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.5)):
        with suppress(httpx.HTTPError, ValueError):
            if true():
                return
        pause.wait(0.5)
    raise AssertionError("it did not happen in time")
