"""Schema drift as something that people have to look at: its wording, and what is news.

Not here: what counts as drift (`planday_io.sync.drift`), comparing the catalogue with an OpenAPI document (`specification`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import INSTALLATION
from planday_io.monitoring.messages import some
from planday_io.state import DriftEntry, Failure

_WORDS = {
    "new_member": "{path} is a member that the catalogue does not know",
    "gone_member": "{path} is in no row any more",
    "retyped": "{path} is {found} instead of {expected}",
    "new_value": "{path} has the value {found}, which is not documented",
    "scope_lost": "{path} is refused: the app lacks scope {found}",
    "refused": "{path} answers {found}",
    "not_found": "{path} answers {found}",
}

_OF_PORTAL = ("scope_lost", "refused", "not_found")
"""Kinds that are of one portal and its app; the others are of Planday's API, which is the same for all portals."""
_Event = tuple[str, str, str, str, str]
"""Portal, or empty where it is the same event at all of them; table, kind, path, found."""


def words(entry: DriftEntry) -> str:
    """What an entry says, in a sentence without a full stop."""
    form = _WORDS.get(entry.kind, f"{entry.kind} {{path}}")
    return form.format(path=entry.path, found=entry.found or "(not shown)", expected=entry.expected)


def open_drift(installation: Installation) -> list[DriftEntry]:
    """Entries that are not over, of tables that their portals have. Raises StorageError."""
    config, tables = installation.config, {}
    for portal in config.portals:
        tables[portal] = {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}
    return [one for one in installation.state.drift.all() if one.is_open and one.table in tables.get(one.portal, ())]


def news(entries: Iterable[DriftEntry]) -> list[DriftEntry]:
    """The open entries that nobody accepted; where all portals share an event, accepting it at one accepts it at all."""
    entries = list(entries)
    known = {_event(one) for one in entries if one.accepted_at}
    return [one for one in entries if _event(one) not in known]


def problems(installation: Installation) -> Iterator[Failure]:
    """One problem per event that nobody accepted. What keeps a table from being read is reported as a failure instead.

    A change of the API is one event, however many portals show it.
    """
    events: dict[_Event, list[DriftEntry]] = {}
    for one in news(open_drift(installation)):
        if not one.is_fatal:
            events.setdefault(_event(one), []).append(one)
    for event, entries in events.items():
        first = min(entries, key=lambda one: one.first_seen)
        found = f"={first.found}" if first.found else ""
        where = "" if event[0] else f" (at {some([one.portal for one in entries])})"
        yield Failure(
            portal=event[0] or INSTALLATION,
            # In the names of an incident's tables, a space is followed by the month.
            table="-".join(f"{first.table}:{first.path}{found}({first.kind})".split()),
            month=None,
            cause="drift",
            error=f"{first.table}: {words(first)}{where}",
            run_id="",
            since=first.first_seen,
        )


def _event(entry: DriftEntry) -> _Event:
    portal = entry.portal if entry.kind in _OF_PORTAL else ""
    return portal, entry.table, entry.kind, entry.path, entry.found
