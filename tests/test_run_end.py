"""The end of a run: what it wrote is published once, by its last step, and a run that could not publish is no success."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.progress import LISTENER
from pipelines.steps import OpenSteps
from planday_io.monitoring.failures import INSTALLATION
from planday_io.state import State
from tests.support.installation import Installation, run

NEEDS = {"employees": [], "details": ["employees"], "fields": ["details"], "departments": []}


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ([("employees", True), ("details", True), ("fields", True), ("departments", True)], "departments"),
        ([("departments", True), ("employees", False)], "employees"),
        ([("employees", False), ("departments", False)], "departments"),
        ([("employees", True), ("details", False), ("departments", True)], "departments"),
        ([("departments", False), ("employees", True), ("details", True), ("fields", False)], "fields"),
    ],
)
def test_last_step_is_known(ends: list[tuple[str, bool]], last: str) -> None:
    steps = OpenSteps(NEEDS)
    assert [step for step, is_good in ends if steps.end(step, is_good=is_good)] == [last]


def spoil_warehouse(planday: Installation) -> None:
    """Nothing can be published: a folder stands where the file belongs."""
    planday.config.warehouse.unlink()
    planday.config.warehouse.mkdir()


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step -> what its failure says."""
    failed = [event for event in result.all_events if event.is_step_failure]
    return {str(event.step_key): event.step_failure_data.error.message for event in failed}  # type: ignore[union-attr]


def test_run_fails_where_publication_fails(planday: Installation, memory: DagsterInstance) -> None:
    spoil_warehouse(planday)
    result = run(planday, memory, "hr.departments", "hr.skills")
    assert not result.success
    ((step, text),) = failures(result).items()
    assert step in ("hr__departments", "hr__skills")
    assert "is a folder" in text
    written = [event.asset_key.to_user_string() for event in result.all_events if event.is_step_materialization]  # type: ignore[union-attr]
    assert sorted(written) == ["hr/departments", "hr/skills"], "what was written is told nevertheless"
    (noted,) = State(planday.config.state).failures.of(INSTALLATION)
    assert noted.run_id == result.run_id
    planday.config.warehouse.rmdir()
    assert planday.publish().problems == {}
    assert planday.query("SELECT count(*) > 0 FROM hr.skills") == [(True,)]


def test_both_failures_are_told(planday: Installation, memory: DagsterInstance) -> None:
    spoil_warehouse(planday)
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, memory, "hr.employees")
    assert "firstName is number" in failures(result)["hr__employees"]
    assert "is a folder" in failures(result)["hr__employees"]


def test_failed_parent_keeps_nothing_from_publication(planday: Installation, memory: DagsterInstance) -> None:
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, memory, "hr.departments", "hr.employees", "hr.employee_details", "hr.employee_custom_fields")
    assert failures(result).keys() == {"hr__employees"}
    assert planday.query("SELECT table_name FROM sync.slices") == [("hr.departments",)]
    assert planday.query("SELECT failed, run_id FROM sync.runs") == [(["hr.employees"], result.run_id)]


class _Stop:
    """A listener that stops the run when its first table is written."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def finished(self, _: str, report: Any) -> None:
        self.written.append(report.table)
        raise KeyboardInterrupt

    def reading(self, *_: object) -> None:
        pass

    def waiting(self, *_: object) -> None:
        pass

    def failed(self, *_: object, **__: object) -> None:
        pass


def test_interrupted_run_publishes_what_it_wrote(planday: Installation, memory: DagsterInstance) -> None:
    stop = _Stop()
    token = LISTENER.set(stop)
    try:
        result = run(planday, memory, "hr.departments", "hr.skills", "hr.employee_groups")
    finally:
        LISTENER.reset(token)
    assert not result.success
    assert len(stop.written) == 1
    assert planday.query("SELECT table_name FROM sync.slices") == [(stop.written[0],)]
