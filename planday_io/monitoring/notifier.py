"""Notifies of incidents: each channel reports an incident once, when no run can fix it any more, and its end once.

The sensor and `planday alert` take turns and work on the same notices. A message that a channel refused is sent again
as long as the incident lasts; that of its end for a day. Where notices cannot be stored, as on a full disk, messages
are still sent, and this process remembers them.

Not here: what is wrong (`incidents`), texts (`messages`), sending (`channels`).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from planday_io.config import Config
from planday_io.errors import AlertError, RefusedMessageError, StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.channels import channels
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.incidents import Key, PortalStates, find, key_of
from planday_io.monitoring.messages import TEST, messages
from planday_io.state import Incident, Notice

_PATIENCE = timedelta(hours=1)
"""How long an incident waits for queued runs and runs in progress of its portal: they may fix it, or add to it."""
_DAY = timedelta(days=1)
"""How long staleness waits for a run in progress, which Dagster stops after a day, and how long the end of an incident
is sent again to a channel that refuses it."""

Notices = dict[Key, Notice]
_UNSAVED: dict[Path, Notices] = {}
"""What could not be stored, by state folder."""


@dataclass(slots=True)
class Notified:
    """Incidents that are open now, subjects of the messages that were sent, messages that channels refused (tried again
    the next time), and why that could not be recorded.
    """

    open: list[Incident] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unsaved: str = ""


class Notifier:
    """Compares what is wrong in an installation with what was wrong before."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._channels = channels(installation.config)

    def evaluate(self, now: datetime, states: PortalStates | None = None) -> list[Incident]:
        """What is wrong now, without notifying anybody. Raises StorageError.

        Args:
            now: UTC instant.
            states: what was found at that instant, after `freshness.observe`; None to look now.
        """
        if states is None:
            observe(self._installation, now)
        return _open(self._updated(self._load(), now, states))

    def notify(self, now: datetime, busy: Collection[str] = (), working: Collection[str] = ()) -> Notified:
        """Find what is wrong, and send what is new and what is over.

        Args:
            now: UTC instant.
            busy: portals with a run that is queued or in progress.
            working: portals with a run in progress.
        """
        config, state = self._installation.config, self._installation.state
        done = Notified()
        with ExitStack() as stack:
            # Continue if either fails: a message sent twice is better than none, and a full disk must not stop alerts.
            with suppress(StorageError):
                stack.enter_context(state.reporting())
            with suppress(StorageError):
                state.failures.keep_only([*config.portals, INSTALLATION])
                observe(self._installation, now)
            try:
                notices = self._load()
            except StorageError:
                notices = {}
            notices = self._updated(notices, now)
            done.unsaved = self._save(notices)
            for channel, send in self._channels.items():
                ready = (one for one in notices.values() if not _waits(one, now, busy, working))
                due = [one for one in ready if _is_due(one, channel)]
                for message, group in messages(config, due, now, notices.values()):
                    try:
                        send(message)
                    except AlertError as error:
                        done.failed[channel] = str(error)
                        if isinstance(error, RefusedMessageError):
                            continue
                        break
                    notices |= {key_of(one.incident): _delivered(one, channel) for one in group}
                    done.unsaved = self._save(notices)
                    if message.subject not in done.sent:
                        done.sent.append(message.subject)
        done.open = _open(notices)
        return done

    def _updated(self, notices: Notices, now: datetime, states: PortalStates | None = None) -> Notices:
        """Notices with what is wrong now, and without those that no channel has to report."""
        known = {key: one.incident for key, one in notices.items() if not one.ended_at}
        found = find(self._installation, known, now, states)
        unreadable = {portal for portal, cause, _ in found if cause == "unreadable"}
        updated = {key: _noticed(incident, notices.get(key), now) for key, incident in found.items()}
        for key, one in notices.items():
            if key in found:
                continue
            # An incident of a portal that was removed ends here as well.
            notice = one if key[0] in unreadable else one.ended(now)
            is_owed = any(channel in notice.deliveries for channel in self._channels)
            if notice.ended_at is None or (is_owed and now - notice.ended_at < _DAY):
                updated[key] = notice
        return updated

    def _load(self) -> Notices:
        state = self._installation.state
        if state.folder in _UNSAVED:
            return _UNSAVED[state.folder]
        # The cause may be known to another version only.
        return {key_of(one.incident): one for one in state.incidents.all() if one.incident.cause in CAUSES}

    def _save(self, notices: Notices) -> str:
        """Store what changed. Returns why it cannot be stored, or an empty text."""
        state = self._installation.state
        try:
            state.incidents.replace(notices.values())
        except StorageError as error:
            _UNSAVED[state.folder] = notices
            return str(error)
        _UNSAVED.pop(state.folder, None)
        return ""


def _open(notices: Notices) -> list[Incident]:
    return [one.incident for one in notices.values() if not one.ended_at]


def _noticed(incident: Incident, before: Notice | None, now: datetime) -> Notice:
    """The notice of an incident that is open."""
    if before and not before.ended_at:
        incident = replace(incident, since=min(incident.since, before.incident.since))
        return replace(before, incident=incident, all_tables=tuple(sorted({*before.all_tables, *incident.tables})))
    # Channels that have not reported the end of the previous incident need not report that it began again.
    names = tuple(sorted(before.incident.names)) if before else ()
    reported = dict.fromkeys(before.deliveries, names) if before else {}
    return Notice(incident=incident, noticed_at=now, all_tables=incident.tables, deliveries=reported)


def _delivered(notice: Notice, channel: str) -> Notice:
    """A notice after a channel accepted its message."""
    deliveries = {name: tables for name, tables in notice.deliveries.items() if name != channel}
    if not notice.ended_at:
        deliveries[channel] = tuple(sorted(notice.incident.names))
    return replace(notice, deliveries=deliveries)


def _waits(notice: Notice, now: datetime, busy: Collection[str], working: Collection[str]) -> bool:
    one = notice.incident
    patience = _DAY if one.cause == "stale" and one.portal in working else _PATIENCE
    return not notice.ended_at and one.portal in busy and now - notice.noticed_at < patience


def _is_due(notice: Notice, channel: str) -> bool:
    """Whether a channel has not reported an incident, reported less than half of its tables, or not reported its end."""
    delivered = notice.deliveries.get(channel)
    if notice.ended_at:
        return delivered is not None
    if delivered is None:
        return True
    new = notice.incident.names.difference(delivered)
    return not CAUSES[notice.incident.cause].whole_portal and len(new) > len(delivered)


def send_test(config: Config) -> dict[str, str]:
    """Send a test message by each channel, now. Returns channel -> why it refused the message, or an empty text."""
    results = dict.fromkeys(found := channels(config), "")
    for name, send in found.items():
        try:
            send(TEST)
        except AlertError as error:
            results[name] = str(error)
    return results
