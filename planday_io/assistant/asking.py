"""Asks a question in a process of its own (`worker`), and kills that process if it does not end in time."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from subprocess import DEVNULL, PIPE

import anyio

from planday_io.assistant.worker import Reply, Request

_GRACE_SECONDS = 5
"""How long a process may take to start, and to end after it was interrupted."""
_AT_ONCE = 2
"""Questions in progress; each may take as much memory as `worker` allows."""
_KEPT = ("SYSTEMROOT", "TZ", "TZDIR")
"""What Windows cannot start without, and what says which day it is."""


class Asker:
    """Asks questions, a few at a time. One that was given up (the client cancelled it, or disconnected) ends its process."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(self, request: Request) -> Reply:
        """The answer, or why there is none."""
        async with self._limiter:
            reply = await _asked(request)
            if reply.refusal and not reply.status and request.kind != "status":
                # The process was killed, or died: the answer still says how complete and how old the data is.
                told = await _asked(replace(request, kind="status"))
                reply = replace(reply, status=told.status, refusal=reply.refusal if told.status else told.refusal)
        return reply


async def _asked(request: Request) -> Reply:
    command = [sys.executable, "-I", "-m", "planday_io.assistant.worker"]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with anyio.move_on_after(request.seconds + _GRACE_SECONDS) as scope:
        done = await anyio.run_process(
            command,
            input=json.dumps(asdict(request)).encode(),
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment,
            check=False,
        )
    if scope.cancelled_caught:
        return Reply(refusal=f"stopped after {request.seconds:g} seconds: ask for less, or in another way")
    if done.returncode != 0:
        return Reply(
            refusal="the process of this question ended without an answer, probably because it ran out of memory or time: "
            "ask for less"
        )
    return Reply(**json.loads(done.stdout))
