"""What the state knows of slices: the index is what footers say, no slice is missed, loss of the database, older versions."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planday_io.catalogue import VERSION
from planday_io.errors import DamagedSliceError
from planday_io.lake.freezing import frozen
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake, SlicesOf
from planday_io.monitoring.notifier import Notifier
from planday_io.state import STATE_VERSION, Failure, IndexedTable, PublishedSlice, SliceKey, State
from planday_io.state.state_database import database_file
from tests.support.cutting import KILLED, killed
from tests.support.damage import DAMAGE, damage_state, lose_state
from tests.support.installation import Installation
from tests.support.old_state import as_of_version, as_of_version_0_1, old_layout, old_names, old_slices

AT = datetime(2026, 11, 1, tzinfo=UTC)
DEPARTMENTS = SliceKey.of("hr.departments", "oslo")
HISTORY = SliceKey.of("hr.departments_history", "oslo")


def provenance(at: datetime = AT, **members: object) -> Provenance:
    values: dict[str, object] = {
        "run_id": "r",
        "portal_id": 1,
        "fetched_at": at.isoformat(),
        "window": "all",
        "requests": 1,
        "expected_total": None,
        "received": 3,
        "distinct_keys": 3,
        "kept": 0,
        "verdict": "exhausted",
        "catalogue_version": 1,
    }
    return Provenance(**(values | members))  # type: ignore[arg-type]


def write(lake: Lake, key: SliceKey, rows: int = 1, at: datetime = AT) -> str:
    with lake.locked(key):
        return lake.write(key, pa.table({"id": list(range(rows))}), provenance(at)).slice_id


def footers(root: Path) -> dict[str, tuple[str, str, int]]:
    """What each file of a lake says about itself, as any reader of Parquet sees it."""
    found = {}
    for file in root.rglob("data.parquet"):
        metadata = pq.read_metadata(file)
        stored = json.loads(metadata.metadata[b"planday"])
        found[".".join(file.parent.relative_to(root).parts)] = (
            stored["slice_id"],
            stored["fetched_at"],
            metadata.num_rows,
        )
    return found


def indexed(lake: Lake) -> dict[str, tuple[str, str, int]]:
    entries = lake.indexed(lake.slices()).entries
    return {str(key): (one.slice_id, one.read_at.isoformat(), one.rows) for key, one in entries.items()}


WINDOW = ("2026-01", "2026-02")
WANTED = (SlicesOf("a", "snapshot", (None,)), SlicesOf("a", "facts", WINDOW))


def oldest(lake: Lake) -> dict[str, str]:
    return {table: at.isoformat() for (_, table), at in lake.oldest_reads({"oslo": WANTED}).reads.items()}


def oldest_of(found: dict[str, tuple[str, str, int]]) -> dict[str, str]:
    """The same, computed from the footers of the files."""
    wanted = {"a.snapshot": ["a.snapshot.oslo"], "a.facts": [f"a.facts.oslo.{month}" for month in WINDOW]}
    return {table: min(found[one][1] for one in names) for table, names in wanted.items() if {*names} <= {*found}}


@pytest.mark.parametrize("seed", range(8))
def test_the_index_is_what_footers_say(tmp_path: Path, seed: int) -> None:
    """Whatever happens to files and database in between."""
    chance = random.Random(seed)
    state = tmp_path / "state"
    lake = Lake(tmp_path / "lake", State(state))
    keys = [SliceKey.of("a.snapshot", "oslo"), *(SliceKey.of("a.facts", "oslo", f"2026-0{n}") for n in range(1, 5))]
    for step in range(12):
        key, other = chance.sample(keys, 2)
        match chance.choice(
            ["write", "write", "write", "remove", "copy over", "by hand", "lake copied", "lost", "damaged"]
        ):
            case "write":
                write(lake, key, chance.randrange(5), AT + timedelta(hours=step))
            case "remove":
                lake.remove(key)
            case "copy over" if lake.path(other).exists():
                lake.path(key).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(lake.path(other), lake.path(key))
            case "by hand":
                lake.path(key).unlink(missing_ok=True)
            case "lake copied" if lake.root.exists():
                shutil.copytree(lake.root, tmp_path / "copy")
                shutil.rmtree(lake.root)
                (tmp_path / "copy").rename(lake.root)
            case "lost":
                lose_state(state)
            case "damaged":
                damage_state(state, "cut")
        if chance.random() < 0.7:
            assert oldest(lake) == oldest_of(footers(lake.root))
            assert indexed(lake) == footers(lake.root)
    assert indexed(lake) == footers(lake.root)


def test_files_that_did_not_change_are_not_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", State(tmp_path / "state"))
    key = SliceKey.of("a.b", "oslo")
    slice_id = write(lake, key)
    assert lake.indexed([key]).entries[key].slice_id == slice_id
    stat = lake.path(key).stat()
    with lake.path(key).open("r+b") as file:
        file.write(bytes(stat.st_size))
    os.utime(lake.path(key), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert lake.indexed([key]).entries[key].slice_id == slice_id, "its stamp is the same"
    os.utime(lake.path(key))
    assert isinstance(lake.indexed([key]).unusable[key], DamagedSliceError)


def test_oldest_reads_of_files_elsewhere_or_broken(tmp_path: Path) -> None:
    """Only the first portal has all that was asked for; a folder of version 0.1 counts."""
    lake = Lake(tmp_path / "lake", State(tmp_path / "state"))
    portals = ("oslo", "london", "paris", "rome")
    for hours, portal in enumerate(portals):
        for month in WINDOW:
            write(lake, SliceKey.of("a.facts", portal, month), at=AT + timedelta(hours=hours))
    new = {portal: lake.path(SliceKey.of("a.facts", portal, WINDOW[0])) for portal in portals}
    lake.oldest_reads(dict.fromkeys(portals, WANTED))
    DAMAGE["cut"](new["london"])
    new["paris"].unlink()
    new["paris"].symlink_to(new["paris"])
    for is_old in (False, True):
        if is_old:
            old_layout(lake.root)
        found = lake.oldest_reads(dict.fromkeys(portals, WANTED))
        assert found.reads == {("oslo", "a.facts"): AT, ("rome", "a.facts"): AT + timedelta(hours=3)}
        assert {key.portal: isinstance(why, DamagedSliceError) for key, why in found.unusable.items()} == {
            "london": True,
            "paris": False,
        }


def test_what_is_written_during_a_publication_waits(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", State(tmp_path / "state"))
    first, second, third = (SliceKey.of("a.b", portal) for portal in ("oslo", "london", "rome"))
    for key in (first, second, third):
        write(lake, key)
    with lake.locked(third):
        lake.announce([third])  # and killed before the slice was written
    with frozen(lake, [first, second, third]) as slices:
        write(lake, second)
        lake.published(slices.entries)
    assert [*lake.pending()] == [second]
    assert {*lake.state.slices.published()} == {first, second, third}
    assert lake.indexed([first]).entries[first].is_verified
    assert not lake.indexed([second]).entries[second].is_verified


def test_every_way_through_a_publication_settles(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    lake = planday.lake
    assert lake.state.slices.pending() == {}
    lake.publish_again([DEPARTMENTS])
    assert planday.publish().slices == 0, "the file shows it as it is"
    assert lake.state.slices.pending() == {}
    assert planday.publish(compare_all=True).slices == 0


@pytest.mark.parametrize("lose", [lose_state, lambda folder: damage_state(folder, "binary")])
def test_without_its_database_an_installation_heals(planday: Installation, lose: object) -> None:
    """And says so, until somebody removes the note."""
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.departments")
    planday.publish()
    published = planday.state.slices.published()
    rows = planday.query("FROM hr_history.departments ORDER BY ALL")
    # A slice whose history is owed, as after a kill between the two.
    portal.departments[0]["name"] = "renamed"
    behind = planday.lake.path(HISTORY).read_bytes()
    planday.refresh("hr.departments")
    planday.lake.path(HISTORY).write_bytes(behind)
    assert callable(lose)
    lose(planday.state.folder)
    assert planday.state.slices.published() == {}
    causes = {one.cause for one in Notifier(planday.installation).evaluate(datetime.now(UTC))}
    assert "state" in causes
    done = planday.publish()
    assert (done.is_rebuild, done.problems) == (True, {})
    assert len(planday.query("FROM hr_history.departments")) == len(rows) + 1
    assert planday.query("SELECT count(*) FROM hr.departments WHERE name = 'renamed'") == [(1,)]
    assert planday.state.slices.published().keys() == published.keys()
    assert (planday.state.histories.all(), planday.state.histories.are_lost()) == ({}, False)
    assert not planday.publish().is_rebuild
    (note,) = planday.state.files_set_aside()
    note.unlink()
    causes = {one.cause for one in Notifier(planday.installation).evaluate(datetime.now(UTC))}
    assert "state" not in causes


def test_a_new_installation_misses_nothing(planday: Installation) -> None:
    planday.refresh("hr.departments")
    assert not planday.state.histories.are_lost()
    assert planday.state.files_set_aside() == []


def test_slices_of_an_older_version_are_taken_in(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    planday.refresh("hr.skills")
    with planday.lake.locked(DEPARTMENTS):
        planday.lake.announce([], {DEPARTMENTS: AT, SliceKey.of("hr.skills", "oslo"): None})
    slices, files, histories = planday.state.slices, planday.state.files, planday.state.histories
    before = slices.published(), slices.pending().keys(), histories.all(), files.lake(), files.warehouse()
    as_of_version_0_1(planday.installation)
    after = slices.published(), slices.pending().keys(), histories.all(), files.lake(), files.warehouse()
    assert after == before
    assert not histories.are_lost()
    left = {file.name for file in planday.state.folder.iterdir()}
    assert left.isdisjoint({"pending", "published", "history", "lake.json", "publication.json"})
    done = planday.publish()
    assert (done.is_rebuild, done.problems, slices.pending(), histories.all()) == (False, {}, {}, {})


@pytest.mark.parametrize("version", [11, 12])
def test_index_of_an_older_database_is_made_anew(planday: Installation, version: int) -> None:
    """From the files; what cannot be made anew is kept."""
    for portal in ("oslo", "london"):
        planday.refresh("hr.departments", portal)
    planday.publish()
    planday.refresh("hr.skills")
    slices, failures = planday.state.slices, planday.state.failures
    failures.record([Failure(portal="oslo", table="hr.x", month=None, cause="api", error="e", run_id="", since=AT)])
    before = slices.published(), slices.pending(), failures.all(), planday.state.files.lake()
    as_of_version(planday.state.folder, version)
    with closing(sqlite3.connect(database_file(planday.state.folder))) as db:
        assert db.execute("SELECT count(*) FROM slice WHERE slice_id <> ''").fetchone() == (4,)
    assert slices.indexed_tables({("hr", "skills")}, VERSION) == {}
    assert (slices.published(), slices.pending(), failures.all(), planday.state.files.lake()) == before
    assert indexed(planday.lake) == footers(planday.lake.root)
    with closing(sqlite3.connect(database_file(planday.state.folder))) as db:
        assert not db.execute("SELECT * FROM sqlite_master WHERE name = 'slice'").fetchall()
        assert db.execute("SELECT version FROM about").fetchall() == [(STATE_VERSION,)]
    assert slices.indexed_tables({("hr", "skills")}, VERSION)["oslo"]["hr.skills"] == IndexedTable(
        frozenset([None]), is_outdated=False
    )
    done = planday.publish()
    assert ({*done.changed}, done.is_rebuild, done.problems) == ({*before[1]}, False, {})


def test_an_older_version_may_publish_meanwhile(tmp_path: Path) -> None:
    state = State(tmp_path)
    mark = {"slice_id": "1", "read_at": AT.isoformat(), "kept": 1}
    old_slices(tmp_path, pending={}, published={"a.b.oslo": mark, "a.b.london": mark}, owed={})
    old_names(tmp_path, "lake", "first")
    assert state.files.warehouse() == ("first",)
    newer = {"slice_id": "2", "read_at": (AT + timedelta(days=1)).isoformat(), "kept": 2}
    older = {"slice_id": "0", "read_at": (AT - timedelta(days=1)).isoformat(), "kept": 0}
    old_slices(tmp_path, pending={"a.b.oslo": ""}, published={"a.b.oslo": newer, "a.b.london": older}, owed={})
    old_names(tmp_path, "lake", "second")
    assert state.files.warehouse() == ("first", "second")
    key = SliceKey.of("a.b", "oslo")
    assert [*state.slices.pending()] == [key]
    assert state.slices.published() == {
        key: PublishedSlice(slice_id="2", read_at=AT + timedelta(days=1), rows=2),
        SliceKey.of("a.b", "london"): PublishedSlice(slice_id="1", read_at=AT, rows=1),
    }


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_old_files_are_no_obstacle(tmp_path: Path, kind: str) -> None:
    key = SliceKey.of("hr.departments", "oslo")
    mark: dict[str, object] = {"slice_id": "1", "read_at": AT.isoformat(), "kept": 1}
    files = old_slices(tmp_path, pending={str(key): ""}, published={str(key): mark}, owed={str(key): AT.isoformat()})
    for file in [*files, *old_names(tmp_path, "lake", "first")]:
        DAMAGE[kind](file)
    stray = tmp_path / "pending" / ".DS_Store"
    stray.touch()
    state = State(tmp_path)
    assert [*state.slices.pending()] == [key], "it may have changed"
    assert [*state.histories.all()] == [key], "it may be behind"
    assert state.slices.published() == {}
    assert (state.files.lake(), state.files.warehouse()) == ("", None)
    assert stray.exists()


@pytest.mark.processes
def test_upgrade_of_slices_killed_anywhere_is_finished(tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom planday_io.state import State\nState(Path(sys.argv[1])).slices.pending()"
    key = SliceKey.of("hr.departments", "oslo")
    mark: dict[str, object] = {"slice_id": "1", "read_at": AT.isoformat(), "kept": 1}
    at, ended = 0, KILLED
    while ended == KILLED:
        at += 1
        folder = tmp_path / str(at)
        old_slices(folder, pending={str(key): "w"}, published={str(key): mark}, owed={str(key): AT.isoformat()})
        old_names(folder, "lake", "first")
        ended = killed(code, folder, at, str(folder))
        state = State(folder)
        assert [*state.slices.pending()] == [key]
        assert state.slices.published()[key] == PublishedSlice(slice_id="1", read_at=AT, rows=1)
        assert state.histories.all() == {key: AT}
        assert (state.files.lake(), state.files.warehouse()) == ("lake", ("first",))
        left = {file.name for file in folder.iterdir()}
        assert left.isdisjoint({"pending", "published", "history", "lake.json", "publication.json"})
    assert at > 5
