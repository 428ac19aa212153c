"""What was reported to whom: each incident once by each channel, when no run can fix it, and its end once.

Whoever calls `look`, the sensor or `planday alert`, works on the same book under a lock. What a channel did not take is told
by the next look, as long as it is true; the end of an incident for a day. A book that cannot be written, as on a full disk,
keeps nobody from being told: this process remembers what it told.

Not here: what is wrong (`incidents`), texts (`messages`), sending (`channels`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from planday_io.config.model import Config
from planday_io.errors import AlertError, StorageError
from planday_io.faults import known
from planday_io.lake.installation import Installation
from planday_io.monitoring.baseline import watch
from planday_io.monitoring.channels import channels
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.monitoring.incidents import Findings, Incident, find
from planday_io.monitoring.messages import TEST, Message, messages
from planday_io.state import KnownIncident

_PATIENCE = timedelta(hours=1)
"""How long an incident waits for runs of its portal that wait or are under way: they may fix it, or add to it."""
_PATIENCE_WORKING = timedelta(days=1)
"""How long staleness waits for a run of its portal that is under way; Dagster stops a run after a day."""
_END_KEPT = timedelta(days=1)
"""How long the end of an incident is tried on a channel that does not take it."""

_UNSAVED: dict[Path, _Book] = {}
"""What could not be stored, by state folder."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found.

    Args:
        open: incidents that are open now.
        sent: subjects of the messages that were sent, once for all channels.
        failed: channel -> why it did not take a message; it is tried again by the next look.
        unsaved: why the book could not be written, or empty.
    """

    open: list[Incident]
    sent: list[str]
    failed: dict[str, str]
    unsaved: str = ""


class AlertBook:
    """The incidents of one installation.

    Args:
        installation: the installation.
        catalogue: the tables there are.
    """

    def __init__(self, installation: Installation) -> None:
        self._config = installation.config
        self._installation = installation
        self._state = installation.state

    def found(self, now: datetime) -> list[Incident]:
        """What is wrong now, without telling anybody. Raises StorageError when the book cannot be read."""
        watch(self._installation, now)
        book = self._load()
        findings = self._find(book, now)
        self._compare(book, findings, now)
        return [entry.incident for entry in book.open.values()]

    def look(self, now: datetime, busy: Collection[str] = (), working: Collection[str] = ()) -> Look:
        """Find what is wrong, tell what is new and what is over.

        Args:
            now: UTC instant.
            busy: portals of which a run waits or is under way.
            working: those of which one is under way.
        """
        with self._locked():
            # What is watched so far is watched on, where nothing can be written.
            with suppress(StorageError):
                watch(self._installation, now)
            try:
                book = self._load()
            except StorageError:
                book = _UNSAVED.get(self._config.state, _Book())
            self._compare(book, self._find(book, now), now)
            sent: list[str] = []
            failed: dict[str, str] = {}
            unsaved = self._save(book)
            ways = channels(self._config)
            for channel, send in ways.items():
                for message, note in self._news(book, channel, now, busy, working):
                    try:
                        send(message)
                    except AlertError as error:
                        failed[channel] = str(error)
                        if error.is_refusal:
                            continue
                        break
                    except Exception as error:  # noqa: BLE001 - one channel's trouble is none of the others'
                        failed[channel] = str(known(error))
                        break
                    note()
                    sent.append(message.subject)
                    unsaved = self._save(book)
            for ended in book.ended:
                ended.channels = [one for one in ended.channels if one in ways]
            book.ended = [one for one in book.ended if one.channels and now - _instant(one.at) < _END_KEPT]
            unsaved = self._save(book)
        return Look([one.incident for one in book.open.values()], [*dict.fromkeys(sent)], failed, unsaved)

    def _find(self, book: _Book, now: datetime) -> Findings:
        before = {key: entry.incident for key, entry in book.open.items()}
        return find(self._installation, before, now)

    def _compare(self, book: _Book, findings: Findings, now: datetime) -> None:
        stamp = now.isoformat(timespec="seconds")
        for key, one in findings.incidents.items():
            if key not in book.open:
                book.open[key] = _Open(one, stamp, _begun_again(book, key))
            entry = book.open[key]
            entry.incident = replace(one, since=min(one.since, entry.incident.since))
            # The name that makes the key stays first.
            first = one.tables[:1] if CAUSES[one.cause].per_table else []
            entry.all_tables = first + sorted({*entry.all_tables, *one.tables}.difference(first))
        for key in [key for key in book.open if key not in findings.incidents]:
            portal = book.open[key].incident.portal
            if portal in findings.unseen:
                continue
            entry = book.open.pop(key)
            if entry.told and portal in {INSTALLATION, *self._config.portals}:
                # With all that it ever was about, so that nobody looks for the rest; what failed is no news any more.
                over = replace(entry.incident, tables=entry.all_tables, error="")
                book.ended.append(_Ended(over, stamp, [*entry.told]))

    def _news(
        self, book: _Book, channel: str, now: datetime, busy: Collection[str], working: Collection[str]
    ) -> Iterator[tuple[Message, Callable[[], None]]]:
        """The messages that a channel has to take, each with what to call when it did."""
        new = {entry.incident.key: entry for entry in book.open.values() if not _waits(entry, now, busy, working)}
        unreported = [entry.incident for entry in new.values() if _has_news(entry, channel)]
        for message, group in messages(self._config, unreported, now, is_over=False):

            def told(group: list[Incident] = group) -> None:
                for one in group:
                    new[one.key].told[channel] = sorted(one.names)

            yield message, told
        over = [one for one in book.ended if channel in one.channels]
        for message, group in messages(self._config, [one.incident for one in over], now, is_over=True):

            def ended(group: list[Incident] = group) -> None:
                for one in over:
                    if one.incident in group:
                        one.channels.remove(channel)

            yield message, ended

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            # Where no lock can be had, two who tell the same are better than nobody.
            with suppress(StorageError):
                stack.enter_context(self._state.reporting())
            yield

    def _load(self) -> _Book:
        if self._config.state in _UNSAVED:
            return _UNSAVED[self._config.state]
        book = _Book(stored=self._state.incidents.all())
        for one in book.stored:
            if one.cause not in CAUSES:
                continue  # of another version
            incident = Incident(
                portal=one.portal,
                cause=one.cause,
                tables=[*one.tables],
                since=_stamp(one.since),
                error=one.error,
                run_id=one.run_id,
            )
            if one.ended_at:
                book.ended.append(_Ended(incident, _stamp(one.ended_at), [*one.deliveries]))
            else:
                told = {channel: [*tables] for channel, tables in one.deliveries.items()}
                book.open[incident.key] = _Open(incident, _stamp(one.noticed_at), told, [*one.all_tables])
        return book

    def _save(self, book: _Book) -> str:
        """Store what changed. Returns why it cannot be stored, or an empty text."""
        known = [
            _known(
                one.incident,
                one.seen,
                one.all_tables,
                ended_at=None,
                deliveries={channel: tuple(tables) for channel, tables in sorted(one.told.items())},
            )
            for one in book.open.values()
        ]
        known += [
            _known(
                one.incident,
                one.at,
                one.incident.tables,
                ended_at=_instant(one.at),
                deliveries=dict.fromkeys(sorted(one.channels), ()),
            )
            for one in book.ended
        ]
        if known == book.stored:
            return ""
        try:
            self._state.incidents.replace(known)
        except StorageError as error:
            _UNSAVED[self._config.state] = book
            return str(error)
        book.stored = known
        _UNSAVED.pop(self._config.state, None)
        return ""


def send_test(config: Config) -> dict[str, str]:
    """Send a test message by each channel, now.

    Returns:
        Channel -> why it did not take it, or an empty text.
    """
    results = {}
    for name, send in channels(config).items():
        try:
            send(TEST)
            results[name] = ""
        except Exception as error:  # noqa: BLE001 - one channel's trouble is none of the others'
            results[name] = str(known(error))
    return results


@dataclass(slots=True)
class _Open:
    """An incident that is open: when this noticed it, channel -> names of tables that were told, all tables it ever had."""

    incident: Incident
    seen: str
    told: dict[str, list[str]] = field(default_factory=dict)
    all_tables: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Ended:
    """An incident that is over: since when, and the channels that have to tell it."""

    incident: Incident
    at: str
    channels: list[str]


@dataclass(slots=True)
class _Book:
    """Incidents by key, those that ended, and what is stored."""

    open: dict[str, _Open] = field(default_factory=dict)
    ended: list[_Ended] = field(default_factory=list)
    stored: list[KnownIncident] = field(default_factory=list)


def _known(
    one: Incident,
    seen: str,
    all_tables: list[str],
    *,
    ended_at: datetime | None,
    deliveries: dict[str, tuple[str, ...]],
) -> KnownIncident:
    return KnownIncident(
        portal=one.portal,
        cause=one.cause,
        tables=tuple(one.tables),
        since=_instant(one.since),
        error=one.error,
        run_id=one.run_id,
        noticed_at=_instant(seen),
        all_tables=tuple(all_tables),
        ended_at=ended_at,
        deliveries=deliveries,
    )


def _waits(entry: _Open, now: datetime, busy: Collection[str], working: Collection[str]) -> bool:
    one = entry.incident
    patience = _PATIENCE_WORKING if one.cause == "stale" and one.portal in working else _PATIENCE
    return one.portal in busy and now - _instant(entry.seen) < patience


def _has_news(entry: _Open, channel: str) -> bool:
    """Whether a channel never told of an incident, or of less than half of its tables."""
    told = entry.told.get(channel)
    if told is None:
        return True
    return not CAUSES[entry.incident.cause].whole_portal and len(entry.incident.names.difference(told)) > len(told)


def _begun_again(book: _Book, key: str) -> dict[str, list[str]]:
    """Who knows of an incident that begins again, because its end was not told yet; nor has it to be now."""
    known: dict[str, list[str]] = {}
    for ended in [one for one in book.ended if one.incident.key == key]:
        known |= dict.fromkeys(ended.channels, sorted(ended.incident.names))
        book.ended.remove(ended)
    return known


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _stamp(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
