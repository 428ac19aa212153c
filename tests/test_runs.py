"""Runs and processes live while they hold their lease; those of an older version while they hold their mark."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from planday_io.state import State
from tests.support.old_state import old_locks, old_run

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


def test_what_older_versions_left_goes(tmp_path: Path) -> None:
    state = State(tmp_path)
    old_locks(tmp_path, *(f"slice.scheduling.shifts.oslo.2025-{month:02}" for month in range(1, 13)), "publish")
    with old_run(tmp_path, "\ufffd"):
        pass
    state.failures.resolve("oslo", [])
    with state.locks.hold("publish"):
        assert state.sweep(datetime.now(UTC)) == 12 + 2, "the lock that is held stays"
    assert [path.name for path in files(tmp_path) if path.parent != tmp_path] == ["\ufffd"], "it may be an editor's"
