"""Which ticks were delivered, and when a failed delivery is tried again.

Names and instants only: neither addresses nor what was delivered.

Not here: when a delivery is due (`planday_io.delivery`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.rows import DeliveryState
from planday_io.state.schema import DELIVERIES
from planday_io.state.state_database import Kind


class Deliveries(Kind):
    """The deliveries of one installation."""

    def of(self, name: str) -> DeliveryState | None:
        """How far a delivery is, or None where it is new. Raises StorageError."""
        return self._database.read(DELIVERIES.get, name=name)

    def begin(self, name: str, schedule: str, settled: datetime) -> None:
        """Note a delivery that is new, or has another schedule. Its ticks come after `settled`. Raises StorageError."""

        def work(connection: Connection) -> None:
            before = DELIVERIES.get(connection, name=name)
            delivered_at = before.delivered_at if before else None
            new = DeliveryState(name=name, schedule=schedule, settled=settled, delivered_at=delivered_at)
            DELIVERIES.put(connection, new)

        self._database.write(work)

    def open(self, name: str, tick: datetime, remarks: Sequence[str]) -> None:
        """Note that a tick is to be delivered now. Raises StorageError."""

        def work(connection: Connection) -> None:
            if found := DELIVERIES.get(connection, name=name):
                new = replace(found, open=tick, remarks=tuple(remarks), attempts=0, retry_at=None, error="")
                DELIVERIES.put(connection, new)

        self._database.write(work)

    def retry(self, name: str, error: str, retry_at: datetime) -> None:
        """Note that an attempt failed, and when the next one is made. Raises StorageError."""

        def work(connection: Connection) -> None:
            if found := DELIVERIES.get(connection, name=name):
                new = replace(found, attempts=found.attempts + 1, retry_at=retry_at, error=error)
                DELIVERIES.put(connection, new)

        self._database.write(work)

    def settle(self, name: str, delivered_at: datetime | None, error: str = "") -> None:
        """Note that the open tick, if there is one, needs no delivery any more. Raises StorageError.

        Args:
            name: of the delivery.
            delivered_at: UTC instant; None if it was given up.
            error: why it was given up, or what else went wrong.
        """

        def work(connection: Connection) -> None:
            if found := DELIVERIES.get(connection, name=name):
                new = replace(
                    found,
                    settled=max(found.settled, found.open or found.settled),
                    open=None,
                    remarks=(),
                    attempts=0,
                    retry_at=None,
                    error=error,
                    delivered_at=delivered_at or found.delivered_at,
                )
                DELIVERIES.put(connection, new)

        self._database.write(work)

    def keep_only(self, names: Collection[str]) -> None:
        """Forget deliveries that no longer exist. Raises StorageError."""
        is_gone = DELIVERIES.c.name.not_in([*names])
        # Usually nothing changed, and a read blocks nobody.
        if self._database.read(DELIVERIES.has, is_gone):
            self._database.write(DELIVERIES.delete, is_gone)
