"""Runs and processes live while they hold their lease; those of an older version while they hold their mark."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from planday_io.state import State
from planday_io.state.legacy import legacy_files, remove_files
from tests.support.old_state import old_locks, old_run, old_shared, old_slices

OLD = "0123456789abcdef"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_run_lives_until_it_ends(tmp_path: Path) -> None:
    runs = State(tmp_path).runs
    with runs.begin() as one, runs.begin() as other:
        assert runs.is_alive(one.name)
        one.release()
        assert (runs.is_alive(one.name), runs.is_alive(other.name)) == (False, True)
    assert not runs.is_alive(other.name)
    assert files(tmp_path) == []


def test_a_process_has_one_lease(tmp_path: Path) -> None:
    state = State(tmp_path / "a")
    assert state.runs.process() == State(tmp_path / "a").runs.process()
    assert state.runs.process() != State(tmp_path / "b").runs.process()
    assert state.runs.is_alive(state.runs.process())
    assert state.sweep(datetime.now(UTC)) == 0


@pytest.mark.parametrize("name", ["", "\ufffd", "../x", "1-2", "run-", "run-0123456789ABCDEF", "publish"])
def test_what_is_no_name_is_not_alive(tmp_path: Path, name: str) -> None:
    state = State(tmp_path)
    with state.locks.hold("publish"):
        assert not state.runs.is_alive(name)


def test_runs_of_an_older_version_live(tmp_path: Path) -> None:
    state = State(tmp_path)
    with old_run(tmp_path, OLD) as mark:
        assert state.runs.is_alive(mark)
        assert state.slices.pending() == {}
        assert state.runs.is_alive(mark), "an upgrade leaves it alone"
    assert not state.runs.is_alive(mark)
    assert State(tmp_path).slices.pending() == {}


def test_upgrade_leaves_a_run_that_begins_meanwhile(tmp_path: Path) -> None:
    with old_run(tmp_path, OLD) as mark:
        pass
    process = tmp_path / "processes" / mark
    process.touch()
    found = process.stat()
    with old_run(tmp_path, OLD):
        remove_files(tmp_path, {process: (found.st_ino, found.st_mtime_ns)})
        assert State(tmp_path).runs.is_alive(mark)


def test_old_files_may_go_meanwhile(tmp_path: Path) -> None:
    """Of two processes that find them at once, the second does not fail."""
    removed = []

    def remove(event: str, arguments: tuple[object, ...]) -> None:
        if looks and event in {"os.listdir", "os.scandir"} and str(arguments[0]).startswith(str(tmp_path)):
            looks.pop()
            if not looks:
                removed.append(str(arguments[0]))
                for name in ("batches", "pending"):
                    shutil.rmtree(tmp_path / name)

    looks: list[int] = []
    sys.addaudithook(remove)  # never goes again
    for number in range(1, 20):
        old_shared(tmp_path, "oslo")
        old_slices(tmp_path, pending={"a.b.oslo": ""}, published={}, owed={})
        looks[:] = range(number)
        legacy_files(tmp_path)
    looks.clear()
    assert {Path(place).name for place in removed} >= {"batches", "pending"}


def test_what_older_versions_left_goes(tmp_path: Path) -> None:
    state = State(tmp_path)
    old_locks(tmp_path, *(f"slice.scheduling.shifts.oslo.2025-{month:02}" for month in range(1, 13)), "publish")
    with old_run(tmp_path, "\ufffd"):
        pass
    state.failures.resolve("oslo", [])
    with state.locks.hold("publish"):
        assert state.sweep(datetime.now(UTC)) == 12 + 2, "the lock that is held stays"
    assert [path.name for path in files(tmp_path) if path.parent != tmp_path] == ["\ufffd"], "it may be an editor's"
