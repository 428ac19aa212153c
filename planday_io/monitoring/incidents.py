"""Incidents: what is wrong now, from the notes of runs, the age of slices, the publication and the disk.

An incident is one cause at one portal, or at one table where tables fail one by one (`failures.CAUSES`). A portal that cannot
be looked at is an incident itself, and keeps nobody from looking at the others.

Not here: what was wrong before, and who is notified (`notifier`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from planday_io.config.grid import grid_months
from planday_io.config.model import Config
from planday_io.errors import LostSliceError
from planday_io.faults import known as told_of
from planday_io.files import is_temporary
from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake
from planday_io.monitoring.failures import CAUSES, INSTALLATION, WAREHOUSE
from planday_io.monitoring.freshness import portal_freshness
from planday_io.state import Failure, State
from planday_io.warehouse.place import Place, set_aside_leftovers

_UNPUBLISHED = timedelta(hours=1)
"""How long a slice may wait for its publication when no run holds it back."""
_SPARE_BYTES = 256 * 2**20
_RELIEF = 1.25
"""A nearly full disk counts as relieved with so many times the space, so that the alert does not come and go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is wrong.

    Args:
        portal: config key, or `INSTALLATION`.
        cause: a name in `failures.CAUSES`.
        tables: full names, with the month of facts behind a space.
        since: ISO text of the UTC instant.
        error: text of the first error, or empty.
        run_id: Dagster's run of that error, or empty.
    """

    portal: str
    cause: str
    tables: list[str]
    since: str
    error: str = ""
    run_id: str = ""

    @property
    def key(self) -> str:
        """What makes it the same incident as one before."""
        return " ".join([self.portal, self.cause, *(self.tables[:1] if CAUSES[self.cause].per_table else [])])

    @property
    def names(self) -> set[str]:
        """The tables without their months."""
        return {table.partition(" ")[0] for table in self.tables}


@dataclass(slots=True)
class Findings:
    """What a look at the installation gave.

    Args:
        incidents: by key.
        unseen: portals that could not be looked at; what was open there may be open still.
    """

    incidents: dict[str, Incident] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)


def find(installation: Installation, before: Mapping[str, Incident], now: datetime) -> Findings:
    """Look at the installation.

    Args:
        installation: the installation.
        catalogue: the tables there are.
        before: incidents that were open so far, by key.
        now: UTC instant.
    """
    found = Findings()
    looks: dict[str, Callable[[], Iterator[Incident]]] = {
        portal: partial(_of_portal, installation, portal, before, now) for portal in installation.config.portals
    }
    looks[INSTALLATION] = partial(_of_installation, installation.config, before, now)
    for portal, look in looks.items():
        try:
            found.incidents |= {one.key: one for one in look()}
        except Exception as error:  # noqa: BLE001 - what one portal raises hides none of the others
            text = f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else str(told_of(error))
            blind = Incident(portal=portal, cause="unseen", tables=[], since=_stamp(now), error=text)
            found.incidents[blind.key] = blind
            found.unseen.add(portal)
    return found


def _of_portal(
    installation: Installation, portal: str, before: Mapping[str, Incident], now: datetime
) -> Iterator[Incident]:
    config = installation.config
    tables = {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}
    months = {None, *grid_months(config, portal, now)}
    failing = [one for one in _failures_of(config, portal) if one.table in tables and one.month in months]
    yield from _failures(failing)
    states = portal_freshness(installation, portal, now)
    noted = {note.table for note in failing}
    damaged = {name: state.damage for name, state in states.items() if state.damage and name not in noted}
    if damaged and not any(note.cause == "damaged" for note in failing):
        error = next(iter(damaged.values()))
        yield Incident(portal=portal, cause="damaged", tables=sorted(damaged), since=_stamp(now), error=error)
    stale = {name: state.last or state.watched_since or now for name, state in states.items() if state.is_stale}
    # Whoever is told why a table cannot be read is not told as well that it is old.
    explained = {*noted, *damaged} | (tables if any(CAUSES[n.cause].whole_portal for n in failing) else set())
    known = before.get(f"{portal} stale")
    names = sorted(name for name in stale if name not in explained or (known and name in known.tables))
    if names:
        since = min(stale[name] for name in names)
        yield Incident(portal=portal, cause="stale", tables=names, since=_stamp(since))


def _of_installation(config: Config, before: Mapping[str, Incident], now: datetime) -> Iterator[Incident]:
    notes = _failures_of(config, INSTALLATION)
    yield from _failures(notes)
    waiting = Lake(config.lake, State(config.state)).pending_since()
    if waiting and now - waiting > _UNPUBLISHED and not any(note.table == WAREHOUSE for note in notes):
        error = "slices wait for their publication, and none succeeded: the last one was killed, or no daemon runs"
        yield Incident(portal=INSTALLATION, cause="publication", tables=[WAREHOUSE], since=_stamp(waiting), error=error)
    yield from _unfinished(config)
    yield from _set_aside(config)
    yield from _lake(config, now)
    yield from _edited(config, now)
    yield from _disk(config, now, is_known=f"{INSTALLATION} disk" in before)


def _unfinished(config: Config) -> Iterator[Incident]:
    """Commands that were stopped half-way. Which ones stays on this machine: a command may name an employee."""
    by_portal: dict[str, list[datetime]] = {}
    for entry in State(config.state).commands.unfinished():
        for portal in [one for one in entry.portals if one in config.portals] or [INSTALLATION]:
            by_portal.setdefault(portal, []).append(entry.since)
    for portal, instants in by_portal.items():
        error = f"{len(instants)} command{'s' if len(instants) > 1 else ''} did not end"
        yield Incident(portal=portal, cause="unfinished", tables=[], since=_stamp(min(instants)), error=error)


def _set_aside(config: Config) -> Iterator[Incident]:
    """Files of the state folder that were damaged. What they held was found out again, where that can be."""
    files = State(config.state).files_set_aside()
    if files:
        names = ", ".join(str(path.relative_to(config.state)) for path in files[:5])
        more = f" and {len(files) - 5} more" if len(files) > 5 else ""
        text = (
            f"set aside in {config.state}: {names}{more}. Work goes on without them: remove them when you have looked"
        )
        if State(config.state).commands.lost_at():
            text += (
                ". A `planday forget`, `authorize`, `revoke` or `portals rename` that was stopped half-way before is no "
                "longer shown: run it again"
            )
        yield Incident(
            portal=INSTALLATION,
            cause="state",
            tables=[],
            since=_stamp(datetime.fromtimestamp(min(path.lstat().st_ctime for path in files), UTC)),
            error=text,
        )


def _lake(config: Config, now: datetime) -> Iterator[Incident]:
    try:
        Lake(config.lake, State(config.state)).require()
    except LostSliceError as error:
        yield Incident(portal=INSTALLATION, cause="storage", tables=[], since=_stamp(now), error=str(error))


def _edited(config: Config, now: datetime) -> Iterator[Incident]:
    """Edits of other programs. A log that nobody writes any more is set aside here: readers would see what is in it."""
    place = Place(config.warehouse)
    set_aside_leftovers(config.warehouse)
    kept = place.set_aside()
    if kept:
        since = min(datetime.fromtimestamp(file.lstat().st_ctime, UTC) for file in kept)
        error = f"Set aside beside {config.warehouse}: {', '.join(file.name for file in kept)}"
        yield Incident(portal=INSTALLATION, cause="edited", tables=[WAREHOUSE], since=_stamp(since), error=error)
    elif place.logs():
        error = f"{place.holder() or 'A program'} has {config.warehouse} open for writing, and nobody else can open it"
        yield Incident(portal=INSTALLATION, cause="edited", tables=[WAREHOUSE], since=_stamp(now), error=error)


def _disk(config: Config, now: datetime, *, is_known: bool) -> Iterator[Incident]:
    warehouse = config.warehouse
    size = warehouse.stat().st_size if warehouse.exists() else 0
    # A publication under way has taken part of what it needs.
    copies = []
    for path in warehouse.parent.glob(f"{warehouse.name}*"):
        with suppress(FileNotFoundError):
            copies += [path.stat()] if is_temporary(path) else []
    needed = (2 * size + _SPARE_BYTES) * (_RELIEF if is_known else 1)
    for place in dict.fromkeys((config.lake, warehouse.parent, config.state)):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free + sum(c.st_size for c in copies if c.st_dev == there.stat().st_dev)
        if free < needed:
            error = f"{place} has {free // 2**20} MiB free; the warehouse takes {size // 2**20} MiB"
            yield Incident(portal=INSTALLATION, cause="disk", tables=[], since=_stamp(now), error=error)
            return


def _failures_of(config: Config, portal: str) -> list[Failure]:
    """Failures that are not over; a cause that another version recorded is "other"."""
    found = State(config.state).failures.of(portal)
    return [one if one.cause in CAUSES else replace(one, cause="other") for one in found]


def _failures(notes: Iterable[Failure]) -> Iterator[Incident]:
    """Incidents of one portal's notes."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for note in notes:
        groups.setdefault((note.portal, note.cause, note.table if CAUSES[note.cause].per_table else ""), []).append(
            note
        )
    for (portal, cause, table), group in groups.items():
        first = min(group, key=lambda note: note.since)
        names = sorted(f"{note.table} {note.month}" if note.month else note.table for note in group)
        yield Incident(
            portal=portal,
            cause=cause,
            # The name that makes the key comes first, without a month: months come and go.
            tables=[table, *(name for name in names if name != table)] if table else names,
            since=_stamp(first.since),
            error=first.error,
            run_id=first.run_id,
        )


def _stamp(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
