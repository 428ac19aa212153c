"""People who were forgotten after a backup was made do not come back with it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from planday_io.backup import back_up, restore
from planday_io.catalogue import CATALOGUE
from planday_io.errors import BackupError, ConfigError, DamagedFileError
from planday_io.months import month_of, shifted
from planday_io.privacy.erasure import forget_people, forget_person
from planday_io.warehouse import publish
from tests.support.backups import quiet, shown
from tests.support.commands import PLANDAY
from tests.support.cutting import KILLED, counting, killed
from tests.support.installation import Installation

pytestmark = pytest.mark.processes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to restore into."""
    folder = tmp_path / "restored"
    folder.mkdir()
    for name in ("PLANDAY_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def file(planday: Installation, tmp_path: Path) -> Path:
    """A backup with people in two portals and in histories, one of whom was forgotten before."""
    for name in ("First", "Second"):
        for portal in ("oslo", "london"):
            world = planday.sandbox.portals[portal]
            someone = min(row["id"] for row in world.employees)
            world.edit_employee(someone, firstName=f"{name}-{portal}", lastName=f"Unmistakable-{portal}")
            planday.refresh("hr.employees", portal)
    planday.publish()
    forget_person(planday.installation, "oslo", ids(planday, "oslo")[-1])
    back_up(planday.installation, tmp_path / "backup.tar", quiet)
    return tmp_path / "backup.tar"


def ids(planday: Installation, portal: str) -> list[int]:
    return sorted(row["id"] for row in planday.rows("hr.employees", portal))


def published(warehouse: Path) -> set[str]:
    """Last names in the warehouse, of all versions."""
    with duckdb.connect(str(warehouse), read_only=True) as db:
        tables = ("hr.employees", "hr_history.employees")
        return {row[0] for one in tables for row in db.execute(f"SELECT last_name FROM {one}").fetchall()}


def stored(folder: Path) -> set[str]:
    """Last names in all files of the lake."""
    files = [file for file in (folder / "lake").rglob("*.parquet") if "last_name" in pq.read_schema(file).names]
    return {name for file in files for name in pq.read_table(file).column("last_name").to_pylist()}


def forgotten_in_both(planday: Installation) -> set[str]:
    """Forgets a person in each portal. Returns their names."""
    for portal in ("oslo", "london"):
        forget_person(planday.installation, portal, ids(planday, portal)[0])
    return {"Unmistakable-oslo", "Unmistakable-london"}


def test_later_lists_keep_people_out(planday: Installation, file: Path, place: Path) -> None:
    before = published(planday.config.warehouse)
    gone = forgotten_in_both(planday)
    assert gone <= before
    done = restore(file, place, CATALOGUE, quiet, forgotten=planday.config.lake / "_forgotten")
    assert {portal: len(added) for portal, added in done.to_forget.items()} == {"oslo": 1, "london": 1}
    result = forget_people(done.installation, done.to_forget)
    assert result.places == []
    assert result.values >= 2
    assert publish(done.installation).problems == {}
    assert gone.isdisjoint(published(done.installation.config.warehouse))
    assert gone.isdisjoint(stored(place))
    ours, theirs = shown(done.installation.config.warehouse), shown(planday.config.warehouse)
    assert {name for name in ours if ours[name] != theirs[name]} == {"sync.slices", "sync.derived"}, (
        "slices have other ids"
    )
    assert done.installation.state.commands.unfinished() == []


def test_without_lists_they_are_there_again(planday: Installation, file: Path, place: Path) -> None:
    """Shows what `--forgotten` is for."""
    gone = forgotten_in_both(planday)
    done = restore(file, place, CATALOGUE, quiet)
    assert done.to_forget == {}
    publish(done.installation)
    assert gone <= published(done.installation.config.warehouse)
    assert gone <= stored(place)


def test_lists_in_the_lake_count_as_later_ones(planday: Installation, file: Path, place: Path) -> None:
    forgotten_in_both(planday)
    shutil.copytree(planday.config.lake / "_forgotten", place / "lake/_forgotten")
    done = restore(file, place, CATALOGUE, quiet)
    assert {portal: len(added) for portal, added in done.to_forget.items()} == {"oslo": 1, "london": 1}


def test_renamed_portal_is_recognised_by_its_list(
    planday: Installation, file: Path, place: Path, tmp_path: Path
) -> None:
    number = ids(planday, "oslo")[0]
    forget_person(planday.installation, "oslo", number)
    lists = tmp_path / "lists"
    lists.mkdir()
    shutil.copyfile(planday.config.lake / "_forgotten/oslo.json", lists / "bergen.json")
    done = restore(file, place, CATALOGUE, quiet, forgotten=lists)
    assert [*done.to_forget] == ["oslo"]


def test_killed_restore_still_owes_forgetting(planday: Installation, file: Path, place: Path) -> None:
    gone = forgotten_in_both(planday)
    done = restore(file, place, CATALOGUE, quiet, forgotten=planday.config.lake / "_forgotten")
    # As if the process had been killed right after the state was in place.
    owed = [entry.command for entry in done.installation.state.commands.unfinished()]
    assert len(owed) == 2
    assert all(command.startswith("planday forget --portal ") for command in owed)
    for command in owed:
        made = subprocess.run(
            [PLANDAY, *command.split()[1:], "--yes"], cwd=place, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
    assert done.installation.state.commands.unfinished() == []
    assert gone.isdisjoint(stored(place) | published(place / "warehouse.duckdb"))


def test_killed_restore_forgets_when_begun_again(planday: Installation, file: Path, tmp_path: Path) -> None:
    gone = forgotten_in_both(planday)
    code = (
        "from pathlib import Path; from planday_io.backup import restore; from planday_io.catalogue import CATALOGUE\n"
        "restore(Path(sys.argv[1]), Path(sys.argv[2]), CATALOGUE, lambda done, total: None, forgotten=Path(sys.argv[3]))"
    )
    kept = planday.config.lake / "_forgotten"
    whole = tmp_path / "whole"
    whole.mkdir()
    with counting(whole) as changes:
        restore(file, whole, CATALOGUE, quiet, forgotten=kept)
    reached = 0
    for at in range(changes.count - 7, changes.count):
        folder = tmp_path / f"cut-{at}"
        folder.mkdir()
        assert killed(code, folder, at, str(file), str(folder), str(kept)) == KILLED
        if (folder / ".planday/state.sqlite").exists():
            continue
        reached += 1
        # Once the lists are in the lake, they count without being named.
        is_there = (folder / "lake/_forgotten/london.json").exists()
        done = restore(file, folder, CATALOGUE, quiet, forgotten=None if is_there else kept)
        forget_people(done.installation, done.to_forget)
        assert gone.isdisjoint(stored(folder) | published(folder / "warehouse.duckdb"))
    assert reached > 1


def empty(lists: Path) -> None:
    shutil.rmtree(lists)
    lists.mkdir()


def salted(lists: Path) -> None:
    (lists / "oslo.json").write_text(json.dumps({"salt": "ab" * 16, "people": [-5]}))


def unknown(lists: Path) -> None:
    (lists / "bergen.json").write_text(json.dumps({"salt": "cd" * 16, "people": [-5]}))


def damaged(lists: Path) -> None:
    (lists / "oslo.json").write_bytes(b"{")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (empty, ConfigError, "no lists"),
        (shutil.rmtree, ConfigError, "no lists"),
        (salted, BackupError, "another salt"),
        (unknown, BackupError, "no portal of that key"),
        (damaged, DamagedFileError, "another copy"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    planday: Installation,
    file: Path,
    place: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    error: type[Exception],
    text: str,
) -> None:
    lists = tmp_path / "lists"
    shutil.copytree(planday.config.lake / "_forgotten", lists)
    change(lists)
    with pytest.raises(error, match=text):
        restore(file, place, CATALOGUE, quiet, forgotten=lists)
    assert {path.name for path in place.iterdir()} <= {".planday"}, "only the folder of a lock"
    assert not (place / ".planday/state.sqlite").exists()


def test_damaged_list_in_a_backup_is_restored(planday: Installation, file: Path, place: Path) -> None:
    """It is damaged as before: the state's copy, which the lake's message names, is restored beside it."""
    (planday.config.lake / "_forgotten/oslo.json").write_bytes(b"{")
    back_up(planday.installation, file, quiet)
    done = restore(file, place, CATALOGUE, quiet)
    assert (done.installation.config.lake / "_forgotten/oslo.json").read_bytes() == b"{"
    (done.installation.config.lake / "_forgotten/oslo.json").unlink()
    assert publish(done.installation).problems == {}
    assert (done.installation.config.lake / "_forgotten/oslo.json").is_file()


def test_command_forgets_again(planday: Installation, file: Path, place: Path) -> None:
    gone = forgotten_in_both(planday)
    made = subprocess.run(
        [PLANDAY, "restore", str(file), "--forgotten", str(planday.config.lake / "_forgotten")],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "forgotten after the backup was made: 2." in made.stdout
    assert "repeat" not in made.stdout
    assert gone.isdisjoint(stored(place) | published(place / "warehouse.duckdb"))


def test_what_is_too_old_is_not_published(planday: Installation, tmp_path: Path, place: Path) -> None:
    month = shifted(month_of(datetime.now(UTC).date()), -2)
    planday.refresh("hr.departments")
    planday.refresh("payroll.shifts", month=month)
    planday.publish()
    assert planday.query("SELECT count(*) > 0 FROM payroll.shifts") == [(True,)]
    planday.edit_config("defaults:", "retention: {pay: 1d}\ndefaults:")
    back_up(planday.installation, tmp_path / "backup.tar", quiet)
    command = [PLANDAY, "restore", str(tmp_path / "backup.tar")]
    made = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    with duckdb.connect(str(place / "warehouse.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM payroll.shifts").fetchall() == [(0,)]
        assert db.execute("SELECT DISTINCT rule FROM sync.retention").fetchall() == [("pay",)]


def test_portal_renamed_since_is_named(planday: Installation, file: Path, place: Path) -> None:
    (place / "portals.yaml").write_text(planday.config.file.read_text().replace("  oslo:", "  bergen:"))
    command = [PLANDAY, "restore", str(file)]
    made = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert "Portals of the backup that portals.yaml lacks: oslo." in made.stdout
