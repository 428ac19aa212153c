"""A real `dagster dev`, which copies `.env` into its environment when it starts: what is corrected later counts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.commands import environment
from tests.support.installation import Installation
from tests.support.portals import add_to_file
from tests.support.services import BIN, Services, wait_until

SCHEDULES = "{repositoriesOrError {... on RepositoryConnection {nodes {name schedules {name}}}}}"
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  }
}"""
STATUS = "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
RELOAD = 'mutation {reloadRepositoryLocation(repositoryLocationName: "planday") {__typename}}'


@pytest.fixture
def dev(planday: Installation) -> Iterator[Services]:
    good = (planday.folder / "tokens/oslo.txt").read_text()
    planday.edit_config("{file: tokens/oslo.txt}", "{env: OSLO_TOKEN}")
    planday.edit_config("step_delay_seconds: 10", "step: 0")
    (planday.folder / ".env").write_text("OSLO_TOKEN=mistyped\n")
    (planday.folder / "good.txt").write_text(good)
    env = {**environment(planday), "DAGSTER_HOME": str(planday.folder)}
    found = Services(planday, env)
    command = [str(BIN / "dagster"), "dev", "-h", "127.0.0.1", "-p", str(found.port), "-w", "workspace.yaml"]
    with (planday.folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=planday.folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        yield found
        # Ends its servers itself, when it is asked to.
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_what_is_corrected_counts_under_dagster_dev(planday: Installation, dev: Services) -> None:
    def location() -> dict[str, Any]:
        (found,) = dev.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
        return dict(found)

    def schedules() -> set[str]:
        return {one["name"] for one in location()["schedules"]}

    def run() -> str:
        params = {
            "selector": {
                "repositoryLocationName": "planday",
                "repositoryName": location()["name"],
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": ["hr", "departments"]}],
            },
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "oslo"}]},
        }
        run_id = dev.ask(LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"]
        status = ""

        def has_ended() -> bool:
            nonlocal status
            status = dev.ask(STATUS, id=run_id)["runOrError"]["status"]
            return status in ("SUCCESS", "FAILURE")

        wait_until(has_ended)
        return status

    wait_until(lambda: "nightly_oslo" in schedules())
    assert run() == "FAILURE"
    good = (planday.folder / "good.txt").read_text()
    (planday.folder / ".env").write_text(f"OSLO_TOKEN={good}\n")
    assert run() == "SUCCESS"
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]

    add_to_file(planday, "bergen")
    assert "nightly_bergen" not in schedules()
    dev.ask(RELOAD)
    wait_until(lambda: "nightly_bergen" in schedules())
