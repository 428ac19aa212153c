"""The processes that execute the runs of `planday sync`, side by side: started on demand, ended with the command.

A server process (`multiprocessing.forkserver`) imports Dagster once, while the command still looks at the portals. Each
worker is a fork of it, so it starts and ends at once. The server only imports: it opens nothing, and nothing runs in it.

`concurrent.futures.ProcessPoolExecutor` was rejected: one killed process breaks the whole pool, and it reports no progress.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from pipelines.cli.orders import Done, GiveWay, Order
from pipelines.progress import Listener
from planday_io.errors import KilledError

OnKilled = Callable[[Order, KilledError], None]
"""Called with the order that a process had not carried out when it was killed."""
GivesWay = Callable[[str, Collection[str]], bool]
"""Whether a portal gives way to any of those that are read beside it."""

_GRACE_SECONDS = 30.0
"""How long an interrupted process has to end its run before it is killed."""
_PRELOADED = ["pipelines.cli.worker", "pyarrow.parquet"]
"""What the server imports: all that every run needs."""


def _never(portal: str, others: Collection[str]) -> bool:  # noqa: ARG001
    return False


class _Worker(NamedTuple):
    process: ForkServerProcess
    connection: Connection

    def stop(self) -> None:
        """Ask it to end, even in the middle of a run, after it has reported what it had read."""
        with suppress(OSError):
            self.connection.send(None)

    def end(self) -> None:
        """Wait until it has ended, which it does when the connection is closed; kill it if it does not."""
        self.connection.close()
        self.process.join(_GRACE_SECONDS)
        self.process.kill()
        self.process.join()


class Workers:
    """Processes that carry out orders side by side.

    Ctrl+C, SIGTERM and a terminal that is closed interrupt the command, which ends its processes; the terminal's signals do
    not reach them. Under `nohup` the command goes on without its terminal.

    Args:
        file: the configuration.
        limit: how many there are at most.
    """

    def __init__(self, file: Path, limit: int) -> None:
        self._file, self._limit = file, limit
        self._free: list[_Worker] = []
        self._busy: dict[_Worker, Order] = {}
        self._leaving: list[_Worker] = []
        self._giving_way: set[_Worker] = set()

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        forkserver.set_forkserver_preload(_PRELOADED)
        # Otherwise the server would start it, and unblock all signals afterwards.
        resource_tracker.ensure_running()
        with _blocked(signal.SIGINT, signal.SIGHUP):
            forkserver.ensure_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._busy:
            worker.stop()
        for worker in (*self._leaving, *self._free, *self._busy):
            worker.end()
        for number, before in self._before.items():
            signal.signal(number, before)

    def carry_out(
        self, orders: Iterable[Order], listener: Listener, on_killed: OnKilled, gives_way: GivesWay = _never
    ) -> None:
        """Carry out orders, as many at once as there may be processes.

        Args:
            orders: in the order in which they begin.
            listener: hears what the processes report.
            on_killed: see `OnKilled`.
            gives_way: asked after each report.

        Raises:
            PlandayError: a process could not start.
            KeyboardInterrupt: interrupted. Runs that were begun have ended, and what they reported was passed on.
        """
        waiting = deque(orders)
        try:
            while waiting or self._busy:
                while waiting and (self._free or len(self._busy) < self._limit):
                    self._give(waiting.popleft())
                if not waiting and self._busy:
                    self._dismiss_free()
                for order, error in self._hear(listener):
                    on_killed(order, error)
                self._order_giving_way(gives_way)
        except KeyboardInterrupt:
            self._interrupt(listener)
            raise

    def _give(self, order: Order) -> None:
        worker = self._free.pop() if self._free else self._started()
        self._busy[worker] = order
        # If it was killed while idle, reading from the connection will say so.
        with suppress(OSError):
            worker.connection.send(order)

    def _dismiss_free(self) -> None:
        """Have those end that have nothing left to do, while others work."""
        for worker in self._free:
            worker.stop()
        self._leaving += self._free
        self._free.clear()

    def _order_giving_way(self, gives_way: GivesWay) -> None:
        portals = [order.portal for order in self._busy.values() if order.portal]
        for worker, order in self._busy.items():
            wanted = order.portal is not None and gives_way(order.portal, portals)
            if wanted != (worker in self._giving_way):
                self._giving_way ^= {worker}
                with suppress(OSError):
                    worker.connection.send(GiveWay(wanted))

    def _started(self) -> _Worker:
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._file, dict(os.environ)), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _hear(self, listener: Listener, timeout: float | None = None) -> list[tuple[Order, KilledError]]:
        """Wait for reports, for `timeout` seconds at most, and pass them on. Returns the orders of killed processes."""
        killed = []
        told_something = wait([worker.connection for worker in self._busy], timeout)
        for worker in [worker for worker in self._busy if worker.connection in told_something]:
            try:
                told = worker.connection.recv()
            except (EOFError, OSError):
                order = self._busy.pop(worker)
                worker.end()
                killed.append((order, KilledError(_why(worker.process.exitcode))))
                continue
            if not isinstance(told, Done):
                getattr(listener, told.method)(*told.arguments, **told.options)
                continue
            order = self._busy.pop(worker)
            self._free.append(worker)
            if told.error:
                raise told.error
            if order.portal:
                listener.ended(order.portal)
        return killed

    def _interrupt(self, listener: Listener) -> None:
        """End the runs in progress, and collect what they read until then. A second interruption kills them."""
        for worker in self._busy:
            worker.stop()
        ends_at = time.monotonic() + _GRACE_SECONDS
        try:
            while self._busy and time.monotonic() < ends_at:
                self._hear(listener, timeout=1.0)
        except KeyboardInterrupt:
            for worker in self._busy:
                worker.process.kill()


def _work(connection: Connection, file: Path, environment: Mapping[str, str]) -> None:
    # The server may have been started with another one.
    os.environ.clear()
    os.environ.update(environment)
    # Not above: it loads Dagster, which the command itself does not need.
    from pipelines.cli.worker import work

    work(connection, file)


@contextmanager
def _blocked(*numbers: signal.Signals) -> Iterator[None]:
    """Block signals. They stay blocked in processes that are started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _why(exit_code: int | None) -> str:
    how = f"ended with exit code {exit_code}"
    if exit_code is not None and exit_code < 0:
        how = f"was killed by {signal.Signals(-exit_code).name}"
    return (
        f"the process that read the portal {how}. What it had read completely is kept. If memory is short, "
        "`--processes 1` needs the least"
    )
