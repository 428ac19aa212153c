"""Incidents: what is wrong now, who has been told, and that it is over.

    failures (this package's notes) ─┐
    freshness (the lake)             ├─► incidents now ─► compared with those that are open ─► messages ─► outbox ─► channels
    disk                             ┘

An incident is one cause at one portal, or at one table where tables fail one by one (`failures.CAUSES`). It is told once,
when no run of the portal is under way or waiting any more, and once more when it is over. Whoever calls `look`, the sensor or
`planday alert`, works on the same book under a lock. A message waits in the book until each channel took it, for a day.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from planday_io.alerts import Message, channels
from planday_io.catalogue import Catalogue
from planday_io.config.model import Config
from planday_io.errors import PlandayError
from planday_io.failures import CAUSES, INSTALLATION, WAREHOUSE, FailureBook, FailureNote
from planday_io.files import locked, storage_errors, write_text
from planday_io.freshness import portal_freshness
from planday_io.selection import endpoints_of

_PATIENCE = timedelta(hours=1)
"""How long an incident waits for runs of its portal that are under way: they may mend it, or add to it."""
_KEPT = timedelta(days=1)
"""How long a message that no channel takes is tried."""
_SPARE_BYTES = 256 * 2**20
_SHOWN_TABLES = 5


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
        seen: ISO text of the UTC instant it was noticed.
        is_told: whether a message about it was written.
    """

    portal: str
    cause: str
    tables: list[str]
    since: str
    error: str = ""
    run_id: str = ""
    seen: str = ""
    is_told: bool = False

    @property
    def key(self) -> str:
        """What makes it the same incident as one before."""
        return " ".join([self.portal, self.cause, *(self.tables[:1] if CAUSES[self.cause].per_table else [])])


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found.

    Args:
        open: incidents that are open now.
        sent: subjects of messages that every channel has taken.
        failed: channel -> why it did not take a message that waits for it.
    """

    open: list[Incident]
    sent: list[str]
    failed: dict[str, str]


class AlertBook:
    """The incidents of one installation.

    Args:
        config: of the installation.
        catalogue: the tables there are.
    """

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._config = config
        self._catalogue = catalogue
        self._file = config.state / "alerts.json"

    def found(self, now: datetime) -> list[Incident]:
        """What is wrong now, without telling anybody. Raises StorageError."""
        book = self._load()
        self._watch(book, now)
        return [
            replace(one, is_told=one.key in book.open and book.open[one.key].is_told) for one in self._now(book, now)
        ]

    def look(self, now: datetime, busy: Collection[str] = ()) -> Look:
        """Find what is wrong, tell what is new and what is over.

        Args:
            now: UTC instant.
            busy: portals of which a run is under way or waiting.

        Raises:
            StorageError: the lake cannot be read, or the book cannot be written.
        """
        with locked(self._file.with_suffix(".lock")):
            book = self._load()
            self._watch(book, now)
            messages = self._compare(book, {one.key: one for one in self._now(book, now)}, now, busy)
            ways = channels(self._config)
            stamp = now.isoformat(timespec="seconds")
            book.outbox += [_Waiting(asdict(one), list(ways), stamp) for one in messages if ways]
            self._save(book)
            sent, failed = self._deliver(book, ways, now)
        return Look([*book.open.values()], sent, failed)

    def _watch(self, book: _Book, now: datetime) -> None:
        """A portal is watched from when it was first seen: what was due before is no fault."""
        stamp = now.isoformat(timespec="seconds")
        book.watched = {portal: book.watched.get(portal, stamp) for portal in self._config.portals}

    def _compare(self, book: _Book, found: dict[str, Incident], now: datetime, busy: Collection[str]) -> list[Message]:
        news: list[Incident] = []
        for key, one in found.items():
            before = book.open.get(key)
            seen = before.seen if before else now.isoformat(timespec="seconds")
            is_told = before is not None and before.is_told
            waits = one.portal in busy and now - datetime.fromisoformat(seen) < _PATIENCE
            is_new = not is_told and not waits
            since = before.since if before and is_told else one.since
            book.open[key] = replace(one, seen=seen, since=since, is_told=is_told or is_new)
            news += [book.open[key]] if is_new else []
        over = [book.open.pop(key) for key in [*book.open] if key not in found]
        known = {INSTALLATION, *self._config.portals}
        over = [one for one in over if one.is_told and one.portal in known]
        return [*self._messages(news, "failed"), *self._messages(over, "recovered")]

    def _now(self, book: _Book, now: datetime) -> Iterator[Incident]:
        notes = FailureBook(self._config.state)
        for portal, settings in self._config.portals.items():
            tables = {table.full_name for one in endpoints_of(self._catalogue, settings) for table in one.tables}
            failing = [note for note in notes.of(portal) if note.table in tables]
            yield from _failures(failing)
            # Whoever lacks a token is not told as well that the tables are old.
            if not any(not CAUSES[note.cause].per_table and note.cause != "scope" for note in failing):
                yield from self._stale(portal, {note.table for note in failing}, book.watched[portal], now)
        yield from _failures(note for note in notes.of(INSTALLATION) if note.table == WAREHOUSE)
        yield from self._disk(now)

    def _stale(self, portal: str, failing: set[str], watched: str, now: datetime) -> Iterator[Incident]:
        states = portal_freshness(self._config, self._catalogue, portal, now)
        stale = {
            name: state.last
            for name, state in states.items()
            if state.is_stale
            and name not in failing
            and state.allowed_since is not None
            and state.allowed_since > datetime.fromisoformat(watched)
        }
        if stale:
            reads = [last for last in stale.values() if last is not None]
            since = min(reads).isoformat(timespec="seconds") if reads else watched
            yield Incident(portal=portal, cause="stale", tables=sorted(stale), since=since)

    def _disk(self, now: datetime) -> Iterator[Incident]:
        warehouse = self._config.warehouse
        size = warehouse.stat().st_size if warehouse.exists() else 0
        for place in {self._config.lake, warehouse.parent, self._config.state}:
            there = next(folder for folder in (place, *place.parents) if folder.exists())
            free = shutil.disk_usage(there).free
            if free < 2 * size + _SPARE_BYTES:
                error = f"{place} has {free // 2**20} MiB free; the warehouse takes {size // 2**20} MiB"
                yield Incident(
                    portal=INSTALLATION, cause="disk", tables=[], since=now.isoformat(timespec="seconds"), error=error
                )
                return

    def _messages(self, incidents: Iterable[Incident], event: str) -> Iterator[Message]:
        """One message for all portals with the same cause."""
        by_cause: dict[str, list[Incident]] = {}
        for one in incidents:
            by_cause.setdefault(one.cause, []).append(one)
        for cause, group in by_cause.items():
            portals = [*dict.fromkeys(one.portal for one in group)]
            names = "all portals" if portals == [INSTALLATION] else _some(portals)
            kind = "recovered" if event == "recovered" else "stale" if cause == "stale" else event
            lines = [self._line(one) for one in group]
            if event == "recovered":
                subject = f"Planday: over at {names}: {_short(cause)}"
                lines += ["", "It is over: " + CAUSES[cause].sentence, "What to do: nothing."]
            else:
                subject = f"Planday: {names}: {_short(cause)}"
                lines += ["", "What happened: " + CAUSES[cause].sentence]
                lines += [f"Error: {error}" for error in dict.fromkeys(one.error for one in group if one.error)]
                remedy = CAUSES[cause].remedy.format(portal=portals[0] if portals != [INSTALLATION] else "")
                lines += ["What to do: " + remedy, "What was read before is kept."]
                lines += [f"Run: {self._run(run)}" for run in dict.fromkeys(one.run_id for one in group if one.run_id)]
            facts = [
                {
                    "portal": None if one.portal == INSTALLATION else one.portal,
                    "cause": cause,
                    "tables": one.tables,
                    "since": one.since,
                    "error": one.error,
                    "run": self._run(one.run_id) if one.run_id else None,
                }
                for one in group
            ]
            yield Message(kind, subject, "\n".join(lines), facts)

    def _line(self, one: Incident) -> str:
        settings = self._config.portals.get(one.portal)
        at = datetime.fromisoformat(one.since).astimezone(ZoneInfo(settings.timezone) if settings else UTC)
        who = "All portals" if one.portal == INSTALLATION else f"Portal {one.portal}"
        return f"{who}: {_some(one.tables) or 'files'}, since {at:%Y-%m-%d %H:%M %Z}"

    def _run(self, run_id: str) -> str:
        return f"{self._config.alerts.ui_url}/runs/{run_id}" if self._config.alerts.ui_url else run_id

    def _deliver(
        self, book: _Book, ways: dict[str, Callable[[Message], None]], now: datetime
    ) -> tuple[list[str], dict[str, str]]:
        sent, failed = [], {}
        for waiting in [*book.outbox]:
            message = Message(**waiting.message)
            for channel in [*waiting.channels]:
                if channel in ways and channel not in failed:
                    try:
                        ways[channel](message)
                    except PlandayError as error:
                        failed[channel] = str(error)
                if channel not in failed:
                    waiting.channels.remove(channel)
            is_old = now - datetime.fromisoformat(waiting.since) > _KEPT
            if not waiting.channels or is_old:
                book.outbox.remove(waiting)
                sent += [] if waiting.channels else [message.subject]
            self._save(book)
        return sent, failed

    def _load(self) -> _Book:
        with storage_errors(self._file, "read the book of alerts"):
            try:
                raw = json.loads(self._file.read_text(encoding="utf-8"))
                return _Book(
                    watched=raw["watched"],
                    open={key: Incident(**one) for key, one in raw["open"].items()},
                    outbox=[_Waiting(**one) for one in raw["outbox"]],
                )
            except FileNotFoundError:
                return _Book({}, {}, [])
            except (ValueError, TypeError, KeyError):
                # Begun anew: what is open is told again, which is better than never.
                return _Book({}, {}, [])

    def _save(self, book: _Book) -> None:
        with storage_errors(self._file, "write the book of alerts"):
            write_text(self._file, json.dumps(asdict(book)), mode=0o600)


@dataclass(slots=True)
class _Waiting:
    message: dict[str, Any]
    channels: list[str]
    since: str


@dataclass(slots=True)
class _Book:
    watched: dict[str, str]
    open: dict[str, Incident]
    outbox: list[_Waiting]


def send_test(config: Config) -> dict[str, str]:
    """Send a test message by each channel, now.

    Returns:
        Channel -> why it did not take it, or an empty text.
    """
    message = Message(
        "test",
        "Planday: a test message",
        "This is how you will be told when something has to be done.\nWhat to do: nothing.",
        [],
    )
    results = {}
    for name, send in channels(config).items():
        try:
            send(message)
            results[name] = ""
        except PlandayError as error:
            results[name] = str(error)
    return results


def _failures(notes: Iterable[FailureNote]) -> Iterator[Incident]:
    """Incidents of one portal's notes."""
    groups: dict[tuple[str, str, str], list[FailureNote]] = {}
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
            since=first.since,
            error=first.error,
            run_id=first.run_id,
        )


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN_TABLES
    return ", ".join([*names[:_SHOWN_TABLES], *([f"and {more} more"] if more > 0 else [])])


def _short(cause: str) -> str:
    return CAUSES[cause].sentence.partition(".")[0].partition(":")[0]
