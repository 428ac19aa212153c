"""How many requests a backfill and a night take, beside the least that the API makes possible, and what `planday plan` said.

The least: each list that was asked for once, in pages as large as the API allows; one page more where it states no total,
because only an empty page is an end there. Counted by the local Planday, of what it really answered.
Token exchanges are counted apart: they go to another server and are no part of the budget.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.requests import Request

from benchmarks.installation import Bench
from benchmarks.reading import Result
from planday_io.months import month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import Fault, Sandbox, demo_sandbox
from planday_io.sandbox.world import demo_portals

_FAST = ((100_000, 1.0), (1_000_000, 60.0))


@dataclass
class Counted:
    """What the local Planday answered: list -> (rows or total, whether it is the total, rows of a page at most or None)."""

    requests: int = 0
    tokens: int = 0
    lists: dict[tuple[str, str, str], tuple[int, bool, int | None]] = field(default_factory=dict)

    def see(self, sandbox: Sandbox, request: Request, document: object) -> None:
        """Take down one answer."""
        if request.url.path == "/connect/token":
            self.tokens += 1
            return
        bearer = sandbox.bearer(request)
        portal = bearer[1].key if bearer else ""
        self.requests += 1
        params = parse_qsl(request.url.query)
        limit = next((int(value) for name, value in params if name == "limit"), None)
        rest = str(sorted((name, value) for name, value in params if name not in ("limit", "offset")))
        paging = document.get("paging") if isinstance(document, dict) else None
        total = paging.get("total") if isinstance(paging, dict) else None
        data = document.get("data") if isinstance(document, dict) else document
        rows = len(data) if isinstance(data, list) else 1
        key = (portal, request.url.path, rest)
        before = self.lists.get(key, (0, False, None))[0]
        self.lists[key] = (total, True, limit) if isinstance(total, int) else (max(before, rows), False, limit)

    def least(self) -> int:
        """The fewest requests that give the same."""
        found = 0
        for rows, is_total, limit in self.lists.values():
            pages = 1 if limit is None else max(1, math.ceil(rows / limit))
            found += pages + (1 if limit is not None and not is_total and rows else 0)
        return found


@contextmanager
def counting(sandbox: Sandbox) -> Iterator[Counted]:
    """Count what is answered within the block."""
    counted = Counted()

    def see(request: Request, _: int, document: object) -> None:
        counted.see(sandbox, request, document)

    fault = Fault("/", see, times=None)
    sandbox.faults.append(fault)
    yield counted
    sandbox.faults.remove(fault)


def _result(case: str, name: str, counted: Counted, planned: int) -> list[Result]:
    least = counted.least()
    told = (
        f"{counted.requests} requests = {counted.requests / least:.3f} x {least}; `planday plan` said {planned}; "
        f"{counted.tokens} token exchanges"
    )
    return [Result(case, name, told, "1.05 x")]


def backfill(*, months: int = 24) -> list[Result]:
    """Case c: a backfill of one portal."""
    sandbox = demo_sandbox(limits=Limits(_FAST, _FAST))
    with served(sandbox) as address, tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        this = month_of(datetime.now(UTC).date())
        write_config(sandbox, folder, address, history_start=shifted(this, 1 - months))
        wanted = ["--months", f"{shifted(this, 1 - months)}..{this}"]
        planned = _planned(folder, "oslo", *wanted)
        with counting(sandbox) as counted:
            _planday(folder, "sync", "oslo", *wanted)
    return _result("c", f"backfill of {months} months", counted, planned)


def night(*, portals: int = 10) -> list[Result]:
    """Case d: a night of some portals where little changed."""
    sandbox = demo_sandbox(limits=Limits(_FAST, _FAST), portals=demo_portals())
    app = next(app for app in sandbox.apps.values() if "oslo" in app.refresh_tokens)
    for number in range(portals - 3):
        portal = copy.deepcopy(sandbox.portals["oslo"])
        portal.key, portal.info["id"] = f"portal_{number}", 9000 + number
        sandbox.portals[portal.key] = portal
        app.refresh_tokens[portal.key] = f"demo-refresh-token-{portal.key}"
    with served(sandbox) as address, tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        this = month_of(datetime.now(UTC).date())
        write_config(sandbox, folder, address, history_start=shifted(this, -2))
        _planday(folder, "sync")
        for portal in sandbox.portals.values():
            portal.edit_employee(portal.employees[0]["id"], datetime.now(UTC), street1="Elsewhere 1")
        planned = _planned(folder)
        with counting(sandbox) as counted:
            _planday(folder, "sync")
    return _result("d", f"night of {portals} portals", counted, planned)


def _planday(folder: Path, *arguments: str) -> str:
    one = Bench(folder, "")
    one.add_settings()
    return one.command(*arguments).output


def _planned(folder: Path, *arguments: str) -> int:
    return sum(one["requests"] for one in json.loads(_planday(folder, "plan", "--json", *arguments))["portals"])
