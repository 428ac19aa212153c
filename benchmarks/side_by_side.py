"""Case i: three portals of one app, 400 people each, at the real rate limits; beside reading one portal after another.

What the budgets impose: each portal may send 20 requests a second and 750 a minute, the app 100 and 2,000.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.installation import THIS, Bench
from benchmarks.reading import Result
from pipelines.cli.demo import write_settings
from planday_io.months import shifted
from planday_io.sandbox.limits import CLIENT_POLICY, PORTAL_POLICY
from planday_io.sandbox.serve import served, write_config
from planday_io.sandbox.state import Sandbox, demo_sandbox
from planday_io.sandbox.world import demo_portals


def least_seconds(requests: int, policy: tuple[tuple[int, float], ...]) -> float:
    """The shortest time for so many requests: a minute per full window of a minute, the rest at the limit of a second."""
    (a_second, _), (a_minute, minute) = policy
    whole, rest = divmod(requests - 1, a_minute)
    return whole * minute + rest / a_second


def three_portals(*, people: int = 400, months: int = 3) -> list[Result]:
    """One `planday sync` of everything, the same with `pipelines.storage`, and the same with `--processes 1`."""
    # The server runs in threads of this process: one that counts a request late would refuse those that follow.
    sys.setswitchinterval(0.0005)
    return [
        _one("side by side", people, months),
        _one("side by side, `pipelines.storage`", people, months, has_quick_storage=True),
        _one("one after another", people, months, "--processes", "1"),
    ]


def _one(name: str, people: int, months: int, *options: str, has_quick_storage: bool = False) -> Result:
    sandbox = _of_one_app(demo_sandbox(portals=demo_portals(people=(people, people, people))))
    with served(sandbox) as address, tempfile.TemporaryDirectory() as root:
        one = Bench(Path(root), address)
        write_config(sandbox, one.folder, address, history_start=shifted(THIS, 1 - months))
        if has_quick_storage:
            write_settings(one.folder)
        else:
            one.add_settings()
        plan = json.loads(one.command("plan", "--json", *options).output)
        sandbox.requests.clear()
        done = one.command("sync", *options)
    by_portal: Counter[str] = Counter()
    for path, count in sandbox.requests.items():
        by_portal[path.partition(" ")[0]] += count
    total = by_portal.total()
    least = max(least_seconds(total, CLIENT_POLICY), *(least_seconds(n, PORTAL_POLICY) for n in by_portal.values()))
    told = (
        f"{done.seconds:.0f} s = {done.seconds / least:.2f} x {least:.0f} s; `planday plan` said {plan['seconds']:.0f} s, "
        f"{sandbox.limits.refused} refused, CPU {done.cpu_seconds:.0f} s, peak {done.peak_mib:.0f} MiB"
    )
    return Result("i", f"{name}, {total} requests", told, "" if options else "1.15 x, 0 refused")


def _of_one_app(sandbox: Sandbox) -> Sandbox:
    """All portals authorized the same app."""
    first, *others = sandbox.apps.values()
    for app in others:
        first.refresh_tokens |= app.refresh_tokens
        del sandbox.apps[app.client_id]
    return sandbox
