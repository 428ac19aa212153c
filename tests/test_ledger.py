"""The budget's file, damaged in every way: set aside once, made again, and nobody is stopped by it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from planday_io.client.budget import RateLimiter, budget_use
from planday_io.errors import StorageError
from tests.support.commands import planday_command
from tests.support.installation import Installation


def whole(file: Path, rows: int = 4000) -> bytes:
    """A budget file of many pages, closed."""
    budget = RateLimiter(file, client="c", portal="p")
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


def text_for_time(file: Path) -> bytes:
    whole(file, rows=0)
    with closing(sqlite3.connect(file)) as db:
        db.execute("INSERT INTO send VALUES ('portal p', 'yesterday')")
        db.execute("INSERT INTO send VALUES ('client c', x'00ff')")
        db.commit()
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
    "texts for times": text_for_time,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_set_aside_and_made_again(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "state" / "budget.sqlite"
    file.parent.mkdir()
    damaged = KINDS[kind](tmp_path / "made.sqlite")
    file.write_bytes(damaged)
    budget = RateLimiter(file, client="c", portal="p")
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60", "x-ratelimit-remaining": "1"})
    budget.pause(0.0)
    for _ in range(3):
        while budget.reserve() > 0:
            pass
    budget.confirm_sent(budget.reserved_at)
    assert {use.sent for use in budget_use(file, budget.reserved_at)} == {3, 22}
    budget.close()
    aside = list(file.parent.glob("budget.sqlite.damaged-*"))
    assert [path.read_bytes() for path in aside] in ([], [damaged]), "nothing is deleted or changed"
    if kind not in ("nothing", "header only", "zeros"):
        assert len(aside) == 1


@pytest.mark.parametrize("statement", ["take", "went_out", "learn", "hold", "windows"])
def test_damage_in_the_middle_is_found_by_any_statement(tmp_path: Path, statement: str) -> None:
    file = tmp_path / "budget.sqlite"
    budget = RateLimiter(file, client="c", portal="p")
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
    again = RateLimiter(file, client="c", portal="p")
    again.reserve()
    again.close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_many_that_find_the_damage_set_it_aside_once(tmp_path: Path) -> None:
    file = tmp_path / "budget.sqlite"
    budgets = [RateLimiter(file, client="c", portal=str(n)) for n in range(8)]
    with file.open("r+b") as handle:
        handle.write(b"x" * file.stat().st_size)
    with closing(sqlite3.connect(":memory:")):
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
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM send WHERE bucket = 'client c'").fetchone() == (waits.count(0.0),)
    for budget in budgets:
        budget.close()


def test_a_file_that_is_removed_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "budget.sqlite"
    one, two = RateLimiter(file, client="c", portal="p"), RateLimiter(file, client="c", portal="p")
    one.reserve()
    file.unlink()
    assert (one.reserve(), two.reserve()) == (0.0, 0.0)
    assert {use.sent for use in budget_use(file, one.reserved_at)} == {2}, "both count in the same file again"
    one.close()
    two.close()


def test_a_log_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "budget.sqlite"
    whole(file, rows=0)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("INSERT INTO send VALUES ('portal p', 1.0)")
        for end in ("", "-wal", "-shm"):
            shutil.copyfile(f"{file}{end}", tmp_path / f"killed.sqlite{end}")
    budget = RateLimiter(tmp_path / "killed.sqlite", client="c", portal="p", clock=lambda: 1.0)
    assert budget.reserve() == 0.0
    assert {use.bucket: use.sent for use in budget_use(tmp_path / "killed.sqlite", 1.0)}["portal p"] == 2
    budget.close()
    assert not list(tmp_path.glob("killed.sqlite*.damaged-*"))


def test_a_place_that_cannot_be_used_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "budget.sqlite").mkdir()
    with pytest.raises(StorageError, match="Give the account that runs this the right to write"):
        RateLimiter(tmp_path / "budget.sqlite", client="c", portal="p")
    with pytest.raises(StorageError, match="cannot be read"):
        budget_use(tmp_path / "budget.sqlite", 0.0)
    assert (tmp_path / "budget.sqlite").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk of its own takes Linux")
@pytest.mark.processes
def test_a_full_or_read_only_disk_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("this account may not mount")
    try:
        budget = RateLimiter(mount / "budget.sqlite", client="c", portal="p", clock=lambda: 1.0)
        (mount / "ballast").write_bytes(b"x" * (64 * 1024 - sum(f.stat().st_size + 4096 for f in mount.iterdir())))
        with pytest.raises(StorageError, match="The disk is full"):
            budget.observe({"x-ratelimit-limit": "4000, 4000;w=60", "x-ratelimit-remaining": "0"})
        (mount / "ballast").unlink()
        budget.reserve()
        budget.close()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        with pytest.raises(StorageError, match="mounted read-only"):
            RateLimiter(mount / "budget.sqlite", client="c", portal="p")
        assert len(budget_use(mount / "budget.sqlite", 1.0)) == 2
        assert not list(mount.glob("*.damaged-*"))
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


@pytest.mark.processes
def test_a_sync_over_a_damaged_budget(planday: Installation) -> None:
    file = planday.state.folder / "budget.sqlite"
    file.write_bytes(b"not a database at all")
    done = planday_command(planday, "status")
    assert "Traceback" not in done.stderr
    assert "BUDGET the request budget" in done.stdout
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert done.returncode == 0, done.stdout + done.stderr
    (aside,) = file.parent.glob("budget.sqlite.damaged-*")
    assert aside.read_bytes() == b"not a database at all"
    assert "BUDGET" not in planday_command(planday, "status").stdout
