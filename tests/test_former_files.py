"""A warehouse file of an earlier version, with histories beside their tables, and the old names as views."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.lake.slices import SliceKey
from planday_io.warehouse.place import headers_of
from tests.support.cutting import KILLED, counting, killed
from tests.support.damage import lose_state
from tests.support.folders import copy_of
from tests.support.installation import Installation

HISTORIES = {f"{name}_history": name.replace(".", "_history.") for name in CATALOGUE.histories}
"""Name in earlier versions -> name."""
PUBLISH = (
    "from pathlib import Path\nfrom planday_io.catalogue import CATALOGUE\n"
    "from planday_io.lake.installation import Installation\nfrom planday_io.warehouse.publish import publish\n"
    "publish(Installation.load(Path(sys.argv[1]), CATALOGUE))"
)

Rows = dict[str, list[tuple[object, ...]]]


def make_old(planday: Installation) -> None:
    """Make of the published file what version 0.2 wrote."""
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("BEGIN")
        for old, name in HISTORIES.items():
            db.execute(f"DROP VIEW {old}")
            db.execute(f"CREATE TABLE {old} AS FROM {name}")
            db.execute(f"DROP TABLE {name}")
            db.execute("UPDATE sync.derived SET table_name = ? WHERE table_name = ?", [old, name])
        for schema in {name.partition(".")[0] for name in HISTORIES.values()}:
            db.execute(f"DROP SCHEMA {schema}")
        db.execute("UPDATE sync.publication SET definitions = 'of version 0.2'")
        db.execute("COMMIT")
    planday.state.files.note_warehouse([headers_of(planday.config.warehouse)])


def shown(planday: Installation, *, old: bool) -> Rows:
    """The histories as published, by their names, or by those of earlier versions."""
    return planday.queries(
        {
            name: f"SELECT t::VARCHAR FROM {before if old else name} AS t ORDER BY ALL"
            for before, name in HISTORIES.items()
        }
    )


def tables(planday: Installation) -> set[str]:
    return {name for (name,) in planday.query("SELECT schema_name || '.' || table_name FROM duckdb_tables()")}


def ledger(planday: Installation) -> set[str]:
    return {name for (name,) in planday.query("SELECT table_name FROM sync.derived")} - {"sync.runs"}


@pytest.fixture
def former(planday: Installation) -> tuple[Installation, Rows]:
    """An installation whose file is of version 0.2, and the histories in it."""
    for table in ("hr.departments", "hr.employees", "hr.skills"):
        planday.refresh(table)
    planday.sandbox.portals["oslo"].departments[0]["name"] = "Renamed"
    planday.refresh("hr.departments")
    planday.publish()
    rows = shown(planday, old=False)
    assert {name for name, found in rows.items() if found} == {
        "hr_history.departments",
        "hr_history.employees",
        "hr_history.skills",
    }
    assert len(rows["hr_history.departments"]) == 3, "a version that ended"
    make_old(planday)
    assert tables(planday) >= HISTORIES.keys()
    return planday, rows


@pytest.mark.processes
def test_histories_move_without_being_read_again(former: tuple[Installation, Rows]) -> None:
    planday, rows = former
    done = planday.publish()
    assert (done.is_rebuild, done.is_redefined, done.changed, done.problems) == (False, True, (), {})
    assert shown(planday, old=False) == shown(planday, old=True) == rows
    assert tables(planday) >= {*HISTORIES.values()}
    assert not tables(planday) & HISTORIES.keys()
    assert ledger(planday) == {name for name, found in rows.items() if found}
    file = planday.config.warehouse
    before = file.stat()
    again = planday.publish()
    assert (again.is_redefined, again.changed, file.stat()) == (False, (), before), "and then there is nothing to do"
    planday.publish(rebuild=True)
    assert shown(planday, old=False) == rows, "the lake says the same"


@pytest.mark.processes
def test_a_moved_history_goes_on(former: tuple[Installation, Rows]) -> None:
    planday, rows = former
    planday.sandbox.portals["oslo"].departments[0]["name"] = "Renamed again"
    planday.refresh("hr.departments")
    done = planday.publish()
    assert {key.full_name for key in done.changed} == {"hr.departments", "hr.departments_history"}
    assert done.tables == {"hr.departments", "hr_history.departments"}
    now = shown(planday, old=False)
    assert len(now.pop("hr_history.departments")) == 4
    assert now == {name: found for name, found in rows.items() if name != "hr_history.departments"}
    assert planday.query("SELECT kept FROM sync.derived WHERE table_name = 'hr_history.departments'") == [(4,)]


@pytest.mark.processes
def test_columns_that_changed_move_too(former: tuple[Installation, Rows]) -> None:
    planday, rows = former
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("ALTER TABLE hr.departments_history ADD COLUMN gone VARCHAR DEFAULT 'x'")
        db.execute("ALTER TABLE hr.skills_history DROP COLUMN name")
    planday.state.files.note_warehouse([headers_of(planday.config.warehouse)])
    assert not planday.publish().is_rebuild
    assert shown(planday, old=False)["hr_history.departments"] == rows["hr_history.departments"]
    assert planday.query("SELECT count(*), count(name) FROM hr_history.skills")[0] == (
        len(rows["hr_history.skills"]),
        0,
    )


@pytest.mark.processes
def test_damaged_history_is_carried_out_of_it(former: tuple[Installation, Rows]) -> None:
    """A new file is made, because the state is lost; the rows of a slice that is damaged are in the former file only."""
    planday, rows = former
    key = SliceKey.of("hr.departments_history", "oslo")
    planday.lake.path(key).write_bytes(b"")
    lose_state(planday.state.folder)
    done = planday.publish()
    assert (done.is_rebuild, [*done.problems]) == (True, [key])
    assert shown(planday, old=False) == rows
    assert ledger(planday) == {name for name, found in rows.items() if found}


@pytest.mark.processes
def test_column_of_another_type_renews_the_file(former: tuple[Installation, Rows]) -> None:
    planday, _ = former
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("ALTER TABLE hr.departments_history ALTER id TYPE VARCHAR")
    planday.state.files.note_warehouse([headers_of(planday.config.warehouse)])
    assert planday.publish().is_rebuild
    assert planday.query("SELECT typeof(id) FROM hr_history.departments LIMIT 1") == [("BIGINT",)]


@pytest.mark.processes
def test_a_kill_leaves_one_version_or_the_other(former: tuple[Installation, Rows]) -> None:
    planday, rows = former
    with counting((whole := copy_of(planday)).folder) as changes:
        whole.publish()
    last = changes.count
    seen = []
    for at in (last // 2, last - 1, last):
        copy = copy_of(planday)
        assert killed(PUBLISH, copy.folder, at, str(copy.config_path)) == KILLED
        assert shown(copy, old=True) == rows
        is_new = "hr_history.departments" in tables(copy)
        assert ledger(copy) == {name if is_new else old for old, name in HISTORIES.items() if rows[name]}
        seen.append(is_new)
        assert not copy.publish().problems
        assert shown(copy, old=False) == rows
    assert {*seen} == {False, True}, (last, seen)


@pytest.mark.processes
@pytest.mark.parametrize("beyond", [0, 1 << 18])
def test_a_kill_while_rows_are_moved(former: tuple[Installation, Rows], beyond: int) -> None:
    """The system ends the process when a file grows beyond a limit: while it is copied, or rows are moved in it."""
    planday, rows = former
    before = planday.config.warehouse.read_bytes()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + beyond - 4096,) * 2)

    code = f"import signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n{PUBLISH}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(planday.config_path)],
        check=False,
        cwd=Path(__file__).parents[1],
        preexec_fn=limited,
        timeout=120,
    )
    assert done.returncode == -signal.SIGXFSZ
    assert planday.config.warehouse.read_bytes() == before
    assert planday.publish().changed == ()
    assert shown(planday, old=False) == rows


def test_old_names_end_with_version_0_3() -> None:
    major, minor, *_ = metadata.version("planday-warehouse").split(".")
    assert (int(major), int(minor)) < (0, 3), "remove planday_io/warehouse/former.py, as CHANGELOG.md promised"


def test_old_names_say_what_to_use(blank_warehouse: Path) -> None:
    with duckdb.connect(str(blank_warehouse), read_only=True) as db:
        told = dict(
            db.execute(
                "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE comment LIKE 'Deprecated: %'"
            ).fetchall()
        )
    assert told == {
        old: f"Deprecated: use {name}. This name goes away in version 0.3." for old, name in HISTORIES.items()
    }
