"""Web server and daemons of an installation."""

from __future__ import annotations

import os
import re
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


DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def _unit(name: str) -> str:
    return (DEPLOY / f"planday-{name}.service").read_text()


_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  }
}"""
_STATUS = "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"


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
                [BIN / command[0], *command[1:]],
                cwd=self._planday.folder,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )

    def start_all(self, daemons: int = 1) -> None:
        self.start("dagster-webserver", "-h", "127.0.0.1", "-p", str(self.port), "-w", "workspace.yaml")
        for _ in range(daemons):
            self.start("dagster-daemon", "run", "-w", "workspace.yaml")

    def start_units(self) -> None:
        """As the units of docs/deploy do it, on a free port."""
        (self._planday.folder / "docs/deploy").mkdir(parents=True)
        (self._planday.folder / ".dagster").mkdir(exist_ok=True)
        (self._planday.folder / "docs/deploy/workspace.yaml").write_text((DEPLOY / "workspace.yaml").read_text())
        for unit in ("code", "daemon", "webserver"):
            (line,) = re.findall(r"^ExecStart=/opt/planday/.venv/bin/(.*)$", _unit(unit), flags=re.MULTILINE)
            self.start(*line.replace("-p 3000", f"-p {self.port}").split())

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

    def jobs(self) -> set[str]:
        (found,) = self._repositories()
        return {one["name"] for one in found["pipelines"]}

    def launch(self, job: str, form: dict[str, Any]) -> str:
        """Launch a run of a job with a form. Returns the run's id."""
        (found,) = self._repositories()
        selector = {"repositoryLocationName": "planday", "repositoryName": found["name"], "pipelineName": job}
        params = {"selector": selector, "runConfigData": form, "mode": "default"}
        return str(self.ask(_LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"])

    def status(self, run_id: str) -> str:
        return str(self.ask(_STATUS, id=run_id)["runOrError"]["status"])

    def cancel(self, run_id: str) -> None:
        """What the button of the UI does."""
        self.ask("mutation($id: String!) {terminateRun(runId: $id) {__typename}}", id=run_id)

    def _repositories(self) -> list[dict[str, Any]]:
        nodes = self.ask("{repositoriesOrError {... on RepositoryConnection {nodes {name pipelines {name}}}}}")
        return [*nodes["repositoriesOrError"]["nodes"]]

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
