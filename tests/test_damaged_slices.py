"""Slices that are not what was written: found by their bytes, named, left out, read again where that heals it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.errors import DamagedSliceError, ShrunkSnapshotError, StorageError
from planday_io.lake import parquet
from planday_io.lake.freezing import frozen
from planday_io.lake.slices import Lake, Provenance, SliceKey
from planday_io.monitoring.health import Scheduler, health_of
from planday_io.monitoring.incidents import find
from planday_io.monitoring.tables import table_states
from planday_io.state import State
from tests.support.damage import lose_state
from tests.support.installation import Installation

KEY = SliceKey.of("hr.departments", "oslo")
HISTORY = SliceKey.of("hr.departments_history", "oslo")
TABLE = pa.table(
    {"id": list(range(500)), "name": [f"name {n % 7}" for n in range(500)], "list": [[n] for n in range(500)]}
)


def a_provenance() -> Provenance:
    return Provenance(
        run_id="run", portal_id=1, fetched_at=datetime(2026, 11, 1, tzinfo=UTC).isoformat(), window="all", requests=1,
        expected_total=None, received=500, distinct_keys=500, kept=0, verdict="document", catalogue_version=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, bytes]:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(folder / "lake", State(folder / "state"))
    with lake.locked(KEY):
        lake.write(KEY, TABLE, a_provenance())
    return lake, lake.path(KEY).read_bytes()


def is_found(lake: Lake, content: bytes) -> bool:
    """Whether no reader takes the content for the table."""
    lake.path(KEY).write_bytes(content)
    with frozen(lake, [KEY]) as slices:
        is_left_out = KEY in slices.unusable
    is_found = _is_found(lake)
    assert is_left_out == is_found, "a publication and a reader do not agree"
    return is_found


def _is_found(lake: Lake) -> bool:
    try:
        lake.provenance(KEY)
        found = lake.read(KEY)
    except DamagedSliceError as error:
        assert str(lake.path(KEY)) in str(error)
        return True
    assert found.equals(TABLE), "another value was read"
    return False


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bit_never_reads_as_another_value(written: tuple[Lake, bytes], data: st.DataObject) -> None:
    lake, content = written
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    name = content.rindex(b"planday-crc32:")
    # Where the checksum's own name is damaged, the pages are decoded.
    assert is_found(lake, bytes(flipped)) or name <= place < name + len(b"planday-crc32:")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_or_overwritten_file_is_found(written: tuple[Lake, bytes], data: st.DataObject) -> None:
    lake, content = written
    begin = data.draw(st.integers(0, len(content) - 1))
    assert is_found(lake, content[:begin])
    length = data.draw(st.integers(4, 200))
    zeroed = content[:begin] + bytes(min(length, len(content) - begin)) + content[begin + length :]
    name = content.rindex(b"planday-crc32:")
    # Where the checksum's own name is damaged, the pages are decoded.
    is_name = begin < name + len(b"planday-crc32:") and begin + length > name
    assert zeroed == content or is_found(lake, zeroed) or is_name


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 4096, b"PAR1", b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", b"version https://git-lfs.github.com/spec/v1\n"],
)
def test_bytes_that_are_no_parquet_are_damage(written: tuple[Lake, bytes], content: bytes) -> None:
    assert is_found(written[0], content)


def test_parquet_of_somebody_else_is_damage(written: tuple[Lake, bytes]) -> None:
    lake, _ = written
    pq.write_table(TABLE, lake.path(KEY))
    with pytest.raises(DamagedSliceError, match="no provenance"):
        lake.provenance(KEY)


def test_pages_of_another_slice_are_found(written: tuple[Lake, bytes], tmp_path: Path) -> None:
    """Two halves of two good files: each page decodes, and the footer is good."""
    lake, content = written
    other = TABLE.set_column(0, "id", pa.array([n + 1 for n in range(500)]))
    parquet.write(other, tmp_path / "other", b"{}")
    mixed = (tmp_path / "other").read_bytes()[:1000] + content[1000:]
    assert is_found(lake, mixed)


def test_file_of_earlier_version_has_its_pages_decoded(written: tuple[Lake, bytes]) -> None:
    """It has no checksum: what still decodes cannot be told from what was written."""
    lake, content = written
    metadata = pq.read_schema(pa.BufferReader(content)).metadata
    pq.write_table(TABLE.replace_schema_metadata(metadata), lake.path(KEY), compression="zstd")
    old = lake.path(KEY).read_bytes()
    lake.check(KEY)
    assert lake.read(KEY).equals(TABLE)
    lake.path(KEY).write_bytes(old[:40] + bytes(200) + old[240:])
    with pytest.raises(DamagedSliceError):
        lake.check(KEY)


def test_file_of_later_format_is_not_called_damaged(written: tuple[Lake, bytes]) -> None:
    lake, _ = written
    parquet.write(TABLE, lake.path(KEY), b'{"format": 2}')
    with pytest.raises(StorageError, match="upgrade") as caught:
        lake.provenance(KEY)
    assert not isinstance(caught.value, DamagedSliceError)


_AS_ANOTHER = """
import os, pwd, sys
from pathlib import Path
from planday_io.errors import StorageError
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.slices import Lake, SliceKey
from planday_io.state import State, portals, state_database
os.setgroups([]); os.setgid(65534); os.setuid(65534)
base = Path(sys.argv[1])
lake, state = base / "lake", State(base / "state")
key = SliceKey.of("hr.departments", "oslo")
for look in (lambda: Lake(lake, state).provenance(key), lambda: Lake(lake, state).read(key),
             lambda: Lake(lake, state).check(key),
             lambda: ForgottenPeople(lake, state).of("oslo")):
    try:
        look()
        print("read")
    except StorageError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another account")
def test_unreadable_file_is_not_called_damaged() -> None:
    """One run as root leaves files that the service account may not read."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        base = Path(name)
        base.chmod(0o755)
        lake = Lake(base / "lake", State(base / "state"))
        with lake.locked(KEY):
            lake.write(KEY, TABLE, a_provenance())
        (base / "lake/_forgotten").mkdir()
        (base / "lake/_forgotten/oslo.json").write_text('{"salt": "00", "people": []}')
        for file in (base / "lake").rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o600)
        done = subprocess.run(
            [sys.executable, "-c", _AS_ANOTHER, name], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    for line in lines:
        assert line.startswith("StorageError")
        assert "chown" in line
        assert "root" in line
        assert "damaged:" not in line
        assert "move" not in line


def flip(file: Path) -> None:
    """Change a byte in the middle of the pages."""
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 0x10
    file.write_bytes(bytes(content))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = pytest.mark.parametrize("damage", [flip, cut, emptied])


@DAMAGES
def test_damaged_snapshot_is_left_out_and_read_again(planday: Installation, damage: Callable[[Path], None]) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    before = planday.query("SELECT id, name FROM hr.departments ORDER BY id")
    planday.refresh("hr.departments")
    planday.refresh("hr.skills")
    damage(planday.lake.path(KEY))
    done = planday.publish()
    assert [*done.problems] == [KEY]
    assert str(planday.lake.path(KEY)) in str(done.problems[KEY])
    assert planday.query("SELECT id, name FROM hr.departments ORDER BY id") == before
    assert planday.query("SELECT count(*) > 0 FROM hr.skills") == [(True,)], "the rest is published"
    assert [*planday.publish().problems] == [KEY], "as long as it lasts"
    (report,) = planday.refresh("hr.departments")
    (aside,) = planday.lake.files_set_aside()
    assert aside.name in "".join(report.warnings)
    done = planday.publish()
    assert done.problems == {}
    assert planday.query("SELECT id, name FROM hr.departments ORDER BY id") == before


@pytest.mark.parametrize("damage", [flip, cut])
def test_damaged_history_stops_nobody_and_catches_up(planday: Installation, damage: Callable[[Path], None]) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    versions = planday.query("SELECT * FROM hr_history.departments ORDER BY ALL")
    good = planday.lake.path(HISTORY).read_bytes()
    damage(planday.lake.path(HISTORY))
    bad = planday.lake.path(HISTORY).read_bytes()
    planday.sandbox.portals["oslo"].departments[0]["name"] = "renamed"
    planday.refresh("hr.departments")
    done = planday.publish()
    assert [*done.problems] == [HISTORY]
    assert planday.query("SELECT count(*) FROM hr.departments WHERE name = 'renamed'") == [(1,)]
    assert planday.query("SELECT * FROM hr_history.departments ORDER BY ALL") == versions
    assert planday.lake.path(HISTORY).read_bytes() == bad, "it is kept for people to look at"
    planday.lake.path(HISTORY).write_bytes(good)
    assert planday.publish().problems == {}
    found = planday.query(
        "SELECT name, is_current FROM hr_history.departments WHERE id = (SELECT min(id) FROM hr.departments)"
    )
    assert len(planday.query("FROM hr_history.departments")) == len(versions) + 1, f"caught up: {found}"


def test_damaged_history_is_carried_into_a_new_file(planday: Installation) -> None:
    """A new file is made from the lake; rows that only the previous file has are taken over."""
    planday.refresh("hr.departments")
    planday.publish()
    versions = planday.query("SELECT * FROM hr_history.departments ORDER BY ALL")
    flip(planday.lake.path(HISTORY))
    lose_state(planday.state.folder)
    done = planday.publish()
    assert (done.is_rebuild, [*done.problems]) == (True, [HISTORY])
    assert planday.query("SELECT * FROM hr_history.departments ORDER BY ALL") == versions
    assert planday.query("SELECT count(*) FROM sync.derived WHERE table_name = 'hr_history.departments'") == [(1,)]
    assert [*planday.publish().problems] == [HISTORY]


def test_rebuild_gives_a_damaged_history_up(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    flip(planday.lake.path(HISTORY))
    assert [*planday.publish(rebuild=True).problems] == [HISTORY]
    assert len(planday.lake.files_set_aside()) == 1
    planday.refresh("hr.departments")
    assert planday.publish().problems == {}
    assert planday.query("SELECT count(*) FROM hr_history.departments") == [(2,)]


def test_guard_measures_damaged_slice_by_what_was_published(planday: Installation) -> None:
    planday.refresh("hr.employees")
    planday.publish()
    cut(planday.lake.path(SliceKey.of("hr.employees", "oslo")))
    planday.sandbox.portals["oslo"].employees.clear()
    with pytest.raises(ShrunkSnapshotError, match="from 6 rows to 0"):
        planday.refresh("hr.employees")


def test_unreadable_part_of_lake_keeps_nobody_else_waiting(planday: Installation) -> None:
    """A folder where a file should be: the system refuses to read it."""
    planday.refresh("hr.departments")
    planday.refresh("hr.departments", "london")
    file = planday.lake.path(KEY)
    file.unlink()
    file.mkdir()
    done = planday.publish()
    assert [*done.problems] == [KEY]
    assert planday.query("SELECT DISTINCT portal FROM hr.departments") == [("london",)]


def test_damaged_slice_is_incident_and_status_goes_on(planday: Installation) -> None:
    """Also where no publication has checked it since."""
    planday.refresh("hr.departments")
    planday.refresh("hr.skills")
    planday.publish()
    cut(planday.lake.path(KEY))
    found = find(planday.installation, {}, datetime.now(UTC))
    assert found["oslo", "damaged", ""].tables == ("hr.departments",)
    assert str(planday.lake.path(KEY)) in found["oslo", "damaged", ""].error
    health = health_of(planday.installation, datetime.now(UTC), Scheduler(), ["oslo"])
    states = {state.table: state for state in table_states(planday.installation, health)}
    assert states["hr.departments"].failing == "damaged"
    assert (states["hr.skills"].failing, states["hr.skills"].published) == (None, True)
