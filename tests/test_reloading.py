"""The sensor that reloads the definitions of an edited portals.yaml; how it does so, test_dagster_dev.py shows."""

from __future__ import annotations

import dagster as dg
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from tests.support.installation import Installation
from tests.support.portals import add_to_file


def tick(planday: Installation, definitions: dg.Definitions, instance: DagsterInstance) -> str:
    (sensor,) = [one for one in definitions.sensors or [] if one.name == "configuration"]
    with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
        return str(sensor.evaluate_tick(context).skip_message)


def test_an_unedited_file_reloads_nothing(planday: Installation, instance: DagsterInstance) -> None:
    definitions = build_definitions(planday.config_path)
    assert tick(planday, definitions, instance).startswith(
        "the definitions are those of portals.yaml. There is no code"
    )


def test_a_file_that_cannot_be_used_reloads_nothing(planday: Installation, instance: DagsterInstance) -> None:
    definitions = build_definitions(planday.config_path)
    planday.edit_config("portals:\n", "portals:\n  bergen: {client: 1}\n")
    said = tick(planday, definitions, instance)
    assert said.startswith("the definitions stay as they were: ")
    assert "bergen" in said


def test_without_code_server_the_page_says_what_to_do(planday: Installation, instance: DagsterInstance) -> None:
    definitions = build_definitions(planday.config_path)
    add_to_file(planday, "bergen")
    assert tick(planday, definitions, instance).endswith("the UI when you click Reload (Deployment)")
