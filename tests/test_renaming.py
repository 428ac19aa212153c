"""`planday portals rename`: everything of a portal stands under the new key, and Planday is not asked for it again."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.alerting import under_way
from planday_io.errors import ConfigError, PlandayError, PortalIdentityError, StorageError
from planday_io.lake.identity import PortalIdentities
from planday_io.lake.renames import move_slice, unfinished_renames
from planday_io.lake.runs import Run, log_run
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.freshness import monitored_since, observe
from planday_io.monitoring.notifier import Notifier
from planday_io.onboarding.renaming import rename_portal
from planday_io.privacy.erasure import forget_person
from planday_io.sandbox.state import Fault
from planday_io.state import Failure, State
from tests.support.commands import planday_command
from tests.support.cutting import KILLED, counting, killed
from tests.support.folders import copy_of
from tests.support.installation import Installation

pytestmark = pytest.mark.processes

TABLES = ("hr.departments", "hr.employees", "hr.employee_details")
OTHERS = ("copenhagen", "london")
MONTH = "2026-10"


@pytest.fixture
def installed(planday: Installation) -> Installation:
    """With hashed names, a rotated token, a forgotten person, a requested month, failures, a baseline and two runs."""
    planday.edit_config("defaults:", "privacy: {identity: hash, hash_key: {file: hash.txt}}\ndefaults:")
    (planday.folder / "hash.txt").write_text("a key of hashes")
    planday.sandbox.rotates = True
    for table in TABLES:
        planday.refresh(table)
    planday.sandbox.rotates = False
    planday.refresh("hr.departments", "london")
    planday.refresh("scheduling.shifts", month=MONTH)
    forget_person(planday.installation, "oslo", int(planday.rows("hr.employees")[0]["id"]))
    now = datetime.now(UTC)
    config = planday.config
    State(config.state).refresh_requests.add("oslo", {MONTH: ["scheduling.shifts"]}, {}, now)
    note = Failure(portal="oslo", table="hr.skills", month=None, cause="scope", error="x", run_id="r", since=now)
    State(config.state).failures.record([note])
    observe(planday.installation, now)
    Notifier(planday.installation).notify(now)
    for portal in ("oslo", "london"):
        log_run(planday.lake, Run(run_id="r", portal=portal, started_by="test", started_at=now), now)
    planday.publish()
    return planday


Content = dict[str, list[tuple[object, ...]]]


def content(planday: Installation, portal: str, name: str) -> Content:
    """All rows of all tables and views of the warehouse, with one key written as another."""
    found: Content = {}
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        tables = db.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal UNION ALL "
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        for (table,) in tables:
            if table == "sync.publication":
                continue
            rows = db.execute(f"SELECT * FROM {table}").fetchall()
            found[table] = sorted(
                (tuple(name if value == portal else value for value in row) for row in rows), key=repr
            )
    return found


def asked(planday: Installation, *portals: str) -> int:
    """How many requests Planday got for some portals, which portal it is left out."""
    return sum(
        count
        for key, count in planday.sandbox.requests.items()
        if key.split()[0] in portals and not key.endswith("/portal/v1.0/info")
    )


def owed(planday: Installation) -> list[str]:
    return [entry.command for entry in planday.state.commands.unfinished()]


def leftovers(folder: Path, key: str) -> list[str]:
    """Files and folders that carry a key in their name, locks and the configured token left out."""
    found = [str(path.relative_to(folder)) for path in folder.rglob(f"*{key}*")]
    return [name for name in found if not name.endswith((".lock", f"tokens/{key}.txt"))]


def test_all_but_the_name_stays_unread(installed: Installation) -> None:
    planday, untouched = installed, copy_of(installed)
    (untouched.folder / "hash.txt").write_text("a key of hashes")
    before, comments = content(planday, "oslo", "bergen"), planday.config_path.read_text()
    said, since = planday.sandbox.requests.copy(), monitored_since(planday.installation, "oslo")
    done = rename_portal(planday.installation, "oslo", "bergen")
    assert (done.slices, done.edited) == (len([k for k in planday.lake.slices() if k.portal == "bergen"]), True)
    assert planday.sandbox.requests == said
    after = content(planday, "bergen", "bergen")
    assert before.keys() == after.keys()
    for table, rows in before.items():
        assert after[table] == rows, table
    assert sum(map(len, before.values())) > 50
    assert planday.config_path.read_text() == comments.replace("  oslo:\n", "  bergen:\n")
    assert leftovers(planday.folder, "oslo") == []
    config = planday.config
    assert [(mark.portal, mark.month) for mark in State(config.state).refresh_requests.all()] == [("bergen", MONTH)]
    assert [(note.portal, note.table) for note in State(config.state).failures.of("bergen")] == [
        ("bergen", "hr.skills")
    ]
    assert monitored_since(planday.installation, "bergen") == since
    done = Notifier(planday.installation).notify(datetime.now(UTC))
    assert ("bergen", "scope") in {(one.portal, one.cause) for one in done.open}
    assert not [one for one in done.open if one.portal == "oslo"]
    assert owed(planday) == []
    assert unfinished_renames(config.lake) == []
    # And what is read next asks Planday for as little as under the old name.
    counts = []
    for where, portal in ((untouched, "oslo"), (planday, "bergen")):
        before = asked(where, "oslo")
        for table in TABLES:
            where.refresh(table, portal)
        counts.append(asked(where, "oslo") - before)
    assert counts[0] == counts[1] < len(planday.sandbox.portals["oslo"].employees)
    names = {row["first_name"] for row in untouched.rows("hr.employees")}
    assert {row["first_name"] for row in planday.rows("hr.employees", "bergen")} == names
    pseudonyms = {row["employee_id"] for row in untouched.rows("scheduling.shifts", month=MONTH)}
    assert {row["employee_id"] for row in planday.rows("scheduling.shifts", "bergen", MONTH)} == pseudonyms


def test_cut_anywhere_the_same_command_finishes(installed: Installation) -> None:
    uncut = copy_of(installed)
    (uncut.folder / "hash.txt").write_text("a key of hashes")
    with counting(uncut.folder) as whole:
        rename_portal(uncut.installation, "oslo", "bergen")
    wanted = content(uncut, "bergen", "bergen")
    for at in (whole.count // 5, whole.count // 2, whole.count * 9 // 10):
        planday = copy_of(installed)
        (planday.folder / "hash.txt").write_text("a key of hashes")
        with counting(planday.folder, at=at), pytest.raises(PlandayError):
            rename_portal(planday.installation, "oslo", "bergen")
        key = next(one for one in planday.config.portals if one not in OTHERS)
        if unfinished_renames(planday.config.lake):
            assert owed(planday) == ["planday portals rename oslo bergen"]
            with pytest.raises(PortalIdentityError, match="portals rename oslo bergen"):
                planday.refresh("hr.departments", key)
            with pytest.raises(PortalIdentityError, match="portals rename oslo bergen"):
                forget_person(planday.installation, "oslo", 1)
            planday.refresh("hr.departments", "copenhagen")
            planday.publish()
            shown = planday.query("SELECT portal, id FROM hr.employees")
            assert len({portal for portal, _ in shown}) == 1, "readers see one name"
            assert len({number for _, number in shown}) == len(shown), "and each person once"
        rename_portal(planday.installation, "oslo", "bergen")
        assert owed(planday) == []
        found = content(planday, "bergen", "bergen")
        for table in ("hr.employees", "hr_history.employees", "scheduling.shifts", "marts.employees", "sync.runs"):
            assert found[table] == wanted[table], (at, table)
        assert leftovers(planday.folder, "oslo") == []


def test_cut_at_the_very_end(planday: Installation) -> None:
    planday.refresh("hr.departments")
    uncut = copy_of(planday)
    with counting(uncut.folder) as whole:
        rename_portal(uncut.installation, "oslo", "bergen")
    for at in range(whole.count - 3, whole.count + 1):
        made = copy_of(planday)
        with counting(made.folder, at=at), suppress(PlandayError):
            rename_portal(made.installation, "oslo", "bergen")
        if owed(made):
            rename_portal(made.installation, "oslo", "bergen")
        assert (owed(made), unfinished_renames(made.config.lake)) == ([], []), at
        assert made.rows("hr.departments", "bergen") == uncut.rows("hr.departments", "bergen")


def test_run_that_works_is_under_way() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition/portal": "oslo", "dagster/partition/month": MONTH}
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS):
            instance.add_run(dg.DagsterRun(job_name="x", run_id=f"run {status.value}", status=status, tags=tags))
        assert [(portal, run.run_id) for portal, run in under_way(instance)] == [("oslo", "run STARTED")]


def test_killed_rename_is_finished_by_the_command(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    before = planday.rows("hr.departments")
    code = """
from pathlib import Path
from planday_io.catalogue import CATALOGUE
from planday_io.lake.installation import Installation
from planday_io.onboarding.editing import replace_text, text_with_key
from planday_io.onboarding.renaming import rename_portal
from planday_io.sandbox.state import Fault
rename_portal(Installation.load(Path(sys.argv[1]), CATALOGUE), "oslo", "bergen")
"""
    assert killed(code, planday.folder, 12, str(planday.config_path)) == KILLED
    status = json.loads(planday_command(planday, "status", "--json").stdout)
    assert "unfinished" in {one["cause"] for portal in status["portals"] for one in portal["incidents"]}
    done = planday_command(planday, "portals", "rename", "oslo", "bergen")
    assert done.returncode == 0, done.stderr
    assert "nothing was read from Planday" in done.stdout
    assert "Dagster keeps what it recorded under 'oslo'" in done.stdout
    assert planday.rows("hr.departments", "bergen") == [{**row, "portal": "bergen"} for row in before]
    assert planday.query("SELECT DISTINCT portal FROM hr.departments") == [("bergen",)]


def test_key_that_was_renamed_by_hand(planday: Installation) -> None:
    planday.refresh("hr.departments")
    log_run(
        planday.lake, Run(run_id="r", portal="oslo", started_by="test", started_at=datetime.now(UTC)), datetime.now(UTC)
    )
    before = planday.rows("hr.departments")
    planday.edit_config("  oslo:\n", "  bergen:\n")
    with pytest.raises(PlandayError):
        planday.refresh("hr.departments", "bergen")
    now = datetime.now(UTC)
    log_run(planday.lake, Run(run_id="refused", portal="bergen", started_by="test", started_at=now), now)
    note = Failure(portal="bergen", table="hr.skills", month=None, cause="identity", error="x", run_id="r", since=now)
    planday.state.failures.record([note])
    done = rename_portal(planday.installation, "oslo", "bergen")
    assert not done.edited
    assert planday.rows("hr.departments", "bergen") == [{**row, "portal": "bergen"} for row in before]
    assert planday.query("SELECT portal, run_id FROM sync.runs ORDER BY ALL") == [
        ("bergen", "r"),
        ("bergen", "refused"),
    ]
    assert planday.state.failures.of("bergen") == [], "that the new name was refused is over"
    planday.refresh("hr.departments", "bergen")


SENSELESS = [
    ("oslo", "oslo", "the same key"),
    ("oslo", "Bergen", "lower-case letters"),
    ("oslo", "../x", "lower-case letters"),
    ("oslo", "", "lower-case letters"),
    ("oslo", "b\n", "lower-case letters"),
    ("oslo", "_bergen", "does not begin with _"),
    ("olso", "bergen", "did you mean 'oslo'?"),
    ("oslo", "london", "which are two portals"),
]


def test_renames_that_make_no_sense(planday: Installation) -> None:
    planday.refresh("hr.departments")
    before = {path: path.read_bytes() for path in planday.config.lake.rglob("*") if path.is_file()}
    for old, new, says in SENSELESS:
        with pytest.raises(ConfigError) as refused:
            rename_portal(planday.installation, old, new)
        assert says in str(refused.value)
    assert {path: path.read_bytes() for path in planday.config.lake.rglob("*") if path.is_file()} == before
    assert owed(planday) == []


def test_data_under_a_refused_key_is_renamed(planday: Installation) -> None:
    """Of an older version, whose keys could begin with _."""
    planday.refresh("hr.departments")
    rows = planday.rows("hr.departments")
    for key in planday.lake.slices(portal="oslo"):
        move_slice(planday.lake, key, "_oslo")
    planday.state.rename_portal("oslo", "_oslo")
    rename_portal(planday.installation, "_oslo", "oslo")
    assert planday.rows("hr.departments") == rows
    assert {key.portal for key in planday.lake.slices()} == {"oslo"}


def test_data_that_is_not_whole_is_not_moved(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.employees")
    planday.publish()
    file = planday.lake.path(SliceKey.of("hr.employees", "oslo"))
    good = file.read_bytes()
    middle = len(good) // 2
    for content in (b"", good[:middle], good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :], None):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        with pytest.raises(StorageError, match=r"damaged|the lake has no file for it"):
            rename_portal(planday.installation, "oslo", "bergen")
        assert {key.portal for key in planday.lake.slices()} == {"oslo"}
        assert list(planday.config.portals) == ["oslo", "copenhagen", "london"]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(good)
    aside = planday.config.lake.rename(planday.folder / "aside")
    with pytest.raises(StorageError, match="disk is mounted"):
        rename_portal(planday.installation, "oslo", "bergen")
    assert not planday.config.lake.exists()
    aside.rename(planday.config.lake)
    rename_portal(planday.installation, "oslo", "bergen")
    assert {key.portal for key in planday.lake.slices()} == {"bergen"}


def test_key_that_belongs_to_another_portal(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.departments", "london")
    planday.config_path.write_text(planday.config_path.read_text().split("  london:")[0])
    with pytest.raises(ConfigError, match="there is data of a portal 'london' already"):
        rename_portal(planday.installation, "oslo", "london")
    PortalIdentities(planday.installation).verify("bergen", 1)
    with pytest.raises(
        ConfigError, match="'oslo' is Planday portal 4711, and 'bergen' was connected before as portal 1"
    ):
        rename_portal(planday.installation, "oslo", "bergen")
    planday.edit_config("  oslo:\n", "  bergen:\n    portal_id: 2\n")
    PortalIdentities(planday.installation).forget("bergen")
    with pytest.raises(ConfigError, match=r"'bergen' is in portals.yaml portal 2"):
        rename_portal(planday.installation, "oslo", "bergen")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_configuration_is_reported_first(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.folder.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="replace the key `oslo` by `bergen`"):
            rename_portal(planday.installation, "oslo", "bergen")
    finally:
        planday.folder.chmod(0o700)
    assert owed(planday) == []


def test_moved_files_keep_their_provenance(planday: Installation) -> None:
    planday.refresh("hr.employees")
    before = pq.read_table(planday.lake.path(planday.lake.slices("hr.employees")[0]))
    rename_portal(planday.installation, "oslo", "bergen")
    after = pq.read_table(planday.lake.path(planday.lake.slices("hr.employees")[0]))
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop_columns(["portal"]).equals(before.drop_columns(["portal"]))
    assert set(after.column("portal").to_pylist()) == {"bergen"}


def test_run_under_way_is_not_renamed(planday: Installation) -> None:
    planday.refresh("hr.departments")

    def rename(*_: object) -> None:
        rename_portal(planday.installation, "oslo", "bergen")

    planday.sandbox.faults.append(Fault("/hr/v1.0/departments", rename))
    with pytest.raises(PortalIdentityError, match="The rows it read were not written"):
        planday.refresh("hr.departments")
    assert {key.portal for key in planday.lake.slices()} == {"bergen"}
