"""A real `dagster dev`, which copies `.env` into its environment when it starts, and the services of docs/deploy: what is
corrected or added later counts, and nobody has to reload anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.commands import environment
from tests.support.installation import Installation
from tests.support.portals import add_to_file
from tests.support.services import Services, wait_until

SCHEDULES = "{repositoriesOrError {... on RepositoryConnection {nodes {name schedules {name}}}}}"
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
  }
}"""
TICK = """
query($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) {... on Sensor {sensorState {ticks(limit: 1) {skipReason}}}}
}"""
STATUS = "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"


@pytest.fixture(params=["dagster dev", "services"])
def ui(planday: Installation, request: pytest.FixtureRequest) -> Iterator[Services]:
    good = (planday.folder / "tokens/oslo.txt").read_text()
    planday.edit_config("{file: tokens/oslo.txt}", "{env: OSLO_TOKEN}")
    planday.edit_config("step_delay_seconds: 10", "step: 0")
    (planday.folder / ".env").write_text("OSLO_TOKEN=mistyped\n")
    (planday.folder / "good.txt").write_text(good)
    found = Services(planday, {**environment(planday), "DAGSTER_HOME": str(planday.folder)})
    if request.param == "services":
        found.start_units()
    else:
        found.start("dagster", "dev", "-h", "127.0.0.1", "-p", str(found.port), "-w", "workspace.yaml")
    yield found
    found.kill_all()


@pytest.mark.slow
def test_what_is_corrected_or_added_counts(planday: Installation, ui: Services) -> None:
    def location() -> dict[str, Any]:
        (found,) = ui.ask(SCHEDULES)["repositoriesOrError"]["nodes"]
        return dict(found)

    def schedules() -> set[str]:
        return {one["name"] for one in location()["schedules"]}

    def said() -> str:
        selector = {
            "repositoryLocationName": "planday",
            "repositoryName": location()["name"],
            "sensorName": "configuration",
        }
        (tick,) = ui.ask(TICK, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
        return str(tick["skipReason"])

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
        run_id = ui.ask(LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"]
        status = ""

        def has_ended() -> bool:
            nonlocal status
            status = ui.ask(STATUS, id=run_id)["runOrError"]["status"]
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
    wait_until(lambda: "nightly_bergen" in schedules(), seconds=60)
    before = schedules()
    planday.edit_config("  bergen: {client_id", "  bergen: {client_ids")
    wait_until(lambda: "stay as they were" in said(), seconds=60)
    assert schedules() == before, "what cannot be used takes nothing away"
    planday.edit_config("  bergen: {client_ids", "  tromso: {client_id")
    wait_until(lambda: "nightly_tromso" in schedules(), seconds=60)
