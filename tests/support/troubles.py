"""What goes wrong in the rows of docs/operating.md: each arranges it, and returns what fixes it."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from planday_io.sandbox.app import as_json
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.state import Fault
from tests.support.faults import DEPARTMENTS, broken_server
from tests.support.installation import FAST, Installation


def answering(respond: Callable[..., Response | None], path: str = DEPARTMENTS, times: int | None = None) -> Any:
    """A fault that lasts until it is fixed, or that passes after some answers."""

    def arrange(planday: Installation) -> Callable[[], None] | None:
        fault = Fault(path, respond, times=times)
        planday.sandbox.faults.append(fault)
        return (lambda: planday.sandbox.faults.remove(fault)) if times is None else None

    return arrange


def status(code: int, **how: Any) -> Any:
    return answering(lambda *_: Response(status_code=code), **how)


def config(old: str, new: str) -> Any:
    """An edited configuration; `{address}` is the sandbox's."""

    def arrange(planday: Installation) -> Callable[[], None]:
        text = planday.config_path.read_text()
        planday.edit_config(old.format(address=planday.address), new.format(port=planday.address.rpartition(":")[2]))
        return lambda: planday.config_path.write_text(text) and None  # type: ignore[func-returns-value]

    return arrange


API = "api_url: '{address}'"


def token(text: str | None) -> Any:
    """Another text in the place of oslo's refresh token; None is copenhagen's token."""

    def arrange(planday: Installation) -> Callable[[], None]:
        file = planday.folder / "tokens/oslo.txt"
        good = file.read_text()
        file.write_text(text or (file.parent / "copenhagen.txt").read_text())
        return lambda: file.write_text(good) and None  # type: ignore[func-returns-value]

    return arrange


def expired(planday: Installation) -> None:
    """The access token expires while the run reads."""
    planday.sandbox.faults.append(
        Fault("/portal/v1.0/info", lambda *_: planday.sandbox.expire_access_tokens(), times=1)
    )


def scope_missing(planday: Installation) -> Callable[[], None]:
    for app in planday.sandbox.apps.values():
        app.scopes -= {"department:read"}

    def fix() -> None:
        for app in planday.sandbox.apps.values():
            app.scopes |= {"department:read"}

    return fix


def deactivated(planday: Installation) -> Callable[[], None]:
    planday.sandbox.deactivated.add("oslo")
    return lambda: planday.sandbox.deactivated.discard("oslo")


def revoked(planday: Installation) -> Callable[[], None]:
    app = next(app for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    was = app.refresh_tokens["oslo"]
    planday.sandbox.revoke("oslo")
    return lambda: app.refresh_tokens.update(oslo=was)


def rotates(planday: Installation) -> None:
    planday.sandbox.rotates = True


def limited(portal: Any = FAST, client: Any = FAST) -> Any:
    def arrange(planday: Installation) -> None:
        planday.sandbox.limits = Limits(portal, client)

    return arrange


def maintenance(planday: Installation) -> Callable[[], None]:
    """Everything, the identity server as well, answers with a page. Two hours are as long as all retries."""
    fault = Fault("/", lambda *_: HTMLResponse("<h1>Maintenance</h1>", 503), times=None)
    planday.sandbox.faults.append(fault)
    return lambda: planday.sandbox.faults.remove(fault)


def retyped(planday: Installation) -> Callable[[], None]:
    row = planday.sandbox.portals["oslo"].departments[0]
    was, row["number"] = row["number"], 17
    return lambda: row.update(number=was)


def new_member(planday: Installation) -> None:
    planday.sandbox.portals["oslo"].departments[0]["costCentre"] = "x"


def missing_member(planday: Installation) -> None:
    del planday.sandbox.portals["oslo"].departments[0]["number"]


def shrunk(planday: Installation) -> Callable[[], None]:
    planday.edit_config("  retries:", "  guards: {max_lost_rows: 0}\n  retries:")
    portal = planday.sandbox.portals["oslo"]
    was, portal.departments[:] = [*portal.departments], []

    def fix() -> None:
        portal.departments[:] = was

    return fix


def too_many(planday: Installation) -> Callable[[], None]:
    """Without the sandbox's own headers, which would ask to wait for a minute."""
    planday.sandbox.limits = Limits(FAST, FAST, with_headers=False)
    fault = Fault(DEPARTMENTS, lambda *_: Response(status_code=429, headers={"x-ratelimit-reset": "1"}), times=None)
    planday.sandbox.faults.append(fault)
    return lambda: planday.sandbox.faults.remove(fault)


def malformed(*_: Any) -> Response:
    return Response(b'{"data": [{"id": 1,}]}', media_type="application/json")


def half_character(_: Request, __: int, document: Any) -> Response:
    rows = [{**row, "name": f"{row['name']} \ud83d"} for row in document["data"]]
    return as_json({**document, "data": rows})


def marked(_: Request, __: int, document: Any) -> Response:
    return Response(b"\xef\xbb\xbf" + as_json(document).body, media_type="application/json")


def out_of_range(planday: Installation) -> Callable[[], None]:
    row = planday.sandbox.portals["oslo"].employees[0]
    was, row["hiredDate"] = row.get("hiredDate"), "0001-01-01T00:00:00+01:00"
    return lambda: row.update(hiredDate=was)


def wrong_type(_: Request, __: int, document: Any) -> Response:
    return Response(as_json(document).body, media_type="text/plain")


def reset(connection: socket.socket) -> None:
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def served_by(on_accept: Callable[[socket.socket], None], more: str = "") -> Any:
    def arrange(planday: Installation) -> Callable[[], None]:
        server = broken_server(on_accept)
        port = server.__enter__()
        fix = config(API, f"api_url: 'http://127.0.0.1:{port}'{more}")(planday)

        def end() -> None:
            server.__exit__(None, None, None)
            fix()

        return end

    return arrange


def untrusted(planday: Installation) -> Callable[[], None]:
    """A certificate that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = planday.folder / "key.pem", planday.folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def greet(connection: socket.socket) -> None:
        try:
            context.wrap_socket(connection, server_side=True)
        except OSError:
            return

    server = broken_server(greet)
    fix = config(API, f"api_url: 'https://localhost:{server.__enter__()}'")(planday)

    def end() -> None:
        server.__exit__(None, None, None)
        fix()

    return end


def lake_gone(planday: Installation) -> Callable[[], None]:
    """In the place of the folder of a table is something that is no folder, as where a disk is not mounted."""
    folder = planday.config.lake / "hr/departments/oslo"
    aside = planday.folder / "aside"
    folder.rename(aside)
    folder.write_text("")

    def fix() -> None:
        folder.unlink()
        aside.rename(folder)

    return fix
