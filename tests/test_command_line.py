"""The commands as their users run them: exit codes, texts, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planday_io.lake.slices import SliceKey
from tests.support.commands import PLANDAY, environment, planday_command, run_command, summary
from tests.support.help import commands
from tests.support.installation import Installation

pytestmark = pytest.mark.processes


def test_check_sync_status_publish(planday: Installation) -> None:
    checked = planday_command(planday, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.startswith("OK: 3 portals answered everything that was asked.")
    assert "Planday portal 4711" in planday_command(planday, "check", "oslo", "--tables").stdout
    synced = planday_command(planday, "sync", "oslo", "london", "--resources", "portal,hr.departments", "--json")
    assert synced.returncode == 0, synced.stderr
    result = summary(synced)
    assert result["complete"]
    assert {(row["portal"], row["table"]) for row in result["tables"]} == {
        (portal, table) for portal in ("oslo", "london") for table in ("portal.portals", "hr.departments")
    }
    assert planday.query("SELECT portal, count(*) FROM hr.departments GROUP BY 1 ORDER BY 1") == [
        ("london", 2),
        ("oslo", 2),
    ]
    states = summary(planday_command(planday, "status", "oslo", "--tables", "--json"))["tables"]
    fresh = next(state for state in states if state["table"] == "hr.departments")
    assert (fresh["rows"], fresh["verdict"], fresh["published"]) == (2, "total_matched", True)
    assert "already shows all" in planday_command(planday, "publish").stdout
    assert planday_command(planday, "publish", "--rebuild").returncode == 0


def test_one_portal_that_fails_leaves_the_others_alone(planday: Installation) -> None:
    (planday.folder / "tokens/london.txt").unlink()
    done = planday_command(planday, "sync", "--resources", "hr.departments")
    assert done.returncode == 1
    assert "the refresh token of portal 'london' cannot be read" in done.stdout
    assert {row[0] for row in planday.query("SELECT DISTINCT portal FROM hr.departments")} == {"oslo", "copenhagen"}
    checked = planday_command(planday, "check")
    assert checked.returncode == 1
    assert "FAILED" in checked.stdout


def test_certificates_that_cannot_be_loaded_are_named(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    planday.edit_config(f"api_url: '{planday.address}'", "api_url: 'https://planday.example'")
    monkeypatch.setenv("SSL_CERT_FILE", str(planday.folder / "none.pem"))
    done = planday_command(planday, "check", "oslo", "--json")
    assert done.returncode == 1, done.stderr
    assert "the certificates to trust cannot be loaded (No such file or directory): check SSL_CERT_FILE" in done.stdout


@pytest.mark.parametrize(("command", "loads"), [("tables", []), ("report", ["duckdb"])])
def test_simple_commands_load_what_they_need(planday: Installation, command: str, loads: list[str]) -> None:
    """Dagster, pandas and DuckDB take most of a second each to load; only the report reads the warehouse."""
    script = """
import sys
from typer.testing import CliRunner
from pipelines.cli.main import app
print(CliRunner().invoke(app, sys.argv[1:]).exit_code, *{"dagster", "pandas", "duckdb"} & {*sys.modules})
"""
    done = run_command(planday, sys.executable, "-c", script, command)
    assert done.stdout.split() == ["0", *loads], done.stderr


@pytest.mark.parametrize("wrong", ["sync --months=2026", "plan --resources=hr.employes", "status olso"])
def test_wrong_arguments_load_no_dagster(planday: Installation, wrong: str) -> None:
    script = """
import sys
from pipelines.cli.main import main
try:
    main()
except SystemExit as ended:
    print(ended.code, "dagster" in sys.modules)
"""
    done = run_command(planday, sys.executable, "-c", script, *wrong.split())
    assert done.stdout.split() == ["2", "False"], done.stderr


def test_a_first_read_loads_no_duckdb(planday: Installation) -> None:
    """It takes more memory than the rows of most months."""
    script = """
import sys
from pathlib import Path
from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.sync.session import PortalSession, refresh
session = PortalSession(Installation.load(Path(sys.argv[1]), CATALOGUE), "oslo", run_id="test")
print(refresh(session, "hr.departments")[0].rows > 0, "duckdb" in sys.modules)
"""
    done = run_command(planday, sys.executable, "-c", script, str(planday.config_path))
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_a_missing_scope_costs_its_tables_only(planday: Installation) -> None:
    for app in planday.sandbox.apps.values():
        app.scopes -= {"employee:read"}
    done = planday_command(planday, "sync", "oslo", "--json")
    assert done.returncode == 1
    failures = {row["table"]: row["error"] for row in summary(done)["failures"]}
    assert "lacks scope employee:read" in failures["hr.employees"]
    assert failures["hr.employee_details"] == "left out, because the table it is read from failed"
    assert "hr.departments" in {row["table"] for row in summary(done)["tables"]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sync", "olso"), "there is no portal 'olso'; did you mean 'oslo'?"),
        (("sync", "--resources", "hr.employes"), "there is no domain or table 'hr.employes'; did you mean"),
    ],
)
def test_usage_mistakes(planday: Installation, arguments: tuple[str, ...], says: str) -> None:
    done = planday_command(planday, *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_names_given_twice_count_once(planday: Installation) -> None:
    checked = planday_command(planday, "check", "oslo", "oslo", "--json")
    findings = [(one["portal"], one["subject"]) for one in json.loads(checked.stdout)["findings"]]
    assert len(findings) == len({*findings}) > 0
    done = planday_command(planday, "sync", "oslo", "oslo", "--resources", "hr.departments,hr.departments", "--json")
    assert [row["table"] for row in summary(done)["tables"]] == ["hr.departments"]


def test_an_unknown_key_of_the_configuration(planday: Installation) -> None:
    planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    before = planday.config.warehouse.read_bytes()
    warehouse = planday.config.warehouse
    planday.edit_config("defaults:", "defalts:")
    done = planday_command(planday, "sync")
    assert done.returncode == 2
    assert "portals.yaml, line 4: defalts: found an unknown key; expected a known key; did you mean 'defaults'?" in (
        done.stderr
    )
    assert warehouse.read_bytes() == before


def test_a_warehouse_folder_that_cannot_be_written(planday: Installation) -> None:
    """Root may write everywhere, so the folder is a file: the same error on every machine."""
    (planday.folder / "published").write_text("in the way")
    planday.edit_config("defaults:", "warehouse: published/warehouse.duckdb\ndefaults:")
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert done.returncode == 1
    assert "cannot renew the warehouse" in done.stdout
    assert "What was there before is untouched" in done.stdout
    assert len(planday.rows("hr.departments")) == 2


def test_no_configuration(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "PLANDAY_CONFIG")}
    done = subprocess.run([PLANDAY, "sync"], capture_output=True, text=True, check=False, env=kept, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no portals.yaml" in done.stderr


def test_every_command_explains_itself() -> None:
    every = list(commands())
    assert ("sync",) in every
    for command in every:
        done = subprocess.run([PLANDAY, *command, "--help"], capture_output=True, text=True, check=True)
        assert f"Usage: planday {' '.join(command)}" in done.stdout


def test_tables_and_docs_are_current() -> None:
    listed = json.loads(
        subprocess.run([PLANDAY, "tables", "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert "hr.employees" in {row["table"] for row in listed}
    subprocess.run([PLANDAY, "docs", "--check"], check=True, cwd=Path(__file__).parents[1])


def test_missing_token_is_reported_once_without_runs(planday: Installation) -> None:
    (planday.folder / "tokens/london.txt").unlink()
    done = planday_command(planday, "sync", "london")
    assert done.returncode == 1
    assert done.stdout.count("the refresh token of portal 'london' cannot be read from") == 2, "at once, and at the end"
    assert "published" not in done.stdout
    assert not planday.sandbox.requests
    assert planday_command(planday, "alert").returncode == 1
    notes = planday.state.failures.of("london")
    assert {(note.table, note.cause) for note in notes} >= {("hr.employees", "secret"), ("hr.departments", "secret")}


def test_what_is_written_is_not_for_everybody(planday: Installation) -> None:
    planday.config.warehouse.unlink()  # a file that is replaced would keep its mode
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 0
    for path in (
        planday.lake.path(SliceKey.of("hr.departments", "oslo")),
        planday.config.warehouse,
        planday.config.lake,
    ):
        assert not path.stat().st_mode & 0o007, path


def test_backup_is_whole_with_closed_output(planday: Installation) -> None:
    """Its file would get the number of the output."""
    planday.refresh("hr.departments")
    file = planday.folder.parent / "planday.tar"
    done = run_command(planday, "sh", "-c", f"{PLANDAY} backup {file} <&- >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert planday_command(planday, "restore", str(file), "--check").returncode == 0


@pytest.mark.processes
def test_status_of_a_wrong_configuration_writes_nothing(tmp_path: Path) -> None:
    """Dagster is asked before the configuration is read."""
    (tmp_path / "portals.yaml").write_text("portals: []\n")
    env = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "PLANDAY_CONFIG")}
    done = subprocess.run(
        [PLANDAY, "status"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "portals.yaml, line 1" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["portals.yaml"]


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("is_wrong", [False, True])
def test_status_says_by_its_exit_code_what_nobody_reads(planday: Installation, is_wrong: bool, more: list[str]) -> None:
    """As in `planday status | head -1`, whose reader has gone; a job that looks at exit codes must not be told otherwise."""
    if is_wrong:
        (planday.folder / "tokens/oslo.txt").unlink()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as unread:
        done = subprocess.run(
            [PLANDAY, "status", *more],
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(planday),
            cwd=planday.folder,
        )
    assert (done.returncode, done.stderr) == (int(is_wrong), "")
