"""Answers of a Planday or a network that fails, for `Fault`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from planday_io.errors import (
    PlandayError,
)
from planday_io.sandbox.app import as_json
from tests.support.installation import Installation

DEPARTMENTS = "/hr/v1.0/departments"


EMPLOYEES = "/hr/v1.0/employees"


def html(_: Request, __: int, ___: Any) -> Response:
    return HTMLResponse("<h1>Down for maintenance</h1>")


def truncated(_: Request, __: int, document: Any) -> Response:
    body = as_json(document).body
    return Response(bytes(body)[: len(body) // 2], media_type="application/json")


def server_error(_: Request, __: int, ___: Any) -> Response:
    return Response(status_code=503)


def too_many_with_headers(_: Request, __: int, ___: Any) -> Response:
    headers = {"x-ratelimit-limit": "20, 20;w=1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}
    return Response(status_code=429, headers=headers)


def too_many_without_headers(_: Request, __: int, ___: Any) -> Response:
    return Response(status_code=429)


def short_body(_: Request, __: int, ___: Any) -> Response:
    """Promises more bytes than it sends: the connection breaks under the reader."""
    return Response(b'{"data": [', headers={"content-length": "5000"})


def refused(planday: Installation, error: type[PlandayError], table: str = "hr.departments", **how: Any) -> str:
    """Refresh a table that must fail, and check that its slice is byte for byte what it was."""
    before = planday.bytes_of(table)
    with pytest.raises(error) as caught:
        planday.refresh(table, **how)
    assert planday.bytes_of(table) == before
    return str(caught.value)


@contextmanager
def broken_server(on_accept: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                on_accept(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()
