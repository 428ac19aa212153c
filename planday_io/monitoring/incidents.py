"""Incidents: what is wrong now, from recorded failures, the age of slices, the publication, the disk, and files set aside.

Every check gives problems, in the form in which runs record failures. Problems with one cause at one portal, or at one table
where tables fail one by one (`failures.CAUSES`), are one incident. A portal whose files cannot be read is an incident itself,
and hides none of the others.

Not here: what was wrong before, and who is notified (`notifier`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from planday_io.config.grid import grid_months
from planday_io.config.model import Config
from planday_io.errors import LostSliceError, PlandayError
from planday_io.faults import as_planday_error
from planday_io.files import is_temporary
from planday_io.lake.installation import Installation
from planday_io.monitoring import drift
from planday_io.monitoring.failures import CAUSES, INSTALLATION, WAREHOUSE, failure_of
from planday_io.monitoring.freshness import Monitored, PortalFreshness, freshness_of
from planday_io.monitoring.messages import some
from planday_io.state import Failure, Incident
from planday_io.warehouse.place import Place, set_aside_leftovers

_UNPUBLISHED = timedelta(hours=1)
"""How long a slice may wait for its publication when no run holds it back."""
_NOT_RETAINED = timedelta(days=2)
"""How long after the last complete pass of retention another one is missed: two nights."""
_SPARE_BYTES = 256 * 2**20
_RELIEF = 1.25
"""The incident of a nearly full disk ends with so many times the space free, so that the alert does not flap."""

Key = tuple[str, str, str]
"""Portal, cause, and the table where tables fail one by one: what makes it the same incident as one before."""


def key_of(incident: Incident) -> Key:
    """What makes it the same incident as one before."""
    table = incident.tables[0].partition(" ")[0] if CAUSES[incident.cause].per_table else ""
    return incident.portal, incident.cause, table


def find(
    installation: Installation, known: Mapping[Key, Incident], now: datetime, states: PortalStates | None = None
) -> dict[Key, Incident]:
    """The open incidents; `known` were open before. Those of portals that are "unreadable" may or may not be over."""
    problems: list[Failure] = []
    states = states or PortalStates(installation, now)
    for portal in (*installation.config.portals, INSTALLATION):
        check = _of_installation if portal == INSTALLATION else partial(_of_portal, portal=portal, states=states)
        try:
            problems += [*check(installation, known, now)]
        except Exception as error:  # noqa: BLE001 - what one portal raises hides none of the others
            text = f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else None
            problems.append(_problem("unreadable", text or str(as_planday_error(error)), now, portal=portal))
    groups: dict[Key, list[Failure]] = {}
    for one in problems:
        # Another version may have recorded a cause that this one does not know.
        cause = one.cause if one.cause in CAUSES else "other"
        groups.setdefault((one.portal, cause, one.table if CAUSES[cause].per_table else ""), []).append(one)
    return {key: _incident(key, group) for key, group in groups.items()}


class PortalStates:
    """What the lake and the state say of all portals, asked once."""

    def __init__(self, installation: Installation, now: datetime, monitored: Monitored | None = None) -> None:
        self._error: Exception | None = None
        try:
            self._fresh = freshness_of(installation, [*installation.config.portals], now, monitored=monitored)
            self._failures = installation.state.failures.all()
        except Exception as error:  # noqa: BLE001 - raised for each portal instead
            self._error = error

    def of(self, portal: str) -> tuple[PortalFreshness, list[Failure]]:
        """The freshness and the open failures of a portal. Raises the error if they are not known."""
        error = self._error or self._fresh[portal]
        if isinstance(error, Exception):
            raise error
        return error, self._failures.get(portal, [])


def _incident(key: Key, group: list[Failure]) -> Incident:
    first = min(group, key=lambda one: one.since)
    tables = tuple(sorted({f"{one.table} {one.month or ''}".strip() for one in group} - {""}))
    since = first.since.replace(microsecond=0)
    return Incident(portal=key[0], cause=key[1], tables=tables, since=since, error=first.error, run_id=first.run_id)


def incident_of(error: PlandayError, table: str, now: datetime) -> Incident:
    """An incident of the whole installation, from an error that was not recorded yet."""
    problem = failure_of(error, now, table=table)
    return _incident((INSTALLATION, problem.cause, table if CAUSES[problem.cause].per_table else ""), [problem])


def _problem(cause: str, error: str, since: datetime, *, portal: str = INSTALLATION, table: str = "") -> Failure:
    return Failure(portal=portal, table=table, month=None, cause=cause, error=error, run_id="", since=since)


def _of_portal(
    installation: Installation, known: Mapping[Key, Incident], now: datetime, portal: str, states: PortalStates
) -> Iterator[Failure]:
    fresh, failures = states.of(portal)
    if failures:
        tables = {table.full_name for endpoint in installation.endpoints_of(portal) for table in endpoint.tables}
        months = {None, *grid_months(installation.config, portal, now)}
        failures = [one for one in failures if one.table in tables and one.month in months]
    yield from failures
    failing = {one.table for one in failures}
    # A table that is known to be unreadable is not reported as stale as well.
    is_explained = any(one.cause in CAUSES and CAUSES[one.cause].whole_portal for one in failures)
    was_stale = known[portal, "stale", ""].tables if (portal, "stale", "") in known else ()
    for name, one in fresh.items():
        if one.damage and name not in failing:
            yield _problem("damaged", one.damage, now, portal=portal, table=name)
        if one.is_stale and (name in was_stale or not (is_explained or one.damage or name in failing)):
            yield _problem("stale", "", one.last or one.monitored_since or now, portal=portal, table=name)


def _of_installation(installation: Installation, known: Mapping[Key, Incident], now: datetime) -> Iterator[Failure]:
    failures = installation.state.failures.of(INSTALLATION)
    yield from failures
    waiting = min(installation.lake.pending().values(), default=None)
    if waiting and now - waiting > _UNPUBLISHED and not any(one.table == WAREHOUSE for one in failures):
        yield _problem("publication", "the last publication was killed, or no daemon runs", waiting, table=WAREHOUSE)
    try:
        installation.lake.require()
    except LostSliceError as lost:
        yield _problem("storage", str(lost), now)
    yield from drift.problems(installation)
    yield from _unfinished(installation)
    if not any(one.cause == "retention" for one in failures):
        yield from _not_retained(installation, now)
    yield from _set_aside(installation)
    yield from _edited(installation.config, now)
    yield from _disk(installation, known, now)


def _unfinished(installation: Installation) -> Iterator[Failure]:
    """Commands that were stopped half-way. Alerts do not name them: a command may contain the id of an employee."""
    for entry in installation.state.commands.unfinished():
        for portal in [one for one in entry.portals if one in installation.config.portals] or [INSTALLATION]:
            yield _problem("unfinished", "", entry.since, portal=portal)


def _not_retained(installation: Installation, now: datetime) -> Iterator[Failure]:
    """What becomes too old is there for good if nobody takes it away. New rules count from when the file was edited."""
    config = installation.config
    if not config.has_retention:
        return
    last = installation.state.files.retained_at()
    since = last or datetime.fromtimestamp(config.file.stat().st_mtime, UTC)
    if now - since > _NOT_RETAINED:
        when = f"since {last:%Y-%m-%d %H:%M} UTC" if last else "yet"
        error = (
            f"No pass was complete {when}. The schedule `nightly_retention` makes one every night, if a daemon runs and it "
            "is switched on in Dagster; so does `planday retention` from cron"
        )
        yield _problem("retention", error, since)


def _set_aside(installation: Installation) -> Iterator[Failure]:
    """Files of the state folder that were damaged. Their content was restored where possible."""
    state = installation.state
    if files := state.files_set_aside():
        names = some([str(path.relative_to(state.folder)) for path in files])
        text = f"set aside in {state.folder}: {names}. They are not needed to continue: remove them when you have seen them"
        if state.commands.lost_at():
            text += (
                ". If a `planday forget`, `authorize`, `revoke` or `portals rename` was stopped half-way, run it again"
            )
        yield _problem("state", text, _oldest(files))


def _edited(config: Config, now: datetime) -> Iterator[Failure]:
    """Edits of other programs. A log that nobody writes any more is set aside here: readers would see what is in it."""
    place = Place(config.warehouse)
    set_aside_leftovers(config.warehouse)
    if kept := place.set_aside():
        error = f"Set aside beside {config.warehouse}: {', '.join(file.name for file in kept)}"
        yield _problem("edited", error, _oldest(kept), table=WAREHOUSE)
    elif place.logs():
        error = f"{place.holder() or 'A program'} has {config.warehouse} open for writing, and nobody else can open it"
        yield _problem("edited", error, now, table=WAREHOUSE)


def _oldest(files: list[Path]) -> datetime:
    return datetime.fromtimestamp(min(file.lstat().st_ctime for file in files), UTC)


def _disk(installation: Installation, known: Mapping[Key, Incident], now: datetime) -> Iterator[Failure]:
    lake, warehouse = installation.config.lake, installation.config.warehouse
    size = warehouse.stat().st_size if warehouse.exists() else 0
    # A publication in progress already uses part of the space that it needs.
    copies = []
    for path in filter(is_temporary, warehouse.parent.glob(f"{warehouse.name}*")):
        with suppress(FileNotFoundError):
            copies.append(path.stat())
    needed = (2 * size + _SPARE_BYTES) * (_RELIEF if (INSTALLATION, "disk", "") in known else 1)
    for place in dict.fromkeys((lake, warehouse.parent, installation.state.folder)):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free + sum(c.st_size for c in copies if c.st_dev == there.stat().st_dev)
        if free < needed:
            error = f"{place} has {free // 2**20} MiB free; the warehouse takes {size // 2**20} MiB"
            yield _problem("disk", error, now)
            return
