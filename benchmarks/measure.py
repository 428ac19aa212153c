"""Commands that are timed: wall and CPU seconds, peak memory of the process tree; and the server that they read from."""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

_LOOKS_PER_SECOND = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One command.

    Args:
        seconds: of wall time.
        cpu_seconds: of all its processes, as the system counts those that were waited for, or as seen twenty times a second
            if that is more: not every process is waited for by one that is.
        peak_mib: of resident memory of all its processes together, looked at twenty times a second.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def run(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Measured:
    """Run a command. Raises RuntimeError when its exit code is none of `codes`."""
    # Elsewhere, compiled modules are kept; a machine that keeps none would measure the compiler.
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = os.times().elapsed
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**settings, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        peak = _Peak(process.pid)
        peak.start()
        out, err = process.communicate()
        seconds = os.times().elapsed - began
        peak.stop()
    if process.returncode not in codes:
        raise RuntimeError(f"{command} ended with {process.returncode}: {out[-2000:]}{err[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, max(cpu, peak.cpu_seconds), peak.mib, out)


class _Peak(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._enough = threading.Event()
        self.mib = 0.0
        self._cpu: dict[int, float] = {}

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def run(self) -> None:
        while not self._enough.wait(1 / _LOOKS_PER_SECOND):
            with suppress(psutil.Error):
                total = 0
                for process in (self._root, *self._root.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += process.memory_info().rss
                        times = process.cpu_times()
                        self._cpu[process.pid] = times.user + times.system
                self.mib = max(self.mib, total / 2**20)

    def stop(self) -> None:
        self._enough.set()
        self.join()


@contextmanager
def fast_server(**options: str | float | bool) -> Iterator[str]:
    """The sandbox's fast mode in a process of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags: list[str] = []
    for name, value in options.items():
        flags += [f"--{name}"] if value is True else [] if value is False else [f"--{name}", str(value)]
    command = [sys.executable, "-m", "planday_io.sandbox.fast", "--port", str(port), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            _wait_for(address)
            yield address
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    pause = threading.Event()
    for _ in range(200):
        with suppress(httpx.TransportError):
            httpx.get(f"{address}/requests")
            return
        pause.wait(0.05)
    raise RuntimeError("the server did not begin")


def requests_of(address: str) -> dict[str, int]:
    """What the server counted: path -> requests, `refused` -> 429s."""
    counted: dict[str, int] = httpx.get(f"{address}/requests").json()
    return counted


def alternating(cases: Mapping[str, Callable[[], Measured]], times: int) -> dict[str, list[Measured]]:
    """Run all cases in turns, so that what the machine does meanwhile hits all of them."""
    found: dict[str, list[Measured]] = {name: [] for name in cases}
    for _ in range(times):
        for name, case in cases.items():
            found[name].append(case())
            sys.stderr.write(f"  {name}: {found[name][-1].seconds:.2f} s\n")
    return found


def median(measured: Sequence[Measured], what: str = "seconds") -> float:
    """The median of one member."""
    return float(statistics.median(getattr(one, what) for one in measured))
