"""The request budget, damaged in every way: set aside once, made again, and nobody is stopped by it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from planday_io.client.budget import RateLimiter, budget_use
from planday_io.errors import StorageError
from planday_io.state import State
from planday_io.state.budget import budget_file
from tests.support.commands import planday_command
from tests.support.installation import Installation


def limiter(folder: Path, portal: str = "p", clock: Callable[[], float] = time.time) -> RateLimiter:
    return RateLimiter(State(folder).budget, client="c", portal=portal, clock=clock)


def whole(file: Path, rows: int = 4000) -> bytes:
    """A budget of many pages, closed, as the content of its file."""
    budget = limiter(file.parent)
    budget.close()
    with closing(sqlite3.connect(file)) as db:
        db.executemany("INSERT INTO send VALUES ('portal p', ?)", [(float(n),) for n in range(rows)])
        db.commit()
    return file.read_bytes()


def flipped(good: bytes) -> bytes:
    return good[:5000] + bytes(byte ^ 0xFF for byte in good[5000:]) if len(good) > 5000 else good


def other_schema(file: Path) -> bytes:
    with closing(sqlite3.connect(file)) as db:
        db.executescript(
            "CREATE TABLE send (x); CREATE TABLE gate (y); CREATE TABLE policy (z); CREATE TABLE refusal (a)"
        )
    return file.read_bytes()


KINDS = {
    "nothing": lambda _: b"",
    "text": lambda _: b"not a database",
    "binary": lambda _: bytes(range(256)) * 64,
    "utf-16": lambda _: "budget".encode("utf-16"),
    "header only": lambda file: whole(file)[:100],
    "cut": lambda file: whole(file)[: 4096 * 3 + 17],
    "flipped": lambda file: flipped(whole(file)),
    "zeros": lambda file: whole(file)[:4096] + bytes(len(whole(file)) - 4096),
    "another schema": other_schema,
}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_is_set_aside_and_made_again(tmp_path: Path, kind: str) -> None:
    file = budget_file(tmp_path / "state")
    file.parent.mkdir()
    damaged = KINDS[kind](budget_file(tmp_path))
    file.write_bytes(damaged)
    budget = limiter(tmp_path / "state")
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60", "x-ratelimit-remaining": "1"})
    budget.pause(0.0)
    for _ in range(3):
        while budget.reserve() > 0:
            pass
    budget.confirm_sent(budget.reserved_at)
    assert {use.sent for use in budget_use(State(tmp_path / "state"), budget.reserved_at)} == {3, 22}
    budget.close()
    aside = [path.read_bytes() for path in file.parent.glob(f"{file.name}.damaged-*")]
    assert aside == [damaged], "nothing is deleted or changed"


@pytest.mark.parametrize("statement", ["take", "went_out", "learn", "hold", "windows"])
def test_damage_in_middle_is_found_by_any_statement(tmp_path: Path, statement: str) -> None:
    file = budget_file(tmp_path)
    budget = limiter(tmp_path)
    assert budget.reserve() == 0.0
    with file.open("r+b") as handle:
        handle.write(b"x" * file.stat().st_size)
    match statement:
        case "take":
            assert budget.reserve() == 0.0
        case "went_out":
            budget.confirm_sent(budget.reserved_at - 1)
        case "learn":
            budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
        case "hold":
            budget.pause(1.0)
        case "windows":
            assert len(budget.windows()) == 2
    budget.close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    again = limiter(tmp_path)
    again.reserve()
    again.close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_many_that_find_damage_set_it_aside_once(tmp_path: Path) -> None:
    file = budget_file(tmp_path)
    budgets = [limiter(tmp_path, str(n)) for n in range(8)]
    with file.open("r+b") as handle:
        handle.write(b"x" * file.stat().st_size)
    start = threading.Barrier(len(budgets))
    waits: list[float] = []

    def work(budget: RateLimiter) -> None:
        start.wait()
        waits.append(budget.reserve())

    threads = [threading.Thread(target=work, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == len(budgets)
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    assert {use.bucket: use.sent for use in budget_use(State(tmp_path), time.time())}["client c"] == waits.count(0.0)
    for budget in budgets:
        budget.close()


def test_texts_for_times_are_removed(tmp_path: Path) -> None:
    whole(budget_file(tmp_path), rows=0)
    with closing(sqlite3.connect(budget_file(tmp_path))) as db:
        db.execute("INSERT INTO send VALUES ('portal p', 'yesterday')")
        db.execute("INSERT INTO send VALUES ('client c', x'00ff')")
        db.commit()
    budget = limiter(tmp_path)
    assert budget.reserve() == 0.0
    budget.close()
    assert {use.sent for use in budget_use(State(tmp_path), budget.reserved_at)} == {1}


def test_a_file_that_is_removed_is_made_again(tmp_path: Path) -> None:
    one, two = limiter(tmp_path), limiter(tmp_path)
    one.reserve()
    budget_file(tmp_path).unlink()
    assert (one.reserve(), two.reserve()) == (0.0, 0.0)
    assert {use.sent for use in budget_use(State(tmp_path), one.reserved_at)} == {2}, (
        "both count in the same file again"
    )
    one.close()
    two.close()


def test_a_budget_of_version_0_1_goes_on(tmp_path: Path) -> None:
    """While a process of that version has it open; what it sent still counts, and it goes on as well."""
    with closing(sqlite3.connect(budget_file(tmp_path), isolation_level=None)) as old:
        old.executescript(
            "CREATE TABLE send (bucket TEXT NOT NULL, sent_at REAL NOT NULL);"
            "CREATE INDEX send_by_time ON send (bucket, sent_at);"
            "CREATE TABLE policy (bucket TEXT PRIMARY KEY, windows TEXT NOT NULL);"
            "CREATE TABLE gate (bucket TEXT PRIMARY KEY, closed_until REAL NOT NULL);"
            "CREATE TABLE refusal (bucket TEXT NOT NULL, refused_at REAL NOT NULL);"
            "INSERT INTO policy VALUES ('portal p', '20/1.0 10/60.0');"
            "INSERT INTO send SELECT 'portal p', 1.0 FROM (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9));"
        )
        budget = limiter(tmp_path, clock=lambda: 2.0)
        assert budget.reserve() == 0.0
        assert budget.reserve() > 50, "nine of ten were sent by the old process"
        budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
        old.execute("INSERT INTO send VALUES (?, ?)", ("portal p", 2.0))
        assert old.execute("SELECT windows FROM policy WHERE bucket = 'portal p'").fetchone() == ("20/1.0 750/60.0",)
    budget.close()
    assert {use.bucket: use.sent for use in budget_use(State(tmp_path), 3.0)}["portal p"] == 11
    assert not list(tmp_path.glob("*.damaged-*"))


def test_log_of_older_version_is_taken_over(tmp_path: Path) -> None:
    file, killed = budget_file(tmp_path), budget_file(tmp_path / "killed")
    whole(file, rows=0)
    killed.parent.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("INSERT INTO send VALUES ('portal p', 1.0)")
        for end in ("", "-wal", "-shm"):
            shutil.copyfile(f"{file}{end}", f"{killed}{end}")
    budget = limiter(killed.parent, clock=lambda: 1.0)
    assert budget.reserve() == 0.0
    assert {use.bucket: use.sent for use in budget_use(State(killed.parent), 1.0)}["portal p"] == 2
    budget.close()
    assert not list(killed.parent.glob("*.damaged-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk of its own takes Linux")
@pytest.mark.processes
def test_full_or_read_only_disk_names_a_remedy(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("this account may not mount")
    try:
        budget = limiter(mount, clock=lambda: 1.0)
        (mount / "ballast").write_bytes(b"x" * (64 * 1024 - sum(f.stat().st_size + 4096 for f in mount.iterdir())))
        with pytest.raises(StorageError, match="The disk is full"):
            budget.observe({"x-ratelimit-limit": "4000, 4000;w=60", "x-ratelimit-remaining": "0"})
        (mount / "ballast").unlink()
        budget.reserve()
        budget.close()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        with pytest.raises(StorageError, match="mounted for writing"):
            limiter(mount).reserve()
        assert len(budget_use(State(mount), 1.0)) == 2
        assert not list(mount.glob("*.damaged-*"))
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


@pytest.mark.processes
def test_a_sync_over_a_damaged_budget(planday: Installation) -> None:
    file = budget_file(planday.state.folder)
    file.write_bytes(b"not a database at all")
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert done.returncode == 0, done.stdout + done.stderr
    (aside,) = file.parent.glob(f"{file.name}.damaged-*")
    assert aside.read_bytes() == b"not a database at all"
    assert "BUDGET" not in planday_command(planday, "status").stdout
