"""Who is alive is known by locks alone: no process id, no /proc; and nobody else may read what is in the state folder."""

from __future__ import annotations

import ast
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from planday_io.files import replacing, sweep
from planday_io.lake.freezing import frozen
from planday_io.lake.slices import SliceKey
from planday_io.state import State
from planday_io.state.tokens import token_file
from tests.support.installation import Installation

ROOT = Path(__file__).parents[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_process_keeps_what_it_is_writing(tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    with replacing(file) as half:
        half.write_text("half")
        # DuckDB and pyarrow replace and lock the file by its name, and write others beside it.
        half.unlink()
        half.write_text("half")
        beside = half.with_name(half.name + ".wal")
        beside.write_text("log")
        assert sweep(tmp_path, deep=True) == 0
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(sweep(tmp_path)))
        thread.start()
        thread.join()
        assert seen == [0]
        assert beside.exists()
        beside.unlink()
    assert names(tmp_path) == ["data.parquet"]
    assert file.read_text() == "half"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("before")
    with pytest.raises(ValueError, match="x"), replacing(tmp_path / "data") as half:  # noqa: PT012 - both are one write
        half.write_text("half")
        raise ValueError("x")
    assert names(tmp_path) == ["data"]
    assert (tmp_path / "data").read_text() == "before"


@pytest.mark.parametrize("name", ["data.tmp-999999-abcd", "data.tmp-{own}-ab", "data.tmp-1-0.wal", "x.tmp-"])
def test_leftovers_of_an_older_version_go(tmp_path: Path, name: str) -> None:
    name = name.format(own=os.getpid())
    """They have the id of a process, which may be that of another one by now, or of one in another container."""
    (tmp_path / name).write_text("half")
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == []


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a write."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom planday_io.files import replacing\n"
        "with replacing(Path(sys.argv[1]) / 'data') as half:\n half.write_text('half')\n print(flush=True)\n sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.processes
def test_another_process_is_left_alone_until_killed(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    writer.stdout.readline()
    assert sweep(tmp_path, deep=True) == 0
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert sweep(tmp_path, deep=True) > 0
    assert names(tmp_path) == []


def test_frozen_slices_survive_a_sweep(planday: Installation) -> None:
    planday.refresh("hr.departments")
    key = SliceKey.of("hr.departments", "oslo")
    with frozen(planday.lake, [key]) as slices:
        assert sweep(planday.config.lake, deep=True) == 0
        planday.lake.path(key).unlink()
        assert slices.slices[key].file.exists()
    assert not [name for name in names(planday.config.lake) if ".tmp-" in name]


def test_nothing_asks_the_system_for_processes() -> None:
    """No /proc and no signal as a question; a process id is a part of names and tells nothing."""
    # Of a program that holds the warehouse open, the name is looked up for a message.
    named = ROOT / "planday_io" / "warehouse" / "place.py"
    for path in {*(ROOT / "planday_io").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")} - {named}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                # A process may say something about itself.
                assert not node.value.startswith("/proc") or node.value.startswith("/proc/self/"), path
            # A process that was started here may be ended: `process.kill()`.
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("os", "psutil")
            ):
                assert node.attr not in ("kill", "pid_exists", "waitpid"), f"{path}:{node.lineno}"


@pytest.fixture
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_to_all")
def test_tokens_are_closed_to_others(tmp_path: Path) -> None:
    state = tmp_path / "state"
    tokens = token_file(state, "oslo").parent
    tokens.mkdir(parents=True)
    for name in ("oslo.txt", "oslo.lock", "other.json"):
        (tokens / name).write_text("as an older version left it")
        (tokens / name).chmod(0o666)
    (tokens / "link").symlink_to(tmp_path / "elsewhere")
    store = State(state).refresh_token("oslo", lambda: "configured")
    with store.lock():
        store.read()
        store.write("rotated")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in tokens.iterdir() if not path.is_symlink()}
    assert modes == dict.fromkeys(["oslo.txt", "other.json", "oslo.json"], 0o600)
