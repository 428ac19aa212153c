"""`planday metrics`, read back by the parser of Prometheus' own client."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from planday_io.monitoring.health import Scheduler, health_of
from planday_io.reports.metrics import metrics_text
from planday_io.state import RateWindow
from tests.support.commands import planday_command
from tests.support.failures import DEPARTMENTS, fail
from tests.support.installation import Installation

NAMES = re.compile(r"planday_[a-z_]+")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    found = [
        ((sample.name.removeprefix("planday_"), tuple(sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found), "Prometheus refuses a file with a sample that is there twice"
    return dict(found)


def measured(planday: Installation, publications: int | None = 3) -> Samples:
    now = datetime.now(UTC)
    health = health_of(planday.installation, now, Scheduler(heartbeat=now))
    return parsed(metrics_text(planday.installation, health, publications))


def test_metrics_are_those_of_the_files(read_on_time: Installation) -> None:
    fail(read_on_time, DEPARTMENTS, "api")
    found = measured(read_on_time)
    oslo = (("portal", "oslo"),)
    provenance = read_on_time.provenance(DEPARTMENTS)
    assert provenance is not None
    assert found["oldest_read_timestamp_seconds", oslo] == provenance.fetched.timestamp()
    assert found["rows", oslo] == len(read_on_time.rows(DEPARTMENTS))
    assert found["portal_state", (*oslo, ("state", "failing"))] == 1
    assert found["incidents", (("cause", "api"), *oslo)] == 1
    assert (found["wrong", ()], found["portal_wrong", (("portal", "london"),)]) == (1, 0)
    assert found["publications_last_day", ()] == 3
    assert found["budget_used_requests", (("kind", "portal"), ("name", "oslo"))] > 0


def test_what_is_not_known_has_no_sample(planday: Installation) -> None:
    planday.config.warehouse.unlink(missing_ok=True)
    found = measured(planday, publications=None)
    assert found["warehouse_readable", ()] == 0
    names = {name for name, _ in found}
    assert not names & {"publications_last_day", "requests_last_day", "rows", "oldest_read_timestamp_seconds"}


def test_app_of_another_address_is_left_out(read_on_time: Installation) -> None:
    """As after `planday demo`, or a proxy: the same app at two addresses has two budgets."""
    (app, *_) = read_on_time.sandbox.apps
    elsewhere = f"client https://elsewhere.example {app}"
    read_on_time.state.budget.transaction(lambda bookings: bookings.set_policy(elsewhere, [RateWindow(7, 60.0)]))
    assert measured(read_on_time)["budget_limit_requests", (("kind", "app"), ("name", app))] > 7


def test_dashboard_asks_for_metrics_there_are(read_on_time: Installation) -> None:
    board = json.loads((Path(__file__).parents[1] / "docs/deploy/grafana-planday.json").read_text())
    asked = {name for panel in board["panels"] for one in panel["targets"] for name in NAMES.findall(one["expr"])}
    now = datetime.now(UTC)
    health = health_of(read_on_time.installation, now, Scheduler(heartbeat=now))
    text = metrics_text(read_on_time.installation, health, 3)
    assert asked <= {family.name for family in text_string_to_metric_families(text)}
    assert len(asked) > 10


@pytest.mark.processes
def test_metrics_file_is_replaced_as_a_whole(read_on_time: Installation) -> None:
    file = read_on_time.folder / "out" / "planday.prom"
    for wrong in (file, read_on_time.folder):
        refused = planday_command(read_on_time, "metrics", "--output", str(wrong))
        assert (refused.returncode, "has to be a file in an existing folder" in refused.stderr) == (2, True)
    file.parent.mkdir()
    for _ in range(2):
        done = planday_command(read_on_time, "metrics", "--output", str(file))
        assert done.returncode == 0, done.stderr
    assert [*file.parent.iterdir()] == [file]
    assert parsed(file.read_text())["wrong", ()] == 1, "no daemon ever ran here"
    refused = planday_command(read_on_time, "metrics", "--output", str(read_on_time.config.lake / "planday.prom"))
    assert refused.returncode == 2


@pytest.mark.processes
def test_without_locks_the_rest_is_written(planday: Installation) -> None:
    """As on a disk that became read-only: Dagster's storage is asked with a lock."""
    shutil.rmtree(planday.state.folder / "locks", ignore_errors=True)
    (planday.state.folder / "locks").touch()
    done = planday_command(planday, "metrics")
    assert done.returncode == 0, done.stderr
    found = parsed(done.stdout)
    assert found["wrong", ()] == 1
    assert ("publications_last_day", ()) not in found
