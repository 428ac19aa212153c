"""The lake never knows less than the warehouse shows: unmounted, exchanged, put back in part, or somebody else's file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from planday_io.errors import LostSliceError, PublicationError, StorageError
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.incidents import find
from planday_io.monitoring.older_files import note_older_files
from planday_io.months import first_day, last_day
from planday_io.privacy.erasure import forget_person, forget_portal, remember_person
from tests.support.commands import planday_command
from tests.support.damage import lose_state
from tests.support.installation import EVERYTHING, Installation, Make
from tests.support.months import THIS

pytestmark = pytest.mark.processes

KEY = SliceKey.of("hr.departments", "oslo")
HISTORY = SliceKey.of("hr.departments_history", "oslo")


@pytest.fixture
def published(planday: Installation) -> Installation:
    planday.refresh("hr.departments")
    planday.publish()
    return planday


def count(planday: Installation, table: str = "hr.departments") -> int:
    number: int = planday.query(f"SELECT count(*) FROM {table}")[0][0]
    return number


def not_mounted(planday: Installation) -> None:
    planday.config.lake.rename(planday.folder / "elsewhere")


def mounted_empty(planday: Installation) -> None:
    not_mounted(planday)
    planday.config.lake.mkdir()


def wrong_path(planday: Installation) -> None:
    planday.config_path.write_text(planday.config_path.read_text() + "\nlake: not-the-lake\n")


def state_lost_too(planday: Installation) -> None:
    not_mounted(planday)
    lose_state(planday.state.folder)


@pytest.mark.parametrize("lose", [not_mounted, mounted_empty, wrong_path, state_lost_too])
def test_missing_lake_is_refused_before_anything_is_written(
    published: Installation, lose: Callable[[Installation], None]
) -> None:
    lose(published)
    for table in ("hr.departments", "hr.skills"):
        with pytest.raises(LostSliceError, match=r"`lake` in portals\.yaml"):
            published.refresh(table)
    with pytest.raises(PublicationError):
        published.publish()
    assert not [path for path in published.config.lake.rglob("*") if path.is_file()]
    assert count(published) == 2
    if lose is not state_lost_too:
        found = find(published.installation, {}, datetime.now(UTC))
        assert "storage" in {one.cause for one in found.values()}
        for forget in (
            lambda: forget_person(published.installation, "oslo", 1),
            lambda: forget_portal(published.installation, "oslo"),
        ):
            with pytest.raises(StorageError):
                forget()
    published.publish(rebuild=True)
    published.refresh("hr.departments")
    assert published.publish().problems == {}
    assert count(published) == 2


def test_sync_without_its_lake_empties_nothing(published: Installation) -> None:
    not_mounted(published)
    done = planday_command(published, "sync", "oslo", "--resources", "hr.departments")
    assert done.returncode == 1, done.stdout
    assert "mounted" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not published.config.lake.exists()
    assert count(published) == 2


def test_another_lake_is_refused(published: Installation) -> None:
    other = published.fresh()
    other.refresh("hr.departments")
    not_mounted(published)
    other.config.lake.rename(published.config.lake)
    with pytest.raises(LostSliceError, match="another lake"):
        published.refresh("hr.skills")
    with pytest.raises(PublicationError, match="another lake"):
        published.publish()


def test_deleted_folder_is_reported_and_its_rows_stay(published: Installation) -> None:
    shutil.rmtree(published.lake.path(KEY).parent)
    with pytest.raises(LostSliceError, match=r"hr\.departments of portal 'oslo'"):
        published.refresh("hr.departments")
    published.refresh("hr.departments", "london")
    done = published.publish()
    assert [*done.problems] == [KEY]
    assert count(published) == 4, "the other portal is published"
    lose_state(published.state.folder)
    with pytest.raises(PublicationError, match="has no file for it"):
        published.publish()
    assert count(published) == 4
    assert published.publish(rebuild=True).problems == {}
    assert count(published) == 2
    published.refresh("hr.departments")
    published.publish()
    assert count(published) == 4


def test_missing_history_waits_for_its_backup(published: Installation) -> None:
    file = published.lake.path(HISTORY)
    backup = file.read_bytes()
    file.unlink()
    published.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    published.refresh("hr.departments")
    assert HISTORY in published.publish().problems
    assert not file.exists(), "no history is begun in its place"
    assert count(published, "hr_history.departments") == 2
    file.write_bytes(backup)
    assert published.publish().problems == {}
    assert count(published, "hr_history.departments") == 3


@pytest.mark.parametrize("name", [KEY, HISTORY])
def test_older_file_that_was_put_back_is_noticed(published: Installation, name: SliceKey) -> None:
    older = published.lake.path(name).read_bytes()
    published.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    published.refresh("hr.departments")
    published.publish()
    published.lake.path(name).write_bytes(older)
    assert published.lake.older_than_published() == [name]
    done = published.publish(compare_all=True)
    assert [*done.problems] == ([KEY] if name == KEY else [])
    assert "older" in "".join([*map(str, done.problems.values()), *done.notices])
    assert published.query("SELECT count(*) FROM hr.departments WHERE name = 'renamed'") == [(1,)]
    assert count(published, "hr_history.departments") == 3


def test_older_file_is_replaced_by_reading(published: Installation) -> None:
    published.refresh("hr.skills")
    published.publish()
    older, other = published.lake.path(KEY).read_bytes(), published.bytes_of("hr.skills")
    published.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    published.refresh("hr.departments")
    published.publish()
    seen = published.query("SELECT * FROM hr_history.departments ORDER BY ALL")
    published.lake.path(KEY).write_bytes(older)
    problem = published.publish(compare_all=True).problems[KEY]
    assert "planday sync oslo --missing" in str(problem)
    for key in published.lake.older_than_published():
        published.refresh(key.full_name, key.portal)
    assert published.publish(compare_all=True).problems == {}
    assert published.lake.older_than_published() == []
    assert published.query("SELECT count(*) FROM hr.departments WHERE name = 'renamed'") == [(1,)]
    assert published.query("SELECT * FROM hr_history.departments ORDER BY ALL") == seen, "no version begins or ends"
    assert published.bytes_of("hr.skills") == other


def test_older_file_is_an_incident_until_it_is_read(published: Installation) -> None:
    now = datetime.now(UTC)
    older = published.lake.path(KEY).read_bytes()
    published.refresh("hr.departments")
    published.publish()
    note_older_files(published.installation, now)
    assert find(published.installation, {}, now) == {}
    published.lake.path(KEY).write_bytes(older)
    note_older_files(published.installation, now)
    (incident,) = find(published.installation, {}, now).values()
    assert "hr.departments of portal 'oslo'" in incident.error
    assert "planday sync --missing" in incident.error
    published.refresh("hr.departments")
    published.publish()
    note_older_files(published.installation, now)
    assert find(published.installation, {}, now) == {}


def renamed_twice(planday: Installation) -> None:
    for name in ("renamed", "renamed again"):
        planday.sandbox.portals["oslo"].departments[0]["name"] = name
        planday.refresh("hr.departments")
    planday.publish()


@pytest.mark.parametrize("reads_first", [True, False])
def test_older_history_is_restored_from_the_warehouse(published: Installation, reads_first: bool) -> None:
    older = published.lake.path(HISTORY).read_bytes()
    renamed_twice(published)
    rows, provenance = published.lake.read(HISTORY), published.lake.provenance(HISTORY)
    published.lake.path(HISTORY).write_bytes(older)
    if reads_first:
        published.refresh("hr.departments")
        assert published.lake.path(HISTORY).read_bytes() == older, "nothing is written on top of it"
    done = published.publish(compare_all=not reads_first)
    assert done.problems == {}
    assert "restored from the published file" in "".join(done.notices)
    assert published.lake.read(HISTORY).equals(rows)
    assert provenance is not None
    there = published.lake.provenance(HISTORY)
    assert there is not None
    assert replace(there, run_id="") == replace(provenance, run_id=""), "the file does not say which run it was"
    assert published.lake.older_than_published() == []
    published.sandbox.portals["oslo"].departments[0]["name"] = "renamed at last"
    published.refresh("hr.departments")
    assert published.publish().problems == {}
    assert count(published, "hr_history.departments") == 5


def test_older_feed_is_restored_from_the_warehouse(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    feed = SliceKey.of("scheduling.deleted_shifts", "oslo")
    planday.refresh(feed.full_name)
    planday.publish()
    older = planday.lake.path(feed).read_bytes()
    roster = planday.sandbox.portals["oslo"].roster
    roster.delete_shift(next(iter(roster.on(first_day(THIS), last_day(THIS))))["id"])
    planday.refresh(feed.full_name)
    planday.publish()
    rows = planday.lake.read(feed).sort_by("id")
    planday.lake.path(feed).write_bytes(older)
    assert not planday.lake.read(feed).sort_by("id").equals(rows)
    with pytest.raises(LostSliceError, match="older file"):
        planday.refresh(feed.full_name)
    assert planday.publish(compare_all=True).problems == {}
    assert planday.lake.read(feed).sort_by("id").equals(rows)
    planday.refresh(feed.full_name)


def test_older_history_waits_while_the_warehouse_is_edited(published: Installation) -> None:
    older = published.lake.path(HISTORY).read_bytes()
    renamed_twice(published)
    published.lake.path(HISTORY).write_bytes(older)
    with duckdb.connect(str(published.config.warehouse)) as db:
        db.execute("UPDATE hr_history.departments SET name = 'forged'")
    with pytest.raises(PublicationError, match="not there"):
        published.publish(compare_all=True)
    assert published.lake.path(HISTORY).read_bytes() == older


def shortened(file: Path) -> None:
    file.write_text(file.read_text().replace("[", "[] #").partition(" #")[0] + "}")


def missing(file: Path) -> None:
    file.unlink()


def another_salt(file: Path) -> None:
    file.write_text('{"salt": "00", "people": [-5]}')


def binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize("harm", [shortened, missing, another_salt, binary])
def test_shorter_list_of_forgotten_people_lets_nobody_back(planday: Installation, harm: Callable[[Path], None]) -> None:
    planday.refresh("hr.employees")
    person = planday.rows("hr.employees")[0]["id"]
    forget_person(planday.installation, "oslo", person)
    file = planday.config.lake / "_forgotten/oslo.json"
    good = file.read_bytes()
    harm(file)
    if harm is not missing:
        with pytest.raises(StorageError, match=r"forgotten.* remove it: the next run writes it again"):
            planday.refresh("hr.employees")
        assert "oslo" in "".join(map(str, planday.publish().problems))
    planday.refresh("hr.employees", "london")
    planday.publish()
    assert planday.query(f"SELECT count(*) FROM hr.employees WHERE id = {person} AND portal = 'oslo'") == [(0,)]
    assert planday.query("SELECT count(*) > 0 FROM hr.employees WHERE portal = 'london'") == [(True,)]
    file.unlink(missing_ok=True)
    planday.refresh("hr.employees")
    assert file.read_bytes() == good, "written again from the copy that the error names"
    assert person not in {row["id"] for row in planday.rows("hr.employees")}
    harm(file)
    if harm is not binary:
        assert remember_person(planday.installation, "oslo", person)
        planday.refresh("hr.employees")
        assert person in {row["id"] for row in planday.rows("hr.employees")}


def database_of_others(file: Path) -> None:
    with duckdb.connect(str(file)) as db:
        db.execute("CREATE TABLE sales AS SELECT 1 AS amount")


def schema_of_the_same_name(file: Path) -> None:
    with duckdb.connect(str(file)) as db:
        db.execute("CREATE SCHEMA sync")
        db.execute("CREATE TABLE sync.slices (name VARCHAR)")


def sqlite_file(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE sales (amount)")


def text_file(file: Path) -> None:
    file.write_text("amount\n1\n")


def empty_file(file: Path) -> None:
    file.touch()


@pytest.mark.parametrize("place", [database_of_others, schema_of_the_same_name, sqlite_file, text_file, empty_file])
def test_file_of_somebody_else_is_not_replaced(planday: Installation, place: Callable[[Path], None]) -> None:
    planday.refresh("hr.departments")
    file = planday.config.warehouse
    file.unlink()
    place(file)
    content = file.read_bytes()
    with pytest.raises(PublicationError, match=r"`warehouse` in portals\.yaml"):
        planday.publish()
    assert file.read_bytes() == content
    done = planday.publish(rebuild=True)
    assert count(planday) == 2
    (kept,) = planday.folder.glob("warehouse.duckdb.set-aside-*")
    assert kept.read_bytes() == content
    assert kept.name in "".join(done.notices)


def test_folder_in_the_warehouses_place_is_named(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.config.warehouse.unlink()
    planday.config.warehouse.mkdir()
    for rebuild in (False, True):
        with pytest.raises(PublicationError, match="folder"):
            planday.publish(rebuild=rebuild)
    assert planday.config.warehouse.is_dir()


def test_warehouse_of_an_earlier_version_is_taken_over(published: Installation) -> None:
    """Without a record of the publication, the name of the lake, or marks."""
    lose_state(published.state.folder)
    (published.config.lake / "_lake.json").unlink()
    with duckdb.connect(str(published.config.warehouse)) as db:
        db.execute("DROP TABLE sync.publication")
        db.execute("ALTER TABLE sync.slices DROP COLUMN elsewhere")
    published.refresh("hr.departments")
    assert published.publish().problems == {}
    assert count(published) == 2
