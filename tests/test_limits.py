"""What a server states or sends is not believed without end: time, size, rows, pages; and bytes that are no JSON."""

from __future__ import annotations

import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from planday_io.catalogue import CATALOGUE
from planday_io.client.asking import AnswerLimits, ask_once
from planday_io.client.bodies import TooLargeError, UnansweredError, as_utf8, unpacked
from planday_io.errors import (
    AlertError,
    IncompleteReadError,
    LimitExceededError,
    PlandayError,
    TransientApiError,
    UnexpectedShapeError,
)
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.channels import channels
from planday_io.monitoring.mail import new_mail, send_mail
from planday_io.monitoring.messages import Message
from planday_io.reading.pages import ListLimit, Page
from planday_io.sandbox.app import as_json
from planday_io.sandbox.state import Fault
from planday_io.sync.forecast import forecast
from tests.support.faults import DEPARTMENTS, EMPLOYEES, broken_server, refused
from tests.support.installation import Installation
from tests.support.pages import read, rows

SHORT = AnswerLimits(silence_seconds=5.0, whole_seconds=0.5, most_bytes=2**20)


def trickling(first: bytes, then: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(1000)
            connection.sendall(first)
            connection.settimeout(0.05)
            while True:
                connection.sendall(then)
                with suppress(TimeoutError):
                    if not connection.recv(1):
                        return

    return serve


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "headers", "status line", "interim answers"],
)
def test_an_answer_that_never_ends_is_ended(first: bytes, then: bytes) -> None:
    with broken_server(trickling(first, then)) as port, pytest.raises(UnansweredError, match=r"no (complete )?answer"):
        ask_once("GET", f"http://127.0.0.1:{port}/", SHORT)


def test_a_slow_answer_names_the_key(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.edit_config("identity_url", "timeout_seconds: 5, answer_seconds: 1, identity_url")

    async def drip() -> Any:
        import asyncio

        while True:
            yield b" "
            await asyncio.sleep(0.1)

    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: StreamingResponse(drip()), times=None))
    assert "no complete answer within 1 s" in (text := refused(planday, TransientApiError))
    assert "planday.answer_seconds" in text


def bomb(size: int, layers: int = 1) -> bytes:
    packed = bytes(size)
    for _ in range(layers):
        packed = gzip.compress(packed)
    return packed


@pytest.mark.parametrize(
    "respond",
    [
        lambda *_: Response(b" " * (2**20 + 1)),
        lambda *_: StreamingResponse(iter([b" " * 2**19] * 100)),
        lambda *_: Response(bomb(2**26), headers={"content-encoding": "gzip"}),
        lambda *_: Response(zlib.compress(bytes(2**26)), headers={"content-encoding": "deflate"}),
        lambda *_: Response(b"", headers={"content-length": str(10**15)}),
    ],
    ids=["body", "stream", "gzip bomb", "deflate bomb", "stated length"],
)
def test_answer_that_is_too_large_names_key(planday: Installation, respond: Any) -> None:
    planday.refresh("hr.departments")
    planday.edit_config("identity_url", "answer_mib: 1, identity_url")
    fault = Fault(DEPARTMENTS, respond, times=1)
    planday.sandbox.faults.append(fault)
    tracemalloc.start()
    try:
        text = refused(planday, LimitExceededError)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "larger than 1 MiB" in text
    assert "planday.answer_mib" in text
    assert fault not in planday.sandbox.faults, "and is not fetched again at once"
    # The server of this test holds one body of 64 MiB at most.
    assert peak < 2**28


@given(content=st.binary(max_size=300), most=st.integers(0, 300), kind=st.sampled_from(["gzip", "zlib", "raw"]))
def test_unpacking_gives_the_content_or_refuses(content: bytes, most: int, kind: str) -> None:
    machine = zlib.compressobj(wbits=-15)
    forms = {
        "gzip": (gzip.compress(content), "gzip"),
        "zlib": (zlib.compress(content), "deflate"),
        "raw": (machine.compress(content) + machine.flush(), "deflate"),
    }
    packed, encoding = forms[kind]
    if len(content) > most:
        with pytest.raises(TooLargeError):
            unpacked(packed, encoding, most)
    else:
        assert unpacked(packed, encoding, most) == content


@given(
    raw=st.binary(max_size=200),
    encoding=st.sampled_from(["gzip", "deflate", "x-gzip", "gzip, gzip", "br", "zstd", "²"]),
)
def test_any_bytes_are_unpacked_or_refused(raw: bytes, encoding: str) -> None:
    with suppress(TooLargeError, UnansweredError):
        assert len(unpacked(raw, encoding, 1000)) <= 1000
    with suppress(TooLargeError, UnansweredError):
        assert len(unpacked(gzip.compress(b"{}")[: len(raw)] + raw, encoding, 1000)) <= 1000


def test_two_layers_of_gzip_are_not_opened() -> None:
    with pytest.raises(UnansweredError):
        unpacked(bomb(2**20, layers=2), "gzip, gzip", 2**30)
    assert unpacked(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10) == b"ab"
    with pytest.raises(UnansweredError):
        unpacked(gzip.compress(b"a") * 1000, "gzip", 10_000)


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("utf-8", "application/json"),
        ("utf-8-sig", "application/json"),
        ("utf-16", "application/json"),
        ("utf-32", ""),
        ("utf-16-le", "application/json; charset=utf-16le"),
        ("iso-8859-1", 'application/json; charset="ISO_8859-1"'),
        ("windows-1252", "application/json; charset=Windows-1252"),
        ("utf-8", "application/json; charset=iso-8859-1"),
        ("utf-8", "application/json; charset=zlib_codec"),
        ("utf-8", "application/json; charset=²"),
    ],
)
def test_json_in_any_known_charset_is_read(planday: Installation, encoding: str, content_type: str) -> None:
    text = json.dumps({"name": "Ærø"}, ensure_ascii=False)
    assert json.loads(as_utf8(text.encode(encoding), content_type)) == {"name": "Ærø"}


@pytest.mark.parametrize(
    ("body", "headers", "error", "says"),
    [
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, UnexpectedShapeError, "nested deeper"),
        (b'{"data": [{"id": 1E+9999999999999999999999}]}', {}, UnexpectedShapeError, "a number"),
        (b'{"data": [{"id": ' + b"9" * 5000 + b"}]}", {}, PlandayError, ""),
        (b"\xff" * 100, {}, TransientApiError, "expected a JSON document"),
        (b"", {}, TransientApiError, "0 bytes"),
        (b"NaN", {}, TransientApiError, ""),
        (b"{}{}", {}, TransientApiError, "expected a JSON document"),
        (b"no gzip", {"content-encoding": "gzip"}, TransientApiError, "compressed body is damaged"),
        (gzip.compress(b"{}")[:-4], {"content-encoding": "gzip"}, TransientApiError, "cut off"),
        (b"{}", {"content-encoding": "br"}, TransientApiError, "not requested"),
    ],
    ids=["nested", "exponent", "digits", "binary", "empty", "NaN", "two", "no gzip", "cut gzip", "brotli"],
)
def test_bytes_that_are_no_answer_are_typed_error(
    planday: Installation, body: bytes, headers: dict[str, str], error: type[PlandayError], says: str
) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: Response(body, headers=headers), times=None))
    text = refused(planday, error)
    assert says in text
    assert "departments" in text
    assert "oslo" in text


def test_an_absent_body_is_a_broken_one(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: Response(status_code=204), times=None))
    assert "answered 204" in refused(planday, PlandayError)


@pytest.mark.parametrize("total", [10**12, 10**18, 10**30])
def test_a_total_beyond_measure_allocates_nothing(planday: Installation, total: int) -> None:
    planday.refresh("hr.employees")

    def lie(_: Request, __: int, document: Any) -> Response:
        return as_json({**document, "paging": {"offset": 0, "limit": 50, "total": total}})

    planday.sandbox.faults.append(Fault(EMPLOYEES, lie, times=None))
    before = planday.sandbox.requests.total()
    text = refused(planday, LimitExceededError, "hr.employees")
    assert "planday.list_rows" in text
    assert "had 6 rows at its previous read" in text
    assert planday.sandbox.requests.total() - before <= 2
    (planday.lake.path(SliceKey.of("hr.employees", "oslo"))).unlink()
    one = [endpoint for endpoint in CATALOGUE.endpoints if endpoint.name == "hr.employees"]
    found = forecast(planday.session(), [(None, one)])
    assert "planday.list_rows" in found.tables["hr.employees"].error


def test_excessive_total_ends_with_rows() -> None:
    asked: list[int] = []

    def fetch(offset: int) -> Page:
        asked.append(offset)
        return Page(list(range(offset, min(offset + 10, 25))), 1_900_000)

    with pytest.raises(IncompleteReadError, match="ends too early"):
        read(fetch)
    assert len(asked) < 100


def test_a_total_that_rises_with_every_page_ends() -> None:
    calls = 0

    def fetch(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page(list(range(offset, offset + 10)), offset + 100)

    with pytest.raises(IncompleteReadError, match="total changed"):
        read(fetch)
    assert calls < 100


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_list_that_always_has_new_rows_ends(size: int) -> None:
    calls = 0

    def fetch(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page(list(range(offset, offset + size)), None)

    with pytest.raises(LimitExceededError, match=r"planday\.list_growth"):
        read(fetch, limit=ListLimit(30_000, before=3))
    assert calls <= 1202


@given(length=st.integers(0, 60), size=st.integers(1, 20), most=st.integers(0, 60), has_total=st.booleans())
def test_a_list_within_its_limit_is_read_whole(length: int, size: int, most: int, has_total: bool) -> None:
    data = list(range(length))

    def fetch(offset: int) -> Page:
        return Page(data[offset : offset + size], length if has_total else None)

    if length > most:
        with pytest.raises(LimitExceededError):
            read(fetch, limit=ListLimit(most))
    else:
        assert rows(read(fetch, limit=ListLimit(most))) == data


def test_previous_rows_set_limit_of_list(planday: Installation) -> None:
    planday.edit_config("identity_url", "list_rows: 3, list_growth: 2, identity_url")
    (report,) = planday.refresh("hr.employees")
    assert report.rows == 6, "twice list_rows, because it was never read"
    portal = planday.sandbox.portals["oslo"]
    for _ in range(6):
        portal.hire()
    assert planday.refresh("hr.employees")[0].rows == 12
    for _ in range(13):
        portal.hire()
    assert "12 rows" in refused(planday, LimitExceededError, "hr.employees")
    planday.edit_config("list_rows: 3", "list_rows: 100")
    assert planday.refresh("hr.employees")[0].rows == 25


def test_identity_server_is_held_to_same_limits(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.edit_config("identity_url", "answer_mib: 1, identity_url")
    respond = lambda *_: Response(bomb(2**24), headers={"content-encoding": "gzip"})  # noqa: E731
    planday.sandbox.faults.append(Fault("/connect/token", respond, times=None))
    assert "POST /connect/token (portal 'oslo')" in refused(planday, LimitExceededError)


def test_a_webhook_that_never_ends_took_the_message(planday: Installation) -> None:
    """The status says so; the body is not waited for."""
    first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with broken_server(trickling(first, b"1\r\n \r\n")) as port:
        (planday.folder / "hook.txt").write_text(f"http://127.0.0.1:{port}/hook")
        planday.edit_config("defaults:", "alerts: {webhook: {url: {file: hook.txt}}}\ndefaults:")
        channels(planday.config)["webhook"](Message("test", "a subject", "a text", []))


@pytest.mark.parametrize("seconds", [0.3, 0.0], ids=["while it greets", "while it connects"])
def test_a_mail_server_that_never_ends_is_ended(planday: Installation, seconds: float) -> None:
    ended: list[str] = []

    def greet(connection: socket.socket) -> None:
        # The client hangs up, and then the test closes the connection.
        with suppress(OSError):
            connection.settimeout(0.05)
            for _ in range(60):
                connection.sendall(b"220-wait\r\n")
                with suppress(TimeoutError):
                    if not connection.recv(100):
                        return
            ended.append("by the server")

    with broken_server(greet) as port:
        planday.edit_config(
            "defaults:",
            f"alerts: {{mail: {{host: 127.0.0.1, port: {port}, security: none, sender: a@b.c, to: [a@b.c]}}}}\ndefaults:",
        )
        mail = planday.config.alerts.mail
        assert mail is not None
        with pytest.raises(AlertError, match="could not be sent"):
            send_mail(mail, planday.config, new_mail(mail, mail.to, "a subject", "a text"), seconds=seconds)
    assert not ended
