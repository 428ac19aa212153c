"""One tick, one delivery: what failed is tried again, and then is an incident.

A tick is noted before it is delivered and settled afterwards, so a restart or a kill neither repeats nor loses it. Only a
kill between sending and settling sends the same mail once more, with the same id.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from planday_io.delivery.delivered import Delivered
from planday_io.delivery.making import deliver
from planday_io.delivery.rounds import schedule_text
from planday_io.errors import PlandayError, RefusedMessageError, StorageError
from planday_io.faults import as_planday_error
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import INSTALLATION
from planday_io.state import Failure

PAUSES = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Before the second, third and last attempt."""
_PREFIX = "deliver."


def record_name(name: str) -> str:
    """The name that failures of a delivery are recorded under."""
    return f"{_PREFIX}{name}"


def attempt(installation: Installation, name: str, now: datetime) -> Delivered | None:
    """Deliver the open tick of a delivery; None if there is none any more.

    Raises:
        PlandayError: it failed. It is noted when it is tried again, or recorded for alerts.
    """
    found = installation.state.deliveries.of(name)
    if found is None or found.open is None:
        return None
    try:
        done = deliver(installation, name, found.open, remarks=found.remarks, now=now)
    except Exception as error:
        known = as_planday_error(error)
        attempt_failed(installation, name, known, now)
        if known is error:
            raise
        raise known from None
    settle(installation, done, now)
    return done


def settle(installation: Installation, done: Delivered, now: datetime) -> None:
    """Note that a delivery was made. People whom the mail server refused are an incident: nobody else knows of them.

    Raises:
        StorageError: it cannot be noted.
    """
    name, state = done.name, installation.state
    error = f"the mail server refused {done.refused} of {done.refused + done.mailed} recipients" if done.refused else ""
    if state.deliveries.of(name) is None:
        state.deliveries.begin(name, schedule_text(installation.config, name), now)
    state.deliveries.settle(name, now, error)
    with suppress(StorageError):
        if error:
            _record(installation, name, error, now)
        else:
            state.failures.resolve(INSTALLATION, [record_name(name)])


def attempt_failed(installation: Installation, name: str, error: PlandayError, now: datetime) -> None:
    """Note that an attempt failed. After the last one, or where another one would be useless, it is recorded for alerts.

    Raises:
        StorageError: it cannot be noted.
    """
    state = installation.state
    found = state.deliveries.of(name)
    if found is None or found.open is None:
        return
    is_hopeless = not error.retryable or isinstance(error, RefusedMessageError)
    if not is_hopeless and found.attempts < len(PAUSES):
        state.deliveries.retry(name, str(error), now + PAUSES[found.attempts])
        return
    # Recorded first: after a kill in between it is tried once more.
    _record(installation, name, str(error), now)
    state.deliveries.settle(name, None, str(error))


def forget_removed(installation: Installation) -> None:
    """Forget deliveries that are no longer in the configuration, and that they failed. Raises StorageError."""
    names = {*installation.config.deliver}
    state = installation.state
    state.deliveries.keep_only(names)
    recorded = {one.table for one in state.failures.of(INSTALLATION) if one.table.startswith(_PREFIX)}
    state.failures.resolve(INSTALLATION, recorded - {record_name(name) for name in names})


def _record(installation: Installation, name: str, error: str, now: datetime) -> None:
    failure = Failure(
        portal=INSTALLATION,
        table=record_name(name),
        month=None,
        cause="delivery",
        error=error,
        run_id="",
        since=now,
    )
    installation.state.failures.record([failure])
