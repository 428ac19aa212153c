"""Nights of several portals with faults, kills, edits, expiring and rotating tokens, at random from a seed.

At the end the warehouse equals a clean full load, no reader ever saw half a slice, alerts told of exactly the incidents that
were made, the budget was kept, and no secret and nobody's mail address is in what was left behind. Three nights of
five portals by `make soak-short`, thirty of ten by `make soak`. A night is `planday sync`; schedules are a clock's business
and not tried here.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
from dagster import DagsterInstance
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.alerting import notify
from planday_io.months import first_day, last_day
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.state import Fault
from tests.support.commands import environment, killed, started
from tests.support.installation import Hook, Installation, Make
from tests.support.months import THIS

NIGHTS = int(os.environ.get("PLANDAY_NIGHTS", "3"))
PORTALS = int(os.environ.get("PLANDAY_PORTALS", "5"))
"""With those of the demo. Most of a night is Dagster's account of two runs per portal."""
SEED = int(os.environ.get("PLANDAY_SEED", "20261124"))
TABLES = ("hr.departments", "hr.employees", "scheduling.shifts", "scheduling.deleted_shifts")
RESOURCES = f"resources: {{include: [{', '.join(TABLES)}]}}"


class Trouble:
    """One thing that goes wrong at one portal for some nights: how it begins, how it ends, the incident it makes."""

    def __init__(self, planday: Installation, portal: str, cause: str, nights: int) -> None:
        self.portal, self.cause, self.nights = portal, cause, nights
        self._end = getattr(self, f"_{cause}")(planday)

    def end(self) -> None:
        self._end()

    def _token(self, planday: Installation) -> Callable[[], None]:
        file = planday.folder / f"tokens/{self.portal}.txt"
        good = file.read_text()
        file.write_text("not-the-token")
        return lambda: file.write_text(good) and None  # type: ignore[func-returns-value]

    def _administrator(self, planday: Installation) -> Callable[[], None]:
        planday.sandbox.deactivated.add(self.portal)
        return lambda: planday.sandbox.deactivated.discard(self.portal)

    def _api(self, planday: Installation) -> Callable[[], None]:
        def down(request: Request, _: int, __: Any) -> Response | None:
            bearer = planday.sandbox.bearer(request)
            return Response(status_code=503) if bearer and bearer[1].key == self.portal else None

        fault = Fault("/hr/v1.0/departments", down, times=None)
        planday.sandbox.faults.append(fault)
        return lambda: planday.sandbox.faults.remove(fault)

    def _data(self, planday: Installation) -> Callable[[], None]:
        row = planday.sandbox.portals[self.portal].departments[0]
        was, row["number"] = row.get("number"), 17
        return lambda: row.update(number=was) if was is not None else row.pop("number") and None


def edit(planday: Installation, chance: random.Random, portal: str) -> None:
    """What a day does to a portal."""
    place = planday.sandbox.portals[portal]
    now = datetime.now(UTC)
    shifts = [shift["id"] for shift in place.roster.on(first_day(THIS), last_day(THIS))]
    match chance.randrange(5):
        case 0:
            place.hire(now)
        case 1:
            place.edit_employee(chance.choice(place.employees)["id"], now, firstName=f"Name{chance.randrange(10_000)}")
        case 2 if shifts:
            place.roster.delete_shift(chance.choice(shifts), now)
        case 3 if shifts:
            place.roster.edit_shift(chance.choice(shifts), now, comment=f"note {chance.randrange(10_000)}")
        case 4 if shifts:
            place.roster.add_shift(chance.choice(shifts), date.fromisoformat(f"{THIS}-15"), now)


class Reader(threading.Thread):
    """Somebody who looks at the warehouse all the time: every table has the rows that its slices say."""

    def __init__(self, planday: Installation) -> None:
        super().__init__(daemon=True)
        self._warehouse = planday.config.warehouse
        self._enough = threading.Event()
        self.looks = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self._enough.wait(1):
            if not self._warehouse.exists():
                continue
            try:
                with closing(duckdb.connect(str(self._warehouse), read_only=True)) as db:
                    for table in TABLES:
                        said = "SELECT coalesce(sum(kept - elsewhere), 0) FROM sync.slices WHERE table_name = ?"
                        (kept,) = db.execute(said, [table]).fetchone() or (None,)
                        (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone() or (None,)
                        if kept != rows:
                            self.wrong.append(f"{table}: {rows} rows instead of {kept}")
                self.looks += 1
            except duckdb.Error as error:
                self.wrong.append(str(error))

    def stop(self) -> None:
        self._enough.set()
        self.join(timeout=30)


def sync(planday: Installation, kill_after: float | None = None) -> int | None:
    """A night. Returns the exit code, or None when it was killed."""
    process = started(planday, "sync")
    try:
        process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        killed(process)
        return None
    return process.returncode


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nights(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(SEED)
    planday = make(people=(4, 4, 4), resources=RESOURCES, limits=Limits(), rotates=False)
    hook = Hook()
    planday.serve(Route("/hook", hook.__call__, methods=["POST"]))
    (planday.folder / "hook.txt").write_text(f"{planday.address}/hook")
    entries = ""
    for number in range(PORTALS - len(planday.sandbox.portals)):
        key = f"portal_{number}"
        token = planday.add_portal(key, 9000 + number)
        client_id = next(app.client_id for app in planday.sandbox.apps.values() if key in app.refresh_tokens)
        (planday.folder / f"tokens/{key}.txt").write_text(token)
        entries += f"  {key}: {{client_id: {client_id}, refresh_token: {{file: tokens/{key}.txt}}}}\n"
    text = planday.config_path.read_text() + entries
    text = text.replace("history_start: 2025-01", f"history_start: {THIS}")
    text = text.replace("defaults:", "alerts: {webhook: {url: {file: hook.txt}, format: json}}\ndefaults:")
    text = text.replace(
        "retries: {step_delay_seconds: 10}",
        "retries: {requests: 2, step: 0}\n  window: {past_months: 0, future_months: 0}\n  guards: {max_lost_rows: 1000}",
    )
    planday.config_path.write_text(text)
    environment(planday)
    monkeypatch.chdir(planday.folder)
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    reader = Reader(planday)
    reader.start()
    troubles: list[Trouble] = []
    expected: Counter[tuple[str, str, str]] = Counter()
    told: Counter[tuple[str, str, str]] = Counter()
    secrets: set[str] = set()
    killed = 0
    for night in range(NIGHTS + 1):
        ended = [one for one in troubles if one.nights == 0 or night == NIGHTS]
        for trouble in ended:
            trouble.end()
            troubles.remove(trouble)
            expected["recovered", trouble.portal, trouble.cause] += 1
        # One that is fixed and broken again before anybody looks is one incident that goes on.
        restless = {one.portal for one in (*troubles, *ended)}
        quiet = [portal for portal in planday.config.portals if portal not in restless]
        # On the first night all is well, so that there is something to lose.
        for portal in chance.sample(quiet, chance.randrange(3)) if 0 < night < NIGHTS else ():
            cause = chance.choice(["token", "administrator", "api", "data"])
            troubles.append(Trouble(planday, portal, cause, chance.randint(1, 3)))
            expected["failed", portal, cause] += 1
        for _ in range(6):
            edit(planday, chance, chance.choice([*planday.config.portals]))
        planday.sandbox.rotates = night % 3 == 2
        planday.sandbox.faults.append(
            Fault(
                "/shifts",
                lambda *_: planday.sandbox.expire_access_tokens(),
                times=1,
                after=chance.randrange(10),
            )
        )
        if chance.random() < 0.4 and night < NIGHTS:
            killed += sync(planday, kill_after=chance.uniform(3, 9)) is None
        code = sync(planday)
        assert code == (1 if troubles else 0)
        with DagsterInstance.get() as instance:
            assert not notify(planday.installation, instance).failed
        for message in hook.take():
            for incident in message["incidents"]:
                told[message["event"], incident["portal"], incident["cause"]] += 1
        assert told == expected, f"night {night}"
        secrets |= {token for app in planday.sandbox.apps.values() for token in app.refresh_tokens.values()}
        secrets |= {*planday.sandbox._access}
        for trouble in troubles:
            trouble.nights -= 1
    reader.stop()
    assert reader.wrong == []
    fresh = planday.fresh()
    for path in [*(planday.folder / "tokens").iterdir(), *planday.state_files_with("rotated-")]:
        place = fresh.folder / path.relative_to(planday.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    (fresh.folder / "hook.txt").write_text("x")
    monkeypatch.setenv("DAGSTER_HOME", str(fresh.folder))
    assert sync(fresh) == 0
    for portal in planday.config.portals:
        assert planday.content(portal, TABLES) == fresh.content(portal, TABLES), portal
    assert planday.sandbox.limits.sent_before_reset == 0
    assert planday.sandbox.limits.refused <= NIGHTS // 5
    mails = {row["email"] for place in planday.sandbox.portals.values() for row in place.employees if row.get("email")}
    for path in planday.folder.rglob("*"):
        if path.is_file() and path.parent.name != "tokens":
            content = path.read_bytes()
            assert not [one for one in secrets if one.encode() in content], path
            assert not [one for one in mails if one.encode() in content], path
    assert not list(planday.folder.rglob("*.tmp-*")), "killed processes leave nothing that is not swept"
    print(
        f"{NIGHTS + 1} nights, {killed} killed, {sum(expected.values())} messages about {len(expected)} incidents, "
        f"{sum(planday.sandbox.requests.values())} requests, {planday.sandbox.limits.refused} of them refused, "
        f"{reader.looks} looks at the warehouse"
    )
