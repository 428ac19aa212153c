"""The dbt package and its example as dbt builds them, and the metrics as MetricFlow answers them: `make dbt`.

PLANDAY_DBT names the environment with dbt, DuckDB 2 and, in a folder of its own, DuckDB 1.4. Every figure is held against SQL
over the marts of the same file.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import month_of, shifted
from tests.support.installation import EVERYTHING, FAST, Installation

TOOLS = os.environ.get("PLANDAY_DBT", "")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not TOOLS, reason="dbt has an environment of its own: make dbt"),
]
ROOT = Path(__file__).parents[1]
VERSIONS = {"1.4": "duckdb-1.4", "2": ""}
PLACE = "planday_department_day__portal", "planday_department_day__department_id"


@dataclass(frozen=True, slots=True)
class Project:
    """A copy of the package and its example, and the published file that it reads."""

    folder: Path
    warehouse: Path
    version: str

    @property
    def example(self) -> Path:
        return self.folder / "example"

    def run(self, tool: str, *arguments: str, folder: Path | None = None, warehouse: Path | None = None) -> str:
        """What a command of dbt or MetricFlow printed. Fails where it failed."""
        done = self.tried(tool, *arguments, folder=folder, warehouse=warehouse)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def tried(
        self, tool: str, *arguments: str, folder: Path | None = None, warehouse: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        tools = (ROOT / TOOLS).absolute()
        own = VERSIONS[self.version]
        environment = os.environ | {
            "PLANDAY_WAREHOUSE": str(warehouse or self.warehouse),
            "PYTHONPATH": str(tools / own) if own else "",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            # `mf` asks a registry whether there is a newer version of it: nobody answers.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }
        return subprocess.run(
            [str(tools / "bin" / tool), *arguments],
            cwd=folder or self.example,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def results(self, name: str = "run_results") -> dict[str, dict[str, Any]]:
        """What the last command of dbt found: node -> result."""
        found = json.loads((self.example / "target" / f"{name}.json").read_text())["results"]
        return {result["unique_id"]: result for result in found}

    def asked(self, metrics: list[str], by: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, float | None]]:
        """MetricFlow's answer: values to group by -> metric -> figure."""
        file = self.folder / "answer.csv"
        names = ",".join(f"planday_{metric}" for metric in metrics)
        self.run("mf", "query", "--metrics", names, "--group-by", ",".join(by), "--csv", str(file))
        with file.open(newline="") as text:
            rows = list(csv.DictReader(text))
        return {
            tuple(row[name].removesuffix(" 00:00:00") for name in by): {
                metric: float(row[f"planday_{metric}"]) if row[f"planday_{metric}"] else None for metric in metrics
            }
            for row in rows
        }

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as db:
            return db.execute(query).fetchall()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two portals with different currencies, read as schedules would; the last full month is whole."""
    from planday_io.sandbox.limits import Limits
    from planday_io.sandbox.serve import served
    from planday_io.sandbox.state import demo_sandbox
    from planday_io.sandbox.world import demo_portals

    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(12, 12, 4)))
    current = month_of(datetime.now(UTC).date())
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("dbt"), sandbox, address, resources=EVERYTHING)
        for portal in ("oslo", "london"):
            for endpoint in CATALOGUE.endpoints:
                if endpoint.grid == "portal":
                    made.refresh(endpoint.name, portal)
            made.read_months([shifted(current, -1), current], portal)
        yield made.config.warehouse


@pytest.fixture(scope="module", params=VERSIONS)
def project(request: pytest.FixtureRequest, published: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("package") / "dbt"
    unwanted = shutil.ignore_patterns("target", "logs", "dbt_packages", "*.duckdb")
    shutil.copytree(ROOT / "dbt", folder, ignore=unwanted)
    made = Project(folder, published, request.param)
    made.run("dbt", "deps")
    made.run("dbt", "build")
    return made


def test_build_passes_and_tests_everything(project: Project) -> None:
    results = project.results()
    statuses = {status: [name for name in results if results[name]["status"] == status] for status in ("fail", "error")}
    assert statuses == {"fail": [], "error": []}
    # References are warnings, as in Dagster.
    warned = [name for name, result in results.items() if result["status"] == "warn"]
    assert all("references_resolve" in name for name in warned), warned
    names = "\n".join(results)
    assert len(results) > 300
    for kind in ("not_null", "key_unique", "references_resolve"):
        assert names.count(kind) > 50, kind
    python = (ROOT / TOOLS / "bin" / "python").absolute()
    path = {"PYTHONPATH": str(python.parents[1] / VERSIONS[project.version])} if VERSIONS[project.version] else {}
    asked = [str(python), "-c", "import duckdb; print(duckdb.__version__)"]
    used = subprocess.run(asked, env=os.environ | path, capture_output=True, text=True, check=True).stdout
    assert used.startswith(f"{project.version}.")


def test_package_builds_by_itself(project: Project) -> None:
    said = project.run("dbt", "build", "--exclude-resource-type", "test", folder=project.folder)
    assert "ERROR=0" in said


def test_published_file_is_only_read(project: Project) -> None:
    assert not project.warehouse.with_name(f"{project.warehouse.name}.wal").exists()
    names = {name for (name,) in project.sql("SELECT DISTINCT schema_name FROM duckdb_tables()")}
    assert not names & {"main"}
    with duckdb.connect() as db:
        if project.version == "2":
            db.execute(f"ATTACH '{project.example / 'shops.duckdb'}' AS shops (READ_ONLY)")
            own = db.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'shops' ORDER BY ALL")
            assert own.fetchall() == [
                ("department_weeks",),
                ("labour_targets",),
                ("open_shifts_ahead",),
                ("weeks_over_target",),
            ]


DAILY = ["labour_cost_percent", "cost_known_percent", "labour_cost", "revenue", "worked_hours", "cost_unknown_hours"]


def test_a_departments_day_is_the_marts_row(project: Project) -> None:
    answer = project.asked(DAILY, (*PLACE, "metric_time__day"))
    rows = project.sql(
        f"SELECT portal, department_id, date, {', '.join(DAILY)} FROM marts.labour_daily WHERE department_id IS NOT NULL"
    )
    assert len(rows) > 50
    percents = 0
    for portal, department, day, *figures in rows:
        found = answer[portal, str(department), day.isoformat()]
        for metric, figure in zip(DAILY, figures, strict=True):
            assert_same(found[metric], figure, (portal, department, day, metric))
        percents += figures[0] is not None
    assert percents > 10
    unknown = [row for row in rows if row[8] is not None]
    assert unknown and all(row[3] is None for row in unknown)  # noqa: PT018


def assert_same(found: float | None, figure: Any, where: object) -> None:
    if figure is None:
        assert found is None, where
    else:
        assert found == pytest.approx(float(figure), abs=1e-6), where


def test_a_departments_month_answers_the_marts_question(project: Project) -> None:
    month = shifted(month_of(datetime.now(UTC).date()), -1)
    answer = project.asked(["labour_cost_percent", "sales_per_labour_hour"], (*PLACE, "metric_time__month"))
    percents = project.sql(
        "SELECT portal, department_id, CASE WHEN sum(cost_unknown_hours) IS NULL THEN round(100.0 * "
        "CAST(sum(labour_cost) AS DOUBLE) / nullif(CAST(sum(revenue) AS DOUBLE), 0), 2) END FROM marts.labour_daily "
        f"WHERE department_id IS NOT NULL AND month = '{month}' GROUP BY ALL"
    )
    sales = project.sql(
        "SELECT portal, department_id, round(sum(revenue) / sum(worked_hours), 2) FROM marts.labour_daily "
        f"WHERE revenue IS NOT NULL AND worked_hours > 0 AND month = '{month}' AND department_id IS NOT NULL GROUP BY ALL"
    )
    assert percents and sales  # noqa: PT018
    for metric, rows in (("labour_cost_percent", percents), ("sales_per_labour_hour", sales)):
        for portal, department, figure in rows:
            assert_same(answer[portal, str(department), f"{month}-01"][metric], figure, (portal, department, metric))


def test_several_currencies_are_never_added_up(project: Project) -> None:
    metrics = ["labour_cost", "revenue", "labour_cost_percent", "sales_per_labour_hour", "worked_hours"]
    month = f"{shifted(month_of(datetime.now(UTC).date()), -1)}-01"
    figures = project.asked(metrics, ("metric_time__month",))[(month,)]
    assert figures.pop("worked_hours")
    assert {*figures.values()} == {None}
    apart = project.asked(["revenue"], (PLACE[0], "metric_time__month"))
    assert apart["oslo", month]["revenue"]
    assert apart["london", month]["revenue"]


OVERTIME = ["overtime_hours", "overtime_percent", "hours_without_contract", "shifts_without_hours"]
ABSENCE = ["absence_percent", "sickness_percent", "absent_days", "planned_days"]


def test_overtime_and_absence_are_the_marts_sums(project: Project) -> None:
    percent = "round(100.0 * sum({}) / nullif(sum(planned_days + absent_days), 0), 1)"
    asked = {
        "person_month": (
            OVERTIME,
            "SELECT portal, department_id, period_start, sum(over_contract_hours), round(100.0 * "
            "CAST(sum(over_contract_hours) AS DOUBLE) / sum(worked_hours) FILTER (over_contract_gap IS NULL), 1), "
            "sum(worked_hours) FILTER (over_contract_gap IS NOT NULL), sum(shifts_without_hours) FROM marts.overtime "
            "WHERE period_of = 'month' AND department_id IS NOT NULL GROUP BY ALL",
        ),
        "person_month_of_absence": (
            ABSENCE,
            f"SELECT portal, department_id, CAST(month || '-01' AS DATE), {percent.format('absent_days')}, "
            f"{percent.format('sickness_days')}, sum(absent_days), sum(planned_days) FROM marts.absence_monthly "
            "WHERE department_id IS NOT NULL GROUP BY ALL",
        ),
    }
    for entity, (metrics, query) in asked.items():
        by = (f"planday_{entity}__portal", f"planday_{entity}__department_id", "metric_time__month")
        answer, rows = project.asked(metrics, by), project.sql(query)
        assert len(rows) > 3
        assert any(row[3] for row in rows)
        for portal, department, month, *figures in rows:
            for metric, figure in zip(metrics, figures, strict=True):
                found = answer[portal, str(department), month.isoformat()][metric]
                assert_same(found, figure, (portal, department, month, metric))


def test_freshness_is_of_the_portal_read_longest_ago(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    shutil.copyfile(project.warehouse, file)
    now = datetime.now(UTC)
    old = {
        "hr.departments": timedelta(hours=40),
        "hr.employees": timedelta(hours=70),
        "payroll.shifts": timedelta(days=3),
    }
    with duckdb.connect(str(file)) as db:
        for table, age in old.items():
            sql = "UPDATE sync.slices SET fetched_at = ? WHERE table_name = ? AND portal = 'london'"
            db.execute(sql, [now - age, table])
        # Months before the current one are not read again for ever.
        earlier = "UPDATE sync.slices SET fetched_at = ? WHERE table_name = 'scheduling.shifts' AND month = ?"
        db.execute(earlier, [now - timedelta(days=20), shifted(month_of(now.date()), -1)])
    done = project.tried("dbt", "source", "freshness", warehouse=file)
    results = project.results("sources")
    status = {name.removeprefix("source.planday.planday_"): result["status"] for name, result in results.items()}
    assert done.returncode == 1
    assert {name for name in status if status[name] == "warn"} == {"hr.departments"}
    assert {name for name in status if status[name] == "error"} == {"hr.employees", "payroll.shifts"}
    assert status["scheduling.shifts"] == "pass"
    shown = datetime.fromisoformat(results["source.planday.planday_hr.departments"]["max_loaded_at"])
    assert abs(shown.replace(tzinfo=UTC) - (now - old["hr.departments"])) < timedelta(seconds=1)
    assert "scheduling.shift_history" not in status


def test_wrong_rows_fail(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    shutil.copyfile(project.warehouse, file)
    with duckdb.connect(str(file)) as db:
        db.execute("INSERT INTO hr.departments FROM hr.departments LIMIT 1")
        db.execute("UPDATE hr.skills SET skill_id = NULL WHERE rowid = 0")
        db.execute("UPDATE hr.employees SET supervisor_id = 999999 WHERE portal = 'oslo'")
        # A pseudonym, and a portal that was never read.
        db.execute("UPDATE scheduling.positions SET department_id = -5")
        db.execute("UPDATE revenue.revenue_units SET department_id = 999999 WHERE portal = 'london'")
        db.execute("DELETE FROM sync.slices WHERE table_name = 'hr.departments' AND portal = 'london'")
    done = project.tried("dbt", "test", "--select", "source:planday_*", warehouse=file)
    wrong = {name: result["status"] for name, result in project.results().items() if result["status"] != "pass"}
    assert done.returncode == 1
    assert any("key_unique_planday_hr_departments" in name and wrong[name] == "fail" for name in wrong)
    assert any("not_null_planday_hr_skills_skill_id" in name and wrong[name] == "fail" for name in wrong)
    assert any("planday_hr_employees_supervisor_id" in name and wrong[name] == "warn" for name in wrong)
    assert not [name for name in wrong if "positions_department_id" in name or "revenue_units_department_id" in name]
    assert {status for name, status in wrong.items() if "references_resolve" in name} <= {"warn"}


def test_the_example_adds_up_what_the_mart_has(project: Project) -> None:
    rows = project.sql(
        "SELECT portal, department_id, CAST(date_trunc('week', date) AS DATE), sum(revenue) FROM marts.labour_daily "
        "WHERE department_id IS NOT NULL AND date <= today() GROUP BY ALL"
    )
    shown = json.loads(
        project.run("dbt", "show", "--select", "department_weeks", "--limit", "1000", "--output", "json", "--quiet")
    )["show"]
    assert len(shown) == len(rows)
    found = {
        (row["portal"], row["department_id"], date.fromisoformat(row["week"][:10])): row["revenue"] for row in shown
    }
    for portal, department, week, revenue in rows:
        assert_same(found[portal, department, week], revenue, (portal, department, week))
