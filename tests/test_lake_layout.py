"""Slices of version 0.1 are found where it put them, moved once, never lost: kills, late writers, two files of one slice."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from planday_io.lake.layout import file_of
from planday_io.lake.moving import move_old_slices
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake, SliceKey
from planday_io.monitoring.notifier import Notifier
from planday_io.onboarding.renaming import rename_portal
from planday_io.privacy.erasure import forget_person, forget_portal
from planday_io.privacy.scanning import scan
from planday_io.state import State
from tests.support.cutting import KILLED, counting, killed
from tests.support.damage import DAMAGE
from tests.support.installation import Installation
from tests.support.old_state import as_of_version_0_1, old_layout, old_place, old_run, old_slices

AT = datetime(2026, 11, 1, tzinfo=UTC)
DEPARTMENTS = SliceKey.of("hr.departments", "oslo")
SHIFTS = SliceKey.of("scheduling.shifts", "oslo", "2026-09")
KEYS = [DEPARTMENTS, SHIFTS, replace(SHIFTS, portal="0012"), replace(SHIFTS, month="2026-10")]


def write(lake: Lake, key: SliceKey, *ids: int, at: datetime = AT, verdict: str = "exhausted") -> bytes:
    """Write a slice. Returns its file's bytes."""
    provenance = Provenance(
        run_id="r",
        portal_id=1,
        fetched_at=at.isoformat(),
        window="all",
        requests=1,
        expected_total=None,
        received=len(ids),
        distinct_keys=len(ids),
        kept=0,
        verdict=verdict,
        catalogue_version=1,
    )
    with lake.locked(key):
        lake.write(key, pa.table({"id": [*ids]}), provenance)
    return lake.path(key).read_bytes()


def put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def old_file(lake: Lake, key: SliceKey) -> Path:
    return old_place(lake.root, key.domain, key.table, key.portal, key.month)


def new_file(lake: Lake, key: SliceKey) -> Path:
    return lake.root / file_of(key)


def ids(lake: Lake, key: SliceKey) -> list[int]:
    found: list[int] = lake.read(key).column("id").to_pylist()
    return found


def lake_in(folder: Path) -> Lake:
    return Lake(folder / "lake", State(folder / "state"))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_names_of_old_folders_hold_slices(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    for number, key in enumerate(KEYS):
        write(lake, key, number)
    chosen = lake.slices("scheduling.shifts"), lake.slices(portal="0012")
    before = lake.indexed(KEYS).entries
    old_layout(lake.root)
    assert lake.slices() == sorted(KEYS, key=str)
    assert (lake.slices("scheduling.shifts"), lake.slices(portal="0012")) == chosen
    assert lake.indexed(KEYS).entries == before
    assert [ids(lake, key) for key in KEYS] == [[0], [1], [2], [3]]
    assert lake.slices(portal="../state") == []


def test_a_publication_moves_old_slices(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.skills")
    planday.publish()
    before, made = tree(planday.config.lake), planday.config.warehouse.stat().st_ino
    as_of_version_0_1(planday.installation)
    assert not {*tree(planday.config.lake)} & {name for name in before if "oslo" in name}
    done = planday.publish()
    assert (done.slices, done.is_rebuild, done.problems) == (0, False, {})
    assert tree(planday.config.lake) == before, "the same bytes"
    assert planday.config.warehouse.stat().st_ino == made, "nothing is published again"
    assert not [path for path in planday.config.lake.rglob("*") if "=" in path.name]
    moved = len([name for name in before if name.endswith("/data.parquet")])
    assert f"{moved} slices" in done.notices[0]
    assert planday.publish().notices == ()


def test_looking_moves_nothing(planday: Installation) -> None:
    planday.refresh("hr.departments")
    old_layout(planday.config.lake)
    before = tree(planday.config.lake)
    assert Notifier(planday.installation).evaluate(datetime.now(UTC)) == []
    assert len(planday.rows("hr.departments")) > 0
    assert planday.lake.indexed(planday.lake.slices()).unusable == {}
    assert tree(planday.config.lake) == before


def test_a_read_goes_on_from_old_slices(planday: Installation) -> None:
    planday.refresh("hr.departments")
    old_layout(planday.config.lake)
    planday.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    planday.refresh("hr.departments")
    versions = planday.rows("hr.departments_history")
    changed = [row["is_current"] for row in versions if row["name"] == "renamed" or not row["is_current"]]
    assert sorted(changed) == [False, True]
    assert {path.parent.name for path in planday.config.lake.rglob("data.parquet")} == {"portal=oslo"}


@pytest.mark.processes
def test_a_move_killed_anywhere_is_finished(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom planday_io.lake.moving import move_old_slices\n"
        "from planday_io.lake.slices import Lake\nfrom planday_io.state import State\n"
        "move_old_slices(Lake(Path(sys.argv[1]) / 'lake', State(Path(sys.argv[1]) / 'state')), ['hr.departments'])"
    )
    at, ended = 0, KILLED
    while ended == KILLED:
        at += 1
        lake = lake_in(tmp_path / str(at))
        late = write(lake, DEPARTMENTS, 1, 2, at=AT + timedelta(days=1))
        for number, key in enumerate(KEYS):
            write(lake, key, number)
        for old in old_layout(lake.root):
            put(old.with_name("_damaged-data.parquet-20261101T000000.000000Z-0000"), b"PAR1")
        put(new_file(lake, DEPARTMENTS), old_file(lake, DEPARTMENTS).read_bytes())
        put(old_file(lake, DEPARTMENTS), late)
        ended = killed(code, tmp_path / str(at), at, str(tmp_path / str(at)))
        assert [ids(lake, key) for key in KEYS] == [[1, 2], [1], [2], [3]]
        assert move_old_slices(lake, ["hr.departments"]).errors == ()
        assert [ids(lake, key) for key in KEYS] == [[1, 2], [1], [2], [3]]
        assert lake.slices() == sorted(KEYS, key=str)
        slices = {file_of(key) for key in KEYS}
        assert {name for name in tree(lake.root) if not name.startswith("_")} == slices
        assert not [path for path in lake.root.rglob("*") if "=" in path.name]
        assert lake.state.histories.all() == {DEPARTMENTS: AT}
    assert at > 16


LATER = AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("new", "old", "counts"),
    [
        ({"at": AT}, {"at": LATER}, "old"),
        ({"at": LATER}, {"at": AT}, "new"),
        ({"at": AT}, {"at": AT}, "new"),
        ({"at": AT}, {"at": LATER, "damage": "cut"}, "new"),
        ({"at": LATER, "damage": "cut"}, {"at": AT}, "old"),
        ({"at": AT, "damage": "cut"}, {"at": LATER, "damage": "cut"}, "new"),
        ({"at": AT, "verdict": "history"}, {"at": LATER, "verdict": "history"}, "new"),
        ({"at": AT, "verdict": "run"}, {"at": LATER, "verdict": "run"}, "new"),
        ({"at": AT, "verdict": "history", "damage": "cut"}, {"at": LATER, "verdict": "history"}, "old"),
    ],
)
def test_of_two_files_the_later_counts(tmp_path: Path, new: dict[str, Any], old: dict[str, Any], counts: str) -> None:
    lake = lake_in(tmp_path)
    contents = {}
    for name, how in (("new", new), ("old", old)):
        contents[name] = write(lake, DEPARTMENTS, 1, at=how["at"], verdict=how.get("verdict", "exhausted"))
        if "damage" in how:
            DAMAGE[how["damage"]](lake.path(DEPARTMENTS))
            contents[name] = lake.path(DEPARTMENTS).read_bytes()
        new_file(lake, DEPARTMENTS).unlink()
    put(new_file(lake, DEPARTMENTS), contents["new"])
    put(old_file(lake, DEPARTMENTS), contents["old"])
    assert lake.path(DEPARTMENTS).read_bytes() == contents[counts]
    assert lake.slices() == [DEPARTMENTS]
    assert move_old_slices(lake, ()).moved == 1
    assert new_file(lake, DEPARTMENTS).read_bytes() == contents[counts]
    assert not old_file(lake, DEPARTMENTS).exists()
    (aside,) = lake.files_set_aside()
    assert aside.read_bytes() == contents["old" if counts == "new" else "new"]


def test_the_same_file_twice_is_one(tmp_path: Path) -> None:
    """A kill between copying to another disk and removing leaves this."""
    lake = lake_in(tmp_path)
    put(old_file(lake, DEPARTMENTS), write(lake, DEPARTMENTS, 1))
    move_old_slices(lake, ())
    assert (lake.files_set_aside(), ids(lake, DEPARTMENTS)) == ([], [1])
    assert not old_file(lake, DEPARTMENTS).parent.exists()


def test_an_old_run_is_waited_for(tmp_path: Path) -> None:
    """An old process would not find the moved slices, and would start their histories again."""
    lake = lake_in(tmp_path)
    write(lake, SHIFTS, 1)
    old_layout(lake.root)
    with old_run(lake.state.folder, "0123456789abcdef"):
        assert move_old_slices(lake, ()).moved == 0
        write(lake, SHIFTS, 1, 2)
        assert old_file(lake, SHIFTS).exists()
        assert not new_file(lake, SHIFTS).exists(), "it is written where the old run looks"
    assert move_old_slices(lake, ()).moved == 1
    assert (ids(lake, SHIFTS), old_file(lake, SHIFTS).parent.exists()) == ([1, 2], False)


def test_old_versions_are_shut_out(planday: Installation) -> None:
    """They compare the lake's name with the one in a file of the state, and refuse to write where these differ."""
    planday.refresh("hr.departments")
    as_of_version_0_1(planday.installation)
    planday.publish()
    file, name = planday.state.folder / "lake.json", planday.state.files.lake()
    in_lake = json.loads((planday.config.lake / "_lake.json").read_text())["lake"]
    assert json.loads(file.read_text())["lake"] not in ("", in_lake)
    planday.refresh("hr.departments")
    planday.publish()
    assert (planday.state.files.lake(), file.exists()) == (name, True), "it is not imported"


def test_what_an_old_version_wrote_later_counts(planday: Installation) -> None:
    """With a version in the history, although that version did not find the history."""
    planday.refresh("hr.departments")
    planday.publish()
    lake, history = planday.lake, SliceKey.of("hr.departments_history", "oslo")
    earlier = {key: lake.path(key).read_bytes() for key in (DEPARTMENTS, history)}
    other = planday.fresh()
    planday.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    other.refresh("hr.departments")
    for key in earlier:
        put(old_file(lake, key), other.lake.path(key).read_bytes())
    old_slices(planday.state.folder, pending={str(DEPARTMENTS): "", str(history): ""}, published={}, owed={})
    done = planday.publish()
    assert (done.problems, lake.path(DEPARTMENTS)) == ({}, new_file(lake, DEPARTMENTS))
    assert planday.query("SELECT count(*) FROM hr.departments WHERE name = 'renamed'") == [(1,)]
    versions = planday.query(
        "SELECT name = 'renamed', is_current, changed_after IS NOT NULL FROM hr.departments_history "
        "WHERE id = (SELECT id FROM hr.departments WHERE name = 'renamed') ORDER BY valid_from"
    )
    assert versions == [(False, False, False), (True, True, True)]
    assert {file.name.partition(".replaced-")[0] for file in lake.files_set_aside()} == {str(DEPARTMENTS), str(history)}


@pytest.mark.parametrize("removal", ["forget", "drop"])
def test_replaced_file_keeps_nothing_that_was_removed(planday: Installation, removal: str) -> None:
    """What is removed while a run of version 0.1 is alive is removed from the file that counts; the other one goes."""
    planday.refresh("hr.employees")
    planday.publish()
    key = SliceKey.of("hr.employees", "oslo")
    earlier = planday.lake.path(key).read_bytes()
    planday.refresh("hr.employees")
    put(old_file(planday.lake, key), earlier)
    with old_run(planday.state.folder, "0123456789abcdef"):
        if removal == "forget":
            forget_person(planday.installation, "oslo", 1001)
        else:
            planday.edit_config("defaults:", "privacy: {identity: drop}\ndefaults:")
            planday.publish()
        assert old_file(planday.lake, key).exists(), "not moved yet"
    planday.publish()
    assert not [path for path in planday.config.lake.rglob("*") if "=" in path.name]
    assert planday.lake.files_set_aside() == []


def test_what_cannot_be_moved_stays_readable(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    old_layout(planday.config.lake)
    with counting(planday.config.lake / "hr", at=1):
        done = planday.publish()
    assert "1 slices of" in done.notices[1]
    assert "The disk is full" in done.notices[1]
    assert (done.problems, len(planday.rows("hr.departments")) > 0) == ({}, True)
    planday.publish()
    assert not [path for path in planday.config.lake.rglob("*") if "=" in path.name]


def test_slices_move_between_disks(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    content = write(lake, SHIFTS, 1)
    (old,) = old_layout(lake.root)
    (old.parent / ".DS_Store").touch()
    with counting(lake.root, at=1, error=OSError(errno.EXDEV, os.strerror(errno.EXDEV))):
        assert move_old_slices(lake, ()).errors == ()
    assert new_file(lake, SHIFTS).read_bytes() == content
    assert [*lake.root.rglob("*.tmp-*")] == []


def test_old_leftovers_leave_folders_of_tables(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    write(lake, SHIFTS, 1)
    (old,) = old_layout(lake.root)
    put(old.with_name("_damaged-data.parquet-20261101T000000.000000Z-0000"), b"PAR1")
    put(old.with_name("data.parquet.tmp-0123456789abcdef"), b"PAR1")
    move_old_slices(lake, ())
    assert {name for name in tree(lake.root) if not name.startswith("_")} == {file_of(SHIFTS)}
    (aside,) = lake.files_set_aside()
    assert (aside.read_bytes(), aside.name.partition(".damaged-")[0]) == (b"PAR1", str(SHIFTS))


def test_forgetting_a_portal_finds_old_slices(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.departments", "london")
    old_layout(planday.config.lake)
    forget_portal(planday.installation, "london")
    assert not [path for path in planday.config.lake.rglob("*") if "london" in path.name]
    assert planday.query("SELECT DISTINCT portal FROM hr.departments") == [("oslo",)]


@pytest.mark.parametrize("linked", ["hr", "hr/employees", "hr/employees/oslo", "hr/employees/oslo/data.parquet"])
def test_links_in_the_lake_are_followed(planday: Installation, linked: str) -> None:
    planday.refresh("hr.employees")
    (name,) = {row["last_name"] for row in planday.rows("hr.employees") if row["id"] == 1001}
    place, away = planday.config.lake / linked, planday.folder / "another-disk"
    place.rename(away)
    place.symlink_to(os.path.relpath(away, place.parent))
    assert planday.publish().problems == {}
    assert len(planday.query("FROM hr.employees")) == len(planday.rows("hr.employees"))
    searched = scan(planday.installation, {name})
    assert any(one.startswith("lake/hr/employees/oslo/data.parquet") for one in searched.places)


def test_renaming_a_portal_finds_old_slices(planday: Installation) -> None:
    planday.refresh("hr.departments")
    rows = planday.rows("hr.departments")
    old_layout(planday.config.lake)
    rename_portal(planday.installation, "oslo", "bergen")
    assert planday.rows("hr.departments", "bergen") == [{**row, "portal": "bergen"} for row in rows]
    assert not [path for path in planday.config.lake.rglob("*") if "=" in path.name or "oslo" in path.name]


def test_folders_get_the_access_of_others(tmp_path: Path) -> None:
    """Whoever runs first after an upgrade, perhaps as root, creates them."""
    lake = lake_in(tmp_path)
    lake.root.mkdir(mode=0o700)
    write(lake, SHIFTS, 1)
    (old,) = old_layout(lake.root)
    for folder in (old.parent, old.parent.parent):
        folder.chmod(0o2770)
    (lake.root / "_writing").rmdir()
    lake.root.chmod(0o2770)
    write(lake, SHIFTS, 1)
    move_old_slices(lake, ())
    folders = (lake.root / "_writing", new_file(lake, SHIFTS).parent, new_file(lake, SHIFTS).parent.parent)
    assert [oct(folder.stat().st_mode & 0o7777) for folder in folders] == ["0o2770"] * 3
