"""The local Planday's fast mode, for benchmarks: large lists whose rows were encoded beforehand, so that a benchmark
does not measure the server.

One app, any number of portals with equal content; employees, their details, shifts per month. Rate limits and latency where
asked for. Nothing else of the API is there: `planday_io.sandbox.app` is the local Planday to try things with.

    python -m planday_io.sandbox.fast --employees 20000 --shifts 500000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from planday_io.months import month_of
from planday_io.sandbox.limits import Decision, Limits

CLIENT_ID = "fast-app"
_TOKEN = "fast-refresh-token-"  # noqa: S105 - of nothing
_ACCESS = "fast-access-token-"

_UNLIMITED = Decision(
    passes=True,
    headers={
        "x-ratelimit-limit": "100000, 100000;w=1, 1000000;w=60, 200000;w=1, 2000000;w=60",
        "x-ratelimit-remaining": "99999",
        "x-ratelimit-reset": "1",
    },
)
"""A policy that nobody reaches: without one, clients hold themselves to a careful guess."""

Message = dict[str, Any]


class FastSandbox:
    """An ASGI app.

    Args:
        employees: of each portal.
        shifts: of each month of each portal.
        months: `YYYY-MM`, that have shifts.
        limits: rate limits, or None for a policy that nobody reaches.
        latency_seconds: of each answer.
    """

    def __init__(
        self,
        *,
        employees: int,
        shifts: int,
        months: Sequence[str],
        limits: Limits | None = None,
        latency_seconds: float = 0.0,
    ) -> None:
        self._employees = [_employee(number) for number in range(employees)]
        self._shifts = {month: _shifts(month, place, shifts) for place, month in enumerate(months)}
        self._limits = limits
        self._latency = latency_seconds
        self.requests: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's callables
        """Answer one request."""
        path = scope["path"]
        headers: list[tuple[bytes, bytes]] = []
        if path == "/requests":
            status, body = 200, json.dumps(self.requests).encode()
        elif path == "/connect/token":
            form = parse_qs(await _body(receive))
            token = form.get(b"refresh_token", [b""])[0].decode()
            answer = {"access_token": token.replace(_TOKEN, _ACCESS), "expires_in": 3600}
            status, body = (200, json.dumps(answer).encode()) if token.startswith(_TOKEN) else (400, b"{}")
        else:
            if self._latency:
                await asyncio.sleep(self._latency)
            status, body = self._api(scope, headers)
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _api(self, scope: Message, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
        given = dict(scope["headers"])
        portal = given.get(b"authorization", b"").decode().partition(_ACCESS)[2]
        if not portal or given.get(b"x-clientid", b"").decode() != CLIENT_ID:
            return 401, b""
        decision = self._limits.count(portal, CLIENT_ID) if self._limits else _UNLIMITED
        headers += [(name.encode(), value.encode()) for name, value in decision.headers.items()]
        if not decision.passes:
            self.requests["refused"] += 1
            return 429, b""
        path, _, number = scope["path"].rpartition("/")
        self.requests[f"{path}/{'{id}' if number.isdigit() else number}"] += 1
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        return self._answer(portal, scope["path"], query)

    def _answer(self, portal: str, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path == "/portal/v1.0/info":
            number = 1 + zlib.crc32(portal.encode())
            return 200, json.dumps({"data": {"id": number, "name": portal, "timeZone": "Europe/Copenhagen"}}).encode()
        if path == "/hr/v1.0/employees":
            return _page(self._employees, query, 50)
        if path.startswith("/hr/v1.0/employees/"):
            return 200, b'{"data":%s}' % self._employees[int(path.rpartition("/")[2]) - 1]
        if path == "/scheduling/v1.0/shifts":
            first, last = date.fromisoformat(query["from"]), date.fromisoformat(query["to"])
            # There are no draft shifts.
            rows = [] if "shiftStatus" in query else self._shifts.get(month_of(first + (last - first) / 2), [])
            return _page(rows, query, 5000)
        return 404, b""


def refresh_token(portal: str) -> str:
    """The token of a portal, of any name."""
    return _TOKEN + portal


def _page(rows: list[bytes], query: dict[str, str], longest: int) -> tuple[int, bytes]:
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 0)) or 50
    if limit > longest:
        return 400, b"{}"
    paging = b'{"offset":%d,"limit":%d,"total":%d}' % (offset, limit, len(rows))
    return 200, b'{"paging":%s,"data":[%s]}' % (paging, b",".join(rows[offset : offset + limit]))


def _employee(number: int) -> bytes:
    row = {
        "id": number + 1,
        "firstName": "Emma",
        "lastName": f"Christensen {number}",
        "userName": f"emma.{number}@fast.example",
        "email": f"emma.{number}@fast.example",
        "cellPhone": f"+45{number:08d}",
        "cellPhoneCountryPrefix": "+45",
        "cellPhoneCountryCode": "DK",
        "cellPhoneWithoutCountryPrefix": f"{number:08d}",
        "street1": f"Elm Street {number}",
        "zip": f"{number % 9000 + 1000}",
        "city": "Oslo",
        "departments": [100 + number % 40, 140 + number % 3],
        "employeeGroups": [200 + number % 10],
        "employeeTypeId": 300 + number % 5,
        "salaryIdentifier": f"{number:05d}",
        "isPublic": number % 3 == 0,
        "primaryDepartmentId": 100 + number % 40,
        "hiredDate": "2024-02-01",
        "dateTimeCreated": "2024-01-12",
        "dateTimeModified": f"2026-01-{number % 28 + 1:02d}T13:{number % 60:02d}:00Z",
    }
    return json.dumps(row, separators=(",", ":")).encode()


def _shifts(month: str, place: int, count: int) -> list[bytes]:
    rows = []
    for number in range(count):
        day = f"{month}-{number % 28 + 1:02d}"
        rows.append(
            f'{{"id":{place * count + number + 1},"departmentId":{100 + number % 40},"employeeId":{number % 20_000 + 1},'
            f'"employeeGroupId":{200 + number % 10},"positionId":{800 + number % 90},"date":"{day}",'
            f'"startDateTime":"{day}T{number % 12 + 6:02d}:30","endDateTime":"{day}T{number % 12 + 11:02d}:00",'
            f'"timeZone":"Europe/Copenhagen","status":"{"Assigned" if number % 4 else "Open"}",'
            f'"dateTimeCreated":"2026-01-{number % 28 + 1:02d}T07:00:00Z",'
            f'"dateTimeModified":"2026-02-{number % 28 + 1:02d}T09:{number % 60:02d}:00Z","skillIds":[]}}'.encode()
        )
    return rows


async def _body(receive: Any) -> bytes:  # noqa: ANN401 - ASGI's callable
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; prints the port when everything is encoded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8157)
    parser.add_argument("--employees", type=int, default=0)
    parser.add_argument("--shifts", type=int, default=0, help="of each month")
    parser.add_argument("--months", default=month_of(date.today()), help="separated by commas")  # noqa: DTZ011
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--limits", action="store_true", help="Planday's own: 20 a second, 750 a minute")
    given = parser.parse_args(arguments)
    app = FastSandbox(
        employees=given.employees,
        shifts=given.shifts,
        months=given.months.split(","),
        limits=Limits() if given.limits else None,
        latency_seconds=given.latency,
    )
    sys.stdout.write(f"http://127.0.0.1:{given.port}\n")
    sys.stdout.flush()
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
