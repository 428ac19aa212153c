"""portals.yaml edited while a code location lives: sensors go by the file as it is now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from planday_io.config import Config
from planday_io.monitoring.freshness import observe
from planday_io.months import month_of, shifted
from planday_io.state import State
from tests.support.installation import EVERYTHING, Make
from tests.support.portals import add_to_file

THIS = month_of(datetime.now(UTC).date())


def requested(config: Config) -> set[tuple[str, str]]:
    return {(mark.portal, mark.month) for mark in State(config.state).refresh_requests.all()}


def test_sensors_follow_a_file_edited_later(make: Make, instance: DagsterInstance) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    planday.edit_config("history_start: 2025-01", f"history_start: {shifted(THIS, -2)}")
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    definitions = build_definitions(planday.config_path)

    def look(name: str) -> Any:
        (sensor,) = [one for one in definitions.sensors or [] if one.name == name]
        with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
            return sensor.evaluate_tick(context)

    planday.refresh("scheduling.deleted_shifts")
    planday.refresh("hr.employees")
    add_to_file(planday, "bergen")
    planday.edit_config(f"history_start: {shifted(THIS, -2)}", f"history_start: {shifted(THIS, -4)}")
    planday.edit_config("defaults:\n", "privacy: {identity: drop}\ndefaults:\n")
    planday.refresh("scheduling.deleted_shifts", "bergen")
    before = requested(planday.config)
    assert {portal for portal, _ in before} == {"oslo", "bergen"}

    launched = [str(request.partition_key) for request in look("changed_months").run_requests]
    assert launched
    assert all(key.endswith("|oslo") and key >= shifted(THIS, -2) for key in launched), "what the location knows"
    assert requested(planday.config) == before, "what it does not know waits"

    observe(planday.installation, datetime.now(UTC))
    baseline = planday.state.baselines.of("oslo")
    assert baseline
    look("freshness")
    assert planday.state.baselines.of("oslo") == baseline

    look("unpublished_slices")
    assert planday.query("SELECT count(*) > 0, count(first_name) FROM hr.employees WHERE portal = 'oslo'") == [
        (True, 0)
    ]


def test_location_that_knows_nothing_of_it_says_so(make: Make, instance: DagsterInstance) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    definitions = build_definitions(planday.config_path)
    (sensor,) = [one for one in definitions.sensors or [] if one.name == "changed_months"]
    add_to_file(planday, "bergen")
    planday.refresh("scheduling.deleted_shifts", "bergen")
    with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
        found = sensor.evaluate_tick(context)
    assert not found.run_requests
    assert str(found.skip_message).startswith("the definitions do not know all months of bergen yet")
