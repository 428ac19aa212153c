"""Locks of an installation: one holder at a time while their files are removed, free when the holder dies."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from planday_io.state import State

ROOT = Path(__file__).parents[1]

STRESS = """
import os, sys, threading
from pathlib import Path
from planday_io.state import State
folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
locks = State(folder / "state").locks
wrong = []

def inside(name):
    # Two inside at once would meet here, whatever the locks say.
    handle = os.open(folder / name, os.O_CREAT | os.O_EXCL)
    count = folder / f"{name}.count"
    count.write_text(str(int(count.read_text()) + 1))
    os.close(handle)
    os.unlink(folder / name)

def work(number):
    try:
        for one in range(rounds):
            name = f"{'ab'[(one + number) % 2]}"
            if (one + number) % 3:
                with locks.hold(name):
                    inside(name)
            else:
                while not (lease := locks.take(name)):
                    locks.is_held(name)
                inside(name)
                lease.release()
            locks.sweep()
    except BaseException as error:
        wrong.append(error)
        raise

threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(wrong))
"""

HOLDER = """
import sys
from pathlib import Path
from planday_io.state import State
lease = State(Path(sys.argv[1])).locks.take("slice.a")
print(lease is not None, flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    return process


@pytest.mark.processes
def test_one_holder_while_files_are_removed(tmp_path: Path) -> None:
    rounds, processes = int(os.environ.get("PLANDAY_LOCK_ROUNDS", "30")), 3
    for name in "ab":
        (tmp_path / f"{name}.count").write_text("0")
    started = [
        subprocess.Popen([sys.executable, "-c", STRESS, str(tmp_path), str(rounds)], cwd=ROOT) for _ in range(processes)
    ]
    assert [process.wait() for process in started] == [0] * processes
    counted = sum(int((tmp_path / f"{name}.count").read_text()) for name in "ab")
    assert counted == rounds * 3 * processes
    assert [*(tmp_path / "state").rglob("*.lock")] == []


def test_many_locks_leave_no_files(tmp_path: Path) -> None:
    locks = State(tmp_path).locks
    for number in range(200):
        with locks.hold(f"slice.{number}"):
            assert locks.is_held(f"slice.{number}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_lock_is_not_taken_twice(tmp_path: Path) -> None:
    locks, seen = State(tmp_path).locks, list[object]()
    lease = locks.take("a")
    assert lease is not None
    thread = threading.Thread(target=lambda: seen.append(State(tmp_path).locks.take("a")))
    thread.start()
    thread.join()
    assert seen == [None]
    assert (locks.is_held("a"), locks.is_held("b")) == (True, False)
    lease.release()
    lease.release()
    assert not locks.is_held("a")
    again = locks.take("a")
    assert again is not None
    lease.release()
    assert locks.is_held("a"), "an old lease frees nothing of the next one"
    again.release()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    assert not state.locks.is_held("a")
    assert state.locks.sweep() == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.processes
def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    locks = State(tmp_path).locks
    process = holder(tmp_path)
    assert locks.is_held("slice.a")
    assert locks.take("slice.a") is None
    assert locks.sweep() == 0, "it is held"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not locks.is_held("slice.a")
    assert locks.sweep() == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_locks_are_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with State(tmp_path / "state").locks.hold("a"):
            (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)
