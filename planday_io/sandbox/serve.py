"""Serving a sandbox on a real socket of this machine, for the command line, the demo and tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.routing import Route

from planday_io.errors import ConfigError
from planday_io.sandbox.app import asgi_app
from planday_io.sandbox.state import Sandbox


@contextmanager
def served(
    sandbox: Sandbox, port: int = 0, routes: list[Route] | None = None, live_seconds: float | None = None
) -> Iterator[str]:
    """Serve in a thread of this process; yields the base address. Port 0 takes a free one.

    `routes` are answered before the sandbox's own, and may be added to while it is served. With `live_seconds`, the portals
    live meanwhile; see `serve_forever`.

    Raises:
        ConfigError: the port is taken.
    """
    with _listening(port) as listener:
        server = uvicorn.Server(_config(sandbox, routes))
        begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

        async def serve() -> None:
            task = asyncio.ensure_future(_serve(server, listener, sandbox, live_seconds))
            begun.set_result((asyncio.get_running_loop(), task))
            with suppress(asyncio.CancelledError):
                await task
            for one in server.servers:
                one.close()

        thread = threading.Thread(target=_run, args=(server, serve()), daemon=True)
        thread.start()
        loop, task = begun.result()
        while not server.started and thread.is_alive():
            time.sleep(0.01)  # uvicorn has no event to wait for
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # uvicorn would look at `should_exit` a tenth of a second later, and then wait as long for open connections.
            with suppress(RuntimeError):  # It has ended by itself.
                loop.call_soon_threadsafe(task.cancel)
            thread.join(timeout=10)


def serve_forever(sandbox: Sandbox, port: int, live_seconds: float | None = None) -> None:
    """Serve until interrupted.

    Args:
        sandbox: to serve.
        port: of this machine.
        live_seconds: how often something changes in each portal meanwhile; never where it is not given.

    Raises:
        ConfigError: the port is taken.
    """
    with _listening(port) as listener, suppress(KeyboardInterrupt):
        server = uvicorn.Server(_config(sandbox))
        _run(server, _serve(server, listener, sandbox, live_seconds))


def _run(server: uvicorn.Server, work: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(work)


async def _serve(server: uvicorn.Server, listener: socket.socket, sandbox: Sandbox, live_seconds: float | None) -> None:
    """Serve, and let the portals live in between requests."""
    if not live_seconds:
        await server.serve(sockets=[listener])
        return
    life = asyncio.create_task(_live(sandbox, live_seconds))
    life.add_done_callback(lambda _: setattr(server, "should_exit", True))
    await server.serve(sockets=[listener])
    if life.done():
        life.result()
    life.cancel()


async def _live(sandbox: Sandbox, seconds: float) -> None:
    changes = 0
    while True:
        with sandbox.lock:
            for portal in sandbox.portals.values():
                portal.advance(changes=changes)
        changes = 1
        await asyncio.sleep(seconds)


def write_config(
    sandbox: Sandbox,
    folder: Path,
    address: str,
    *,
    history_start: str = "2025-01",
    defaults: Sequence[str] = (),
    portals: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write a `portals.yaml` for a sandbox, with its tokens in files beside it.

    Args:
        sandbox: its portals and apps.
        folder: of the file.
        address: of the sandbox.
        history_start: first month of facts.
        defaults: further lines of `defaults`.
        portals: further lines of single portals.

    Returns:
        The configuration file.
    """
    lines = [
        "# The demo's configuration, written by `planday demo`. See portals.example.yaml for a real one.",
        f"planday: {{api_url: '{address}', identity_url: '{address}'}}",
        f"history_start: {history_start}",
        "defaults:",
        *(f"  {line}" for line in defaults),
        "  retries: {step_delay_seconds: 10}",
        "  schedules:",
        "    nightly: {enabled: false}",
        "    weekly: {enabled: false}",
        "    changes: {enabled: false}",
        "portals:",
    ]
    secrets = folder / "tokens"
    secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key, portal in sandbox.portals.items():
        app = next(app for app in sandbox.apps.values() if key in app.refresh_tokens)
        token = secrets / f"{key}.txt"
        token.touch(mode=0o600)
        token.write_text(app.refresh_tokens[key])
        lines += [
            f"  {key}:",
            f"    client_id: {app.client_id}",
            f"    refresh_token: {{file: tokens/{key}.txt}}",
            f"    timezone: {portal.info['timeZone']}",
            *(f"    {line}" for line in (portals or {}).get(key, ())),
        ]
    path = folder / "portals.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _config(sandbox: Sandbox, routes: list[Route] | None = None) -> uvicorn.Config:
    return uvicorn.Config(asgi_app(sandbox, routes), log_level="warning", access_log=False, lifespan="off")


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of this machine cannot be used ({error.strerror}): stop what listens there, or give --port"
            ) from None
        yield listener
