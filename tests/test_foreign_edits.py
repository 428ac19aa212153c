"""Another program edits the warehouse: readers see what was published, and nobody's work is deleted without a word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from planday_io.monitoring.incidents import find
from planday_io.privacy.erasure import forget_person
from planday_io.warehouse.place import Place, set_aside_leftovers
from tests.support.damage import damage_state, lose_state
from tests.support.foreign import closed_after, foreign, killed_after
from tests.support.installation import Installation

RENAME = "UPDATE hr.departments SET name = 'edited'"
DELETE = "DELETE FROM hr.departments"


@pytest.fixture
def published(planday: Installation) -> Installation:
    planday.refresh("hr.departments")
    planday.publish()
    return planday


def names(planday: Installation) -> set[str]:
    """As a new connection sees them; attached, because this process may hold an earlier file under the name."""
    with duckdb.connect(":memory:") as db:
        db.execute(f"ATTACH '{planday.config.warehouse}' AS warehouse (READ_ONLY)")
        return {name for (name,) in db.execute("SELECT name FROM warehouse.hr.departments").fetchall()}


def real_names(planday: Installation) -> set[str]:
    return {row["name"] for row in planday.sandbox.portals["oslo"].departments}


def logs(planday: Installation) -> list[str]:
    return [path.name for path in planday.folder.iterdir() if path.name.endswith((".wal", ".checkpoint", ".recovery"))]


def aside(planday: Installation) -> list[Path]:
    return Place(planday.config.warehouse).set_aside()


def causes(planday: Installation) -> set[str]:
    found = find(planday.installation, {}, datetime.now(UTC))
    return {one.cause for one in found.values()} - {"disk", "stale"}


def nothing_new(planday: Installation) -> object:
    return planday.publish()


def with_changes(planday: Installation) -> object:
    planday.refresh("hr.departments")
    return planday.publish()


def rebuilt(planday: Installation) -> object:
    return planday.publish(rebuild=True)


@pytest.mark.parametrize(
    ("edit", "publish"),
    [(RENAME, nothing_new), (DELETE, with_changes), ("DROP TABLE hr.departments CASCADE", rebuilt)],
)
def test_log_of_a_killed_program_is_set_aside(
    published: Installation, edit: str, publish: Callable[..., object]
) -> None:
    killed_after(published.config.warehouse, edit)
    assert logs(published) == ["warehouse.duckdb.wal"], "the fault is there"
    done = publish(published)
    assert names(published) == real_names(published)
    assert logs(published) == []
    (kept,) = aside(published)
    assert kept.stat().st_size > 0
    assert kept.name in "".join(done.notices)  # type: ignore[attr-defined]
    assert causes(published) == {"edited"}
    kept.unlink()
    assert causes(published) == set()


@pytest.mark.processes
def test_stray_log_is_not_replayed_at_first(published: Installation) -> None:
    killed_after(published.config.warehouse, RENAME)
    published.config.warehouse.unlink()
    published.publish()
    assert names(published) == real_names(published)
    assert len(aside(published)) == 1


def test_log_that_is_a_folder_is_set_aside(published: Installation) -> None:
    (published.folder / "warehouse.duckdb.wal").mkdir()
    with pytest.raises(duckdb.IOException):
        names(published)
    published.publish()
    assert names(published) == real_names(published)


def test_every_kind_of_log_is_set_aside(published: Installation) -> None:
    endings = (".wal", ".wal.checkpoint", ".wal.recovery")
    for ending in endings:
        (published.folder / f"warehouse.duckdb{ending}").write_text(ending)
    published.publish()
    assert logs(published) == []
    assert {path.read_text() for path in aside(published)} == {*endings}
    (published.folder / "warehouse.duckdb.wal").touch()
    published.publish()
    assert len(aside(published)) == len(endings), "an empty one leaves nothing behind"


@pytest.mark.processes
def test_log_of_killed_program_is_gone_after_look(published: Installation) -> None:
    """Readers need not wait for the next publication."""
    killed_after(published.config.warehouse, RENAME)
    assert names(published) == {"edited"}
    assert causes(published) == {"edited"}
    assert names(published) == real_names(published)


def test_edits_in_the_file_itself_are_undone(published: Installation) -> None:
    closed_after(published.config.warehouse, RENAME, "CREATE TABLE notes AS SELECT 'mine' AS text")
    assert names(published) == {"edited"}
    done = published.publish()
    assert done.is_rebuild
    assert "edited it" in "".join(done.notices)
    assert names(published) == real_names(published)
    (kept,) = aside(published)
    with duckdb.connect(str(kept), read_only=True) as db:
        assert db.execute("SELECT text FROM notes").fetchall() == [("mine",)], "nobody's work is deleted"
    assert causes(published) == {"edited"}
    assert not published.publish().is_rebuild


@pytest.mark.processes
def test_edited_and_killed_later_is_both(published: Installation) -> None:
    closed_after(published.config.warehouse, RENAME)
    killed_after(published.config.warehouse, DELETE)
    published.publish()
    assert names(published) == real_names(published)
    assert sorted(path.suffix for path in aside(published)) == [".duckdb", ".wal-log"]


@pytest.mark.processes
def test_opening_for_writing_alone_is_no_edit(published: Installation) -> None:
    """DBeaver opens for writing by default."""
    closed_after(published.config.warehouse, "FROM hr.departments", "CREATE TEMP TABLE mine AS SELECT 1")
    done = published.publish()
    assert (done.is_rebuild, done.notices, aside(published)) == (False, (), [])


def test_warehouse_from_older_backup_is_written_again(published: Installation) -> None:
    older = published.folder / "backup"
    shutil.copy2(published.config.warehouse, older)
    published.refresh("hr.skills")
    published.publish()
    older.replace(published.config.warehouse)
    done = published.publish()
    assert done.is_rebuild
    assert published.query("SELECT count(*) > 0 FROM hr.skills") == [(True,)]


def test_without_record_file_is_written_again_once(published: Installation) -> None:
    lose_state(published.state.folder)
    assert published.publish().is_rebuild
    assert not published.publish().is_rebuild
    damage_state(published.state.folder, "cut")
    assert published.publish().is_rebuild


@pytest.mark.processes
def test_publishing_works_while_a_program_holds_the_file(published: Installation) -> None:
    with foreign(published.config.warehouse) as program:
        program.run("SELECT 1")
        published.refresh("hr.skills")
        done = published.publish()
        assert not done.is_rebuild
        assert f"(process {program.pid})" in "".join(done.notices)
        assert published.query("SELECT count(*) > 0 FROM hr.skills") == [(True,)]
        assert names(published) == real_names(published)


def test_edits_of_program_that_goes_on_never_last(published: Installation) -> None:
    """It has the previous file open, and its log gets the name that belongs to the new one."""
    with foreign(published.config.warehouse) as program:
        program.run(RENAME)
        assert causes(published) == {"edited"}, "it keeps others from opening the file"
        assert logs(published) == ["warehouse.duckdb.wal"], "as long as it lives, its log stays with its file"
        published.refresh("hr.departments")
        done = published.publish()
        assert "set aside" in "".join(done.notices)
        assert names(published) == real_names(published)
        program.run("INSERT INTO hr.departments (portal, id, name) VALUES ('oslo', 1, 'later')", "CHECKPOINT")
        assert names(published) == real_names(published)
        program.run(RENAME)
        assert logs(published) == ["warehouse.duckdb.wal"], "until somebody looks"
        assert set_aside_leftovers(published.config.warehouse)
        program.run(DELETE)
        program.close()
    assert names(published) == real_names(published)
    assert not published.publish().is_rebuild, "nothing reached the new file"


def test_link_is_kept_and_its_share_renewed(published: Installation) -> None:
    share = published.folder / "share"
    share.mkdir()
    target = share / "real.duckdb"
    published.config.warehouse.rename(target)
    target.chmod(0o640)
    published.config.warehouse.symlink_to(target)
    published.refresh("hr.skills")
    published.publish()
    assert published.config.warehouse.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    with duckdb.connect(str(target), read_only=True) as db:
        assert db.execute("SELECT count(*) > 0 FROM hr.skills").fetchone() == (True,)
    assert [path.name for path in share.iterdir()] == ["real.duckdb"]


@pytest.mark.processes
@pytest.mark.parametrize("beside", ["link", "target"])
def test_log_beside_link_is_set_aside(published: Installation, beside: str) -> None:
    """DuckDB 2.0 writes it beside the target, earlier versions beside the link."""
    share = published.folder / "share"
    share.mkdir()
    target = share / "real.duckdb"
    published.config.warehouse.rename(target)
    published.config.warehouse.symlink_to(target)
    killed_after(target, RENAME)
    if beside == "link":
        (share / "real.duckdb.wal").rename(published.folder / "warehouse.duckdb.wal")
    published.publish()
    assert logs(published) == []
    assert not (share / "real.duckdb.wal").exists()
    assert len(aside(published)) == 1
    assert names(published) == real_names(published)


def test_forgetting_leaves_no_copy_that_was_set_aside(published: Installation) -> None:
    closed_after(published.config.warehouse, RENAME)
    published.publish()
    assert len(aside(published)) == 1
    forget_person(published.installation, "oslo", 1000)
    assert aside(published) == []
