"""What commands publish is seen in Dagster: `planday publish` as a run, other commands as events, and none needs Dagster."""

from __future__ import annotations

import os
import re
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.cli.arguments import terminal
from pipelines.cli.forget import forget_person, forget_portal
from pipelines.cli.publishing import publish, report_without_run
from pipelines.publication import publish_pending
from pipelines.reporting import WAREHOUSE
from planday_io.errors import PublicationError
from planday_io.onboarding.renaming import rename_portal
from tests.support.commands import environment
from tests.support.installation import Installation

pytestmark = pytest.mark.processes


@pytest.fixture
def home(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation that this process works in, with a table that is not published yet."""
    environment(planday)
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    monkeypatch.chdir(planday.folder)
    for table in ("hr.departments", "hr.employees"):
        planday.refresh(table)
    return planday


def seen(instance: DagsterInstance) -> list[dg.EventLogRecord]:
    """Materializations of the warehouse, newest first."""
    return [*instance.fetch_materializations(WAREHOUSE, limit=10).records]


def damage(home: Installation) -> None:
    database = home.folder / ".dagster/storage/history/runs.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    for file in database.parent.glob("runs.db*"):
        file.unlink()
    database.write_bytes(os.urandom(8192))


def test_publish_command_is_a_run(home: Installation) -> None:
    assert publish(home.installation, rebuild=False).slices > 1
    assert publish(home.installation, rebuild=True).is_rebuild
    assert not publish(home.installation, rebuild=False).changed
    with DagsterInstance.get() as instance:
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 3
        assert {run.tags["planday/started_by"] for run in runs} == {"planday publish"}
        events = seen(instance)
        assert [event.run_id for event in events] == [run.run_id for run in runs[1:]], "none where nothing changed"
        rebuilt = [event.asset_materialization.metadata["rebuilt"].value for event in events]  # type: ignore[union-attr]
        assert rebuilt == ["true", "false"]


def test_refused_publication_is_a_failed_run(home: Installation) -> None:
    publish(home.installation, rebuild=False)
    home.config.warehouse.unlink()
    home.config.warehouse.mkdir()
    home.refresh("hr.skills")
    with pytest.raises(PublicationError) as in_run:
        publish(home.installation, rebuild=False)
    with pytest.raises(PublicationError) as without:
        publish_pending(home.installation)
    assert str(in_run.value) == str(without.value)
    with DagsterInstance.get() as instance:
        assert instance.get_runs(limit=1)[0].status is dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("rebuild", [False, True])
def test_publishing_needs_no_dagster(home: Installation, rebuild: bool) -> None:
    damage(home)
    done = publish(home.installation, rebuild=rebuild)
    assert done.slices > 1
    assert home.query("SELECT count(*) > 0 FROM hr.departments") == [(True,)]


def test_forgetting_is_seen_without_the_person(home: Installation) -> None:
    publish(home.installation, rebuild=False)
    person = int(home.rows("hr.employees")[0]["id"])
    assert forget_person(home.installation, "oslo", person, terminal(), as_json=True) == 0
    with DagsterInstance.get() as instance:
        newest = seen(instance)[0]
        assert newest.event_log_entry.is_dagster_event
        assert len(instance.get_runs()) == 1, "only that of the first publication"
        assert newest.run_id not in {run.run_id for run in instance.get_runs()}
        assert newest.asset_materialization
        assert newest.asset_materialization.metadata["rebuilt"].value == "true"
        marts = instance.fetch_materializations(dg.AssetKey(["marts", "headcount_monthly"]), limit=1).records
        texts = [str(one.asset_materialization) for one in (newest, *marts)]
        assert not [text for text in texts if re.search(rf"\b{person}\b|forget|employee_id", text)]


@pytest.mark.parametrize("command", ["person", "portal", "rename"])
def test_forgetting_and_renaming_need_no_dagster(
    home: Installation, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    home.publish()
    damage(home)
    person = int(home.rows("hr.employees")[0]["id"])
    if command == "person":
        assert forget_person(home.installation, "oslo", person, terminal(), as_json=True) == 0
        assert home.query(f"SELECT count(*) FROM hr.employees WHERE id = {person}") == [(0,)]
    elif command == "portal":
        assert forget_portal(home.installation, "oslo", terminal(), as_json=True) == 0
        assert home.query("SELECT count(*) FROM hr.employees") == [(0,)]
    else:
        rename_portal(home.installation, "oslo", "bergen", lambda done: report_without_run(home.installation, done))
        assert home.query("SELECT DISTINCT portal FROM hr.employees") == [("bergen",)]
    assert "the Dagster UI does not show this publication: Dagster's storage cannot be used" in capfd.readouterr().err
    assert not home.state.commands.unfinished()


def test_renaming_is_seen(home: Installation) -> None:
    publish(home.installation, rebuild=False)
    rename_portal(home.installation, "oslo", "bergen", lambda done: report_without_run(home.installation, done))
    with DagsterInstance.get() as instance:
        assert len(seen(instance)) == 2
    assert Path.cwd() == home.folder
