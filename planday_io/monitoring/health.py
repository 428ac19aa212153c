"""The health of an installation and of each portal now: the facts behind `planday status`, `check`, `metrics` and the report.

One function asks the lake, the state (`incidents.PortalStates`), the request budget and the secrets, once for all portals;
nothing is sent. What only the scheduler knows comes from the caller, because this library does not know Dagster.

Not here: what was read when (`freshness`), what is an incident (`incidents`), how it is printed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from planday_io.catalogue.endpoint import Grid
from planday_io.client.budget import BudgetUse, budget_use
from planday_io.config.model import PortalConfig
from planday_io.config.ticks import next_tick
from planday_io.errors import PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import CAUSES
from planday_io.monitoring.freshness import PortalFreshness, observe
from planday_io.monitoring.incidents import PortalStates, incident_of, key_of
from planday_io.monitoring.messages import some
from planday_io.monitoring.notifier import Notifier
from planday_io.state import Incident, UnfinishedCommand

Condition = Literal["ok", "not read yet", "unscheduled", "switched off", "stale", "failing", "no token", "unreadable"]
WRONG: tuple[Condition, ...] = ("switched off", "stale", "failing", "no token", "unreadable")
"""Conditions that somebody has to act on, from the least to the most serious."""
SILENT = timedelta(minutes=5)
"""A daemon whose newest heartbeat is older is not running."""
_NAMES = 3


@dataclass(frozen=True, slots=True)
class Scheduler:
    """What the scheduler says.

    Args:
        heartbeat: UTC instant of the daemon's newest one, or None if it never ran.
        off: (portal, schedule, grid) that were switched off there, although `portals.yaml` enables the schedule. The grid is
            "portal" for its snapshots, "month" for its months.
        sensors_off: names of sensors that were switched off.
        is_retention_off: whether the schedule was switched off that applies the rules of `retention`.
        fault: why nothing of this is known, or empty.
    """

    heartbeat: datetime | None = None
    off: frozenset[tuple[str, str, str]] = frozenset()
    sensors_off: tuple[str, ...] = ()
    is_retention_off: bool = False
    fault: str = ""

    def is_running(self, at: datetime) -> bool | None:
        """Whether the daemon runs at an instant; None where that is not known."""
        if self.fault:
            return None
        return self.heartbeat is not None and at - self.heartbeat <= SILENT


@dataclass(frozen=True, kw_only=True)
class PortalHealth:
    """One portal.

    Args:
        portal: config key.
        incidents: the open ones.
        freshness: of each table; empty where its files cannot be read.
        unreadable: why they cannot be, or empty.
        secret: why its token or its app's id cannot be read, or empty.
        off: schedules that were switched off in Dagster, such as "nightly (months)".
        is_scheduled: whether `portals.yaml` enables a schedule that reads something.
        next_run: the next tick of a schedule, on the portal's clock; None where nothing will run.
        budget: its use of the request budget in the last minute, or None where nothing was ever sent.
    """

    portal: str
    incidents: tuple[Incident, ...]
    freshness: PortalFreshness
    unreadable: str
    secret: str
    off: tuple[str, ...]
    is_scheduled: bool
    next_run: datetime | None
    budget: BudgetUse | None

    @cached_property
    def stale(self) -> tuple[str, ...]:
        """The tables that a schedule should have read."""
        return tuple(name for name, one in self.freshness.items() if one.is_stale)

    @cached_property
    def condition(self) -> Condition:
        """The most serious condition that applies."""
        applies: dict[Condition, object] = {
            "unreadable": self.unreadable,
            "no token": self.secret,
            "failing": any(one.cause != "stale" for one in self.incidents),
            "stale": self.stale or self.incidents,
            "switched off": self.off,
            "unscheduled": not self.is_scheduled,
            "not read yet": not self.newest,
        }
        return next((condition for condition, is_so in applies.items() if is_so), "ok")

    @property
    def is_wrong(self) -> bool:
        return self.condition in WRONG

    @cached_property
    def oldest(self) -> tuple[str, datetime | None] | None:
        """The table that was read longest ago, of the stale ones if there are any, else of those that a schedule reads and
        that were read; with the UTC instant, which is None where it never was. None where there is no such table.
        """
        fresh = self.freshness
        if never := [name for name in self.stale if fresh[name].last is None]:
            return never[0], None
        names = self.stale or [name for name, one in fresh.items() if one.allowed_since]
        read = [(last, name) for name in names if (last := fresh[name].last)]
        return min(read)[::-1] if read else None

    @cached_property
    def newest(self) -> datetime | None:
        """UTC instant of the newest read that counts for any table."""
        return max((one.last for one in self.freshness.values() if one.last), default=None)


@dataclass(frozen=True, kw_only=True)
class Health:
    """The installation.

    Args:
        at: UTC instant.
        portals: those that were asked for, in the order of the configuration.
        incidents: the open ones that concern all portals, or a portal that is no longer configured.
        unfinished: commands that were stopped half-way, oldest first.
        scheduler: what Dagster says.
        apps: use of the request budget by apps in the last minute, at the address that is configured now.
        budget_fault: why the budget cannot be read, or empty.
        free_bytes: of the disk that the warehouse is on.
        warehouse_bytes: of the published file; 0 if there is none.
    """

    at: datetime
    portals: tuple[PortalHealth, ...]
    incidents: tuple[Incident, ...]
    unfinished: tuple[UnfinishedCommand, ...] = ()
    scheduler: Scheduler = field(default_factory=Scheduler)
    apps: tuple[BudgetUse, ...] = ()
    budget_fault: str = ""
    free_bytes: int
    warehouse_bytes: int

    @cached_property
    def wrong(self) -> tuple[PortalHealth, ...]:
        """Portals that somebody has to look at, the worst first."""
        return tuple(sorted((one for one in self.portals if one.is_wrong), key=lambda one: -WRONG.index(one.condition)))

    @property
    def all_incidents(self) -> tuple[Incident, ...]:
        """The open incidents of the installation, then those of the portals."""
        return (*self.incidents, *(incident for one in self.portals for incident in one.incidents))

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the installation, a clause each."""
        return tuple(self._problems())

    @cached_property
    def schedule_problems(self) -> tuple[str, ...]:
        """Why schedules or sensors do nothing, or may, a clause each; of all portals. They are among the `problems`."""
        return tuple(self._schedule_problems())

    @property
    def has_run(self) -> bool:
        """Whether the installation was ever used: a daemon ran, or something was read."""
        return self.scheduler.heartbeat is not None or any(one.newest for one in self.portals)

    @property
    def is_wrong(self) -> bool:
        return bool(self.wrong or self.problems)

    @property
    def sentence(self) -> str:
        """The verdict. It begins with OK or Wrong."""
        count = len(self.portals)
        said = [f"{count} portal{'s' if count != 1 else ''}"]
        if self.wrong:
            which = some([f"{one.portal} {one.condition}" for one in self.wrong], _NAMES)
            said = [f"{len(self.wrong)} of {said[0]} ({which})"]
        if self.is_wrong:
            return f"Wrong: {'; '.join([*(said if self.wrong else []), *self.problems])}."
        said_of = {"not read yet": "not read completely yet, and not due", "unscheduled": "read by no schedule"}
        for condition, words in said_of.items():
            if names := [one.portal for one in self.portals if one.condition == condition]:
                said.append(f"{len(names)} {words} ({some(names, _NAMES)})")
        return f"OK: {'; '.join([*said, 'nothing is stale, and no incident is open'])}."

    def _problems(self) -> Iterator[str]:
        yield from dict.fromkeys(_clause(CAUSES[one.cause].sentence) for one in self.incidents)
        yield from self.schedule_problems
        if self.unfinished:
            yield f"{len(self.unfinished)} command{'s were' if len(self.unfinished) > 1 else ' was'} stopped half-way"
        if self.budget_fault:
            yield "the request budget cannot be read"

    def _schedule_problems(self) -> Iterator[str]:
        if self.scheduler.fault:
            yield "whether schedules run is not known"
        elif not self.scheduler.is_running(self.at) and any(one.is_scheduled for one in self.portals):
            beat = self.scheduler.heartbeat
            since = f"has not run since {beat:%Y-%m-%d %H:%M} UTC" if beat else "has never run here"
            yield f"the Dagster daemon {since}, so schedules do nothing"
        if self.scheduler.sensors_off:
            number = "sensors are" if len(self.scheduler.sensors_off) > 1 else "a sensor is"
            yield f"{number} switched off in Dagster: {some(self.scheduler.sensors_off, _NAMES)}"
        if self.scheduler.is_retention_off:
            yield "the schedule of `retention` is switched off in Dagster, so nothing that is too old is taken away"


def health_of(
    installation: Installation,
    now: datetime,
    scheduler: Scheduler,
    portals: Sequence[str] | None = None,
    faults: Mapping[str, PlandayError] | None = None,
    states: PortalStates | None = None,
) -> Health:
    """How everything is. Sends nothing.

    Args:
        installation: the one to inspect.
        now: UTC instant, which should be the current one.
        scheduler: what Dagster says.
        portals: config keys; None for all.
        faults: errors of the installation that the caller found, by the name under which such a failure is recorded; each is
            an incident.
        states: what was found at that instant, after `freshness.observe`; None to look now.

    Raises:
        StorageError: the state cannot be read.
    """
    config = installation.config
    keys = [*config.portals] if portals is None else [key for key in config.portals if key in portals]
    states = states or PortalStates(installation, now, observe(installation, now))
    uses: dict[str, BudgetUse] = {}
    budget_fault = ""
    # Before the incidents are found: a damaged file is set aside when it is read, and that is one.
    try:
        uses = {use.bucket: use for use in budget_use(installation.state, time.time())}
    except StorageError as error:
        budget_fault = str(error)
    incidents = Notifier(installation).evaluate(now, states)
    for what, fault in (faults or {}).items():
        new = incident_of(fault, what, now)
        if all(key_of(one) != key_of(new) for one in incidents):
            incidents.append(new)
    of_portal: dict[str, list[Incident]] = {}
    for one in incidents:
        of_portal.setdefault(one.portal, []).append(one)
    is_running = scheduler.is_running(now)
    ticks: dict[tuple[str, str], datetime] = {}
    found = []
    for key in keys:
        fresh, unreadable = _freshness(states, key)
        grids = _grids(installation, key)
        found.append(
            PortalHealth(
                portal=key,
                incidents=tuple(of_portal.get(key, ())),
                freshness=fresh,
                unreadable=unreadable,
                secret=_secret_fault(installation, key),
                off=tuple(_off(key, grids, scheduler)),
                is_scheduled=bool(grids),
                next_run=None
                if is_running is False
                else _next_run(config.portals[key], key, grids, scheduler, now, ticks),
                budget=uses.get(f"portal {config.planday.api_url} {key}"),
            )
        )
    return Health(
        at=now,
        portals=tuple(found),
        incidents=tuple(one for one in incidents if one.portal not in config.portals),
        unfinished=tuple(installation.state.commands.unfinished()),
        scheduler=scheduler,
        apps=tuple(use for name, use in uses.items() if name.startswith(f"client {config.planday.api_url} ")),
        budget_fault=budget_fault,
        free_bytes=shutil.disk_usage(config.warehouse.parent).free,
        warehouse_bytes=config.warehouse.stat().st_size if config.warehouse.exists() else 0,
    )


def _clause(sentence: str) -> str:
    """The first sentence of a text, as part of another one."""
    return sentence.partition(". ")[0].removesuffix(".")


def _freshness(states: PortalStates, portal: str) -> tuple[PortalFreshness, str]:
    try:
        return states.of(portal)[0], ""
    except Exception as error:  # noqa: BLE001 - one portal's error hides no other portal; it is an incident as well
        return {}, str(error) if isinstance(error, PlandayError) else type(error).__name__


def _secret_fault(installation: Installation, portal: str) -> str:
    try:
        installation.require_secrets(portal)
    except PlandayError as error:
        return str(error)
    return ""


_Grids = dict[str, set[Grid]]
"""Name of an enabled schedule -> which of Dagster's schedules it becomes: `portal` for snapshots, `month` for months."""


def _grids(installation: Installation, portal: str) -> _Grids:
    found: _Grids = {
        name: {endpoint.grid for endpoint in installation.endpoints_of(portal, schedule.resources)}
        for name, schedule in installation.config.portals[portal].schedules.items()
        if schedule.enabled
    }
    return {name: grids for name, grids in found.items() if grids}


def _off(portal: str, grids: _Grids, scheduler: Scheduler) -> Iterator[str]:
    for name, own in grids.items():
        if off := {grid for grid in own if (portal, name, grid) in scheduler.off}:
            yield name if off == own else f"{name} ({'months' if 'month' in off else 'snapshots'})"


def _next_run(
    settings: PortalConfig,
    portal: str,
    grids: _Grids,
    scheduler: Scheduler,
    now: datetime,
    known: dict[tuple[str, str], datetime],
) -> datetime | None:
    """The next tick of the schedules that are switched on. `known` is a cache, shared by portals with equal schedules."""
    found = []
    for name, own in grids.items():
        if any((portal, name, grid) not in scheduler.off for grid in own):
            same = settings.schedules[name].cron, settings.timezone
            if same not in known:
                known[same] = next_tick(same[0], ZoneInfo(same[1]), now)
            found.append(known[same])
    return min(found, default=None)
