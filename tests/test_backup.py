"""A backup that is made while runs go on, what a restored installation has, and what becomes of damaged backups."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from planday_io.backup import archive, back_up, restore, verify
from planday_io.catalogue import CATALOGUE
from planday_io.errors import BackupError, ConfigError, StorageError, TokenError
from planday_io.lake.installation import Installation as Product
from planday_io.lake.slices import SliceKey
from planday_io.privacy.erasure import forget_person
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.sync.session import PortalSession, refresh
from planday_io.warehouse import publish
from tests.support.backups import quiet, shown
from tests.support.commands import PLANDAY, planday_command
from tests.support.cutting import KILLED, counting, full_disk, killed
from tests.support.installation import FAST, Installation

DEPARTMENTS = SliceKey.of("hr.departments", "oslo")


def read_twice(planday: Installation) -> Installation:
    """Two portals with histories, one of them with a second version."""
    for portal in ("oslo", "london"):
        planday.refresh("hr.departments", portal)
    planday.refresh("hr.employees")
    planday.publish()
    planday.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    planday.refresh("hr.departments")
    planday.publish()
    return planday


@pytest.fixture
def read(planday: Installation) -> Installation:
    return read_twice(planday)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, archive.Manifest]]:
    """A backup and what it holds, for tests that need nothing of the installation."""
    folder = tmp_path_factory.mktemp("backup")
    sandbox = demo_sandbox(portals=demo_portals(people=(6, 9, 8)), limits=Limits(FAST, FAST))
    with served(sandbox) as address:
        made = read_twice(Installation(folder / "installation", sandbox, address))
        done = back_up(made.installation, folder / "backup.tar", quiet)
        yield (folder / "backup.tar").read_bytes(), done.manifest


@pytest.fixture
def file(backup: tuple[bytes, archive.Manifest], tmp_path: Path) -> Path:
    """A copy of the backup."""
    copy = tmp_path / "backup.tar"
    copy.write_bytes(backup[0])
    return copy


@pytest.fixture
def manifest(backup: tuple[bytes, archive.Manifest]) -> archive.Manifest:
    return backup[1]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to restore into, in which nothing leads to another portals.yaml."""
    folder = tmp_path / "restored"
    folder.mkdir()
    for name in ("PLANDAY_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


def restored(file: Path, folder: Path) -> Product:
    installation = restore(file, folder, CATALOGUE, quiet).installation
    assert publish(installation).problems == {}
    return installation


def test_restored_warehouse_has_the_same_rows(read: Installation, tmp_path: Path, place: Path) -> None:
    person = read.rows("hr.employees")[0]["id"]
    forget_person(read.installation, "oslo", person)
    file = tmp_path / "backup.tar"
    done = back_up(read.installation, file, quiet)
    assert done.manifest.left_out == {}
    assert file.stat().st_mode & 0o777 == 0o600
    installation = restored(file, place)
    assert shown(installation.config.warehouse) == shown(read.config.warehouse)
    assert installation.config.file.read_bytes() == read.config_path.read_bytes()
    assert (installation.config.lake / "_forgotten/oslo.json").is_file()


def test_restored_installation_reads_on(read: Installation, tmp_path: Path, place: Path) -> None:
    back_up(read.installation, tmp_path / "backup.tar", quiet)
    restored(tmp_path / "backup.tar", place)
    again = replace_folder(read, place)
    again.sandbox.portals["oslo"].departments[0]["name"] = "renamed again"
    again.refresh("hr.departments")
    assert again.publish().problems == {}
    assert again.query("SELECT count(*) FROM hr_history.departments WHERE portal = 'oslo'") == [(4,)]


def replace_folder(planday: Installation, folder: Path) -> Installation:
    """The installation in another folder, beside the same Planday."""
    made = planday.fresh()
    made.folder, made.config_path = folder, folder / "portals.yaml"
    shutil.copytree(planday.folder / "tokens", folder / "tokens")
    return made


def test_backup_holds_one_moment_during_writes(read: Installation, tmp_path: Path, place: Path) -> None:
    before, told = shown(read.config.warehouse), []

    def write(done: int, total: int) -> None:
        if not told:
            read.sandbox.portals["oslo"].departments[0]["name"] = "meanwhile"
            read.refresh("hr.departments")
            read.publish()
        told.append((done, total))

    back_up(read.installation, tmp_path / "backup.tar", write)
    assert told[-1][0] == told[-1][1]
    assert shown(read.config.warehouse) != before
    assert shown(restored(tmp_path / "backup.tar", place).config.warehouse) == before


def test_backup_holds_what_a_run_wrote(read: Installation, tmp_path: Path, place: Path) -> None:
    """As if the run had been killed then: its slices are complete."""
    with read.state.runs.begin() as run:
        read.sandbox.portals["oslo"].departments[0]["name"] = "unpublished"
        refresh(PortalSession(read.installation, "oslo", run_id="unfinished", writer=run.name), "hr.departments")
        back_up(read.installation, tmp_path / "backup.tar", quiet)
    installation = restored(tmp_path / "backup.tar", place)
    names = {row["name"] for row in installation.lake.read(DEPARTMENTS).to_pylist()}
    assert "unpublished" in names
    with duckdb.connect(str(installation.config.warehouse), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM hr.departments WHERE name = 'unpublished'").fetchall() == [(1,)]


def test_failed_backup_leaves_the_previous_one(read: Installation, tmp_path: Path) -> None:
    file = tmp_path / "backups" / "backup.tar"
    file.parent.mkdir()
    back_up(read.installation, file, quiet)
    whole = verify(file, quiet).slices
    with counting(file.parent) as changes:
        back_up(read.installation, file, quiet)
    failed = 0
    for at in range(1, changes.count + 1):
        before = file.read_bytes()
        try:
            with counting(file.parent, at=at):
                back_up(read.installation, file, quiet)
        except StorageError:
            failed += 1
        # What is removed when all is done may stay until the next backup.
        assert file.read_bytes() == before or verify(file, quiet).slices == whole
        assert [path.name for path in file.parent.iterdir() if ".tmp-" not in path.name] == ["backup.tar"]
    assert failed
    back_up(read.installation, file, quiet)
    assert [path.name for path in file.parent.iterdir()] == ["backup.tar"]
    assert not [path for path in read.config.lake.iterdir() if ".tmp-" in path.name]


def test_full_disk_leaves_the_previous_backup(read: Installation, tmp_path: Path) -> None:
    file = tmp_path / "backups" / "backup.tar"
    file.parent.mkdir()
    back_up(read.installation, file, quiet)
    before = file.read_bytes()
    with full_disk(), pytest.raises(StorageError, match=r"[Dd]isk is full"):
        back_up(read.installation, file, quiet)
    assert file.read_bytes() == before
    assert [*file.parent.iterdir()] == [file]


def test_restore_on_a_full_disk_is_begun_again(read: Installation, tmp_path: Path, place: Path) -> None:
    back_up(read.installation, tmp_path / "backup.tar", quiet)
    with full_disk(), pytest.raises(StorageError, match="no file of that size"):
        restore(tmp_path / "backup.tar", place, CATALOGUE, quiet)
    assert not (place / ".planday/state.sqlite").exists()
    installation = restored(tmp_path / "backup.tar", place)
    assert shown(installation.config.warehouse) == shown(read.config.warehouse)


def test_backup_waits_for_a_command_that_runs(read: Installation, tmp_path: Path) -> None:
    """Nobody is half forgotten in a backup."""
    person = read.rows("hr.employees")[0]["id"]
    with ThreadPoolExecutor(1) as pool, read.state.commands.carry_out("planday forget", ["oslo"]):
        made = pool.submit(back_up, read.installation, tmp_path / "backup.tar", quiet)
        forget_person(read.installation, "oslo", person)
        assert not (tmp_path / "backup.tar").exists()
    made.result()
    rows = shown(restored(tmp_path / "backup.tar", tmp_path / "restored").config.warehouse)
    assert rows == shown(read.config.warehouse)


@pytest.mark.processes
def test_killed_restore_is_begun_again(read: Installation, tmp_path: Path, place: Path) -> None:
    file = tmp_path / "backup.tar"
    back_up(read.installation, file, quiet)
    with counting(place) as changes:
        expected = shown(restored(file, place).config.warehouse)
    code = (
        "from pathlib import Path; from planday_io.backup import restore; from planday_io.catalogue import CATALOGUE\n"
        "restore(Path(sys.argv[1]), Path(sys.argv[2]), CATALOGUE, lambda done, total: None)"
    )
    reached = 0
    for at in range(1, changes.count + 1):
        folder = tmp_path / f"cut-{at}"
        folder.mkdir()
        if killed(code, folder, at, str(file), str(folder)) != KILLED:
            break
        reached = at
        if not (folder / ".planday/state.sqlite").exists():
            assert shown(restored(file, folder).config.warehouse) == expected
    assert reached > 3


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no tar": lambda content: b"PK" + content,
    "empty": lambda content: content[:0],
    "cut in the manifest": lambda content: content[:1500],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "cut before the end": lambda content: content[: content.rindex(b"data.parquet") - 1],
    "flipped in the manifest": lambda content: flipped(content, content.index(b'"slices"') + 10),
    "flipped in a slice": lambda content: flipped(content, content.index(b"PAR1") + 40),
    "flipped in the state": lambda content: flipped(content, content.index(b"SQLite format 3") + 5000),
    "flipped in a name": lambda content: flipped(content, content.rindex(b"data.parquet")),
}


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_backup_restores_nothing(file: Path, place: Path, kind: str) -> None:
    file.write_bytes(DAMAGE[kind](file.read_bytes()))
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        verify(file, quiet)
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        restore(file, place, CATALOGUE, quiet)
    assert [*place.iterdir()] == []


@pytest.mark.parametrize("name", ["lake/../../elsewhere", "/etc/elsewhere", "elsewhere", "lake//double"])
def test_names_that_lead_elsewhere_are_refused(
    manifest: archive.Manifest, tmp_path: Path, place: Path, name: str
) -> None:
    content = tmp_path / "content.txt"
    content.write_text("hostile")
    hostile = replace(manifest, members=(archive.member_of(name, content),))
    archive.write(tmp_path / "hostile.tar", hostile, {name: content}, quiet)
    with pytest.raises(BackupError, match="names files"):
        restore(tmp_path / "hostile.tar", place, CATALOGUE, quiet)
    assert not [*tmp_path.rglob("elsewhere")]


@pytest.mark.parametrize("part", ["lake", "catalogue", "state"])
def test_backup_of_a_later_version_is_refused(
    manifest: archive.Manifest, tmp_path: Path, place: Path, part: str
) -> None:
    versions = replace(manifest.versions, **{part: 999})
    later = replace(manifest, versions=versions, members=(), program="9.9.9")
    archive.write(tmp_path / "later.tar", later, {}, quiet)
    with pytest.raises(BackupError, match=r"version 9\.9\.9"):
        restore(tmp_path / "later.tar", place, CATALOGUE, quiet)
    assert [*place.iterdir()] == []


def test_manifest_of_a_later_format_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"format": 2, "what": "is not known"}).encode()
    about = tarfile.TarInfo("manifest.json")
    about.size, about.pax_headers = len(text), {"comment": hashlib.sha256(text).hexdigest()}
    with tarfile.open(tmp_path / "later.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(about, io.BytesIO(text))
    with pytest.raises(BackupError, match="later version"):
        verify(tmp_path / "later.tar", quiet)


def test_backup_of_an_earlier_state_is_brought_up(read: Installation, tmp_path: Path, place: Path) -> None:
    made = back_up(read.installation, tmp_path / "backup.tar", quiet)
    archive.extract(tmp_path / "backup.tar", tmp_path / "parts", quiet)
    with sqlite3.connect(tmp_path / "parts/state.sqlite") as db:
        db.execute("UPDATE about SET version = 10")
        db.execute("DROP TABLE delivery")
    sources = {one.name: tmp_path / "parts" / one.name for one in made.manifest.members}
    members = tuple(archive.member_of(name, path) for name, path in sources.items())
    earlier = replace(made.manifest, members=members, versions=replace(made.manifest.versions, state=10))
    archive.write(tmp_path / "earlier.tar", earlier, sources, quiet)
    installation = restored(tmp_path / "earlier.tar", place)
    assert installation.state.deliveries.of("none") is None
    assert shown(installation.config.warehouse) == shown(read.config.warehouse)


def a_lake(folder: Path) -> None:
    (folder / "lake/hr").mkdir(parents=True)
    (folder / "lake/hr/notes.txt").write_text("mine")


def a_warehouse(folder: Path) -> None:
    (folder / "warehouse.duckdb").write_text("mine")


@pytest.mark.parametrize("fill", [a_lake, a_warehouse])
def test_folder_with_data_is_not_restored_into(file: Path, place: Path, fill: Callable[[Path], None]) -> None:
    fill(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(BackupError, match="nothing yet"):
        restore(file, place, CATALOGUE, quiet)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_restored_folder_is_not_restored_again(file: Path, place: Path) -> None:
    restore(file, place, CATALOGUE, quiet)
    with pytest.raises(BackupError, match="there is a state"):
        restore(file, place, CATALOGUE, quiet)


def test_tokens_are_not_in_a_backup(read: Installation, tmp_path: Path, place: Path) -> None:
    read.sandbox.rotates = True
    read.refresh("hr.departments")
    read.sandbox.rotates = False
    (kept,) = read.state_files_with("rotated-")
    token = json.loads(kept.read_text())["refresh_token"]
    done = back_up(read.installation, tmp_path / "backup.tar", quiet)
    assert [*done.manifest.replaced_tokens] == ["oslo"]
    assert token.encode() not in (tmp_path / "backup.tar").read_bytes()
    restored(tmp_path / "backup.tar", place)
    again = replace_folder(read, place)
    with pytest.raises(TokenError, match="planday authorize oslo"):
        again.refresh("hr.departments")
    again.refresh("hr.departments", "london")


def test_damaged_and_lost_slices_are_named(read: Installation, tmp_path: Path) -> None:
    lost, damaged = DEPARTMENTS, SliceKey.of("hr.departments", "london")
    read.lake.path(lost).unlink()
    path = read.lake.path(damaged)
    path.write_bytes(flipped(path.read_bytes(), 60))
    done = back_up(read.installation, tmp_path / "backup.tar", quiet)
    assert {*done.manifest.left_out} == {str(lost), str(damaged)}


def test_backup_over_another_file_is_refused(read: Installation, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    for place in (other, tmp_path, read.config.lake / "b.tar", read.config_path, tmp_path / "nowhere/b.tar"):
        with pytest.raises(ConfigError):
            back_up(read.installation, place, quiet)
    assert other.read_text() == "mine"


@pytest.mark.processes
def test_commands_back_up_and_restore(read: Installation, tmp_path: Path, place: Path) -> None:
    file = tmp_path / "backup.tar"
    made = planday_command(read, "backup", str(file))
    assert made.returncode == 0, made.stderr
    done = subprocess.run([PLANDAY, "restore", str(file)], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "planday check" in done.stdout
    assert shown(place / "warehouse.duckdb") == shown(read.config.warehouse)
    again = subprocess.run([PLANDAY, "restore", str(file)], cwd=place, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr
