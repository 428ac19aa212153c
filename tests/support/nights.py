"""Nights by a clock that the test sets: reads with their failures recorded as runs do it, and what channels are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from planday_io.config.grid import window_months
from planday_io.errors import PlandayError
from planday_io.monitoring.failures import failure_of
from planday_io.monitoring.notifier import Notifier
from planday_io.sandbox.state import Fault
from planday_io.sync.session import PortalSession, refresh
from tests.support.installation import Installation

FIRST = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0) - timedelta(days=40)
"""Long enough ago that no night is later than the clock of this machine."""


def at(night: int) -> datetime:
    return FIRST + timedelta(days=night)


def read(planday: Installation, night: int, tables: Sequence[str], portal: str = "oslo") -> None:
    """A night's reads, without a publication; of tables with months, those of the window."""
    session = PortalSession(planday.installation, portal, run_id=f"night-{night}", clock=lambda: at(night))
    window = window_months(planday.config, portal, at(night))
    for table in tables:
        endpoint = planday.catalogue.endpoint_of(table)
        names = [one.full_name for one in endpoint.tables]
        for month in window if endpoint.grid == "month" else [None]:
            try:
                refresh(session, table, month=month)
            except PlandayError as error:
                failures = (failure_of(error, at(night), portal=portal, table=name, month=month) for name in names)
                planday.state.failures.record(failures)
            else:
                planday.state.failures.resolve(portal, names, month)


def alert(planday: Installation, night: int) -> None:
    """What the daemon does in the morning after."""
    Notifier(planday.installation).notify(at(night) + timedelta(hours=4))


def answer(planday: Installation, path: str, edit: Callable[[dict[str, Any]], None]) -> Fault:
    """From now on, each row in the answers of a path is edited."""

    def edited(_: Request, status: int, document: Any) -> Response:
        for row in document["data"] if isinstance(document, dict) else document:
            edit(row)
        return JSONResponse(document, status)

    fault = Fault(path, edited, times=None)
    planday.sandbox.faults.append(fault)
    return fault
