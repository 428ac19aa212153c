"""Notifies of incidents: of each once by each channel, when no run can fix it, and of its end once.

The sensor and `planday alert` take turns and work on the same notices. What a channel did not take is delivered the next
time, as long as the incident lasts; its end for a day. Where notices cannot be stored, as on a full disk, messages are sent
all the same, and this process remembers them.

Not here: what is wrong (`incidents`), texts (`messages`), sending (`channels`).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from planday_io.errors import AlertError, StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.baseline import observe
from planday_io.monitoring.channels import channels
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.monitoring.incidents import Key, find, key_of
from planday_io.monitoring.messages import messages
from planday_io.state import Incident, Notice

_PATIENCE = timedelta(hours=1)
"""How long an incident waits for runs of its portal that wait or are under way: they may fix it, or add to it."""
_PATIENCE_WORKING = timedelta(days=1)
"""How long staleness waits for a run of its portal that is under way; Dagster stops a run after a day."""
_END_TRIED = timedelta(days=1)
"""How long the end of an incident is tried on a channel that does not take it."""

Notices = dict[Key, Notice]
_UNSAVED: dict[Path, Notices] = {}
"""What could not be stored, by state folder."""


@dataclass(frozen=True, slots=True)
class Notified:
    """What was found and sent.

    Args:
        open: incidents that are open now.
        sent: subjects of the messages that were sent, once for all channels.
        failed: channel -> why it did not take a message; it is tried again the next time.
        unsaved: why that could not be recorded, or empty.
    """

    open: list[Incident]
    sent: list[str]
    failed: dict[str, str]
    unsaved: str = ""


class Notifier:
    """Compares what is wrong with what was wrong before.

    Args:
        installation: what is checked, and whose channels are notified.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._config = installation.config
        self._channels = channels(installation.config)
        self._stored: list[Notice] | None = None

    def evaluate(self, now: datetime) -> list[Incident]:
        """What is wrong now, without notifying anybody. Raises StorageError."""
        observe(self._installation, now)
        return _open(self._updated(self._load(), now))

    def notify(self, now: datetime, busy: Collection[str] = (), working: Collection[str] = ()) -> Notified:
        """Find what is wrong, and send what is new and what is over.

        Args:
            now: UTC instant.
            busy: portals of which a run waits or is under way.
            working: those of which one is under way.
        """
        sent: dict[str, None] = {}
        failed: dict[str, str] = {}
        with ExitStack() as stack:
            # Where no lock can be had, two who send the same are better than nobody.
            with suppress(StorageError):
                stack.enter_context(self._installation.state.reporting())
            # Where nothing can be written, what is known is still reported.
            with suppress(StorageError):
                self._installation.state.failures.keep_only([*self._config.portals, INSTALLATION])
                observe(self._installation, now)
            try:
                notices = self._load()
            except StorageError:
                notices, self._stored = {}, []
            notices = self._updated(notices, now)
            unsaved = self._save(notices)
            waiting = {key for key, one in notices.items() if not one.ended_at and _waits(one, now, busy, working)}
            for channel, send in self._channels.items():
                due = [one for key, one in notices.items() if key not in waiting and _is_due(one, channel)]
                for message, group in messages(self._config, due, now):
                    try:
                        send(message)
                    except AlertError as error:
                        failed[channel] = str(error)
                        if error.is_refusal:
                            continue
                        break
                    notices |= {key_of(one.incident): _delivered(one, channel) for one in group}
                    sent[message.subject] = None
                    unsaved = self._save(notices)
        return Notified(_open(notices), [*sent], failed, unsaved)

    def _updated(self, notices: Notices, now: datetime) -> Notices:
        """Notices with what is wrong now, and without those that nobody has to hear of any more."""
        open_before = {key: one.incident for key, one in notices.items() if not one.ended_at}
        found = find(self._installation, open_before, now)
        unreadable = {portal for portal, cause, _ in found if cause == "unreadable"}
        updated = {key: _noticed(incident, notices.get(key), now) for key, incident in found.items()}
        others = {
            key: one if key[0] in unreadable else _ended(one, now) for key, one in notices.items() if key not in found
        }
        return updated | {key: one for key, one in others.items() if self._is_kept(one, now)}

    def _is_kept(self, notice: Notice, now: datetime) -> bool:
        """Whether an incident is open, or a channel still has to report its end."""
        if notice.ended_at is None:
            return True
        is_tried = now - notice.ended_at < _END_TRIED and notice.incident.portal in {
            INSTALLATION,
            *self._config.portals,
        }
        return is_tried and not self._channels.keys().isdisjoint(notice.deliveries)

    def _load(self) -> Notices:
        if self._installation.state.folder in _UNSAVED:
            return _UNSAVED[self._installation.state.folder]
        self._stored = self._installation.state.incidents.all()
        # A cause may be one of another version.
        return {key_of(one.incident): one for one in self._stored if one.incident.cause in CAUSES}

    def _save(self, notices: Notices) -> str:
        """Store what changed. Returns why it cannot be stored, or an empty text."""
        current = [*notices.values()]
        if current == self._stored:
            return ""
        try:
            self._installation.state.incidents.replace(current)
        except StorageError as error:
            _UNSAVED[self._installation.state.folder] = notices
            return str(error)
        self._stored = current
        _UNSAVED.pop(self._installation.state.folder, None)
        return ""


def _open(notices: Notices) -> list[Incident]:
    return [one.incident for one in notices.values() if not one.ended_at]


def _noticed(incident: Incident, before: Notice | None, now: datetime) -> Notice:
    """The notice of an incident that is open."""
    if before is None:
        return Notice(incident=incident, noticed_at=now, all_tables=incident.tables)
    if before.ended_at:
        # Channels that have not reported its end need not report that it began again.
        reported = dict.fromkeys(before.deliveries, tuple(sorted(before.incident.names)))
        return Notice(incident=incident, noticed_at=now, all_tables=incident.tables, deliveries=reported)
    incident = replace(incident, since=min(incident.since, before.incident.since))
    return replace(before, incident=incident, all_tables=tuple(sorted({*before.all_tables, *incident.tables})))


def _ended(notice: Notice, now: datetime) -> Notice:
    if notice.ended_at:
        return notice
    # With all that it ever was about, so that nobody looks for the rest; what failed is no longer of interest.
    return replace(notice, incident=replace(notice.incident, tables=notice.all_tables, error=""), ended_at=now)


def _delivered(notice: Notice, channel: str) -> Notice:
    """A notice after a channel took its message."""
    deliveries = {name: tables for name, tables in notice.deliveries.items() if name != channel}
    if not notice.ended_at:
        deliveries[channel] = tuple(sorted(notice.incident.names))
    return replace(notice, deliveries=deliveries)


def _waits(notice: Notice, now: datetime, busy: Collection[str], working: Collection[str]) -> bool:
    one = notice.incident
    patience = _PATIENCE_WORKING if one.cause == "stale" and one.portal in working else _PATIENCE
    return one.portal in busy and now - notice.noticed_at < patience


def _is_due(notice: Notice, channel: str) -> bool:
    """Whether a channel has not reported an incident, reported less than half of its tables, or not reported its end."""
    delivered = notice.deliveries.get(channel)
    if notice.ended_at:
        return delivered is not None
    if delivered is None:
        return True
    new = notice.incident.names.difference(delivered)
    return not CAUSES[notice.incident.cause].whole_portal and len(new) > len(delivered)
