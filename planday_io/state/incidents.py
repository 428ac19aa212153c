"""Incidents that were noticed, and what each channel reported of them.

Not here: what is an incident, and who has to hear of it (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from planday_io.state.rows import Notice
from planday_io.state.schema import DELIVERIES, INCIDENTS, put_notices
from planday_io.state.state_database import Kind

_RENAMED_CAUSES = {"unseen": "unreadable"}
"""How earlier versions named causes -> their names now."""


class Incidents(Kind):
    """The incidents of one installation."""

    def all(self) -> list[Notice]:
        """Those that are open, and those whose end is not reported everywhere. Raises StorageError."""
        return self._database.read(_all)

    def replace(self, notices: Iterable[Notice]) -> None:
        """Make these the incidents that are known. Raises StorageError; then those before are."""
        # Mostly nothing changed, and reading keeps nobody waiting.
        if self.all() != (wanted := list(notices)):
            self._database.write(put_notices, wanted)


def _all(connection: Connection) -> list[Notice]:
    deliveries: dict[int, dict[str, tuple[str, ...]]] = {}
    for one in DELIVERIES.all(connection):
        deliveries.setdefault(one.incident, {})[one.channel] = one.tables
    return [
        replace(
            one,
            incident=replace(one.incident, cause=_RENAMED_CAUSES.get(one.incident.cause, one.incident.cause)),
            deliveries=deliveries.get(one.number, {}),
        )
        for one in INCIDENTS.all(connection)
    ]
